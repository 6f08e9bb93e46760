-- The table gets the name of what it holds: keys that were captured before their rows were deleted.
ALTER TABLE organization_operator.residue RENAME TO captured_keys;
ALTER INDEX organization_operator.residue_pkey RENAME TO captured_keys_pkey;
