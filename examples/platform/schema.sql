-- The workflow platform's tables. All foreign keys are NO ACTION and DEFERRABLE. So in a transaction that runs
-- SET CONSTRAINTS ALL DEFERRED, the order users, flows, executions, outputs, statuses, organization works as written,
-- although flows refer to the users who created them. The keys are INITIALLY IMMEDIATE, so other transactions are not affected.
-- Every referring column has an index: without it, PostgreSQL scans the whole child table for each deleted parent.

CREATE TABLE organizations (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL,
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations DEFERRABLE,
    email           text NOT NULL,
    display_name    text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, email)
);

CREATE TABLE flows (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations DEFERRABLE,
    name            text NOT NULL,
    definition      jsonb NOT NULL DEFAULT '{}',
    created_by      uuid REFERENCES users DEFERRABLE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, name)
);
CREATE INDEX ON flows (created_by);

CREATE TABLE flow_executions (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    flow_id     uuid NOT NULL REFERENCES flows DEFERRABLE,
    started_by  uuid REFERENCES users DEFERRABLE,
    state       text NOT NULL DEFAULT 'succeeded',
    started_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON flow_executions (flow_id);
CREATE INDEX ON flow_executions (started_by);

CREATE TABLE task_outputs (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    flow_execution_id uuid NOT NULL REFERENCES flow_executions DEFERRABLE,
    task              text NOT NULL,
    output            jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON task_outputs (flow_execution_id);

CREATE TABLE task_statuses (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    flow_execution_id uuid NOT NULL REFERENCES flow_executions DEFERRABLE,
    task              text NOT NULL,
    status            text NOT NULL DEFAULT 'succeeded',
    updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON task_statuses (flow_execution_id);
