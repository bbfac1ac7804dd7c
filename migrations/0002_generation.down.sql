-- Takes away generations and their instances.
DROP TABLE instance_claim;
DROP TABLE instance;
DROP FUNCTION instance_with_generation();
ALTER TABLE environment DROP CONSTRAINT environment_live_fkey, DROP CONSTRAINT environment_previous_fkey;
DROP TABLE generation;
DROP FUNCTION generation_guard();
DROP TABLE generation_move;
