-- What triggers wrote to tables that are not steps of the plan: [{"table": .., "inserted": n, "updated": n, "deleted": n}, ..].
-- NULL where that was not counted: in older rows, where nothing was deleted, and with track_counts = off.
ALTER TABLE organization_operator.ledger ADD COLUMN written jsonb;
