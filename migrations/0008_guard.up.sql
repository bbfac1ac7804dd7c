-- What must never be, said once more where no code can get past it. A revision is made by one switch and never without
-- one; who is live changes with a revision only, and the history of that never has two at once; a retired generation
-- stays retired; what a node confirmed, what a key was answered, and who holds a lease cannot be taken back by deleting
-- a row or by writing an old time.
--
-- All of this holds for every statement of the program before this migration.

-- Live moves by a switch, so that every change of it has a revision that the load balancers can tell from the one before.
CREATE TRIGGER environment_live BEFORE UPDATE ON environment FOR EACH ROW
    WHEN (NEW.live IS DISTINCT FROM OLD.live AND NEW.revision = OLD.revision)
    EXECUTE FUNCTION refuse_change('live_without_switch');

-- Who was live when, from one switch to another. Rows come from the trigger below, whoever moves live.
--
-- Two ranges of one environment never overlap. Names go into the exclusion as ranges of one name, because GiST compares
-- ranges out of the box, and texts only with an extension that may not be installed.
CREATE TYPE name_range AS RANGE (subtype = text, collation = "C");
CREATE TABLE activation (
    environment text NOT NULL REFERENCES environment,
    revision    bigint NOT NULL, -- of the switch that made it live
    generation  integer NOT NULL,
    during      tstzrange NOT NULL CONSTRAINT activation_during
                    CHECK (lower_inc(during) AND NOT upper_inc(during) AND NOT lower_inf(during)),
    PRIMARY KEY (environment, revision),
    FOREIGN KEY (environment, generation) REFERENCES generation,
    FOREIGN KEY (environment, revision) REFERENCES switch DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT activation_one_live EXCLUDE USING gist (name_range(environment, environment, '[]') WITH &&, during WITH &&)
);

-- It writes as the owner of the tables, so that the service needs no right to write history, and has none.
CREATE FUNCTION activate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    last activation;
    at timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO last FROM activation WHERE environment = NEW.name ORDER BY revision DESC LIMIT 1;
    IF FOUND THEN -- the clock may have gone back since
        at := greatest(at, coalesce(upper(last.during), lower(last.during) + interval '1 microsecond'));
    END IF;
    IF upper_inf(last.during) THEN
        UPDATE activation SET during = tstzrange(lower(last.during), at)
        WHERE environment = NEW.name AND revision = last.revision;
    END IF;
    IF NEW.live IS NOT NULL THEN
        INSERT INTO activation (environment, revision, generation, during)
        VALUES (NEW.name, NEW.revision, NEW.live, tstzrange(at, NULL));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER environment_activation AFTER UPDATE ON environment FOR EACH ROW
    WHEN (NEW.live IS DISTINCT FROM OLD.live) EXECUTE FUNCTION activate();

-- A range begins behind the last one, and is closed once.
CREATE FUNCTION activation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND (NOT upper_inf(NEW.during) OR EXISTS (
            SELECT FROM activation a WHERE a.environment = NEW.environment
                AND (a.revision >= NEW.revision OR upper_inf(a.during) OR upper(a.during) > lower(NEW.during))))
        OR TG_OP = 'UPDATE' AND ((NEW.environment, NEW.revision, NEW.generation, lower(NEW.during))
                IS DISTINCT FROM (OLD.environment, OLD.revision, OLD.generation, lower(OLD.during))
            OR NOT upper_inf(OLD.during) OR upper_inf(NEW.during) OR isempty(NEW.during)) THEN
        RAISE EXCEPTION 'who was live in % is history', NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'activation_history';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER activation_guard BEFORE INSERT OR UPDATE ON activation FOR EACH ROW EXECUTE FUNCTION activation_guard();
CREATE TRIGGER activation_kept BEFORE DELETE OR TRUNCATE ON activation
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('activation_history');

-- The open range is that of the live generation.
CREATE FUNCTION activation_of_live() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT live FROM environment WHERE name = NEW.environment) IS DISTINCT FROM
       (SELECT generation FROM activation WHERE environment = NEW.environment AND upper_inf(during)) THEN
        RAISE EXCEPTION 'the history of % says that another generation is live', NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'activation_of_live';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER activation_of_live AFTER INSERT OR UPDATE ON activation DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION activation_of_live();

-- The history begins with what is live now, since the switch that made it so.
INSERT INTO activation (environment, revision, generation, during)
SELECT e.name, s.revision, e.live, tstzrange(s.committed_at, NULL)
FROM environment e CROSS JOIN LATERAL (
    SELECT revision, committed_at FROM switch
    WHERE environment = e.name AND (to_number = e.live AND kind IN ('promote', 'rollback') OR revision = e.revision)
    ORDER BY revision = e.revision, revision DESC LIMIT 1
) s
WHERE e.live IS NOT NULL;

-- A transaction makes one revision. Two would leave one that nobody looked at: route_check sees the last.
CREATE FUNCTION environment_one_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM environment WHERE name = NEW.name AND revision = NEW.revision) THEN
        RAISE EXCEPTION 'environment %: revision % is passed over', NEW.name, NEW.revision
            USING ERRCODE = 'check_violation', CONSTRAINT = 'revision_passed_over';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER environment_one_revision AFTER UPDATE ON environment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.revision <> NEW.revision) EXECUTE FUNCTION environment_one_revision();

-- A new switch is that of the present revision. One for an earlier revision would be a history that never was.
CREATE FUNCTION switch_of_present_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM environment WHERE name = NEW.environment AND revision <= NEW.revision) THEN
        RAISE EXCEPTION 'switch % of % was not made when its revision was', NEW.revision, NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'switch_in_the_past';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER switch_of_present_revision AFTER INSERT ON switch DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION switch_of_present_revision();

-- Whatever the table of moves says.
CREATE TRIGGER generation_retired BEFORE UPDATE ON generation FOR EACH ROW
    WHEN (OLD.state = 'retired' AND NEW.state <> 'retired')
    EXECUTE FUNCTION refuse_change('generation_retired');

-- What a run of a node confirmed under its fence is remembered beside what it was last seen doing: it never confirms less,
-- not even after it was read without its fence. What was only read may be anything, and a node may be ahead of us.
ALTER TABLE receipt ADD COLUMN confirmed bigint NOT NULL DEFAULT 0;
UPDATE receipt SET confirmed = revision WHERE grade = 'fenced';
CREATE FUNCTION receipt_confirmed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.confirmed := 0;
    IF TG_OP = 'UPDATE' AND NEW.incarnation = OLD.incarnation THEN
        NEW.confirmed := OLD.confirmed;
    END IF;
    IF NEW.grade = 'fenced' THEN
        IF NEW.revision < NEW.confirmed THEN
            RAISE EXCEPTION 'node % of % confirmed revision %, and now %', NEW.node, NEW.router, NEW.confirmed, NEW.revision
                USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_confirmed';
        END IF;
        NEW.confirmed := NEW.revision;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER receipt_confirmed BEFORE INSERT OR UPDATE ON receipt FOR EACH ROW EXECUTE FUNCTION receipt_confirmed();

-- A receipt is deleted when its node has dropped a deleted environment. Deleting it before that would let the node's
-- next one begin at any revision.
CREATE FUNCTION receipt_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM environment WHERE name = OLD.environment AND deleted_at IS NULL) THEN
        RAISE EXCEPTION 'the receipt of node % of % is kept while environment % is there', OLD.node, OLD.router, OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_kept';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER receipt_kept BEFORE DELETE ON receipt FOR EACH ROW EXECUTE FUNCTION receipt_kept();
CREATE TRIGGER receipt_not_emptied BEFORE TRUNCATE ON receipt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('receipt_kept');

-- A key counts for 24 hours, and one of the program's own for one: until then its record stays. The time is the
-- database's, so that nobody writes a record that is old when it is made.
CREATE TRIGGER idempotency_begin BEFORE INSERT ON idempotency FOR EACH ROW
    WHEN (NEW.created_at NOT BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '1 minute')
    EXECUTE FUNCTION refuse_change('idempotency_time');
CREATE TRIGGER idempotency_again BEFORE UPDATE ON idempotency FOR EACH ROW
    WHEN (NEW.created_at <> OLD.created_at
        AND NEW.created_at NOT BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '1 minute')
    EXECUTE FUNCTION refuse_change('idempotency_time');
CREATE TRIGGER idempotency_kept BEFORE DELETE ON idempotency FOR EACH ROW
    WHEN (OLD.created_at > clock_timestamp() - CASE OLD.caller WHEN '~store' THEN interval '1 hour' ELSE interval '24 hours' END)
    EXECUTE FUNCTION refuse_change('idempotency_write_once');
CREATE TRIGGER idempotency_not_emptied BEFORE TRUNCATE ON idempotency
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('idempotency_write_once');
ALTER TABLE idempotency ADD CONSTRAINT idempotency_answered
    CHECK ((status IS NULL) = (response IS NULL) AND (status IS NULL OR answer IS NOT NULL)) NOT VALID;

-- A lease that has time left is its holder's; one whose time is over begins a new term, even for the same holder. The
-- second is held against the time when the statement came in: it decided by a later one.
CREATE TRIGGER lease_held BEFORE UPDATE ON lease FOR EACH ROW
    WHEN (NEW.holder <> OLD.holder AND OLD.expires_at > clock_timestamp())
    EXECUTE FUNCTION refuse_change('lease_held');
CREATE TRIGGER lease_over BEFORE UPDATE ON lease FOR EACH ROW
    WHEN (NEW.term = OLD.term AND NEW.expires_at > OLD.expires_at AND OLD.expires_at <= statement_timestamp())
    EXECUTE FUNCTION refuse_change('lease_over');

-- pin_function makes a function look its tables up in this schema, whoever calls it: a temporary table of the same name
-- must not stand in for the one that a guard asks. A migration that makes or replaces a function pins it.
CREATE FUNCTION pin_function(pinned regprocedure) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', pinned, current_schema());
END
$$;
SELECT pin_function(f::regprocedure) FROM unnest(ARRAY[
    'refuse_change()', 'expect_one(bigint, text)', 'weights_valid(jsonb)', 'environment_guard()', 'generation_guard()',
    'instance_with_generation()', 'promotion_guard()', 'switch_guard()', 'route_check(text)', 'environment_route_check()',
    'part_route_check()', 'node_guard()', 'receipt_guard()', 'lease_guard()', 'event_counter_guard()', 'event_chain_guard()',
    'token_guard()', 'idempotency_guard()', 'grant_service(name)', 'environment_one_revision()', 'switch_of_present_revision()',
    'receipt_confirmed()', 'receipt_kept()', 'activate()', 'activation_guard()', 'activation_of_live()', 'pin_function(regprocedure)']) AS f;
