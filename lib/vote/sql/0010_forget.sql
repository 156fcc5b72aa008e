-- 0010_forget.sql - a person is forgotten: rows, ledger and owner go, the totals follow, and no replay brings
-- them back.
--
-- The wish is an event in vote.requests, once in each partition, with a seq as votes have: what the user had
-- asked for until then is gone, what comes later counts. vote.forgotten remembers the seq, under a hash: so
-- it makes no difference in which order the log's partitions are read.

create table vote.forgotten (
    user_hash    bytea primary key,
    seq          bigint not null,
    forgotten_at timestamptz not null default clock_timestamp()
);
comment on table vote.forgotten is
    'who was forgotten, by the SHA-256 of the user id: votes up to seq never count again';

-- Where a user's rows of the ledger are, and what was committed lately.
create index log_by_user on vote.log (user_id);
create index log_by_time on vote.log using brin (committed_at) with (autosummarize = on);

comment on table vote.log is
    'append-only ledger: one row a request, whatever became of it. By months of accepted_at (UTC). Only a user who is forgotten is renamed in it';

create function vote.user_hash(user_id text)
returns bytea language sql immutable parallel safe as $$ select sha256(convert_to(user_id, 'UTF8')) $$;

-- A name that nobody has. A new one each time: what one person did is not to be put together again.
create function vote.nobody()
returns text language sql volatile as $$ select 'forgotten:' || gen_random_uuid() $$;

-- The key of the advisory lock that all who apply votes share.
create function vote.writing()
returns bigint language sql immutable parallel safe as $$ select 7368816922 $$;

create function vote.is_forgotten(in_user text, in_seq bigint)
returns boolean language sql stable as $$
    select exists (select from vote.forgotten where user_hash = vote.user_hash(in_user) and seq >= in_seq)
$$;

-- Applies requests in the order given and returns one row for each, in that order.
--
-- All arrays are of one length; position is the order of the log. The outcome of a request does not
-- depend on how the log is cut into batches: within a batch each request sees what the earlier ones
-- left, exactly as if each had come alone. A request that the ledger has is `replayed`: nothing
-- changes, and its first outcome is returned with the counts of now.
--
-- `written` is true for the one request of a user and project whose value is the row's now.
--
-- A request of a user who was forgotten since (`vote.forgotten`) is superseded, whenever it comes: its row
-- in the ledger has nobody's name, and nothing else changes.
--
-- Totals that somebody has set below what the rows say never refuse a vote: they stop at 0, and
-- `vote-admin audit --repair` counts them again.
--
-- Locks the projects in id order, and before them vote.writing() together with all who apply: only
-- vote.forget has it alone. There is nothing else that another writer could wait for. What it does to
-- vote.votes moves the totals here, in one step for the batch: the triggers for direct edits stand back.
--
-- It is planned once for all batches, with indexes alone: a plan for each call would cost a single vote
-- more than the vote, and a new month is empty when its plan is made, but does not stay so.
create or replace function vote.apply(in_topic text, in_partitions integer[], in_offsets bigint[],
                           request_ids uuid[], user_ids text[], project_ids text[],
                           vote_values smallint[], previous_values smallint[], actions text[],
                           seqs bigint[], accepted timestamptz[], variants text[])
returns table (ord integer, outcome text, reason text, replayed boolean, standing smallint,
               old_value smallint, upvotes bigint, downvotes bigint, community_score double precision,
               version bigint, committed_at timestamptz, written boolean)
language plpgsql
set jit = off
set vote.apply = 'on'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off as $$
declare
    now_at timestamptz;
    some_are_forgotten boolean;
begin
    perform pg_advisory_xact_lock_shared(vote.writing());
    some_are_forgotten := exists (select from vote.forgotten);
    insert into vote.projects (project_id)
    select distinct i.id from unnest(project_ids) i (id)
      left join lateral (select 1 from vote.projects p where p.project_id = i.id limit 1) k (known) on true
     where k.known is null
     order by i.id
    on conflict do nothing;
    perform from vote.projects p where p.project_id = any (project_ids) order by p.project_id for update;
    now_at := clock_timestamp();

    return query
    with request as materialized (
        select r.ord::integer as ord, r.partition_id, r.offset_id, r.request_id, r.user_id, r.project_id,
               r.value, r.previous, r.action, r.seq, r.accepted_at, r.variant,
               l.outcome as old_outcome, l.reason as old_reason,
               v.value as row_value, v.seq as row_seq,
               l.request_id is not null or row_number() over (partition by r.request_id order by r.ord) > 1
                   as is_replay,
               coalesce(r.seq <= f.seq, false) as is_forgotten
          from unnest(in_partitions, in_offsets, request_ids, user_ids, project_ids, vote_values,
                      previous_values, actions, seqs, accepted, variants)
               with ordinality as r (partition_id, offset_id, request_id, user_id, project_id, value,
                                     previous, action, seq, accepted_at, variant, ord)
          -- `limit` keeps it a look into one index of one month: for a join of sets the planner counts
          -- every month for every request, and would rather read the whole ledger.
          left join lateral (select g.request_id, g.outcome, g.reason from vote.log g
                              where g.request_id = r.request_id and g.accepted_at = r.accepted_at
                              limit 1) l on true
          left join vote.votes v on v.project_id = r.project_id and v.user_id = r.user_id
          left join lateral (select g.seq from vote.forgotten g
                              where some_are_forgotten and g.user_hash = vote.user_hash(r.user_id)
                              limit 1) f on true
    ),
    judged as (
        select q.*, not q.is_replay and not q.is_forgotten and q.seq > greatest(
                   coalesce(q.row_seq, 0),
                   coalesce(max(case when not q.is_replay then q.seq end) over (
                       partition by q.project_id, q.user_id order by q.ord
                       rows between unbounded preceding and 1 preceding), 0)) as wins
          from request q
    ),
    ranked as (
        -- `turn` counts the winners of a pair so far: the row before a request is the winner before it.
        select j.*, count(*) filter (where j.wins) over (
                   partition by j.project_id, j.user_id order by j.ord) as turn
          from judged j
    ),
    placed as materialized (
        select k.*,
               coalesce(max(case when k.wins then k.value end) over mine, k.row_value, 0)::smallint as stands,
               case when k.wins then coalesce(lag(k.value) over winners, k.row_value, 0) end::smallint as was
          from ranked k
        window mine as (partition by k.project_id, k.user_id, k.turn),
               winners as (partition by k.project_id, k.user_id, k.wins order by k.ord)
    ),
    counted as materialized (
        select c.*,
               sum(c.up) over steps as up_sum, sum(c.down) over steps as down_sum,
               sum((c.up <> 0 or c.down <> 0)::integer) over steps as version_sum,
               row_number() over (partition by c.project_id, c.user_id, c.wins order by c.turn desc) = 1
                   and c.wins as is_last
          from (select x.*,
                       case when x.wins then (x.value = 1)::integer - (x.was = 1)::integer else 0 end as up,
                       case when x.wins then (x.value = -1)::integer - (x.was = -1)::integer else 0 end as down
                  from placed x) c
        window steps as (partition by c.project_id order by c.ord)
    ),
    base as materialized (
        select p.project_id, p.owner_id, p.upvotes, p.downvotes, p.version
          from vote.projects p where p.project_id = any (project_ids)
    ),
    settled as materialized (
        select c.*, b.owner_id, greatest(b.upvotes + c.up_sum, 0) as ups,
               greatest(b.downvotes + c.down_sum, 0) as downs,
               b.version + c.version_sum as project_version,
               case when not c.wins then 'superseded'
                    when c.was <> c.previous then 'reconciled'
                    else 'committed' end as new_outcome,
               case when c.is_forgotten then 'the user was forgotten'
                    when not c.wins then 'a newer vote of the same user stands'
                    when c.was <> c.previous then 'the vote before was not what the request had seen'
                    end as new_reason
          from counted c join base b using (project_id)
    ),
    moved as materialized (
        -- What the whole batch did to each project: the sums of its last request.
        select distinct on (s.project_id) s.project_id, s.owner_id, s.ups, s.downs, s.project_version,
               s.up_sum, s.down_sum, s.version_sum
          from settled s order by s.project_id, s.ord desc
    ),
    write_votes as (
        insert into vote.votes as v (project_id, user_id, value, seq, request_id, updated_at)
        select s.project_id, s.user_id, s.value, s.seq, s.request_id, now_at from settled s where s.is_last
        on conflict (project_id, user_id) do update
           set value = excluded.value, seq = excluded.seq, request_id = excluded.request_id,
               updated_at = excluded.updated_at
    ),
    write_projects as (
        update vote.projects p
           set upvotes = t.ups, downvotes = t.downs, version = t.project_version,
               community_score = vote.community_score(t.ups, t.downs), updated_at = now_at
          from moved t
         where p.project_id = t.project_id and t.version_sum > 0
    ),
    write_notifications as (
        insert into vote.notifications as n (project_id, minute, owner_id, upvotes, downvotes)
        select t.project_id, date_trunc('minute', now_at, 'UTC'), t.owner_id, t.up_sum, t.down_sum
          from moved t
         where t.owner_id is not null and (t.up_sum <> 0 or t.down_sum <> 0)
        on conflict (project_id, minute) do update
           set upvotes = n.upvotes + excluded.upvotes, downvotes = n.downvotes + excluded.downvotes,
               owner_id = excluded.owner_id
    ),
    write_log as (
        insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action,
                              outcome, reason, seq, variant, topic, "partition", "offset", version,
                              committed_at, commit_latency_ms)
        select s.request_id, s.accepted_at, case when s.is_forgotten then vote.nobody() else s.user_id end,
               s.project_id, s.value, s.previous, s.action,
               s.new_outcome, s.new_reason, s.seq, s.variant, in_topic, s.partition_id, s.offset_id,
               s.project_version, now_at, extract(epoch from now_at - s.accepted_at) * 1000
          from settled s where not s.is_replay
        on conflict do nothing
    )
    -- A request that came before has its first outcome: the ledger's, or that of its first record here.
    select s.ord, coalesce(s.old_outcome, first_value(s.new_outcome) over first_record),
           case when s.old_outcome is null then first_value(s.new_reason) over first_record
                else s.old_reason end,
           s.is_replay, s.stands,
           s.was, s.ups::bigint, s.downs::bigint, vote.community_score(s.ups::bigint, s.downs::bigint),
           s.project_version::bigint, now_at, s.is_last
      from settled s
    window first_record as (partition by s.request_id order by s.ord)
     order by s.ord;
end $$;

-- Gives up on a request: the ledger gets its outcome, and nothing else changes. Returns a row like
-- those of vote.apply. A request that the ledger has keeps the outcome it has.
create or replace function vote.fail(in_topic text, in_partition integer, in_offset bigint, in_request uuid,
                          in_user text, in_project text, in_value smallint, in_previous smallint,
                          in_action text, in_seq bigint, in_accepted timestamptz, in_variant text,
                          in_reason text)
returns table (ord integer, outcome text, reason text, replayed boolean, standing smallint,
               old_value smallint, upvotes bigint, downvotes bigint, community_score double precision,
               version bigint, committed_at timestamptz, written boolean)
language plpgsql as $$
declare
    now_at timestamptz := clock_timestamp();
begin
    perform pg_advisory_xact_lock_shared(vote.writing());
    insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action, outcome,
                          reason, seq, variant, topic, "partition", "offset", version, committed_at,
                          commit_latency_ms)
    select in_request, in_accepted,
           case when vote.is_forgotten(in_user, in_seq) then vote.nobody() else in_user end, in_project, in_value, in_previous, in_action, 'failed',
           in_reason, in_seq, in_variant, in_topic, in_partition, in_offset,
           coalesce((select p.version from vote.projects p where p.project_id = in_project), 0),
           now_at, extract(epoch from now_at - in_accepted) * 1000
    on conflict do nothing;
    return query
    select 1, l.outcome, l.reason, false, coalesce(v.value, 0::smallint), null::smallint,
           coalesce(p.upvotes, 0), coalesce(p.downvotes, 0), coalesce(p.community_score, 0),
           coalesce(p.version, 0), now_at, false
      from vote.log l
      left join vote.projects p on p.project_id = l.project_id
      left join vote.votes v on v.project_id = l.project_id and v.user_id = l.user_id
     where l.request_id = in_request and l.accepted_at = in_accepted;
end $$;

-- Forgets what the user has asked for up to in_seq, in_limit rows of it at a time, and returns the projects
-- whose state in Redis may still tell of it: is_gone where a row went. With as many of those as in_limit it
-- is to be called again. The rows go, and the totals with them (vote.on_vote_edited); each project that
-- moved is announced through the outbox, so that no crash loses it. Doing it twice does nothing more, but
-- returns the projects again until vote.forget_log has been there.
--
-- While it works nobody applies a vote, and who comes after finds vote.forgotten: no row slips through.
create function vote.forget(in_user text, in_seq bigint, in_request uuid, in_accepted timestamptz,
                            in_limit integer default 1000)
returns table (project_id text, version bigint, is_gone boolean)
language plpgsql set enable_seqscan = off as $$
declare
    gone_ids text[];
    gone_values smallint[];
begin
    perform pg_advisory_xact_lock(vote.writing());
    insert into vote.forgotten as f (user_hash, seq) values (vote.user_hash(in_user), in_seq)
    on conflict (user_hash) do update set seq = excluded.seq, forgotten_at = excluded.forgotten_at
     where f.seq < excluded.seq;
    -- Only once: who was forgotten may own projects again.
    if found then
        delete from vote.notifications n using vote.projects p
         where p.owner_id = in_user and n.project_id = p.project_id and n.owner_id = in_user;
        update vote.projects p set owner_id = null where p.owner_id = in_user;
    end if;
    with gone as (
        -- By place: for a join the planner may take a user of many votes for one of few.
        delete from vote.votes v
         where v.ctid = any (array(select o.ctid from vote.votes o
                                    where o.user_id = in_user and o.seq <= in_seq limit in_limit))
           and v.user_id = in_user and v.seq <= in_seq
        returning v.project_id, v.value
    )
    select coalesce(array_agg(g.project_id order by g.project_id), '{}'),
           coalesce(array_agg(g.value order by g.project_id), '{}')
      into gone_ids, gone_values from gone g;
    insert into vote.outbox (topic, key, value, headers)
    select 'vote.results', p.project_id,
           json_build_object(
               'request_id', in_request, 'user_id', in_user, 'project_id', p.project_id, 'vote_type', 'none',
               'previous', case g.value when 1 then 'up' else 'down' end, 'action', 'removed',
               'upvotes', p.upvotes, 'downvotes', p.downvotes, 'vote_count', p.vote_count,
               'community_score', p.community_score, 'version', p.version, 'seq', in_seq,
               'reason', 'the user was forgotten', 'user_vote', 'none',
               'accepted_at', to_char(in_accepted at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'committed_at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
           jsonb_build_object('ce_type', 'vote.removed.v1')
      from unnest(gone_ids, gone_values) g (id, value)
      join vote.projects p on p.project_id = g.id
     where g.value <> 0
     order by p.project_id;
    return query
    select i.id, coalesce(p.version, 0), bool_or(i.gone)
      from (select unnest(gone_ids) as id, true as gone
             union all
            select distinct l.project_id, false from vote.log l
             where l.user_id = in_user and l.seq <= in_seq and cardinality(gone_ids) < in_limit) i
      left join vote.projects p on p.project_id = i.id
     group by i.id, p.version;
end $$;

-- Takes the user's name off up to in_limit rows of the ledger; returns how many had it. Within a project
-- the rows keep one name between them, so that the views for analysis count what they counted. Row by row,
-- each by its key: no plan for a set of them is sure to be as good.
create function vote.forget_log(in_user text, in_seq bigint, in_limit integer)
returns bigint language plpgsql set enable_seqscan = off as $$
declare
    salt text := gen_random_uuid();
    old record;
    renamed bigint := 0;
begin
    for old in
        select l.request_id, l.accepted_at, l.project_id from vote.log l
         where l.user_id = in_user and l.seq <= in_seq limit in_limit
    loop
        update vote.log l set user_id = 'forgotten:' || md5(salt || old.project_id)::uuid
         where l.request_id = old.request_id and l.accepted_at = old.accepted_at;
        renamed := renamed + 1;
    end loop;
    return renamed;
end $$;
