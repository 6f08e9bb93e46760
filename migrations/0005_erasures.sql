-- Erasures of large organizations that are under way: rows are deleted page by page before the transaction that ends the
-- erasure. One row for each object, written in the same transaction as each page, so counts and cursor are exact after a
-- crash. The transaction that ends the erasure deletes the row and writes the ledger. Ids, counts, times and names of
-- tables; no personal data.
CREATE TABLE organization_operator.erasures (
    cluster_id text NOT NULL,
    object_uid text NOT NULL,
    organization_key text NOT NULL,
    -- Rows of the organization before the first page, as estimated.
    estimated_rows bigint NOT NULL,
    -- [{"entity": .., "tables": [..], "found": n, "deleted": n}, ..]: rows that pages deleted.
    deleted jsonb NOT NULL DEFAULT '[]',
    -- What triggers wrote meanwhile to tables that are not steps of the plan, as in the ledger. NULL where that was not counted.
    written jsonb DEFAULT '[]',
    -- The cursor: the table, the first block of its next page, the rows deleted since block 0, and the blocks of a page. It holds
    -- for the plan with this digest; another plan begins anew.
    plan_digest text NOT NULL,
    paged_table text,
    next_block bigint NOT NULL DEFAULT 0,
    rows_of_pass bigint NOT NULL DEFAULT 0,
    page_blocks bigint NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When a lowered policy stopped it.
    interrupted_at timestamptz,
    PRIMARY KEY (cluster_id, object_uid)
);
