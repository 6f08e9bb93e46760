-- For a person, where the object whose deletion erased a part of an organization is gone, and what is left of the organization is
-- to be kept: SELECT * FROM organization_operator.keep_remainder('KEY'). It records in the ledger what pages deleted, forgets the
-- erasure, and drops the claim of the object that began it. It returns no row if no such erasure is under way.
CREATE FUNCTION organization_operator.keep_remainder(key text)
RETURNS TABLE (object_uid text, rows_deleted bigint)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $keep$
    -- Whoever deletes a page has this lock.
    SELECT c.organization_key FROM organization_operator.claims c WHERE c.organization_key = key FOR UPDATE;

    WITH erasure AS (
        DELETE FROM organization_operator.erasures e WHERE e.organization_key = key RETURNING e.*
    ), claim AS (
        DELETE FROM organization_operator.claims c USING erasure e
        WHERE c.cluster_id = e.cluster_id AND c.object_uid = e.object_uid
        RETURNING c.object_name
    ), recorded AS (
        INSERT INTO organization_operator.ledger AS l
            (cluster_id, object_uid, object_name, organization_key, outcome, policy, steps, detail, plan_digest,
            operator_version, started_at, finished_at, verified_at, written)
        SELECT e.cluster_id, e.object_uid, COALESCE((SELECT c.object_name FROM claim c), ''), e.organization_key,
            'Interrupted', 'Retain', e.deleted, 'the remainder, which was not counted', e.plan_digest, '', e.started_at,
            clock_timestamp(), clock_timestamp(), e.written
        FROM erasure e
        ON CONFLICT (cluster_id, object_uid) DO UPDATE
        SET steps = EXCLUDED.steps, written = EXCLUDED.written, verified_at = EXCLUDED.verified_at,
            finished_at = EXCLUDED.finished_at
        WHERE l.outcome = 'Interrupted' AND l.verified_at IS NULL
        RETURNING l.object_uid
    )
    SELECT e.object_uid, (
        SELECT COALESCE(sum((step ->> 'deleted')::bigint), 0)::bigint FROM jsonb_array_elements(e.deleted) step
    )
    FROM erasure e JOIN recorded r ON r.object_uid = e.object_uid;
$keep$;
