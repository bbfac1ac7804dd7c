-- Takes away who belongs to followed groups now: they go back to the instances that were adopted first.
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
SELECT pin_function('grant_service(name)');
DROP VIEW present_instance;
ALTER TABLE staging DROP COLUMN members_since;
DROP TABLE membership;
DROP FUNCTION membership_guard();
DROP FUNCTION group_sizes(jsonb);
