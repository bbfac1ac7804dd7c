-- What is known of the world: the nodes of the routers, what each was last seen doing, which generations each knows,
-- how healthy they are; and the leases of those who look.

CREATE TABLE node (
    router      text NOT NULL,
    name        text NOT NULL,
    incarnation text NOT NULL,
    version     text NOT NULL,
    seen_at     timestamptz NOT NULL,
    removed     boolean NOT NULL,
    changes     bigint NOT NULL, -- grows when another incarnation appears, and when it is removed or comes back
    PRIMARY KEY (router, name)
);
CREATE FUNCTION node_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.router, NEW.name) <> (OLD.router, OLD.name) OR NEW.changes < OLD.changes THEN
        RAISE EXCEPTION 'node % of %: its name stays, its counter only grows', OLD.name, OLD.router
            USING ERRCODE = 'check_violation', CONSTRAINT = 'node_counters';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER node_guard BEFORE UPDATE ON node FOR EACH ROW EXECUTE FUNCTION node_guard();
CREATE TRIGGER node_kept BEFORE DELETE OR TRUNCATE ON node
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('node_kept');

CREATE TABLE receipt (
    environment  text NOT NULL REFERENCES environment,
    router       text NOT NULL,
    node         text NOT NULL,
    incarnation  text NOT NULL,
    revision     bigint NOT NULL CONSTRAINT receipt_revision CHECK (revision >= 0),
    spec_version bigint NOT NULL,
    hash         text NOT NULL,
    weights      jsonb NOT NULL,
    in_flight    jsonb NOT NULL,
    at           timestamptz NOT NULL,
    grade        text NOT NULL CONSTRAINT receipt_grade CHECK (grade IN ('fenced', 'read_back')),
    error        text NOT NULL,
    PRIMARY KEY (environment, router, node)
);
CREATE FUNCTION receipt_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.incarnation = OLD.incarnation AND NEW.revision < OLD.revision AND NEW.grade = 'fenced' THEN
        RAISE EXCEPTION 'fenced node % of %: one incarnation never goes back from revision % to %', OLD.node, OLD.router, OLD.revision, NEW.revision
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_never_back';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER receipt_guard BEFORE UPDATE ON receipt FOR EACH ROW EXECUTE FUNCTION receipt_guard();

CREATE TABLE staging (
    environment  text NOT NULL,
    generation   integer NOT NULL,
    router       text NOT NULL,
    node         text NOT NULL,
    incarnation  text NOT NULL,
    spec_version bigint NOT NULL,
    PRIMARY KEY (environment, generation, router, node),
    FOREIGN KEY (environment, generation) REFERENCES generation
);

CREATE TABLE reading (
    environment text NOT NULL,
    generation  integer NOT NULL,
    service     text NOT NULL,
    healthy     integer NOT NULL,
    unhealthy   integer NOT NULL,
    total       integer NOT NULL,
    at          timestamptz NOT NULL,
    detail      text NOT NULL,
    PRIMARY KEY (environment, generation, service),
    FOREIGN KEY (environment, generation) REFERENCES generation,
    CONSTRAINT reading_counts CHECK (healthy >= 0 AND unhealthy >= 0 AND healthy + unhealthy <= total)
);

-- One row for each environment, made with it and kept for ever, so that terms never start again.
CREATE TABLE lease (
    environment text PRIMARY KEY REFERENCES environment,
    holder      text NOT NULL,
    term        bigint NOT NULL CONSTRAINT lease_term CHECK (term >= 0),
    expires_at  timestamptz NOT NULL
);
CREATE FUNCTION lease_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.term < OLD.term OR (NEW.holder <> OLD.holder AND NEW.term <= OLD.term) THEN
        RAISE EXCEPTION 'lease of %: its term only grows, and with each change of holder', OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lease_term_grows';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER lease_guard BEFORE UPDATE ON lease FOR EACH ROW EXECUTE FUNCTION lease_guard();
CREATE TRIGGER lease_kept BEFORE DELETE OR TRUNCATE ON lease
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('lease_term_grows');
