-- The thing whose traffic is switched, with its specs and hosts. An environment's row is also the lock under which
-- everything of that environment is decided. Rows are never deleted: a name that is used again goes on with the
-- revision and numbers of its first life, so that it stays above what every load balancer has seen.

-- refuse_change refuses whatever a statement wants to do with a table; its argument names the rule.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0];
END
$$;

-- expect_one makes the transaction fail when a guarded write found no row, or too many.
CREATE FUNCTION expect_one(hits bigint, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF hits <> 1 THEN
        RAISE EXCEPTION 'guarded write of % found % rows', what, hits
            USING ERRCODE = 'check_violation', CONSTRAINT = 'expect_one';
    END IF;
END
$$;

-- weights_valid: keys are generation numbers, shares are whole numbers of 0 to 100, and they sum to 100 unless empty.
CREATE FUNCTION weights_valid(weights jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    entry record;
    total integer := 0;
BEGIN
    IF jsonb_typeof(weights) <> 'object' THEN
        RETURN false;
    END IF;
    IF weights = '{}' THEN
        RETURN true;
    END IF;
    FOR entry IN SELECT key, value FROM jsonb_each(weights) LOOP
        IF entry.key !~ '^[1-9][0-9]{0,8}$' OR entry.value::text !~ '^(100|[1-9]?[0-9])$' THEN
            RETURN false;
        END IF;
        total := total + entry.value::text::integer;
    END LOOP;
    RETURN total = 100;
END
$$;

CREATE TABLE environment (
    name           text PRIMARY KEY CONSTRAINT environment_name CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    spec           jsonb NOT NULL CONSTRAINT environment_spec CHECK (jsonb_typeof(spec) = 'object'),
    spec_version   bigint NOT NULL CONSTRAINT environment_spec_version CHECK (spec_version > 0),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    last_number    integer NOT NULL CONSTRAINT environment_last_number CHECK (last_number >= 0),
    last_promotion bigint NOT NULL CONSTRAINT environment_last_promotion CHECK (last_promotion >= 0),
    revision       bigint NOT NULL CONSTRAINT environment_revision CHECK (revision >= 0),
    weights        jsonb NOT NULL CONSTRAINT environment_weights CHECK (weights_valid(weights)),
    live           integer,
    previous       integer CONSTRAINT environment_previous CHECK (previous <> live),
    lock           jsonb,
    hold           jsonb,
    deleting_at    timestamptz,
    deleted_at     timestamptz CONSTRAINT environment_deleted CHECK (deleted_at IS NULL OR deleting_at IS NOT NULL),
    version        bigint NOT NULL -- grows with every change of anything that is known of the environment
);

CREATE FUNCTION environment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name <> OLD.name OR NEW.revision < OLD.revision OR NEW.last_number < OLD.last_number
        OR NEW.last_promotion < OLD.last_promotion OR NEW.spec_version < OLD.spec_version OR NEW.version <= OLD.version THEN
        RAISE EXCEPTION 'environment %: its name stays, its counters only grow', OLD.name
            USING ERRCODE = 'check_violation', CONSTRAINT = 'environment_counters';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER environment_guard BEFORE UPDATE ON environment FOR EACH ROW EXECUTE FUNCTION environment_guard();
CREATE TRIGGER environment_kept BEFORE DELETE OR TRUNCATE ON environment
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('environment_kept');

-- Every version of a spec, as it was declared.
CREATE TABLE spec_version (
    environment text NOT NULL REFERENCES environment,
    version     bigint NOT NULL CONSTRAINT spec_version_version CHECK (version > 0),
    spec        jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    PRIMARY KEY (environment, version)
);
CREATE TRIGGER spec_version_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON spec_version
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('spec_version_immutable');

-- A host belongs to one environment: whoever comes second is refused by the primary key, however close the race.
CREATE TABLE host_claim (
    host        text PRIMARY KEY,
    environment text NOT NULL REFERENCES environment
);
CREATE INDEX host_claim_environment ON host_claim (environment);
