-- Takes away what is known of registries that others write to. A generation that has yet to adopt its groups is left
-- without any, and fails at its deadline.
DROP TRIGGER generation_adopts_once ON generation;
DROP FUNCTION generation_adopts_once();
CREATE OR REPLACE FUNCTION instance_with_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT environment, number FROM fresh) f JOIN generation g USING (environment, number)
               WHERE g.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'instances are part of a registration'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'instance_immutable';
    END IF;
    RETURN NULL;
END
$$;
SELECT pin_function('instance_with_generation()');
ALTER TABLE generation DROP COLUMN adopts, DROP COLUMN adopted;
ALTER TABLE reading DROP COLUMN drift, DROP COLUMN mismatched;
ALTER TABLE environment DROP COLUMN registry_trouble;
