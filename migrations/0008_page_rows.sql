-- The most rows of a page, where pages are found by the rows to which theirs belong.
ALTER TABLE organization_operator.erasures ADD COLUMN page_rows bigint NOT NULL DEFAULT 1;
