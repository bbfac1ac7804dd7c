-- Promotions, switches, and the rule that ties them to the route: at every commit an environment's route is the one
-- that its last switch made, what is live is the live generation, and only what may serve has a share.

CREATE TABLE promotion_move (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO promotion_move (from_state, to_state) VALUES
    ('shifting', 'paused'), ('shifting', 'baking'), ('shifting', 'aborted'), ('shifting', 'superseded'),
    ('paused', 'shifting'), ('paused', 'baking'), ('paused', 'aborted'), ('paused', 'rolled_back'), ('paused', 'superseded'),
    ('baking', 'paused'), ('baking', 'succeeded'), ('baking', 'rolled_back'), ('baking', 'superseded');

CREATE TABLE promotion (
    environment text NOT NULL REFERENCES environment,
    id          bigint NOT NULL CONSTRAINT promotion_id CHECK (id > 0),
    generation  integer NOT NULL,
    from_number integer, -- the live generation when it began
    state       text NOT NULL CONSTRAINT promotion_state CHECK (state IN ('shifting', 'paused', 'baking',
                    'succeeded', 'aborted', 'rolled_back', 'superseded')),
    reason      text NOT NULL,
    actor       text NOT NULL,
    revision    bigint NOT NULL CONSTRAINT promotion_revision CHECK (revision > 0), -- of its last switch
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (environment, id),
    FOREIGN KEY (environment, generation) REFERENCES generation,
    FOREIGN KEY (environment, from_number) REFERENCES generation,
    CONSTRAINT promotion_ended CHECK ((ended_at IS NULL) = (state IN ('shifting', 'paused', 'baking')))
);
CREATE UNIQUE INDEX promotion_one_open ON promotion (environment) WHERE state IN ('shifting', 'paused', 'baking');

CREATE FUNCTION promotion_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.ended_at IS NOT NULL THEN
            RAISE EXCEPTION 'promotion % of % begins as %', NEW.id, NEW.environment, NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'promotion_begin';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.environment, NEW.id, NEW.generation, NEW.from_number, NEW.actor, NEW.started_at)
        IS DISTINCT FROM (OLD.environment, OLD.id, OLD.generation, OLD.from_number, OLD.actor, OLD.started_at)
        OR NEW.revision < OLD.revision THEN
        RAISE EXCEPTION 'promotion % of %: how it began is kept', OLD.id, OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promotion_immutable';
    END IF;
    IF NEW.state <> OLD.state
        AND NOT EXISTS (SELECT FROM promotion_move WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'promotion % of %: no move from % to %', OLD.id, OLD.environment, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promotion_move';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER promotion_guard BEFORE INSERT OR UPDATE ON promotion FOR EACH ROW EXECUTE FUNCTION promotion_guard();
CREATE TRIGGER promotion_kept BEFORE DELETE OR TRUNCATE ON promotion
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('promotion_immutable');

CREATE TABLE switch (
    environment  text NOT NULL REFERENCES environment,
    revision     bigint NOT NULL CONSTRAINT switch_revision CHECK (revision > 0),
    kind         text NOT NULL CONSTRAINT switch_kind CHECK (kind IN ('promote', 'step', 'rollback', 'abort', 'manual', 'heal', 'recover')),
    status       text NOT NULL CONSTRAINT switch_status CHECK (status IN ('committed', 'applied', 'superseded')),
    degraded     boolean NOT NULL,
    from_number  integer,
    to_number    integer,
    weights      jsonb NOT NULL CONSTRAINT switch_weights CHECK (weights_valid(weights)),
    actor        text NOT NULL,
    reason       text NOT NULL,
    promotion    bigint,
    warnings     text[] NOT NULL,
    committed_at timestamptz NOT NULL,
    applied_at   timestamptz,
    drained_at   timestamptz,
    PRIMARY KEY (environment, revision),
    FOREIGN KEY (environment, from_number) REFERENCES generation,
    FOREIGN KEY (environment, to_number) REFERENCES generation,
    FOREIGN KEY (environment, promotion) REFERENCES promotion,
    CONSTRAINT switch_applied CHECK ((status = 'applied') = (applied_at IS NOT NULL)),
    CONSTRAINT switch_drained CHECK (drained_at IS NULL OR applied_at IS NOT NULL)
);

CREATE FUNCTION switch_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.environment, NEW.revision, NEW.kind, NEW.from_number, NEW.to_number, NEW.weights, NEW.actor, NEW.reason,
        NEW.promotion, NEW.warnings, NEW.committed_at)
        IS DISTINCT FROM
       (OLD.environment, OLD.revision, OLD.kind, OLD.from_number, OLD.to_number, OLD.weights, OLD.actor, OLD.reason,
        OLD.promotion, OLD.warnings, OLD.committed_at)
        OR (NEW.status <> OLD.status AND OLD.status <> 'committed')
        OR (OLD.applied_at IS NOT NULL AND (NEW.applied_at, NEW.degraded) IS DISTINCT FROM (OLD.applied_at, OLD.degraded))
        OR (OLD.drained_at IS NOT NULL AND NEW.drained_at IS DISTINCT FROM OLD.drained_at) THEN
        RAISE EXCEPTION 'switch % of %: only its progress is recorded, and only forwards', OLD.revision, OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'switch_immutable';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER switch_guard BEFORE UPDATE ON switch FOR EACH ROW EXECUTE FUNCTION switch_guard();
CREATE TRIGGER switch_kept BEFORE DELETE OR TRUNCATE ON switch
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('switch_immutable');

-- route_check looks at an environment as it will be committed.
CREATE FUNCTION route_check(environment_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    SELECT CASE
        WHEN e.revision > 0 AND s.revision IS NULL THEN 'route_without_switch'
        WHEN e.revision > 0 AND s.weights <> e.weights THEN 'route_differs_from_switch'
        WHEN EXISTS (SELECT FROM switch l WHERE l.environment = e.name AND l.revision > e.revision) THEN 'switch_above_revision'
        WHEN EXISTS (SELECT FROM generation g WHERE g.environment = e.name AND g.state = 'live'
                     AND g.number IS DISTINCT FROM e.live) THEN 'route_live'
        WHEN l.state <> 'live' THEN 'route_live'
        WHEN p.state <> 'standby' THEN 'route_previous'
        WHEN EXISTS (SELECT FROM jsonb_each_text(e.weights) w
                     LEFT JOIN generation g ON g.environment = e.name AND g.number = w.key::integer
                     WHERE w.value <> '0' AND (g.state IN ('live', 'shifting', 'standby')) IS NOT TRUE) THEN 'route_weight'
        END INTO wrong
    FROM environment e
    LEFT JOIN switch s ON s.environment = e.name AND s.revision = e.revision
    LEFT JOIN generation l ON l.environment = e.name AND l.number = e.live
    LEFT JOIN generation p ON p.environment = e.name AND p.number = e.previous
    WHERE e.name = environment_name;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the route of % would contradict its switches or generations', environment_name
            USING ERRCODE = 'check_violation', CONSTRAINT = wrong;
    END IF;
END
$$;

CREATE FUNCTION environment_route_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.revision > OLD.revision + 1 AND NOT EXISTS (
        SELECT FROM switch WHERE environment = NEW.name AND revision = NEW.revision AND kind = 'recover') THEN
        RAISE EXCEPTION 'environment %: revision % does not follow %', NEW.name, NEW.revision, OLD.revision
            USING ERRCODE = 'check_violation', CONSTRAINT = 'revision_skipped';
    END IF;
    PERFORM route_check(NEW.name);
    RETURN NULL;
END
$$;
CREATE FUNCTION part_route_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM route_check(NEW.environment);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER environment_begin AFTER INSERT ON environment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION environment_route_check();
CREATE CONSTRAINT TRIGGER environment_route AFTER UPDATE ON environment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN ((OLD.revision, OLD.weights, OLD.live, OLD.previous) IS DISTINCT FROM (NEW.revision, NEW.weights, NEW.live, NEW.previous))
    EXECUTE FUNCTION environment_route_check();
CREATE CONSTRAINT TRIGGER switch_route AFTER INSERT ON switch DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION part_route_check();
CREATE CONSTRAINT TRIGGER generation_route AFTER UPDATE ON generation DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.state <> NEW.state AND (OLD.state IN ('live', 'shifting', 'standby') OR NEW.state IN ('live', 'shifting', 'standby')))
    EXECUTE FUNCTION part_route_check();
