-- A made-up platform with what real ones have (and the examples have not): composite keys, a cycle, partitions, tables without
-- foreign keys, another schema, people who belong to several organizations, lookup tables, names in need of quotes.

CREATE SCHEMA billing;

CREATE TABLE organizations (
    id           bigint PRIMARY KEY,
    name         text NOT NULL,
    suspended_at timestamptz
);

-- Lookup tables and people: nobody's.
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE accounts (id bigint PRIMARY KEY, email text NOT NULL, country text REFERENCES countries);
CREATE TABLE sessions (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts);

CREATE TABLE memberships (
    organization_id bigint NOT NULL REFERENCES organizations,
    account_id      bigint NOT NULL REFERENCES accounts,
    PRIMARY KEY (organization_id, account_id)
);

-- Projects are numbered within their organization.
CREATE TABLE projects (
    organization_id bigint NOT NULL REFERENCES organizations,
    number          int NOT NULL,
    country         text REFERENCES countries,
    PRIMARY KEY (organization_id, number)
);

-- A flow has versions, and one of them is the current one: a cycle.
CREATE TABLE flows (
    id              bigint PRIMARY KEY,
    organization_id bigint NOT NULL,
    project         int NOT NULL,
    current_version bigint,
    FOREIGN KEY (organization_id, project) REFERENCES projects (organization_id, number)
);
CREATE INDEX ON flows (organization_id, project);
CREATE TABLE flow_versions (
    id      bigint PRIMARY KEY,
    flow_id bigint NOT NULL REFERENCES flows ON DELETE CASCADE
);
CREATE INDEX ON flow_versions (flow_id);
ALTER TABLE flows ADD CONSTRAINT flows_current_version_fkey
    FOREIGN KEY (current_version) REFERENCES flow_versions ON DELETE SET NULL;

-- Partitioned by time, and referred to by both columns of the key.
CREATE TABLE flow_executions (
    id         bigint NOT NULL,
    started_at timestamptz NOT NULL,
    flow_id    bigint NOT NULL REFERENCES flows,
    PRIMARY KEY (id, started_at)
) PARTITION BY RANGE (started_at);
CREATE TABLE flow_executions_2025 PARTITION OF flow_executions FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE flow_executions_2026 PARTITION OF flow_executions FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON flow_executions (flow_id);

CREATE TABLE "Task Outputs" (
    id                bigint PRIMARY KEY,
    flow_execution    bigint NOT NULL,
    execution_started timestamptz NOT NULL,
    FOREIGN KEY (flow_execution, execution_started) REFERENCES flow_executions (id, started_at)
);
CREATE INDEX ON "Task Outputs" (flow_execution, execution_started);

-- Without foreign keys, for speed.
CREATE TABLE audit_log (id bigint NOT NULL, organization_id bigint NOT NULL, what text);
CREATE INDEX ON audit_log (organization_id);
CREATE TABLE flow_metrics (flow_id bigint NOT NULL, hour timestamptz NOT NULL, runs int) PARTITION BY HASH (flow_id);
CREATE TABLE flow_metrics_0 PARTITION OF flow_metrics FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE flow_metrics_1 PARTITION OF flow_metrics FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON flow_metrics (flow_id);

-- Comments are on a flow or on a version, so both may be NULL.
CREATE TABLE comments (
    id           bigint PRIMARY KEY,
    flow_id      bigint REFERENCES flows,
    version_id   bigint REFERENCES flow_versions
);

CREATE TABLE billing.subscriptions (
    id              bigint PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations
);
CREATE TABLE billing.invoices (
    id           bigint PRIMARY KEY,
    subscription bigint NOT NULL REFERENCES billing.subscriptions
);
-- The same name as a table of the search path.
CREATE TABLE billing.projects (
    id              bigint PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations
);

-- Two organizations with rows everywhere.
INSERT INTO countries VALUES ('ch', 'Switzerland');
INSERT INTO organizations SELECT o, 'org ' || o FROM generate_series(1, 2) o;
INSERT INTO accounts SELECT a, 'a' || a || '@example.org', 'ch' FROM generate_series(1, 3) a;
INSERT INTO sessions SELECT a, a FROM generate_series(1, 3) a;
INSERT INTO memberships SELECT o, a FROM generate_series(1, 2) o, generate_series(1, 3) a;
INSERT INTO projects SELECT o, p, 'ch' FROM generate_series(1, 2) o, generate_series(1, 2) p;
INSERT INTO flows SELECT 10 * o + p, o, p FROM generate_series(1, 2) o, generate_series(1, 2) p;
INSERT INTO flow_versions SELECT 10 * f.id + v, f.id FROM flows f, generate_series(1, 2) v;
UPDATE flows SET current_version = 10 * id + 1;
INSERT INTO flow_executions SELECT 10 * f.id + y - 2024, make_date(y, 5, 1), f.id FROM flows f, generate_series(2025, 2026) y;
INSERT INTO "Task Outputs" SELECT 10 * e.id + t, e.id, e.started_at FROM flow_executions e, generate_series(1, 3) t;
INSERT INTO audit_log SELECT 10 * o + i, o, 'x' FROM generate_series(1, 2) o, generate_series(1, 4) i;
INSERT INTO flow_metrics SELECT id, '2026-01-01', 1 FROM flows;
INSERT INTO comments SELECT id, id FROM flows;
INSERT INTO billing.subscriptions SELECT o, o FROM generate_series(1, 2) o;
INSERT INTO billing.invoices SELECT o, o FROM generate_series(1, 2) o;
INSERT INTO billing.projects SELECT o, o FROM generate_series(1, 2) o;
