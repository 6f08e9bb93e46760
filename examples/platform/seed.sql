-- Four tenants with readable keys. Needs schema.sql and seed_tenant.sql.

DO $$ BEGIN
    PERFORM seed_tenant('ac3e0000-0000-4000-8000-000000000001', 5, 3, 12, 4);    -- acme:    36 executions, 144 outputs, 144 statuses
    PERFORM seed_tenant('910be000-0000-4000-8000-000000000002', 12, 4, 25, 3);   -- globex: 100 executions, 300 outputs, 300 statuses
    PERFORM seed_tenant('1417ec00-0000-4000-8000-000000000003', 3, 2, 10, 2);    -- initech: 20 executions, 40 outputs, 40 statuses
    PERFORM seed_tenant('40011000-0000-4000-8000-000000000004', 8, 5, 8, 5);     -- hooli:   40 executions, 200 outputs, 200 statuses
END $$;

UPDATE organizations SET name = n.name
FROM (VALUES ('ac3e0000-0000-4000-8000-000000000001'::uuid, 'Acme'),
             ('910be000-0000-4000-8000-000000000002', 'Globex'),
             ('1417ec00-0000-4000-8000-000000000003', 'Initech'),
             ('40011000-0000-4000-8000-000000000004', 'Hooli')) n (id, name)
WHERE organizations.id = n.id;
