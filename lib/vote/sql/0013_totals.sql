-- 0013_totals.sql - the totals of a batch are written by their keys, whatever the planner thinks of the table.

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
-- more than the vote, and what is empty when its plan is made does not stay so: neither a new month, nor
-- the tables of a new database.
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
          -- `limit` keeps each a look into one index: for a join of sets the planner counts every month
          -- for every request, and would rather read the whole ledger, or all rows of a table that had
          -- none when it looked.
          left join lateral (select g.request_id, g.outcome, g.reason from vote.log g
                              where g.request_id = r.request_id and g.accepted_at = r.accepted_at
                              limit 1) l on true
          left join lateral (select w.value, w.seq from vote.votes w
                              where w.project_id = r.project_id and w.user_id = r.user_id
                              limit 1) v on true
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
        -- They are there, and locked. Each is found by its key; an update from a join could be planned to search
        -- all ids of the batch, sorted anew, for each of its projects.
        insert into vote.projects as p (project_id, upvotes, downvotes, version, community_score, updated_at)
        select t.project_id, t.ups, t.downs, t.project_version, vote.community_score(t.ups, t.downs), now_at
          from moved t where t.version_sum > 0
        on conflict (project_id) do update
           set upvotes = excluded.upvotes, downvotes = excluded.downvotes, version = excluded.version,
               community_score = excluded.community_score, updated_at = excluded.updated_at
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
