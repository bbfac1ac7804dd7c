-- Takes away tokens and idempotency records.
DROP TABLE idempotency;
DROP FUNCTION idempotency_guard();
DROP TABLE token;
DROP FUNCTION token_guard();
