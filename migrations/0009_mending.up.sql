-- What is remembered of repairs of an environment's route (rollout.Mending): how often it was healed of late, so that a
-- node that keeps diverging is not healed in a hot loop, and what nodes hold that this database does not know, because it
-- was restored from an older copy. NULL while there is nothing to remember. A binary that does not know the column
-- leaves it as it is.
ALTER TABLE environment ADD COLUMN mending jsonb CONSTRAINT environment_mending CHECK (jsonb_typeof(mending) = 'object');
