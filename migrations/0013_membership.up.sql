-- Groups that a generation follows: what tells their instances stays as it was registered, and the registry's instances
-- come and go. The list that was adopted stays with the generation; beside it is who belongs to it now, and since when.

-- How many members each group has; null for what is no list of groups, each with at least one.
CREATE FUNCTION group_sizes(groups jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(g.key, CASE jsonb_typeof(g.value) WHEN 'array' THEN nullif(jsonb_array_length(g.value), 0) END) FROM jsonb_each(groups) AS g
$$;
CREATE TABLE membership (
    environment text NOT NULL,
    number      integer NOT NULL,
    since       timestamptz NOT NULL,
    groups      jsonb NOT NULL, -- the instances, as {id, address, port, meta}, by service
    sizes       jsonb NOT NULL GENERATED ALWAYS AS (group_sizes(groups)) STORED,
    PRIMARY KEY (environment, number),
    FOREIGN KEY (environment, number) REFERENCES generation
);

-- It is made in the transaction that adopted the instances, of the groups that are followed and no others. It changes
-- while the generation may serve, and every change is later than the one before; no group is ever empty.
CREATE FUNCTION membership_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    g generation;
BEGIN
    SELECT * INTO g FROM generation WHERE (environment, number) = (NEW.environment, NEW.number);
    IF FOUND AND (NOT g.adopted OR g.state IN ('failed', 'rejected', 'retiring', 'retired')
        OR TG_OP = 'INSERT' AND (g.state <> 'registered'
            OR (SELECT xmin FROM generation WHERE (environment, number) = (NEW.environment, NEW.number)) <> pg_current_xact_id()::xid)
        OR TG_OP = 'UPDATE' AND ((NEW.environment, NEW.number) <> (OLD.environment, OLD.number) OR NEW.since <= OLD.since)
        OR jsonb_path_exists(group_sizes(NEW.groups), '$.* ? (@ == null)')
        OR (SELECT array_agg(s ORDER BY s) FROM jsonb_object_keys(NEW.groups) AS s) IS DISTINCT FROM
           (SELECT array_agg(a.key ORDER BY a.key) FROM jsonb_each(g.adopts) AS a WHERE a.value->>'membership' = 'follow')) THEN
        RAISE EXCEPTION 'these are no members of generation % of %', NEW.number, NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'membership_guard';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER membership_guard BEFORE INSERT OR UPDATE ON membership FOR EACH ROW EXECUTE FUNCTION membership_guard();
CREATE TRIGGER membership_kept BEFORE DELETE OR TRUNCATE ON membership
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('membership_kept');

-- A node that staged a generation before it had its present members stages it again; null where nothing is followed.
ALTER TABLE staging ADD COLUMN members_since timestamptz;

-- The instances that generations have now. Groups come by place, instances in a group by position.
CREATE VIEW present_instance AS
    SELECT environment, number, service, position AS place, 0::bigint AS position, id, address, port, meta
    FROM instance i WHERE NOT EXISTS (
        SELECT FROM membership m WHERE m.environment = i.environment AND m.number = i.number AND m.groups ? i.service)
    UNION ALL
    SELECT m.environment, m.number, g.key, (SELECT min(position) FROM instance i
            WHERE i.environment = m.environment AND i.number = m.number AND i.service = g.key),
        x.position, x.member->>'id', x.member->>'address', (x.member->>'port')::integer, coalesce(x.member->'meta', '{}')
    FROM membership m CROSS JOIN LATERAL jsonb_each(m.groups) AS g
        CROSS JOIN LATERAL jsonb_array_elements(g.value) WITH ORDINALITY AS x (member, position);

CREATE OR REPLACE FUNCTION grant_service(service name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT INSERT ON environment, spec_version, host_claim, generation, instance, instance_claim, membership, promotion,
        switch, node, receipt, staging, reading, lease, event, event_chain, token, idempotency, session, login_link TO %I', service);
    EXECUTE format('GRANT UPDATE ON environment, generation, membership, promotion, switch, node, receipt, staging, reading, lease,
        event_chain, event_counter, token, idempotency, session, login_link TO %I', service);
    EXECUTE format('GRANT DELETE ON host_claim, instance_claim, receipt, staging, reading, idempotency, session, login_link TO %I', service);
    EXECUTE format('GRANT EXECUTE ON FUNCTION prune_events(text, bigint) TO %I', service);
END
$$;

SELECT pin_function(f::regprocedure) FROM unnest(ARRAY['group_sizes(jsonb)', 'membership_guard()', 'grant_service(name)']) AS f;
