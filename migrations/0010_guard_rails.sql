-- Deletions that the operator has seen and that did not end at once: they are blocked, suspended, or wait. A deletion that was
-- seen in time is not stale after a restart. The row goes with the deletion. Ids, counts and times; no personal data.
CREATE TABLE organization_operator.deletions (
    cluster_id text NOT NULL,
    object_uid text NOT NULL,
    object_name text NOT NULL,
    -- The object's deletionTimestamp.
    requested_at timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL,
    -- The breaker held it back: so many deletions of so many objects had begun at once.
    breaker_deletions bigint,
    breaker_objects bigint,
    PRIMARY KEY (cluster_id, object_uid),
    CHECK ((breaker_deletions IS NULL) = (breaker_objects IS NULL))
);

-- When the deletion was requested, for the breaker. NULL in older rows.
ALTER TABLE organization_operator.ledger ADD COLUMN requested_at timestamptz;
CREATE INDEX ledger_erased ON organization_operator.ledger (cluster_id, (COALESCE(requested_at, started_at)))
    WHERE outcome = 'Erased';
