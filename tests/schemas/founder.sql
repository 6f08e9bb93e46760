-- An organization has a NOT NULL owner among its own users, and neither foreign key is deferrable.
create table organizations(id text primary key, name text, owner_id text not null);
create table users(id text primary key, organization_id text not null, invited_by text references users);
begin;
insert into organizations values ('a', 'A', 'u1'), ('b', 'B', 'u2');
insert into users values ('u1', 'a', null), ('u3', 'a', 'u1'), ('u2', 'b', null);
commit;
alter table users add foreign key (organization_id) references organizations;
alter table organizations add foreign key (owner_id) references users;
create table connectors(id text primary key, organization_id text not null references organizations, provider_id text references organizations, created_by text not null references users);
insert into connectors values ('c1', 'a', 'a', 'u1'), ('c2', 'b', null, 'u2');
