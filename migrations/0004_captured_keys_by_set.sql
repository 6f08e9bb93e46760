-- Captured keys are written and read by the server alone: no key is sent to the operator any more. One row holds up to 1,000
-- keys of one set, and a set that is kept after COMMIT has a row without keys.
ALTER TABLE organization_operator.captured_keys RENAME TO earlier_captured_keys;
ALTER INDEX organization_operator.captured_keys_pkey RENAME TO earlier_captured_keys_pkey;
CREATE TABLE organization_operator.captured_keys (
    -- The cluster's id, a slash and the object's uid.
    erasure text NOT NULL,
    -- The parent's table, the number of its step and the columns: schema.table#step(column, ..).
    key_set text NOT NULL,
    -- Captured by an earlier transaction.
    earlier boolean NOT NULL DEFAULT false,
    -- A key of several columns is an array as text.
    keys text[] NOT NULL
);
-- Keys do not compress well.
ALTER TABLE organization_operator.captured_keys ALTER COLUMN keys SET STORAGE EXTERNAL;
CREATE INDEX captured_keys_erasure ON organization_operator.captured_keys (erasure, key_set);
