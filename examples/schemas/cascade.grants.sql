-- What cascade.sql needs in addition to grants.sql of examples/platform. Flows and executions of other organizations could
-- refer to users through a key with ON DELETE CASCADE, or move to another organization while they do. So the operator locks the
-- rows of all three tables before it checks them. A row lock needs UPDATE on at least one column; the operator never updates it.
GRANT UPDATE (id) ON users, flows, flow_executions TO organization_operator;
