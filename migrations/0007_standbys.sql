-- Standbys that the configuration names (`cascade.batch.standbys`) and that were seen: one that is away now is waited for, and
-- a name that was never seen is a mistake.
CREATE TABLE organization_operator.standbys (
    name text PRIMARY KEY,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
