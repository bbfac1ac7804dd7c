-- Takes away pruning and what the audit log asks of its events. A chain that was pruned stays as short as it is.
CREATE OR REPLACE FUNCTION grant_service(service name) RETURNS void LANGUAGE plpgsql AS $$
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
SELECT pin_function('grant_service(name)');
DROP FUNCTION prune_events(text, bigint);
DROP TRIGGER event_append_only ON event;
CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('event_append_only');
DROP TRIGGER event_pruned ON event;
DROP FUNCTION event_pruned();
DROP TABLE event_anchor;
DROP FUNCTION event_anchor_sealed();
DROP FUNCTION event_anchor_guard();
DROP TRIGGER event_counted ON event_counter;
DROP FUNCTION event_counted();
DROP TRIGGER event_chained ON event_chain;
DROP FUNCTION event_chained();
ALTER TABLE event ADD CONSTRAINT event_environment_fkey FOREIGN KEY (environment) REFERENCES event_chain;
DROP TRIGGER event_placed ON event;
DROP FUNCTION event_placed();
DROP FUNCTION event_hash(text, text, bigint, text, text, timestamptz, bigint, bigint, text);
