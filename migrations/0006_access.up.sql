-- Who may call, and what a call was answered: tokens (only their hashes), and the record that makes a command happen
-- once for its caller. A record counts for 24 hours.

CREATE TABLE token (
    id           text PRIMARY KEY,
    name         text NOT NULL,
    role         text NOT NULL CONSTRAINT token_role CHECK (role IN ('viewer', 'deployer', 'operator', 'admin')),
    environments text[] NOT NULL CONSTRAINT token_environments CHECK (cardinality(environments) > 0),
    hash         bytea NOT NULL CONSTRAINT token_hash CHECK (octet_length(hash) = 32),
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE FUNCTION token_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.name, NEW.role, NEW.environments, NEW.hash, NEW.created_at, NEW.created_by, NEW.expires_at)
        IS DISTINCT FROM (OLD.id, OLD.name, OLD.role, OLD.environments, OLD.hash, OLD.created_at, OLD.created_by, OLD.expires_at)
        OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) THEN
        RAISE EXCEPTION 'token %: only its use and its end are recorded', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'token_immutable';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER token_guard BEFORE UPDATE ON token FOR EACH ROW EXECUTE FUNCTION token_guard();
CREATE TRIGGER token_kept BEFORE DELETE OR TRUNCATE ON token
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('token_immutable');

CREATE TABLE idempotency (
    caller     text NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL CONSTRAINT idempotency_body_hash CHECK (octet_length(body_hash) = 32),
    answer     jsonb,    -- what the command came to; set by the transaction that did it
    status     smallint, -- of the HTTP answer
    response   bytea,    -- its body
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE FUNCTION idempotency_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.caller, NEW.key) <> (OLD.caller, OLD.key)
        OR (OLD.created_at > clock_timestamp() - interval '24 hours' AND (
            (NEW.body_hash, NEW.created_at) IS DISTINCT FROM (OLD.body_hash, OLD.created_at)
            OR (OLD.answer IS NOT NULL AND NEW.answer IS DISTINCT FROM OLD.answer)
            OR (OLD.status IS NOT NULL AND (NEW.status, NEW.response) IS DISTINCT FROM (OLD.status, OLD.response)))) THEN
        RAISE EXCEPTION 'what a key was used for is written once'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'idempotency_write_once';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER idempotency_guard BEFORE UPDATE ON idempotency FOR EACH ROW EXECUTE FUNCTION idempotency_guard();
