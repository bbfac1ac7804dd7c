-- Who is signed in to the pages: sessions, of which only the hash of the cookie's secret is kept, and links that sign in
-- once, of which the same is true. A session lives as long as its token at most; the row of one that has ended is gone.

CREATE TABLE session (
    id         text PRIMARY KEY, -- what people name it by; says nothing of the secret
    hash       bytea NOT NULL CONSTRAINT session_hash UNIQUE CONSTRAINT session_hash_length CHECK (octet_length(hash) = 32),
    token      text NOT NULL REFERENCES token,
    data       bytea NOT NULL DEFAULT '',
    address    text NOT NULL,
    user_agent text NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE FUNCTION session_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.hash, NEW.token, NEW.address, NEW.user_agent, NEW.created_at, NEW.expires_at)
        IS DISTINCT FROM (OLD.id, OLD.hash, OLD.token, OLD.address, OLD.user_agent, OLD.created_at, OLD.expires_at) THEN
        RAISE EXCEPTION 'session %: only its use and its data change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'session_immutable';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER session_guard BEFORE UPDATE ON session FOR EACH ROW EXECUTE FUNCTION session_guard();

CREATE TABLE login_link (
    hash       bytea PRIMARY KEY CONSTRAINT login_link_hash CHECK (octet_length(hash) = 32),
    token      text NOT NULL REFERENCES token,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE OR REPLACE FUNCTION grant_service(service name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT INSERT ON environment, spec_version, host_claim, generation, instance, instance_claim, promotion,
        switch, node, receipt, staging, reading, lease, event, event_chain, token, idempotency, session, login_link TO %I', service);
    EXECUTE format('GRANT UPDATE ON environment, generation, promotion, switch, node, receipt, staging, reading, lease,
        event_chain, event_counter, token, idempotency, session, login_link TO %I', service);
    EXECUTE format('GRANT DELETE ON host_claim, instance_claim, receipt, staging, reading, idempotency, session, login_link TO %I', service);
    EXECUTE format('GRANT EXECUTE ON FUNCTION prune_events(text, bigint) TO %I', service);
END
$$;

SELECT pin_function(f::regprocedure) FROM unnest(ARRAY['session_guard()', 'grant_service(name)']) AS f;
