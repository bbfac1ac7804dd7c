-- The service may run as another role than the one that owns the tables and runs the migrations: it may then neither
-- alter a table or trigger, nor change or delete what is only ever added. A migration that adds a table replaces this
-- function.

CREATE FUNCTION grant_service(service name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), service);
    EXECUTE format('GRANT INSERT ON environment, spec_version, host_claim, generation, instance, instance_claim, promotion,
        switch, node, receipt, staging, reading, lease, event, event_chain, token, idempotency TO %I', service);
    EXECUTE format('GRANT UPDATE ON environment, generation, promotion, switch, node, receipt, staging, reading, lease,
        event_chain, event_counter, token, idempotency TO %I', service);
    EXECUTE format('GRANT DELETE ON host_claim, instance_claim, receipt, staging, reading, idempotency TO %I', service);
END
$$;
REVOKE EXECUTE ON FUNCTION grant_service(name) FROM PUBLIC;
