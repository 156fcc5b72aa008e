-- 0005_ledger.sql - the ledger by months (UTC) of accepted_at, so that an old month goes as a whole.
--
-- A month is there before its first request comes, and vote.log_default takes whatever has none: a
-- clock that is wrong, or old events played again. So no accepted_at is ever refused.

alter table vote.log rename to log_before;
alter index vote.log_pkey rename to log_before_pkey;
alter index vote.log_by_offset rename to log_before_by_offset;

create table vote.log (like vote.log_before including defaults including constraints)
    partition by range (accepted_at);
alter table vote.log add primary key (request_id, accepted_at);
create index log_by_offset on vote.log ("partition", "offset");
create table vote.log_default partition of vote.log default;

comment on table vote.log is
    'append-only ledger: one row a request, whatever became of it; never updated. By months of accepted_at (UTC)';

-- The months that have gone: what was accepted before the end of the last one may be missing.
create table vote.log_dropped (
    name       text not null,
    ends       timestamptz not null,
    dropped_at timestamptz not null default now()
);

create view vote.log_months as
select name, starts at time zone 'UTC' as starts, (starts + interval '1 month') at time zone 'UTC' as ends
  from (select c.relname::text as name, to_date(substr(c.relname, 5), '"y"YYYY"m"MM')::timestamp as starts
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'vote.log'::regclass and c.relname ~ '^log_y\d{4}m\d\d$') m;
comment on view vote.log_months is 'the months that the ledger has a partition for, from starts to before ends';

-- Makes the partition of the month that begins at `starts` (UTC), with the rows that the default
-- partition has of it. The default is locked first and for a moment: attaching reads all of it.
create function vote.make_log_month(name text, starts timestamp)
returns void language plpgsql as $$
declare
    lower_bound timestamptz := starts at time zone 'UTC';
    upper_bound timestamptz := (starts + interval '1 month') at time zone 'UTC';
begin
    execute format('create table vote.%I (like vote.log including defaults including constraints '
                   'including indexes)', name);
    lock table vote.log_default in access exclusive mode;
    execute format('with moved as (delete from vote.log_default '
                   '                where accepted_at >= %L and accepted_at < %L returning *) '
                   'insert into vote.%I select * from moved', lower_bound, upper_bound, name);
    execute format('alter table vote.log attach partition vote.%I for values from (%L) to (%L)',
                   name, lower_bound, upper_bound);
end $$;

-- Makes what is missing of this month and the next ones, and returns the names of the new partitions.
-- Of several callers at a time one does it. It waits for no lock longer than half a second, since the
-- votes wait behind it: then it fails, and a later call makes the partitions.
create function vote.make_log_months(ahead integer default 2)
returns setof text language plpgsql set lock_timeout = '500ms' as $$
declare
    month record;
begin
    if not pg_try_advisory_xact_lock(hashtext('vote.log')) then
        return;
    end if;
    for month in
        select to_char(starts, '"log_y"YYYY"m"MM') as name, starts
          from generate_series(0, ahead) n,
               lateral (select date_trunc('month', now() at time zone 'UTC') + n * interval '1 month') m (starts)
         order by starts
    loop
        continue when to_regclass('vote.' || month.name) is not null;
        perform vote.make_log_month(month.name, month.starts);
        return next month.name;
    end loop;
end $$;

-- Drops the months that ended before `retention` ago and returns their names; with them goes what the
-- default partition has had for as long. The ledger itself is locked, under the same rules as above.
create function vote.drop_log_months(retention interval)
returns setof text language plpgsql set lock_timeout = '500ms' as $$
declare
    month record;
begin
    if not pg_try_advisory_xact_lock(hashtext('vote.log')) then
        return;
    end if;
    for month in
        select m.name, m.ends from vote.log_months m where m.ends < now() - retention order by m.starts
    loop
        execute format('drop table vote.%I', month.name);
        insert into vote.log_dropped (name, ends) values (month.name, month.ends);
        return next month.name;
    end loop;
    delete from vote.log_default
     where accepted_at < now() - retention and committed_at < now() - retention;
end $$;

create function vote.log_months_ahead()
returns bigint language sql stable as $$
    select count(*) from vote.log_months where starts > now()
$$;

-- What there is moves: into the months that it is of, as far as they are within five years of now.
select vote.make_log_month(to_char(starts, '"log_y"YYYY"m"MM'), starts)
  from (select distinct date_trunc('month', accepted_at at time zone 'UTC') as starts from vote.log_before
         where accepted_at between now() - interval '5 years' and now()) m
 order by starts;
select vote.make_log_months();
insert into vote.log select * from vote.log_before;
drop table vote.log_before;
