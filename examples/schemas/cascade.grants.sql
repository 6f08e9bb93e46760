-- What cascade.sql needs beside grants.sql of examples/platform. Flows and executions of other organizations could refer to
-- users over a key with ON DELETE CASCADE, or become another organization's while they do: the operator locks all three
-- before it looks, and row locks ask for UPDATE on at least one column. The operator never updates it.
GRANT UPDATE (id) ON users, flows, flow_executions TO organization_operator;
