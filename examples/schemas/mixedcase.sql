-- The platform as an ORM creates it: quoted mixed-case names, one of them a reserved word ("User"), and activation as a nullable
-- timestamp. Its plan is mixedcase.config.yaml.

CREATE TABLE "Organization" (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text NOT NULL,
    "deactivatedAt" timestamptz,
    "createdAt"     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE "User" (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "organizationId" uuid NOT NULL REFERENCES "Organization",
    email            text NOT NULL,
    "displayName"    text NOT NULL DEFAULT ''
);
CREATE INDEX ON "User" ("organizationId");

CREATE TABLE "Flow" (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "organizationId" uuid NOT NULL REFERENCES "Organization",
    name             text NOT NULL,
    "createdBy"      uuid REFERENCES "User"
);
CREATE INDEX ON "Flow" ("organizationId");
CREATE INDEX ON "Flow" ("createdBy");

CREATE TABLE "FlowExecution" (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "flowId"    uuid NOT NULL REFERENCES "Flow",
    "startedBy" uuid REFERENCES "User",
    state       text NOT NULL DEFAULT 'succeeded'
);
CREATE INDEX ON "FlowExecution" ("flowId");
CREATE INDEX ON "FlowExecution" ("startedBy");

CREATE TABLE "TaskOutput" (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "flowExecutionId" uuid NOT NULL REFERENCES "FlowExecution",
    task              text NOT NULL,
    output            jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON "TaskOutput" ("flowExecutionId");

CREATE TABLE "TaskStatus" (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "flowExecutionId" uuid NOT NULL REFERENCES "FlowExecution",
    task              text NOT NULL,
    status            text NOT NULL DEFAULT 'succeeded'
);
CREATE INDEX ON "TaskStatus" ("flowExecutionId");

-- Creates a tenant with this key and its rows, the same rows every time. The sizes are per tenant, flow and execution.
CREATE FUNCTION seed_tenant(key text, users int, flows int, executions_per_flow int, tasks_per_execution int)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO "Organization" (id, name) VALUES ($1::uuid, 'tenant ' || $1);

    INSERT INTO "User" (id, "organizationId", email, "displayName")
    SELECT md5($1 || ' user ' || u)::uuid, $1::uuid, 'user' || u || '@' || $1 || '.example', 'User ' || u
    FROM generate_series(1, $2) u;

    -- Without users, nobody created the flows, so the column is NULL (and `x % 0` would fail).
    INSERT INTO "Flow" (id, "organizationId", name, "createdBy")
    SELECT md5($1 || ' flow ' || f)::uuid, $1::uuid, 'flow ' || f,
           CASE WHEN $2 > 0 THEN md5($1 || ' user ' || (1 + f % greatest($2, 1)))::uuid END
    FROM generate_series(1, $3) f;

    INSERT INTO "FlowExecution" (id, "flowId", "startedBy")
    SELECT md5($1 || ' execution ' || f || ' ' || e)::uuid, md5($1 || ' flow ' || f)::uuid,
           CASE WHEN $2 > 0 THEN md5($1 || ' user ' || (1 + (f + e) % greatest($2, 1)))::uuid END
    FROM generate_series(1, $3) f, generate_series(1, $4) e;

    INSERT INTO "TaskOutput" (id, "flowExecutionId", task, output)
    SELECT md5($1 || ' output ' || f || ' ' || e || ' ' || t)::uuid,
           md5($1 || ' execution ' || f || ' ' || e)::uuid, 'task ' || t, jsonb_build_object('value', t)
    FROM generate_series(1, $3) f, generate_series(1, $4) e, generate_series(1, $5) t;

    INSERT INTO "TaskStatus" (id, "flowExecutionId", task)
    SELECT md5($1 || ' status ' || f || ' ' || e || ' ' || t)::uuid,
           md5($1 || ' execution ' || f || ' ' || e)::uuid, 'task ' || t
    FROM generate_series(1, $3) f, generate_series(1, $4) e, generate_series(1, $5) t;
$$;

-- The same as in checks.sql.
CREATE FUNCTION tenant_rows(key text) RETURNS TABLE (entity text, n bigint) LANGUAGE sql STABLE AS $$
    WITH f AS (SELECT id FROM "Flow" WHERE "organizationId"::text = $1),
         e AS (SELECT id FROM "FlowExecution" WHERE "flowId" IN (SELECT id FROM f))
    SELECT 'organizations', count(*) FROM "Organization" WHERE id::text = $1
    UNION ALL SELECT 'users', count(*) FROM "User" WHERE "organizationId"::text = $1
    UNION ALL SELECT 'flows', count(*) FROM f
    UNION ALL SELECT 'flowExecutions', count(*) FROM e
    UNION ALL SELECT 'taskOutputs', count(*) FROM "TaskOutput" WHERE "flowExecutionId" IN (SELECT id FROM e)
    UNION ALL SELECT 'taskStatuses', count(*) FROM "TaskStatus" WHERE "flowExecutionId" IN (SELECT id FROM e)
$$;

CREATE FUNCTION others_fingerprint(VARIADIC keys text[]) RETURNS text LANGUAGE sql STABLE AS $$
    WITH f AS (SELECT id FROM "Flow" WHERE "organizationId"::text = ANY ($1)),
         e AS (SELECT id FROM "FlowExecution" WHERE "flowId" IN (SELECT id FROM f)),
         r AS (SELECT t::text AS line FROM "Organization" t WHERE id::text <> ALL ($1)
     UNION ALL SELECT t::text FROM "User" t WHERE "organizationId"::text <> ALL ($1)
     UNION ALL SELECT t::text FROM "Flow" t WHERE "organizationId"::text <> ALL ($1)
     UNION ALL SELECT t::text FROM "FlowExecution" t WHERE "flowId" NOT IN (SELECT id FROM f)
     UNION ALL SELECT t::text FROM "TaskOutput" t WHERE "flowExecutionId" NOT IN (SELECT id FROM e)
     UNION ALL SELECT t::text FROM "TaskStatus" t WHERE "flowExecutionId" NOT IN (SELECT id FROM e))
    SELECT count(*) || ':' || coalesce(md5(string_agg(md5(line), '' ORDER BY md5(line))), '') FROM r
$$;
