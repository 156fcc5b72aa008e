-- 0008_analysis.sql - what the ledger tells of voters as a whole: views for people and dashboards.
--
-- A request counts here when it was committed or reconciled; failed and superseded ones changed nothing.
-- Each view reads the ledger anew: a condition on its time or project keeps a look cheap.

create view vote.votes_per_hour as
select date_trunc('hour', accepted_at, 'UTC') as hour,
       count(*) as votes,
       count(*) filter (where value = 1) as upvotes,
       count(*) filter (where value = -1) as downvotes,
       count(*) filter (where value = 0) as removals,
       count(distinct user_id) as users
  from vote.log
 where outcome in ('committed', 'reconciled')
 group by 1;
comment on view vote.votes_per_hour is
    'votes by the hour (UTC) in which they were accepted; removals are votes taken back';

create view vote.votes_per_variant as
select variant,
       count(*) as votes,
       count(*) filter (where value = 1) as upvotes,
       count(*) filter (where value = -1) as downvotes,
       count(*) filter (where value = 0) as removals,
       count(distinct user_id) as users,
       count(*) filter (where value = 1)::float8 / nullif(count(*) filter (where value <> 0), 0) as up_share
  from vote.log
 where outcome in ('committed', 'reconciled')
 group by variant;
comment on view vote.votes_per_variant is
    'votes by the variant that the page showed (null: none); up_share is the share of upvotes among up and down';

-- What the user's vote was before: a committed request had seen it; for a reconciled one the ledger has
-- it in the row before, as far as that row is still there.
create view vote.flip_rate as
select project_id,
       count(*) filter (where value <> 0) as votes,
       count(*) filter (where value * was = -1) as flips,
       count(*) filter (where value * was = -1)::float8 / nullif(count(*) filter (where value <> 0), 0) as flip_rate
  from (select project_id, value,
               case when outcome = 'committed' then previous
                    else coalesce(lag(value) over (partition by project_id, user_id order by seq), 0)
                    end as was
          from vote.log
         where outcome in ('committed', 'reconciled')) step
 group by project_id;
comment on view vote.flip_rate is
    'by project: the share of up and down votes that turned the same user''s earlier vote into its opposite';

-- The counts of a project that moved are those of its users' newest votes less those before the day.
-- A user's first vote of the day says what was before, when it was committed; else the ledger is asked.
create view vote.top_movers as
with today as (
    select project_id, user_id, value, previous, outcome, seq,
           lag(value) over pair as was, row_number() over pair = 1 as is_first
      from vote.log
     where accepted_at > now() - interval '24 hours' and outcome in ('committed', 'reconciled')
    window pair as (partition by project_id, user_id order by seq)
),
before as (
    select distinct on (project_id, user_id) project_id, user_id, l.value
      from today t join vote.log l using (project_id, user_id)
     where t.is_first and t.outcome = 'reconciled' and l.seq < t.seq and l.outcome in ('committed', 'reconciled')
     order by project_id, user_id, l.seq desc
),
step as (
    select t.project_id, t.value,
           case when not t.is_first then t.was
                when t.outcome = 'committed' then t.previous
                else coalesce(b.value, 0) end as was
      from today t left join before b on t.is_first and b.project_id = t.project_id and b.user_id = t.user_id
)
select project_id, count(*) as votes,
       sum((value = 1)::integer - (was = 1)::integer) as upvotes_moved,
       sum((value = -1)::integer - (was = -1)::integer) as downvotes_moved,
       sum(value - was) as moved
  from step
 group by project_id
 order by abs(sum(value - was)) desc, project_id;
comment on view vote.top_movers is
    'projects by how far their upvotes less downvotes moved in the last 24 hours, up or down, furthest first';
