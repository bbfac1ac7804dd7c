-- Takes away the audit log.
DROP TABLE event;
DROP TABLE event_chain;
DROP FUNCTION event_chain_guard();
DROP TABLE event_counter;
DROP FUNCTION event_counter_guard();
