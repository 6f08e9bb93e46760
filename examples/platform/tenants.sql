-- The rows of every tenant, and a fingerprint of them. If the fingerprint stays the same, no row of the tenant has changed.

SELECT o.name, o.is_active AS active, u.n AS users, f.n AS flows, e.n AS executions, t.n AS outputs, s.n AS statuses,
       md5(concat(o, u.all_rows, f.all_rows, e.all_rows, t.all_rows, s.all_rows)) AS fingerprint
FROM organizations o,
LATERAL (SELECT count(*) AS n, string_agg(r::text, ',' ORDER BY r.id) AS all_rows FROM users r
         WHERE r.organization_id = o.id) u,
LATERAL (SELECT count(*) AS n, string_agg(r::text, ',' ORDER BY r.id) AS all_rows FROM flows r
         WHERE r.organization_id = o.id) f,
LATERAL (SELECT count(*) AS n, string_agg(r::text, ',' ORDER BY r.id) AS all_rows FROM flow_executions r
         JOIN flows p ON p.id = r.flow_id WHERE p.organization_id = o.id) e,
LATERAL (SELECT count(*) AS n, string_agg(r::text, ',' ORDER BY r.id) AS all_rows FROM task_outputs r
         JOIN flow_executions q ON q.id = r.flow_execution_id JOIN flows p ON p.id = q.flow_id
         WHERE p.organization_id = o.id) t,
LATERAL (SELECT count(*) AS n, string_agg(r::text, ',' ORDER BY r.id) AS all_rows FROM task_statuses r
         JOIN flow_executions q ON q.id = r.flow_execution_id JOIN flows p ON p.id = q.flow_id
         WHERE p.organization_id = o.id) s
ORDER BY o.name;
