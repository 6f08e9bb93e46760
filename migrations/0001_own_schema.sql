-- The operator's own records. Nothing of the platform's schema is touched.

-- Identity of this database: an object that was claimed in one database is refused in another.
CREATE TABLE organization_operator.installation (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    singleton boolean NOT NULL DEFAULT true UNIQUE CHECK (singleton)
);
INSERT INTO organization_operator.installation DEFAULT VALUES;

-- Which object owns which organization.
CREATE TABLE organization_operator.claims (
    organization_key text PRIMARY KEY,
    cluster_id text NOT NULL,
    object_uid text NOT NULL,
    object_name text NOT NULL,
    -- The policy seen last while the object was not terminating.
    policy text NOT NULL,
    -- An expiration that was seen while it was in the future.
    expiration_time timestamptz,
    -- The deactivation that precedes an erasure, and what it changed.
    window_started_at timestamptz,
    window_was_active boolean,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (cluster_id, object_uid)
);

-- How deletions ended. Ids, counts, times and the field manager that set the policy; no personal data.
CREATE TABLE organization_operator.ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster_id text NOT NULL,
    object_uid text NOT NULL,
    object_name text NOT NULL,
    organization_key text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('Erased', 'Deactivated', 'Retained', 'NotFound', 'Transferred')),
    policy text NOT NULL,
    policy_manager text,
    -- [{"entity": .., "tables": [..], "found": n, "deleted": n}, ..] in the order of deletion.
    steps jsonb NOT NULL DEFAULT '[]',
    organizations_deleted bigint NOT NULL DEFAULT 0,
    detail text,
    plan_digest text NOT NULL DEFAULT '',
    operator_version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz NOT NULL DEFAULT now(),
    -- NULL while tables that no foreign key protects still have to be counted again.
    verified_at timestamptz,
    UNIQUE (cluster_id, object_uid)
);
CREATE INDEX ledger_organization_key ON organization_operator.ledger (organization_key);

-- Keys of parents that are gone, kept only until the rows below them were counted again.
CREATE TABLE organization_operator.residue (
    cluster_id text NOT NULL,
    object_uid text NOT NULL,
    parent_table text NOT NULL,
    -- {"columns": [..], "keys": [[..], ..]}: one array of keys a column.
    keys jsonb NOT NULL,
    PRIMARY KEY (cluster_id, object_uid, parent_table)
);
