-- An erasure in pages can be stopped after rows are gone. An entry without verified_at can still go on; its end replaces it.
ALTER TABLE organization_operator.ledger DROP CONSTRAINT ledger_outcome_check;
ALTER TABLE organization_operator.ledger ADD CONSTRAINT ledger_outcome_check
    CHECK (outcome IN ('Erased', 'Deactivated', 'Retained', 'NotFound', 'Transferred', 'Interrupted'));
-- The erasure of an organization is found by its key, also after another object has taken over the claim.
CREATE UNIQUE INDEX erasures_organization_key ON organization_operator.erasures (organization_key);
