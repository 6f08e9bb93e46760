-- For the tests, on every variant but mixedcase (which has its own): the rows that belong to a tenant, and a fingerprint of
-- all other rows. A row that leads to no tenant (a deletion left it behind) is one of the others, so it changes the fingerprint.

CREATE FUNCTION tenant_rows(key text) RETURNS TABLE (entity text, n bigint) LANGUAGE sql STABLE AS $$
    WITH f AS (SELECT id FROM flows WHERE organization_id::text = $1),
         e AS (SELECT id FROM flow_executions WHERE flow_id IN (SELECT id FROM f))
    SELECT 'organizations', count(*) FROM organizations WHERE id::text = $1
    UNION ALL SELECT 'users', count(*) FROM users WHERE organization_id::text = $1
    UNION ALL SELECT 'flows', count(*) FROM f
    UNION ALL SELECT 'flowExecutions', count(*) FROM e
    UNION ALL SELECT 'taskOutputs', count(*) FROM task_outputs WHERE flow_execution_id IN (SELECT id FROM e)
    UNION ALL SELECT 'taskStatuses', count(*) FROM task_statuses WHERE flow_execution_id IN (SELECT id FROM e)
$$;

CREATE FUNCTION others_fingerprint(VARIADIC keys text[]) RETURNS text LANGUAGE sql STABLE AS $$
    WITH f AS (SELECT id FROM flows WHERE organization_id::text = ANY ($1)),
         e AS (SELECT id FROM flow_executions WHERE flow_id IN (SELECT id FROM f)),
         r AS (SELECT t::text AS line FROM organizations t WHERE id::text <> ALL ($1)
     UNION ALL SELECT t::text FROM users t WHERE organization_id::text <> ALL ($1)
     UNION ALL SELECT t::text FROM flows t WHERE organization_id::text <> ALL ($1)
     UNION ALL SELECT t::text FROM flow_executions t WHERE flow_id NOT IN (SELECT id FROM f)
     UNION ALL SELECT t::text FROM task_outputs t WHERE flow_execution_id NOT IN (SELECT id FROM e)
     UNION ALL SELECT t::text FROM task_statuses t WHERE flow_execution_id NOT IN (SELECT id FROM e))
    SELECT count(*) || ':' || coalesce(md5(string_agg(md5(line), '' ORDER BY md5(line))), '') FROM r
$$;
