-- Generations and their instances. What was registered never changes again, not even by hand: a group that is used
-- again is a group that was modified. States move by the table below, which a test compares with rollout.GenerationMoves.

CREATE TABLE generation_move (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO generation_move (from_state, to_state) VALUES
    ('registered', 'validating'), ('registered', 'failed'), ('registered', 'retiring'),
    ('validating', 'ready'), ('validating', 'failed'), ('validating', 'retiring'),
    ('ready', 'validating'), ('ready', 'shifting'), ('ready', 'live'), ('ready', 'retiring'),
    ('shifting', 'live'), ('shifting', 'rejected'),
    ('live', 'standby'), ('live', 'rejected'),
    ('standby', 'live'), ('standby', 'retiring'),
    ('failed', 'validating'), ('failed', 'retiring'),
    ('rejected', 'validating'), ('rejected', 'retiring'),
    ('retiring', 'retired');

CREATE TABLE generation (
    environment         text NOT NULL REFERENCES environment,
    number              integer NOT NULL CONSTRAINT generation_number CHECK (number > 0),
    version             text NOT NULL,
    artifact            jsonb,
    metadata            jsonb NOT NULL CONSTRAINT generation_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    sizes               jsonb NOT NULL CONSTRAINT generation_sizes CHECK (jsonb_typeof(sizes) = 'object'),
    colour              text NOT NULL CONSTRAINT generation_colour CHECK (colour IN ('blue', 'green')),
    created_at          timestamptz NOT NULL,
    created_by          text NOT NULL,
    -- Above: as registered. Below: the rollout's.
    state               text NOT NULL CONSTRAINT generation_state CHECK (state IN ('registered', 'validating', 'ready',
                            'shifting', 'live', 'standby', 'failed', 'rejected', 'retiring', 'retired')),
    state_changed_at    timestamptz NOT NULL,
    reason              text NOT NULL,
    promote             boolean NOT NULL,
    waiting             text NOT NULL,
    announced           boolean NOT NULL,
    checked             jsonb NOT NULL,
    keep_until          timestamptz,
    unweighted_revision bigint NOT NULL CONSTRAINT generation_unweighted CHECK (unweighted_revision >= 0),
    quiet_at            timestamptz,
    succeeded           boolean NOT NULL,
    PRIMARY KEY (environment, number),
    -- Never two live ones. Checked at commit, because one becomes live before the other stops to be.
    CONSTRAINT generation_one_live EXCLUDE USING btree (environment WITH =) WHERE (state = 'live')
        DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX generation_not_retired ON generation (environment, number) WHERE state <> 'retired';

ALTER TABLE environment
    ADD CONSTRAINT environment_live_fkey FOREIGN KEY (name, live) REFERENCES generation (environment, number),
    ADD CONSTRAINT environment_previous_fkey FOREIGN KEY (name, previous) REFERENCES generation (environment, number);

CREATE FUNCTION generation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'registered' THEN
            RAISE EXCEPTION 'generation % of % begins as %', NEW.number, NEW.environment, NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'generation_begin';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.environment, NEW.number, NEW.version, NEW.artifact, NEW.metadata, NEW.sizes, NEW.colour, NEW.created_at, NEW.created_by)
        IS DISTINCT FROM
       (OLD.environment, OLD.number, OLD.version, OLD.artifact, OLD.metadata, OLD.sizes, OLD.colour, OLD.created_at, OLD.created_by) THEN
        RAISE EXCEPTION 'generation % of % is immutable', OLD.number, OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'generation_immutable';
    END IF;
    IF NEW.state <> OLD.state
        AND NOT EXISTS (SELECT FROM generation_move WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'generation % of %: no move from % to %', OLD.number, OLD.environment, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'generation_move';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER generation_guard BEFORE INSERT OR UPDATE ON generation FOR EACH ROW EXECUTE FUNCTION generation_guard();
CREATE TRIGGER generation_kept BEFORE DELETE OR TRUNCATE ON generation
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('generation_immutable');

CREATE TABLE instance (
    environment text NOT NULL,
    number      integer NOT NULL,
    service     text NOT NULL,
    position    integer NOT NULL,
    id          text NOT NULL,
    address     text NOT NULL,
    port        integer NOT NULL CONSTRAINT instance_port CHECK (port BETWEEN 1 AND 65535),
    meta        jsonb NOT NULL,
    PRIMARY KEY (environment, number, service, position),
    FOREIGN KEY (environment, number) REFERENCES generation
);

-- Instances come with the registration of their generation: in the transaction that made its row, or never.
CREATE FUNCTION instance_with_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT environment, number FROM fresh) f JOIN generation g USING (environment, number)
               WHERE g.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'instances are part of a registration'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'instance_immutable';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER instance_with_generation AFTER INSERT ON instance
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION instance_with_generation();
CREATE TRIGGER instance_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON instance
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('instance_immutable');

-- An address and port belongs to one generation that may still serve, over all environments: the row is there while
-- the generation's state holds its instances (rollout.GenerationState.Holds).
CREATE TABLE instance_claim (
    address     text NOT NULL,
    port        integer NOT NULL,
    environment text NOT NULL,
    generation  integer NOT NULL,
    PRIMARY KEY (address, port),
    FOREIGN KEY (environment, generation) REFERENCES generation
);
CREATE INDEX instance_claim_generation ON instance_claim (environment, generation);
