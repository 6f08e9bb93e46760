-- The role of the operator, with what the plan needs and nothing else. Run this file as a superuser in the platform's database,
-- after schema.sql. Running it again changes nothing. Give the role a password with \password organization_operator.

DO $$ BEGIN
    CREATE ROLE organization_operator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN  -- it exists, or somebody is creating it for another database right now
END $$;

-- The operator's own tables. Because this file creates the schema, the role does not need CREATE on the database.
CREATE SCHEMA IF NOT EXISTS organization_operator AUTHORIZATION organization_operator;

GRANT USAGE ON SCHEMA public TO organization_operator;

-- The steps of the plan: count and delete.
GRANT SELECT, DELETE ON users, flows, flow_executions, task_outputs, task_statuses TO organization_operator;

-- The pages of a large deletion lock the rows to which other rows belong (SELECT .. FOR SHARE). That needs UPDATE on one column.
GRANT UPDATE (id) ON flows, flow_executions TO organization_operator;

-- The organization, with its activation. SELECT .. FOR UPDATE, which protects the deletion from late inserts, needs UPDATE on at
-- least one column. So a plan without `active` also needs this grant on some column.
GRANT SELECT, DELETE, UPDATE (is_active) ON organizations TO organization_operator;

-- Tables outside the plan with a foreign key into it (invoices): SELECT, so that the operator can count the rows that block.
DO $$ BEGIN
    IF to_regclass('invoices') IS NOT NULL THEN
        GRANT SELECT ON invoices TO organization_operator;
    END IF;
END $$;
