-- Users are global, and a membership ties them to organizations: u1 is only in a, u2 in a and b, u3 in b.
create table organizations(id text primary key, is_active boolean not null default true);
create table users(id text primary key, email text not null unique);
create table memberships(organization_id text not null references organizations, user_id text not null references users, primary key (organization_id, user_id));
create table sessions(id text primary key, user_id text not null references users);
create table api_tokens(id text primary key, user_id text not null references users, organization_id text references organizations);
insert into organizations values ('a'), ('b'); insert into users values ('u1', '1@example.com'), ('u2', '2@example.com'), ('u3', '3@example.com');
insert into memberships values ('a', 'u1'), ('a', 'u2'), ('b', 'u2'), ('b', 'u3'); insert into sessions select 's' || id, id from users; insert into api_tokens values ('t1', 'u1', 'a'), ('t2', 'u2', 'b');
