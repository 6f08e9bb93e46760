-- A table outside the plan: the law requires that invoices are kept for years (`keep` in config.yaml). Its ordinary foreign key
-- blocks the deletion of an organization that has invoices, until somebody detaches them. The customer's name stays on them.

CREATE TABLE invoices (
    number          text PRIMARY KEY,
    organization_id uuid REFERENCES organizations,
    customer_name   text NOT NULL,
    amount_cents    bigint NOT NULL,
    issued_on       date NOT NULL
);
CREATE INDEX ON invoices (organization_id);

INSERT INTO invoices (number, organization_id, customer_name, amount_cents, issued_on)
SELECT 'INV-2026-000' || i, id, name, 49900, date '2026-01-31' + i
FROM organizations, generate_series(1, 3) i
WHERE id = 'ac3e0000-0000-4000-8000-000000000001';

-- The operator may name and count the rows that block a deletion. It may not change them.
DO $$ BEGIN
    IF to_regrole('organization_operator') IS NOT NULL THEN
        GRANT SELECT ON invoices TO organization_operator;
    END IF;
END $$;

-- This statement unblocks the deletion:
--   UPDATE invoices SET organization_id = NULL WHERE organization_id = 'ac3e0000-0000-4000-8000-000000000001';
