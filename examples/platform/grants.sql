-- The role of the operator, with what the plan needs and nothing else. Run it as a superuser, in the platform's database, after
-- schema.sql; running it again changes nothing. Give the role a password with \password organization_operator.

DO $$ BEGIN
    CREATE ROLE organization_operator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN  -- it is there, or is being made for another database right now
END $$;

-- The operator's own tables. Making the schema here spares the role CREATE on the database.
CREATE SCHEMA IF NOT EXISTS organization_operator AUTHORIZATION organization_operator;

GRANT USAGE ON SCHEMA public TO organization_operator;

-- The steps of the plan: count and delete.
GRANT SELECT, DELETE ON users, flows, flow_executions, task_outputs, task_statuses TO organization_operator;

-- The organization: also activation. SELECT .. FOR UPDATE, which fences the deletion against late inserts, needs UPDATE on one
-- column at least: a plan without `active` needs a grant of it all the same.
GRANT SELECT, DELETE, UPDATE (is_active) ON organizations TO organization_operator;

-- Tables outside the plan with a foreign key into it (invoices): SELECT, so that a blocked deletion can count its blockers.
DO $$ BEGIN
    IF to_regclass('invoices') IS NOT NULL THEN
        GRANT SELECT ON invoices TO organization_operator;
    END IF;
END $$;
