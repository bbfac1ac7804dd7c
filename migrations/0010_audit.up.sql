-- The audit log guards itself: an event is taken only at the end of its chain, with the next number, and with the hash
-- that belongs to it; counter and chain move only with events. And it can become shorter at its old end without losing
-- its proof: what is pruned is replaced by an anchor, the place and hash of the last event that went, which an event
-- audit.pruned in the same chain repeats, so that the anchor is under the hash of everything after it.
--
-- Events of the program before this migration are taken as they are, since its hashes are these.

-- event_hash says in SQL what the package audit says in Go.
CREATE FUNCTION event_hash(prev_hash text, chain text, place bigint, kind text, actor text, at timestamptz,
    revision bigint, generation bigint, data text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    before bytea := convert_to(prev_hash, 'UTF8');
    name   bytea := convert_to(chain, 'UTF8');
    what   bytea := convert_to(kind, 'UTF8');
    who    bytea := convert_to(actor, 'UTF8');
    detail bytea := convert_to(data, 'UTF8');
    eight  bytea := int8send(8);
BEGIN
    RETURN encode(sha256(int8send(length(before)) || before || int8send(length(name)) || name || eight || int8send(place)
        || int8send(length(what)) || what || int8send(length(who)) || who
        || eight || int8send((extract(epoch FROM at) * 1000000)::bigint) || eight || int8send(revision) || eight || int8send(generation)
        || int8send(length(detail)) || detail), 'hex');
END
$$;

-- An event lies within its chain and below the counter, and not where something was pruned. This asks what the foreign
-- key to event_chain asked, and more, for the same price.
CREATE FUNCTION event_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM event_chain c CROSS JOIN event_counter n LEFT JOIN event_anchor a ON a.environment = c.environment
            WHERE c.environment = NEW.environment AND NEW.position <= c.length AND NEW.position > coalesce(a.position, 0)
                AND NEW.id <= n.last AND NEW.id > coalesce((SELECT max(event) FROM event_anchor), 0)) THEN
        RAISE EXCEPTION 'event % has no place in the chain of %', NEW.id, NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_place';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER event_placed AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION event_placed();
ALTER TABLE event DROP CONSTRAINT event_environment_fkey;

-- A chain grows by events, each of which follows the one before it by place, number and hash.
CREATE FUNCTION event_chained() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint := 0;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD.length;
    END IF;
    IF NEW.length - before <> (SELECT count(*) FROM event e LEFT JOIN event p ON p.environment = e.environment AND p.position = e.position - 1
            WHERE e.environment = NEW.environment AND e.position > before AND e.position <= NEW.length
                AND e.prev_hash = coalesce(p.hash, '') AND (e.position = 1 OR e.id > p.id) AND (e.position < NEW.length OR e.hash = NEW.head)
                AND e.hash = event_hash(e.prev_hash, e.environment, e.position, e.kind, e.actor, e.at, e.revision, e.generation, e.data::text))
        OR NEW.length = 0 AND NEW.head <> '' THEN
        RAISE EXCEPTION 'the chain of % does not go on like this', NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_chained';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_chained AFTER INSERT OR UPDATE ON event_chain DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION event_chained();

-- The counter grows by events.
CREATE FUNCTION event_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM event WHERE id > OLD.last AND id <= NEW.last) <> NEW.last - OLD.last THEN
        RAISE EXCEPTION 'the number of events grows with events' USING ERRCODE = 'check_violation', CONSTRAINT = 'event_counted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_counted AFTER UPDATE ON event_counter DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION event_counted();

-- Where a pruned chain begins: place, number, time and hash of the last event that is gone.
CREATE TABLE event_anchor (
    environment text PRIMARY KEY REFERENCES event_chain,
    position    bigint NOT NULL,
    event       bigint NOT NULL,
    at          timestamptz NOT NULL,
    hash        text NOT NULL,
    pruned_at   timestamptz NOT NULL
);
CREATE INDEX event_anchor_event ON event_anchor (event);

-- An anchor is taken from an event that is there, is a month old, and is not the last of its chain.
CREATE FUNCTION event_anchor_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM event e JOIN event_chain c USING (environment)
            WHERE e.environment = NEW.environment AND e.position = NEW.position AND e.position < c.length
                AND (e.id, e.at, e.hash) = (NEW.event, NEW.at, NEW.hash) AND e.at < clock_timestamp() - interval '30 days')
        OR TG_OP = 'UPDATE' AND (NEW.environment <> OLD.environment OR NEW.position <= OLD.position) THEN
        RAISE EXCEPTION 'the chain of % cannot begin behind place %', NEW.environment, NEW.position
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_anchor';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER event_anchor_guard BEFORE INSERT OR UPDATE ON event_anchor FOR EACH ROW EXECUTE FUNCTION event_anchor_guard();
CREATE TRIGGER event_anchor_kept BEFORE DELETE OR TRUNCATE ON event_anchor
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('event_anchor');

-- At the commit everything up to it is gone, and the last event of the chain says so.
CREATE FUNCTION event_anchor_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM event WHERE environment = NEW.environment AND position <= NEW.position)
        OR NOT EXISTS (SELECT FROM event e JOIN event_chain c ON c.environment = e.environment AND c.length = e.position
            WHERE e.environment = NEW.environment AND e.kind = 'audit.pruned'
                AND e.data->>'position' = NEW.position::text AND e.data->>'event' = NEW.event::text AND e.data->>'hash' = NEW.hash) THEN
        RAISE EXCEPTION 'pruning % is not recorded in its chain', NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_anchor';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_anchor_sealed AFTER INSERT OR UPDATE ON event_anchor DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION event_anchor_sealed();

-- Events are deleted up to an anchor and in no other way.
CREATE FUNCTION event_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM gone LEFT JOIN event_anchor a ON a.environment = gone.environment AND a.position >= gone.position
               WHERE a.environment IS NULL) THEN
        RAISE EXCEPTION 'DELETE of event is not allowed' USING ERRCODE = 'check_violation', CONSTRAINT = 'event_append_only';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER event_pruned AFTER DELETE ON event
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION event_pruned();
DROP TRIGGER event_append_only ON event;
CREATE TRIGGER event_append_only BEFORE UPDATE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('event_append_only');

-- prune_events makes the event at a place the anchor of its chain, and deletes everything up to it. The service may call
-- it, and may delete events in no other way.
CREATE FUNCTION prune_events(chain text, place bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    pruned bigint;
BEGIN
    INSERT INTO event_anchor (environment, position, event, at, hash, pruned_at)
    SELECT environment, position, id, at, hash, clock_timestamp() FROM event WHERE environment = chain AND position = place
    ON CONFLICT (environment) DO UPDATE SET position = excluded.position, event = excluded.event, at = excluded.at,
        hash = excluded.hash, pruned_at = excluded.pruned_at;
    DELETE FROM event WHERE environment = chain AND position <= place;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;
REVOKE EXECUTE ON FUNCTION prune_events(text, bigint) FROM PUBLIC;

-- What it gave stays as it is; the new tables are written by the functions above, as their owner.
CREATE OR REPLACE FUNCTION grant_service(service name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT INSERT ON environment, spec_version, host_claim, generation, instance, instance_claim, promotion,
        switch, node, receipt, staging, reading, lease, event, event_chain, token, idempotency TO %I', service);
    EXECUTE format('GRANT UPDATE ON environment, generation, promotion, switch, node, receipt, staging, reading, lease,
        event_chain, event_counter, token, idempotency TO %I', service);
    EXECUTE format('GRANT DELETE ON host_claim, instance_claim, receipt, staging, reading, idempotency TO %I', service);
    EXECUTE format('GRANT EXECUTE ON FUNCTION prune_events(text, bigint) TO %I', service);
END
$$;

SELECT pin_function(f::regprocedure) FROM unnest(ARRAY[
    'event_hash(text, text, bigint, text, text, timestamptz, bigint, bigint, text)', 'event_placed()', 'event_chained()',
    'event_counted()', 'event_anchor_guard()', 'event_anchor_sealed()', 'event_pruned()', 'prune_events(text, bigint)',
    'grant_service(name)']) AS f;
