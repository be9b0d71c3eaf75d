-- archive: what a change of archive_policies means for tracks.

create or replace function media_worker.tg_archive_policy__after_change() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    fallback interval := (select p.archive_after from public.archive_policies as p
                          where p.provider = 'default');
    name text := coalesce(new.provider, old.provider);
    before interval := coalesce(old.archive_after, fallback);
    after interval := coalesce(new.archive_after, fallback);
begin
    if before is distinct from after then
        -- what the application holds is left to archive_overlooked(): to wait for it with other
        -- tracks locked is how the application becomes a deadlock's victim
        with concerned as materialized (
            select t.id from public.tracks as t
            where t.archived_to_storage is not true
                and t.archive_scheduled_at = media_worker.time_after(media_worker.utc(t.created_at), before)
                and case when name = 'default'
                    then not exists (select from public.archive_policies as p
                                     where p.provider <> 'default' and p.provider = lower(t.provider::text))
                    else lower(t.provider::text) = name end
        ), free as materialized (
            select t.id from public.tracks as t
            where t.id in (select concerned.id from concerned)
                and t.archive_scheduled_at = media_worker.time_after(media_worker.utc(t.created_at), before)
            for no key update skip locked
        ), rescheduled as (
            update public.tracks as t
            set archive_scheduled_at = media_worker.time_after(media_worker.utc(t.created_at), after)
            where t.id in (select free.id from free)
        )
        insert into media_worker.overlooked_tracks (track_id, what, scheduled_after)
        select c.id, 'policy', before from concerned as c
        where c.id not in (select free.id from free);
    end if;
    return null;
end
$$;
comment on function media_worker.tg_archive_policy__after_change() is
    'Reschedules the tracks that the policy had scheduled, those that are held as soon as they are free; times that the application set itself stay.';

create or replace trigger zz_media_worker_reschedule after insert or update or delete
on public.archive_policies
for each row execute function media_worker.tg_archive_policy__after_change();

create or replace function media_worker.tg_archive_policy__before_change() returns trigger
language plpgsql set search_path = ''
as $$
begin
    if tg_op = 'TRUNCATE' or old.provider = 'default' and (tg_op = 'DELETE' or new.provider <> 'default') then
        raise exception 'the policy default cannot be removed: it serves every provider without a policy'
            using errcode = 'restrict_violation', hint = 'Update its intervals instead.';
    elsif tg_op = 'UPDATE' and lower(new.provider) <> old.provider then
        raise exception 'a policy''s provider cannot be changed'
            using errcode = 'restrict_violation',
                  hint = 'Insert a policy for the other provider and delete this one.';
    elsif tg_op = 'DELETE' then
        return old;
    end if;
    new.provider := lower(new.provider);
    return new;
end
$$;
comment on function media_worker.tg_archive_policy__before_change() is
    'Keeps the default policy, and providers in lower case.';

create or replace trigger zz_media_worker_keep_default before insert or update or delete
on public.archive_policies
for each row execute function media_worker.tg_archive_policy__before_change();

create or replace trigger zz_media_worker_keep_all before truncate on public.archive_policies
for each statement execute function media_worker.tg_archive_policy__before_change();
