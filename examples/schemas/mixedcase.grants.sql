-- The same as grants.sql of examples/platform, with the names of mixedcase.sql.

DO $$ BEGIN
    CREATE ROLE organization_operator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
END $$;
CREATE SCHEMA IF NOT EXISTS organization_operator AUTHORIZATION organization_operator;
GRANT USAGE ON SCHEMA public TO organization_operator;
GRANT SELECT, DELETE ON "User", "Flow", "FlowExecution", "TaskOutput", "TaskStatus" TO organization_operator;
GRANT SELECT, DELETE, UPDATE ("deactivatedAt") ON "Organization" TO organization_operator;
