-- Tables that hold a tenant's rows and are tied to it by neither a foreign key nor a column that names it.
create table tenants(id uuid primary key, deleted_at timestamptz);
create table event(id uuid primary key, tenant_id uuid not null references tenants);
create table v1_event(id bigint primary key, tenant_id uuid not null);
create table v1_event_runs(event_id bigint not null, run uuid not null, primary key (event_id, run));
create table v1_dag(id bigint, inserted_at timestamptz, tenant_id uuid not null, primary key (id, inserted_at));
create table v1_dag_data(dag_id bigint, dag_inserted_at timestamptz, input jsonb, primary key (dag_id, dag_inserted_at));
create table shared_stores(id bigint primary key, tenant_ids uuid[] not null);
create table outbox(id bigserial primary key, payload jsonb);
create table countries(code text primary key);
insert into tenants values ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b');
insert into v1_event select row_number() over (), id from tenants; insert into v1_event_runs select id, gen_random_uuid() from v1_event;
insert into v1_dag select row_number() over (), '2026-01-01', id from tenants; insert into v1_dag_data select id, inserted_at, '{}' from v1_dag;
insert into shared_stores select row_number() over (), array[id] from tenants; insert into outbox(payload) select jsonb_build_object('tenant', id) from tenants;
