-- A platform with every decision of docs/plan.md: two tenants, of which the first is deleted.
CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    owner_id uuid NOT NULL,
    is_active boolean NOT NULL DEFAULT true
);

-- People are global. A membership ties them to organizations.
CREATE TABLE users (id uuid PRIMARY KEY, email text NOT NULL UNIQUE, invited_by uuid REFERENCES users);
CREATE TABLE memberships (
    organization_id uuid NOT NULL REFERENCES organizations,
    user_id uuid NOT NULL REFERENCES users,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX ON memberships (user_id);
CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users);
CREATE INDEX ON sessions (user_id);
CREATE INDEX ON users (invited_by);

-- The organization and its flows refer to each other.
CREATE TABLE flows (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    current_version_id uuid NOT NULL
);
CREATE INDEX ON flows (organization_id);
CREATE TABLE flow_versions (id uuid PRIMARY KEY, flow_id uuid NOT NULL REFERENCES flows);
CREATE INDEX ON flow_versions (flow_id);
CREATE INDEX ON flows (current_version_id);

-- A note belongs to a flow, to a run, or to nobody.
CREATE TABLE runs (id uuid PRIMARY KEY, flow_id uuid NOT NULL REFERENCES flows);
CREATE INDEX ON runs (flow_id);
CREATE TABLE notes (id uuid PRIMARY KEY, flow_id uuid REFERENCES flows, run_id uuid REFERENCES runs);
CREATE INDEX ON notes (flow_id);
CREATE INDEX ON notes (run_id);

-- Events are partitioned by time, so their key has three columns. What belongs to an event has two of them.
CREATE TABLE events (
    organization_id uuid NOT NULL REFERENCES organizations,
    seen_at timestamptz NOT NULL,
    id bigint NOT NULL,
    PRIMARY KEY (organization_id, seen_at, id)
) PARTITION BY RANGE (seen_at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE event_deliveries (
    event_id bigint NOT NULL,
    event_seen_at timestamptz NOT NULL,
    attempt int NOT NULL,
    PRIMARY KEY (event_id, event_seen_at, attempt)
);

-- The law requires us to keep these.
CREATE TABLE invoices (id bigint PRIMARY KEY, organization_id uuid REFERENCES organizations, cents int NOT NULL);
CREATE INDEX ON invoices (organization_id);

-- A tenant's key in an array, and in the payload that a trigger writes.
CREATE TABLE shared_templates (id bigint PRIMARY KEY, organization_ids uuid[] NOT NULL);
CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb NOT NULL);
CREATE FUNCTION publish() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (payload) VALUES (jsonb_build_object('run', OLD.id, 'organization',
        (SELECT organization_id FROM flows WHERE id = OLD.flow_id)));
    RETURN NULL;
END $$;
CREATE TRIGGER publish AFTER DELETE ON runs FOR EACH ROW EXECUTE FUNCTION publish();

CREATE TABLE countries (code text PRIMARY KEY);

INSERT INTO organizations (id, name, owner_id) VALUES
    ('00000000-0000-4000-8000-00000000000a', 'A', '00000000-0000-4000-8000-0000000000a1'),
    ('00000000-0000-4000-8000-00000000000b', 'B', '00000000-0000-4000-8000-0000000000b1');
INSERT INTO users VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'ann@example.com', NULL),
    ('00000000-0000-4000-8000-0000000000a2', 'bob@example.com', '00000000-0000-4000-8000-0000000000a1'),
    ('00000000-0000-4000-8000-0000000000b1', 'eve@example.com', NULL);
INSERT INTO memberships SELECT '00000000-0000-4000-8000-00000000000a', id FROM users;
INSERT INTO memberships VALUES ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-0000000000b1');
INSERT INTO sessions SELECT gen_random_uuid(), id FROM users;
ALTER TABLE organizations ADD FOREIGN KEY (owner_id) REFERENCES users;
CREATE INDEX ON organizations (owner_id);
INSERT INTO flows SELECT gen_random_uuid(), id, gen_random_uuid() FROM organizations;
INSERT INTO flow_versions SELECT current_version_id, id FROM flows;
ALTER TABLE flows ADD FOREIGN KEY (current_version_id) REFERENCES flow_versions;
INSERT INTO runs SELECT gen_random_uuid(), id FROM flows, generate_series(1, 3);
INSERT INTO notes SELECT gen_random_uuid(), id, NULL FROM flows;
INSERT INTO notes SELECT gen_random_uuid(), NULL, id FROM runs;
INSERT INTO notes VALUES (gen_random_uuid(), NULL, NULL);
INSERT INTO events SELECT id, '2026-02-01', row_number() OVER (ORDER BY id) FROM organizations;
INSERT INTO event_deliveries SELECT id, seen_at, attempt FROM events, generate_series(1, 2) attempt;
INSERT INTO invoices VALUES (1, '00000000-0000-4000-8000-00000000000a', 100);
INSERT INTO shared_templates SELECT 1, array_agg(id) FROM organizations;
INSERT INTO outbox (payload) SELECT jsonb_build_object('organization', id) FROM organizations;
