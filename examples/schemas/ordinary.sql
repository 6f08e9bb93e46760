-- The platform with ordinary foreign keys: NO ACTION and not deferrable, as in most schemas. The declared order (users first)
-- does not work as written: children go first.

CREATE TABLE organizations (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL,
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    email           text NOT NULL,
    display_name    text NOT NULL DEFAULT ''
);
CREATE INDEX ON users (organization_id);

CREATE TABLE flows (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    name            text NOT NULL,
    created_by      uuid REFERENCES users
);
CREATE INDEX ON flows (organization_id);
CREATE INDEX ON flows (created_by);

CREATE TABLE flow_executions (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    flow_id     uuid NOT NULL REFERENCES flows,
    started_by  uuid REFERENCES users,
    state       text NOT NULL DEFAULT 'succeeded'
);
CREATE INDEX ON flow_executions (flow_id);
CREATE INDEX ON flow_executions (started_by);

CREATE TABLE task_outputs (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    flow_execution_id uuid NOT NULL REFERENCES flow_executions,
    task              text NOT NULL,
    output            jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON task_outputs (flow_execution_id);

CREATE TABLE task_statuses (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    flow_execution_id uuid NOT NULL REFERENCES flow_executions,
    task              text NOT NULL,
    status            text NOT NULL DEFAULT 'succeeded'
);
CREATE INDEX ON task_statuses (flow_execution_id);

-- Creates a tenant with this key and its rows, the same rows every time. The sizes are per tenant, flow and execution.
CREATE FUNCTION seed_tenant(key text, users int, flows int, executions_per_flow int, tasks_per_execution int)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO organizations (id, name) VALUES ($1::uuid, 'tenant ' || $1);

    INSERT INTO users (id, organization_id, email, display_name)
    SELECT md5($1 || ' user ' || u)::uuid, $1::uuid, 'user' || u || '@' || $1 || '.example', 'User ' || u
    FROM generate_series(1, $2) u;

    -- Without users, nobody created the flows, so the column is NULL (and `x % 0` would fail).
    INSERT INTO flows (id, organization_id, name, created_by)
    SELECT md5($1 || ' flow ' || f)::uuid, $1::uuid, 'flow ' || f,
           CASE WHEN $2 > 0 THEN md5($1 || ' user ' || (1 + f % greatest($2, 1)))::uuid END
    FROM generate_series(1, $3) f;

    INSERT INTO flow_executions (id, flow_id, started_by)
    SELECT md5($1 || ' execution ' || f || ' ' || e)::uuid, md5($1 || ' flow ' || f)::uuid,
           CASE WHEN $2 > 0 THEN md5($1 || ' user ' || (1 + (f + e) % greatest($2, 1)))::uuid END
    FROM generate_series(1, $3) f, generate_series(1, $4) e;

    INSERT INTO task_outputs (id, flow_execution_id, task, output)
    SELECT md5($1 || ' output ' || f || ' ' || e || ' ' || t)::uuid,
           md5($1 || ' execution ' || f || ' ' || e)::uuid, 'task ' || t, jsonb_build_object('value', t)
    FROM generate_series(1, $3) f, generate_series(1, $4) e, generate_series(1, $5) t;

    INSERT INTO task_statuses (id, flow_execution_id, task)
    SELECT md5($1 || ' status ' || f || ' ' || e || ' ' || t)::uuid,
           md5($1 || ' execution ' || f || ' ' || e)::uuid, 'task ' || t
    FROM generate_series(1, $3) f, generate_series(1, $4) e, generate_series(1, $5) t;
$$;
