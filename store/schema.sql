CREATE TYPE public.name_range AS RANGE (
    subtype = text,
    multirange_type_name = public.name_multirange,
    collation = pg_catalog."C"
);

CREATE FUNCTION public.activate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.activation_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.activation_of_live() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF (SELECT live FROM environment WHERE name = NEW.environment) IS DISTINCT FROM
       (SELECT generation FROM activation WHERE environment = NEW.environment AND upper_inf(during)) THEN
        RAISE EXCEPTION 'the history of % says that another generation is live', NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'activation_of_live';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.environment_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.name <> OLD.name OR NEW.revision < OLD.revision OR NEW.last_number < OLD.last_number
        OR NEW.last_promotion < OLD.last_promotion OR NEW.spec_version < OLD.spec_version OR NEW.version <= OLD.version THEN
        RAISE EXCEPTION 'environment %: its name stays, its counters only grow', OLD.name
            USING ERRCODE = 'check_violation', CONSTRAINT = 'environment_counters';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.environment_one_revision() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM environment WHERE name = NEW.name AND revision = NEW.revision) THEN
        RAISE EXCEPTION 'environment %: revision % is passed over', NEW.name, NEW.revision
            USING ERRCODE = 'check_violation', CONSTRAINT = 'revision_passed_over';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.environment_route_check() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.event_anchor_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM event e JOIN event_chain c USING (environment)
            WHERE e.environment = NEW.environment AND e.position = NEW.position AND e.position < c.length
                AND (e.id, e.at, e.hash) = (NEW.event, NEW.at, NEW.hash) AND e.at < clock_timestamp() - interval '30 days')
        OR TG_OP = 'UPDATE' AND (NEW.environment <> OLD.environment OR NEW.position <= OLD.position) THEN
        RAISE EXCEPTION 'the chain of % cannot begin behind place %', NEW.environment, NEW.position
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_anchor';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.event_anchor_sealed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM event WHERE environment = NEW.environment AND position <= NEW.position)
        OR NOT EXISTS (SELECT FROM event e JOIN event_chain c ON c.environment = e.environment AND c.length = e.position
            WHERE e.environment = NEW.environment AND e.kind = 'audit.pruned'
                AND e.data->>'position' = NEW.position::text AND e.data->>'event' = NEW.event::text AND e.data->>'hash' = NEW.hash) THEN
        RAISE EXCEPTION 'pruning % is not recorded in its chain', NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_anchor';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.event_chain_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.environment <> OLD.environment OR NEW.length <= OLD.length THEN
        RAISE EXCEPTION 'the chain of % only grows', OLD.environment USING ERRCODE = 'check_violation', CONSTRAINT = 'event_append_only';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.event_chained() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    before bigint := 0;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD.length;
    END IF;
    IF NEW.length - before <> (SELECT count(*) FROM event e LEFT JOIN event p ON p.environment = e.environment AND p.position = e.position - 1
            WHERE e.environment = NEW.environment AND e.position > before AND e.position <= NEW.length
                AND e.prev_hash = coalesce(p.hash, '') AND (e.position = 1 OR e.id > p.id) AND (e.position < NEW.length OR e.hash = NEW.head)
                AND e.hash = event_hash(e.prev_hash, e.environment, e.position, e.kind, e.actor, e.at, e.revision, e.generation, e.data::text))
        OR NEW.length = 0 AND NEW.head <> '' THEN
        RAISE EXCEPTION 'the chain of % does not go on like this', NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_chained';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.event_counted() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF (SELECT count(*) FROM event WHERE id > OLD.last AND id <= NEW.last) <> NEW.last - OLD.last THEN
        RAISE EXCEPTION 'the number of events grows with events' USING ERRCODE = 'check_violation', CONSTRAINT = 'event_counted';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.event_counter_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.last < OLD.last THEN
        RAISE EXCEPTION 'the number of events only grows' USING ERRCODE = 'check_violation', CONSTRAINT = 'event_append_only';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.event_hash(prev_hash text, chain text, place bigint, kind text, actor text, at timestamp with time zone, revision bigint, generation bigint, data text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    before bytea := convert_to(prev_hash, 'UTF8');
    name   bytea := convert_to(chain, 'UTF8');
    what   bytea := convert_to(kind, 'UTF8');
    who    bytea := convert_to(actor, 'UTF8');
    detail bytea := convert_to(data, 'UTF8');
    eight  bytea := int8send(8);
BEGIN
    RETURN encode(sha256(int8send(length(before)) || before || int8send(length(name)) || name || eight || int8send(place)
        || int8send(length(what)) || what || int8send(length(who)) || who
        || eight || int8send((extract(epoch FROM at) * 1000000)::bigint) || eight || int8send(revision) || eight || int8send(generation)
        || int8send(length(detail)) || detail), 'hex');
END
$$;

CREATE FUNCTION public.event_placed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM event_chain c CROSS JOIN event_counter n LEFT JOIN event_anchor a ON a.environment = c.environment
            WHERE c.environment = NEW.environment AND NEW.position <= c.length AND NEW.position > coalesce(a.position, 0)
                AND NEW.id <= n.last AND NEW.id > coalesce((SELECT max(event) FROM event_anchor), 0)) THEN
        RAISE EXCEPTION 'event % has no place in the chain of %', NEW.id, NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_place';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.event_pruned() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM gone LEFT JOIN event_anchor a ON a.environment = gone.environment AND a.position >= gone.position
               WHERE a.environment IS NULL) THEN
        RAISE EXCEPTION 'DELETE of event is not allowed' USING ERRCODE = 'check_violation', CONSTRAINT = 'event_append_only';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.expect_one(hits bigint, what text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF hits <> 1 THEN
        RAISE EXCEPTION 'guarded write of % found % rows', what, hits
            USING ERRCODE = 'check_violation', CONSTRAINT = 'expect_one';
    END IF;
END
$$;

CREATE FUNCTION public.generation_adopts_once() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.adopts <> OLD.adopts OR OLD.adopted AND NOT NEW.adopted
        OR NEW.adopted AND NOT OLD.adopted AND (OLD.state <> 'registered' OR NEW.adopts = '{}') THEN
        RAISE EXCEPTION 'generation % of % is immutable', OLD.number, OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'generation_immutable';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.generation_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.grant_service(service name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.group_sizes(groups jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT jsonb_object_agg(g.key, CASE jsonb_typeof(g.value) WHEN 'array' THEN nullif(jsonb_array_length(g.value), 0) END) FROM jsonb_each(groups) AS g
$$;

CREATE FUNCTION public.idempotency_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.instance_with_generation() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.lease_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.term < OLD.term OR (NEW.holder <> OLD.holder AND NEW.term <= OLD.term) THEN
        RAISE EXCEPTION 'lease of %: its term only grows, and with each change of holder', OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lease_term_grows';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.membership_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION public.node_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF (NEW.router, NEW.name) <> (OLD.router, OLD.name) OR NEW.changes < OLD.changes THEN
        RAISE EXCEPTION 'node % of %: its name stays, its counter only grows', OLD.name, OLD.router
            USING ERRCODE = 'check_violation', CONSTRAINT = 'node_counters';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.part_route_check() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM route_check(NEW.environment);
    RETURN NULL;
END
$$;

CREATE FUNCTION public.pin_function(pinned regprocedure) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', pinned, current_schema());
END
$$;

CREATE FUNCTION public.promotion_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.prune_events(chain text, place bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    pruned bigint;
BEGIN
    INSERT INTO event_anchor (environment, position, event, at, hash, pruned_at)
    SELECT environment, position, id, at, hash, clock_timestamp() FROM event WHERE environment = chain AND position = place
    ON CONFLICT (environment) DO UPDATE SET position = excluded.position, event = excluded.event, at = excluded.at,
        hash = excluded.hash, pruned_at = excluded.pruned_at;
    DELETE FROM event WHERE environment = chain AND position <= place;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

CREATE FUNCTION public.receipt_confirmed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.receipt_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.incarnation = OLD.incarnation AND NEW.revision < OLD.revision AND NEW.grade = 'fenced' THEN
        RAISE EXCEPTION 'fenced node % of %: one incarnation never goes back from revision % to %', OLD.node, OLD.router, OLD.revision, NEW.revision
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_never_back';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.receipt_kept() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM environment WHERE name = OLD.environment AND deleted_at IS NULL) THEN
        RAISE EXCEPTION 'the receipt of node % of % is kept while environment % is there', OLD.node, OLD.router, OLD.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_kept';
    END IF;
    RETURN OLD;
END
$$;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0];
END
$$;

CREATE FUNCTION public.route_check(environment_name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.session_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF (NEW.id, NEW.hash, NEW.token, NEW.address, NEW.user_agent, NEW.created_at, NEW.expires_at)
        IS DISTINCT FROM (OLD.id, OLD.hash, OLD.token, OLD.address, OLD.user_agent, OLD.created_at, OLD.expires_at) THEN
        RAISE EXCEPTION 'session %: only its use and its data change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'session_immutable';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.switch_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.switch_of_present_revision() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM environment WHERE name = NEW.environment AND revision <= NEW.revision) THEN
        RAISE EXCEPTION 'switch % of % was not made when its revision was', NEW.revision, NEW.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'switch_in_the_past';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.token_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.weights_valid(weights jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
$_$;

CREATE TABLE public.activation (
    environment text NOT NULL,
    revision bigint NOT NULL,
    generation integer NOT NULL,
    during tstzrange NOT NULL,
    CONSTRAINT activation_during CHECK ((lower_inc(during) AND (NOT upper_inc(during)) AND (NOT lower_inf(during))))
);

CREATE TABLE public.environment (
    name text NOT NULL,
    spec jsonb NOT NULL,
    spec_version bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    last_number integer NOT NULL,
    last_promotion bigint NOT NULL,
    revision bigint NOT NULL,
    weights jsonb NOT NULL,
    live integer,
    previous integer,
    lock jsonb,
    hold jsonb,
    deleting_at timestamp with time zone,
    deleted_at timestamp with time zone,
    version bigint NOT NULL,
    mending jsonb,
    registry_trouble jsonb,
    CONSTRAINT environment_deleted CHECK (((deleted_at IS NULL) OR (deleting_at IS NOT NULL))),
    CONSTRAINT environment_last_number CHECK ((last_number >= 0)),
    CONSTRAINT environment_last_promotion CHECK ((last_promotion >= 0)),
    CONSTRAINT environment_mending CHECK ((jsonb_typeof(mending) = 'object'::text)),
    CONSTRAINT environment_name CHECK ((name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'::text)),
    CONSTRAINT environment_previous CHECK ((previous <> live)),
    CONSTRAINT environment_revision CHECK ((revision >= 0)),
    CONSTRAINT environment_spec CHECK ((jsonb_typeof(spec) = 'object'::text)),
    CONSTRAINT environment_spec_version CHECK ((spec_version > 0)),
    CONSTRAINT environment_trouble CHECK ((jsonb_typeof(registry_trouble) = 'object'::text)),
    CONSTRAINT environment_weights CHECK (public.weights_valid(weights))
);

CREATE TABLE public.event (
    id bigint NOT NULL,
    environment text NOT NULL,
    "position" bigint NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    at timestamp with time zone NOT NULL,
    revision bigint NOT NULL,
    generation integer NOT NULL,
    data json NOT NULL,
    prev_hash text NOT NULL,
    hash text NOT NULL,
    CONSTRAINT event_hash CHECK ((hash ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT event_id CHECK ((id > 0)),
    CONSTRAINT event_position CHECK (("position" > 0))
);

CREATE TABLE public.event_anchor (
    environment text NOT NULL,
    "position" bigint NOT NULL,
    event bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    hash text NOT NULL,
    pruned_at timestamp with time zone NOT NULL
);

CREATE TABLE public.event_chain (
    environment text NOT NULL,
    length bigint NOT NULL,
    head text NOT NULL,
    CONSTRAINT event_chain_length CHECK ((length >= 0))
);

CREATE TABLE public.event_counter (
    one boolean DEFAULT true NOT NULL,
    last bigint NOT NULL,
    CONSTRAINT event_counter_one CHECK (one)
);

CREATE TABLE public.generation (
    environment text NOT NULL,
    number integer NOT NULL,
    version text NOT NULL,
    artifact jsonb,
    metadata jsonb NOT NULL,
    sizes jsonb NOT NULL,
    colour text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by text NOT NULL,
    state text NOT NULL,
    state_changed_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    promote boolean NOT NULL,
    waiting text NOT NULL,
    announced boolean NOT NULL,
    checked jsonb NOT NULL,
    keep_until timestamp with time zone,
    unweighted_revision bigint NOT NULL,
    quiet_at timestamp with time zone,
    succeeded boolean NOT NULL,
    adopts jsonb DEFAULT '{}'::jsonb NOT NULL,
    adopted boolean DEFAULT false NOT NULL,
    CONSTRAINT generation_adopts CHECK ((jsonb_typeof(adopts) = 'object'::text)),
    CONSTRAINT generation_colour CHECK ((colour = ANY (ARRAY['blue'::text, 'green'::text]))),
    CONSTRAINT generation_metadata CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT generation_number CHECK ((number > 0)),
    CONSTRAINT generation_sizes CHECK ((jsonb_typeof(sizes) = 'object'::text)),
    CONSTRAINT generation_state CHECK ((state = ANY (ARRAY['registered'::text, 'validating'::text, 'ready'::text, 'shifting'::text, 'live'::text, 'standby'::text, 'failed'::text, 'rejected'::text, 'retiring'::text, 'retired'::text]))),
    CONSTRAINT generation_unweighted CHECK ((unweighted_revision >= 0))
);

CREATE TABLE public.generation_move (
    from_state text NOT NULL,
    to_state text NOT NULL
);

CREATE TABLE public.host_claim (
    host text NOT NULL,
    environment text NOT NULL
);

CREATE TABLE public.idempotency (
    caller text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    answer jsonb,
    status smallint,
    response bytea,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_body_hash CHECK ((octet_length(body_hash) = 32))
);

CREATE TABLE public.instance (
    environment text NOT NULL,
    number integer NOT NULL,
    service text NOT NULL,
    "position" integer NOT NULL,
    id text NOT NULL,
    address text NOT NULL,
    port integer NOT NULL,
    meta jsonb NOT NULL,
    CONSTRAINT instance_port CHECK (((port >= 1) AND (port <= 65535)))
);

CREATE TABLE public.instance_claim (
    address text NOT NULL,
    port integer NOT NULL,
    environment text NOT NULL,
    generation integer NOT NULL
);

CREATE TABLE public.lease (
    environment text NOT NULL,
    holder text NOT NULL,
    term bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT lease_term CHECK ((term >= 0))
);

CREATE TABLE public.login_link (
    hash bytea NOT NULL,
    token text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT login_link_hash CHECK ((octet_length(hash) = 32))
);

CREATE TABLE public.membership (
    environment text NOT NULL,
    number integer NOT NULL,
    since timestamp with time zone NOT NULL,
    groups jsonb NOT NULL,
    sizes jsonb GENERATED ALWAYS AS (public.group_sizes(groups)) STORED NOT NULL
);

CREATE TABLE public.node (
    router text NOT NULL,
    name text NOT NULL,
    incarnation text NOT NULL,
    version text NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    removed boolean NOT NULL,
    changes bigint NOT NULL
);

CREATE VIEW public.present_instance AS
 SELECT i.environment,
    i.number,
    i.service,
    i."position" AS place,
    (0)::bigint AS "position",
    i.id,
    i.address,
    i.port,
    i.meta
   FROM public.instance i
  WHERE (NOT (EXISTS ( SELECT
           FROM public.membership m
          WHERE ((m.environment = i.environment) AND (m.number = i.number) AND (m.groups ? i.service)))))
UNION ALL
 SELECT m.environment,
    m.number,
    g.key AS service,
    ( SELECT min(i."position") AS min
           FROM public.instance i
          WHERE ((i.environment = m.environment) AND (i.number = m.number) AND (i.service = g.key))) AS place,
    x."position",
    (x.member ->> 'id'::text) AS id,
    (x.member ->> 'address'::text) AS address,
    ((x.member ->> 'port'::text))::integer AS port,
    COALESCE((x.member -> 'meta'::text), '{}'::jsonb) AS meta
   FROM ((public.membership m
     CROSS JOIN LATERAL jsonb_each(m.groups) g(key, value))
     CROSS JOIN LATERAL jsonb_array_elements(g.value) WITH ORDINALITY x(member, "position"));

CREATE TABLE public.promotion (
    environment text NOT NULL,
    id bigint NOT NULL,
    generation integer NOT NULL,
    from_number integer,
    state text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    revision bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT promotion_ended CHECK (((ended_at IS NULL) = (state = ANY (ARRAY['shifting'::text, 'paused'::text, 'baking'::text])))),
    CONSTRAINT promotion_id CHECK ((id > 0)),
    CONSTRAINT promotion_revision CHECK ((revision > 0)),
    CONSTRAINT promotion_state CHECK ((state = ANY (ARRAY['shifting'::text, 'paused'::text, 'baking'::text, 'succeeded'::text, 'aborted'::text, 'rolled_back'::text, 'superseded'::text])))
);

CREATE TABLE public.promotion_move (
    from_state text NOT NULL,
    to_state text NOT NULL
);

CREATE TABLE public.reading (
    environment text NOT NULL,
    generation integer NOT NULL,
    service text NOT NULL,
    healthy integer NOT NULL,
    unhealthy integer NOT NULL,
    total integer NOT NULL,
    at timestamp with time zone NOT NULL,
    detail text NOT NULL,
    drift text DEFAULT ''::text NOT NULL,
    mismatched integer DEFAULT 0 NOT NULL,
    CONSTRAINT reading_counts CHECK (((healthy >= 0) AND (unhealthy >= 0) AND ((healthy + unhealthy) <= total))),
    CONSTRAINT reading_mismatched CHECK (((mismatched >= 0) AND (mismatched <= total)))
);

CREATE TABLE public.receipt (
    environment text NOT NULL,
    router text NOT NULL,
    node text NOT NULL,
    incarnation text NOT NULL,
    revision bigint NOT NULL,
    spec_version bigint NOT NULL,
    hash text NOT NULL,
    weights jsonb NOT NULL,
    in_flight jsonb NOT NULL,
    at timestamp with time zone NOT NULL,
    grade text NOT NULL,
    error text NOT NULL,
    confirmed bigint DEFAULT 0 NOT NULL,
    CONSTRAINT receipt_grade CHECK ((grade = ANY (ARRAY['fenced'::text, 'read_back'::text]))),
    CONSTRAINT receipt_revision CHECK ((revision >= 0))
);

CREATE TABLE public.session (
    id text NOT NULL,
    hash bytea NOT NULL,
    token text NOT NULL,
    data bytea DEFAULT '\x'::bytea NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT session_hash_length CHECK ((octet_length(hash) = 32))
);

CREATE TABLE public.spec_version (
    environment text NOT NULL,
    version bigint NOT NULL,
    spec jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT spec_version_version CHECK ((version > 0))
);

CREATE TABLE public.staging (
    environment text NOT NULL,
    generation integer NOT NULL,
    router text NOT NULL,
    node text NOT NULL,
    incarnation text NOT NULL,
    spec_version bigint NOT NULL,
    members_since timestamp with time zone
);

CREATE TABLE public.switch (
    environment text NOT NULL,
    revision bigint NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    degraded boolean NOT NULL,
    from_number integer,
    to_number integer,
    weights jsonb NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    promotion bigint,
    warnings text[] NOT NULL,
    committed_at timestamp with time zone NOT NULL,
    applied_at timestamp with time zone,
    drained_at timestamp with time zone,
    CONSTRAINT switch_applied CHECK (((status = 'applied'::text) = (applied_at IS NOT NULL))),
    CONSTRAINT switch_drained CHECK (((drained_at IS NULL) OR (applied_at IS NOT NULL))),
    CONSTRAINT switch_kind CHECK ((kind = ANY (ARRAY['promote'::text, 'step'::text, 'rollback'::text, 'abort'::text, 'manual'::text, 'heal'::text, 'recover'::text]))),
    CONSTRAINT switch_revision CHECK ((revision > 0)),
    CONSTRAINT switch_status CHECK ((status = ANY (ARRAY['committed'::text, 'applied'::text, 'superseded'::text]))),
    CONSTRAINT switch_weights CHECK (public.weights_valid(weights))
);

CREATE TABLE public.token (
    id text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    environments text[] NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by text NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT token_environments CHECK ((cardinality(environments) > 0)),
    CONSTRAINT token_hash CHECK ((octet_length(hash) = 32)),
    CONSTRAINT token_role CHECK ((role = ANY (ARRAY['viewer'::text, 'deployer'::text, 'operator'::text, 'admin'::text])))
);

ALTER TABLE ONLY public.activation
    ADD CONSTRAINT activation_one_live EXCLUDE USING gist (public.name_range(environment, environment, '[]'::text) WITH &&, during WITH &&);

ALTER TABLE ONLY public.activation
    ADD CONSTRAINT activation_pkey PRIMARY KEY (environment, revision);

ALTER TABLE ONLY public.environment
    ADD CONSTRAINT environment_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.event_anchor
    ADD CONSTRAINT event_anchor_pkey PRIMARY KEY (environment);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_chain_link UNIQUE (environment, prev_hash);

ALTER TABLE ONLY public.event_chain
    ADD CONSTRAINT event_chain_pkey PRIMARY KEY (environment);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_chain_position UNIQUE (environment, "position");

ALTER TABLE ONLY public.event_counter
    ADD CONSTRAINT event_counter_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.generation_move
    ADD CONSTRAINT generation_move_pkey PRIMARY KEY (from_state, to_state);

ALTER TABLE ONLY public.generation
    ADD CONSTRAINT generation_one_live EXCLUDE USING btree (environment WITH =) WHERE ((state = 'live'::text)) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.generation
    ADD CONSTRAINT generation_pkey PRIMARY KEY (environment, number);

ALTER TABLE ONLY public.host_claim
    ADD CONSTRAINT host_claim_pkey PRIMARY KEY (host);

ALTER TABLE public.idempotency
    ADD CONSTRAINT idempotency_answered CHECK ((((status IS NULL) = (response IS NULL)) AND ((status IS NULL) OR (answer IS NOT NULL)))) NOT VALID;

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (caller, key);

ALTER TABLE ONLY public.instance_claim
    ADD CONSTRAINT instance_claim_pkey PRIMARY KEY (address, port);

ALTER TABLE ONLY public.instance
    ADD CONSTRAINT instance_pkey PRIMARY KEY (environment, number, service, "position");

ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (environment);

ALTER TABLE ONLY public.login_link
    ADD CONSTRAINT login_link_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.membership
    ADD CONSTRAINT membership_pkey PRIMARY KEY (environment, number);

ALTER TABLE ONLY public.node
    ADD CONSTRAINT node_pkey PRIMARY KEY (router, name);

ALTER TABLE ONLY public.promotion_move
    ADD CONSTRAINT promotion_move_pkey PRIMARY KEY (from_state, to_state);

ALTER TABLE ONLY public.promotion
    ADD CONSTRAINT promotion_pkey PRIMARY KEY (environment, id);

ALTER TABLE ONLY public.reading
    ADD CONSTRAINT reading_pkey PRIMARY KEY (environment, generation, service);

ALTER TABLE ONLY public.receipt
    ADD CONSTRAINT receipt_pkey PRIMARY KEY (environment, router, node);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_hash UNIQUE (hash);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.spec_version
    ADD CONSTRAINT spec_version_pkey PRIMARY KEY (environment, version);

ALTER TABLE ONLY public.staging
    ADD CONSTRAINT staging_pkey PRIMARY KEY (environment, generation, router, node);

ALTER TABLE ONLY public.switch
    ADD CONSTRAINT switch_pkey PRIMARY KEY (environment, revision);

ALTER TABLE ONLY public.token
    ADD CONSTRAINT token_pkey PRIMARY KEY (id);

CREATE INDEX event_anchor_event ON public.event_anchor USING btree (event);

CREATE INDEX event_by_environment ON public.event USING btree (environment, id);

CREATE INDEX generation_not_retired ON public.generation USING btree (environment, number) WHERE (state <> 'retired'::text);

CREATE INDEX host_claim_environment ON public.host_claim USING btree (environment);

CREATE INDEX instance_claim_generation ON public.instance_claim USING btree (environment, generation);

CREATE UNIQUE INDEX promotion_one_open ON public.promotion USING btree (environment) WHERE (state = ANY (ARRAY['shifting'::text, 'paused'::text, 'baking'::text]));

CREATE TRIGGER activation_guard BEFORE INSERT OR UPDATE ON public.activation FOR EACH ROW EXECUTE FUNCTION public.activation_guard();

CREATE TRIGGER activation_kept BEFORE DELETE OR TRUNCATE ON public.activation FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('activation_history');

CREATE CONSTRAINT TRIGGER activation_of_live AFTER INSERT OR UPDATE ON public.activation DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.activation_of_live();

CREATE TRIGGER environment_activation AFTER UPDATE ON public.environment FOR EACH ROW WHEN ((new.live IS DISTINCT FROM old.live)) EXECUTE FUNCTION public.activate();

CREATE CONSTRAINT TRIGGER environment_begin AFTER INSERT ON public.environment DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.environment_route_check();

CREATE TRIGGER environment_guard BEFORE UPDATE ON public.environment FOR EACH ROW EXECUTE FUNCTION public.environment_guard();

CREATE TRIGGER environment_kept BEFORE DELETE OR TRUNCATE ON public.environment FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('environment_kept');

CREATE TRIGGER environment_live BEFORE UPDATE ON public.environment FOR EACH ROW WHEN (((new.live IS DISTINCT FROM old.live) AND (new.revision = old.revision))) EXECUTE FUNCTION public.refuse_change('live_without_switch');

CREATE CONSTRAINT TRIGGER environment_one_revision AFTER UPDATE ON public.environment DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((old.revision <> new.revision)) EXECUTE FUNCTION public.environment_one_revision();

CREATE CONSTRAINT TRIGGER environment_route AFTER UPDATE ON public.environment DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((((old.revision IS DISTINCT FROM new.revision) OR (old.weights IS DISTINCT FROM new.weights)) OR (old.live IS DISTINCT FROM new.live)) OR (old.previous IS DISTINCT FROM new.previous))) EXECUTE FUNCTION public.environment_route_check();

CREATE TRIGGER event_anchor_guard BEFORE INSERT OR UPDATE ON public.event_anchor FOR EACH ROW EXECUTE FUNCTION public.event_anchor_guard();

CREATE TRIGGER event_anchor_kept BEFORE DELETE OR TRUNCATE ON public.event_anchor FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('event_anchor');

CREATE CONSTRAINT TRIGGER event_anchor_sealed AFTER INSERT OR UPDATE ON public.event_anchor DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.event_anchor_sealed();

CREATE TRIGGER event_append_only BEFORE UPDATE OR TRUNCATE ON public.event FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('event_append_only');

CREATE TRIGGER event_chain_guard BEFORE UPDATE ON public.event_chain FOR EACH ROW EXECUTE FUNCTION public.event_chain_guard();

CREATE TRIGGER event_chain_kept BEFORE DELETE OR TRUNCATE ON public.event_chain FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('event_append_only');

CREATE CONSTRAINT TRIGGER event_chained AFTER INSERT OR UPDATE ON public.event_chain DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.event_chained();

CREATE CONSTRAINT TRIGGER event_counted AFTER UPDATE ON public.event_counter DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.event_counted();

CREATE TRIGGER event_counter_guard BEFORE UPDATE ON public.event_counter FOR EACH ROW EXECUTE FUNCTION public.event_counter_guard();

CREATE TRIGGER event_counter_kept BEFORE DELETE OR TRUNCATE ON public.event_counter FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('event_append_only');

CREATE TRIGGER event_placed AFTER INSERT ON public.event FOR EACH ROW EXECUTE FUNCTION public.event_placed();

CREATE TRIGGER event_pruned AFTER DELETE ON public.event REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.event_pruned();

CREATE TRIGGER generation_adopts_once BEFORE UPDATE ON public.generation FOR EACH ROW WHEN (((new.adopts IS DISTINCT FROM old.adopts) OR (new.adopted IS DISTINCT FROM old.adopted))) EXECUTE FUNCTION public.generation_adopts_once();

CREATE TRIGGER generation_guard BEFORE INSERT OR UPDATE ON public.generation FOR EACH ROW EXECUTE FUNCTION public.generation_guard();

CREATE TRIGGER generation_kept BEFORE DELETE OR TRUNCATE ON public.generation FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('generation_immutable');

CREATE TRIGGER generation_retired BEFORE UPDATE ON public.generation FOR EACH ROW WHEN (((old.state = 'retired'::text) AND (new.state <> 'retired'::text))) EXECUTE FUNCTION public.refuse_change('generation_retired');

CREATE CONSTRAINT TRIGGER generation_route AFTER UPDATE ON public.generation DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((old.state <> new.state) AND ((old.state = ANY (ARRAY['live'::text, 'shifting'::text, 'standby'::text])) OR (new.state = ANY (ARRAY['live'::text, 'shifting'::text, 'standby'::text]))))) EXECUTE FUNCTION public.part_route_check();

CREATE TRIGGER idempotency_again BEFORE UPDATE ON public.idempotency FOR EACH ROW WHEN (((new.created_at <> old.created_at) AND ((new.created_at < (clock_timestamp() - '00:01:00'::interval)) OR (new.created_at > (clock_timestamp() + '00:01:00'::interval))))) EXECUTE FUNCTION public.refuse_change('idempotency_time');

CREATE TRIGGER idempotency_begin BEFORE INSERT ON public.idempotency FOR EACH ROW WHEN (((new.created_at < (clock_timestamp() - '00:01:00'::interval)) OR (new.created_at > (clock_timestamp() + '00:01:00'::interval)))) EXECUTE FUNCTION public.refuse_change('idempotency_time');

CREATE TRIGGER idempotency_guard BEFORE UPDATE ON public.idempotency FOR EACH ROW EXECUTE FUNCTION public.idempotency_guard();

CREATE TRIGGER idempotency_kept BEFORE DELETE ON public.idempotency FOR EACH ROW WHEN ((old.created_at > (clock_timestamp() -
        CASE old.caller
            WHEN '~store'::text THEN '01:00:00'::interval
            ELSE '24:00:00'::interval
        END))) EXECUTE FUNCTION public.refuse_change('idempotency_write_once');

CREATE TRIGGER idempotency_not_emptied BEFORE TRUNCATE ON public.idempotency FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('idempotency_write_once');

CREATE TRIGGER instance_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.instance FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('instance_immutable');

CREATE TRIGGER instance_with_generation AFTER INSERT ON public.instance REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.instance_with_generation();

CREATE TRIGGER lease_guard BEFORE UPDATE ON public.lease FOR EACH ROW EXECUTE FUNCTION public.lease_guard();

CREATE TRIGGER lease_held BEFORE UPDATE ON public.lease FOR EACH ROW WHEN (((new.holder <> old.holder) AND (old.expires_at > clock_timestamp()))) EXECUTE FUNCTION public.refuse_change('lease_held');

CREATE TRIGGER lease_kept BEFORE DELETE OR TRUNCATE ON public.lease FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('lease_term_grows');

CREATE TRIGGER lease_over BEFORE UPDATE ON public.lease FOR EACH ROW WHEN (((new.term = old.term) AND (new.expires_at > old.expires_at) AND (old.expires_at <= statement_timestamp()))) EXECUTE FUNCTION public.refuse_change('lease_over');

CREATE TRIGGER membership_guard BEFORE INSERT OR UPDATE ON public.membership FOR EACH ROW EXECUTE FUNCTION public.membership_guard();

CREATE TRIGGER membership_kept BEFORE DELETE OR TRUNCATE ON public.membership FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('membership_kept');

CREATE TRIGGER node_guard BEFORE UPDATE ON public.node FOR EACH ROW EXECUTE FUNCTION public.node_guard();

CREATE TRIGGER node_kept BEFORE DELETE OR TRUNCATE ON public.node FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('node_kept');

CREATE TRIGGER promotion_guard BEFORE INSERT OR UPDATE ON public.promotion FOR EACH ROW EXECUTE FUNCTION public.promotion_guard();

CREATE TRIGGER promotion_kept BEFORE DELETE OR TRUNCATE ON public.promotion FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('promotion_immutable');

CREATE TRIGGER receipt_confirmed BEFORE INSERT OR UPDATE ON public.receipt FOR EACH ROW EXECUTE FUNCTION public.receipt_confirmed();

CREATE TRIGGER receipt_guard BEFORE UPDATE ON public.receipt FOR EACH ROW EXECUTE FUNCTION public.receipt_guard();

CREATE TRIGGER receipt_kept BEFORE DELETE ON public.receipt FOR EACH ROW EXECUTE FUNCTION public.receipt_kept();

CREATE TRIGGER receipt_not_emptied BEFORE TRUNCATE ON public.receipt FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('receipt_kept');

CREATE TRIGGER session_guard BEFORE UPDATE ON public.session FOR EACH ROW EXECUTE FUNCTION public.session_guard();

CREATE TRIGGER spec_version_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.spec_version FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('spec_version_immutable');

CREATE TRIGGER switch_guard BEFORE UPDATE ON public.switch FOR EACH ROW EXECUTE FUNCTION public.switch_guard();

CREATE TRIGGER switch_kept BEFORE DELETE OR TRUNCATE ON public.switch FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('switch_immutable');

CREATE CONSTRAINT TRIGGER switch_of_present_revision AFTER INSERT ON public.switch DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.switch_of_present_revision();

CREATE CONSTRAINT TRIGGER switch_route AFTER INSERT ON public.switch DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.part_route_check();

CREATE TRIGGER token_guard BEFORE UPDATE ON public.token FOR EACH ROW EXECUTE FUNCTION public.token_guard();

CREATE TRIGGER token_kept BEFORE DELETE OR TRUNCATE ON public.token FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change('token_immutable');

ALTER TABLE ONLY public.activation
    ADD CONSTRAINT activation_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.activation
    ADD CONSTRAINT activation_environment_generation_fkey FOREIGN KEY (environment, generation) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.activation
    ADD CONSTRAINT activation_environment_revision_fkey FOREIGN KEY (environment, revision) REFERENCES public.switch(environment, revision) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.environment
    ADD CONSTRAINT environment_live_fkey FOREIGN KEY (name, live) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.environment
    ADD CONSTRAINT environment_previous_fkey FOREIGN KEY (name, previous) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.event_anchor
    ADD CONSTRAINT event_anchor_environment_fkey FOREIGN KEY (environment) REFERENCES public.event_chain(environment);

ALTER TABLE ONLY public.generation
    ADD CONSTRAINT generation_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.host_claim
    ADD CONSTRAINT host_claim_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.instance_claim
    ADD CONSTRAINT instance_claim_environment_generation_fkey FOREIGN KEY (environment, generation) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.instance
    ADD CONSTRAINT instance_environment_number_fkey FOREIGN KEY (environment, number) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.login_link
    ADD CONSTRAINT login_link_token_fkey FOREIGN KEY (token) REFERENCES public.token(id);

ALTER TABLE ONLY public.membership
    ADD CONSTRAINT membership_environment_number_fkey FOREIGN KEY (environment, number) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.promotion
    ADD CONSTRAINT promotion_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.promotion
    ADD CONSTRAINT promotion_environment_from_number_fkey FOREIGN KEY (environment, from_number) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.promotion
    ADD CONSTRAINT promotion_environment_generation_fkey FOREIGN KEY (environment, generation) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.reading
    ADD CONSTRAINT reading_environment_generation_fkey FOREIGN KEY (environment, generation) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.receipt
    ADD CONSTRAINT receipt_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_token_fkey FOREIGN KEY (token) REFERENCES public.token(id);

ALTER TABLE ONLY public.spec_version
    ADD CONSTRAINT spec_version_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.staging
    ADD CONSTRAINT staging_environment_generation_fkey FOREIGN KEY (environment, generation) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.switch
    ADD CONSTRAINT switch_environment_fkey FOREIGN KEY (environment) REFERENCES public.environment(name);

ALTER TABLE ONLY public.switch
    ADD CONSTRAINT switch_environment_from_number_fkey FOREIGN KEY (environment, from_number) REFERENCES public.generation(environment, number);

ALTER TABLE ONLY public.switch
    ADD CONSTRAINT switch_environment_promotion_fkey FOREIGN KEY (environment, promotion) REFERENCES public.promotion(environment, id);

ALTER TABLE ONLY public.switch
    ADD CONSTRAINT switch_environment_to_number_fkey FOREIGN KEY (environment, to_number) REFERENCES public.generation(environment, number);
