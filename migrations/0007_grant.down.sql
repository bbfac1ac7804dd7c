-- Grants that were made go with the tables.
DROP FUNCTION grant_service(name);
