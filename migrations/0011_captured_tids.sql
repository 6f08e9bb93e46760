-- Where the rows of a large organization lie in the table that is paged now, if that is a small part of the table: pages visit
-- only these rows. Tuple identifiers (ctid); no personal data. They end with the erasure.
CREATE TABLE organization_operator.captured_tids (
    organization_key text NOT NULL REFERENCES organization_operator.erasures (organization_key) ON DELETE CASCADE,
    -- Each but the last has 256 of them.
    chunk bigint NOT NULL,
    tids tid[] NOT NULL,
    PRIMARY KEY (organization_key, chunk)
);
-- How many were captured. NULL where pages are ranges of blocks. Where they are not, next_block is the number of the next tuple
-- identifier, and page_blocks is how many of them a page has.
ALTER TABLE organization_operator.erasures ADD COLUMN captured_tids bigint;
