-- Takes away what was known of the world.
DROP TABLE lease;
DROP FUNCTION lease_guard();
DROP TABLE reading;
DROP TABLE staging;
DROP TABLE receipt;
DROP FUNCTION receipt_guard();
DROP TABLE node;
DROP FUNCTION node_guard();
