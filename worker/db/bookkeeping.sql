-- The migrator's own tables: what was applied, what is ours, what was found.

create schema if not exists media_worker;
comment on schema media_worker is 'Private objects of Media Worker. Not for use by applications.';

create table if not exists media_worker.migrations (
    kind text not null,
    name text not null,
    sha256 text not null,
    release text not null,
    applied_at timestamptz not null default now(),
    primary key (kind, name)
);
comment on table media_worker.migrations is
    'What `media-worker migrate` has applied: procrastinate''s schema, migrations, repeatable files.';

create table if not exists media_worker.defined_objects (
    kind text not null,
    identity text not null,
    relation text not null default '',
    defined_in xid8 not null,
    primary key (kind, identity, relation),
    constraint defined_object_kind_is_known
        check (kind in ('function', 'view', 'trigger', 'table'))
);
comment on table media_worker.defined_objects is
    'What is ours. Functions, views and triggers that the repeatable files define: those that no file defines any more are dropped. Tables in the schema public that the migrations create.';
alter table media_worker.defined_objects
    drop constraint defined_object_kind_is_known,
    add constraint defined_object_kind_is_known
        check (kind in ('function', 'view', 'trigger', 'table'));

create table if not exists media_worker.application_tables (
    name text primary key,
    created_by_us boolean not null,
    usable boolean not null,
    problems text[] not null default '{}'
);
comment on table media_worker.application_tables is
    'The application''s tables that Media Worker uses, and why one is not usable.';

create table if not exists media_worker.classic_objects (
    id bigint generated always as identity primary key,
    kind text not null,
    name text not null,
    definition text not null,
    kept_at timestamptz not null default now()
);
comment on table media_worker.classic_objects is
    'Definitions of what a classic installation had left and Media Worker has replaced.';

alter table media_worker.migrations enable row level security;
alter table media_worker.defined_objects enable row level security;
alter table media_worker.application_tables enable row level security;
alter table media_worker.classic_objects enable row level security;

drop policy if exists workers_read on media_worker.migrations;
create policy workers_read on media_worker.migrations
    for select to media_worker using (true);
drop policy if exists workers_read on media_worker.application_tables;
create policy workers_read on media_worker.application_tables
    for select to media_worker using (true);

grant usage on schema media_worker to media_worker;
grant select on media_worker.migrations, media_worker.application_tables to media_worker;
