-- Signs everybody out, and takes the links that sign in away.
CREATE OR REPLACE FUNCTION grant_service(service name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT INSERT ON environment, spec_version, host_claim, generation, instance, instance_claim, promotion,
        switch, node, receipt, staging, reading, lease, event, event_chain, token, idempotency TO %I', service);
    EXECUTE format('GRANT UPDATE ON environment, generation, promotion, switch, node, receipt, staging, reading, lease,
        event_chain, event_counter, token, idempotency TO %I', service);
    EXECUTE format('GRANT DELETE ON host_claim, instance_claim, receipt, staging, reading, idempotency TO %I', service);
    EXECUTE format('GRANT EXECUTE ON FUNCTION prune_events(text, bigint) TO %I', service);
END
$$;
SELECT pin_function('grant_service(name)');
DROP TABLE login_link;
DROP TABLE session;
DROP FUNCTION session_guard();
