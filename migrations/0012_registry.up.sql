-- What registries that others write to, too, need: what keeps one from being read or written (rollout.Trouble); how
-- instances differ from what was registered; and groups that are not listed at the registration but adopted: found in
-- the registry by what adopts says (rollout.Adoption, by service), and set once.
ALTER TABLE environment ADD COLUMN registry_trouble jsonb CONSTRAINT environment_trouble CHECK (jsonb_typeof(registry_trouble) = 'object');
ALTER TABLE reading
    ADD COLUMN drift text NOT NULL DEFAULT '',
    ADD COLUMN mismatched integer NOT NULL DEFAULT 0 CONSTRAINT reading_mismatched CHECK (mismatched BETWEEN 0 AND total);
ALTER TABLE generation
    ADD COLUMN adopts jsonb NOT NULL DEFAULT '{}' CONSTRAINT generation_adopts CHECK (jsonb_typeof(adopts) = 'object'),
    ADD COLUMN adopted boolean NOT NULL DEFAULT false;

-- What a generation adopts is as immutable as the rest of it, and it adopts once.
CREATE FUNCTION generation_adopts_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.adopts <> OLD.adopts OR OLD.adopted AND NOT NEW.adopted
        OR NEW.adopted AND NOT OLD.adopted AND (OLD.state <> 'registered' OR NEW.adopts = '{}') THEN
        RAISE EXCEPTION 'generation % of % is immutable', OLD.number, OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'generation_immutable';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER generation_adopts_once BEFORE UPDATE ON generation FOR EACH ROW
    WHEN ((NEW.adopts, NEW.adopted) IS DISTINCT FROM (OLD.adopts, OLD.adopted)) EXECUTE FUNCTION generation_adopts_once();

-- Instances come with the transaction that registered their generation or adopted them: while it is registered, and
-- never a second time for a service.
CREATE OR REPLACE FUNCTION instance_with_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT environment, number, service FROM fresh) f JOIN generation g USING (environment, number)
               WHERE g.xmin <> pg_current_xact_id()::xid OR g.state <> 'registered' OR g.adopts ? f.service AND NOT g.adopted
                   OR EXISTS (SELECT FROM instance i WHERE i.environment = f.environment AND i.number = f.number
                              AND i.service = f.service AND i.xmin <> pg_current_xact_id()::xid)) THEN
        RAISE EXCEPTION 'instances are part of a registration'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'instance_immutable';
    END IF;
    RETURN NULL;
END
$$;
SELECT pin_function(f::regprocedure) FROM unnest(ARRAY['generation_adopts_once()', 'instance_with_generation()']) AS f;
