-- Takes away what is remembered of repairs. What is being repaired is found again by looking at the nodes.
ALTER TABLE environment DROP COLUMN mending;
