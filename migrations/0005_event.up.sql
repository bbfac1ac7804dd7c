-- The audit log. Ids are one sequence over everything, without gaps and in the order of commits: the counter's row is
-- locked by the last statement before each commit. Each environment has a hash chain of its own; '' is the chain of
-- what belongs to none. Events are only ever added.

CREATE TABLE event_counter (
    one  boolean PRIMARY KEY DEFAULT true CONSTRAINT event_counter_one CHECK (one),
    last bigint NOT NULL
);
INSERT INTO event_counter (last) VALUES (0);

CREATE TABLE event_chain (
    environment text PRIMARY KEY,
    length      bigint NOT NULL CONSTRAINT event_chain_length CHECK (length >= 0),
    head        text NOT NULL -- the hash of its last event, empty before the first
);
INSERT INTO event_chain (environment, length, head) VALUES ('', 0, '');

CREATE TABLE event (
    id          bigint PRIMARY KEY CONSTRAINT event_id CHECK (id > 0),
    environment text NOT NULL REFERENCES event_chain,
    position    bigint NOT NULL CONSTRAINT event_position CHECK (position > 0), -- in its chain, from 1
    kind        text NOT NULL,
    actor       text NOT NULL,
    at          timestamptz NOT NULL,
    revision    bigint NOT NULL,     -- 0 for none
    generation  integer NOT NULL,    -- 0 for none
    data        json NOT NULL,       -- json, not jsonb: the bytes that were hashed stay as they were
    prev_hash   text NOT NULL,
    hash        text NOT NULL CONSTRAINT event_hash CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT event_chain_position UNIQUE (environment, position),
    CONSTRAINT event_chain_link UNIQUE (environment, prev_hash)
);
CREATE INDEX event_by_environment ON event (environment, id);

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('event_append_only');
CREATE FUNCTION event_counter_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.last < OLD.last THEN
        RAISE EXCEPTION 'the number of events only grows' USING ERRCODE = 'check_violation', CONSTRAINT = 'event_append_only';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER event_counter_guard BEFORE UPDATE ON event_counter FOR EACH ROW EXECUTE FUNCTION event_counter_guard();
CREATE TRIGGER event_counter_kept BEFORE DELETE OR TRUNCATE ON event_counter
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('event_append_only');
CREATE FUNCTION event_chain_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.environment <> OLD.environment OR NEW.length <= OLD.length THEN
        RAISE EXCEPTION 'the chain of % only grows', OLD.environment USING ERRCODE = 'check_violation', CONSTRAINT = 'event_append_only';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER event_chain_guard BEFORE UPDATE ON event_chain FOR EACH ROW EXECUTE FUNCTION event_chain_guard();
CREATE TRIGGER event_chain_kept BEFORE DELETE OR TRUNCATE ON event_chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('event_append_only');
