-- What cascade.sql needs beside grants.sql of examples/platform. Flows and executions of other organizations could refer to
-- users over a key with ON DELETE CASCADE: the operator locks the users before it looks, and row locks ask for UPDATE on at
-- least one column. The operator never updates it.
GRANT UPDATE (id) ON users TO organization_operator;
