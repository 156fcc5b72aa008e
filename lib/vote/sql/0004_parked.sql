-- 0004_parked.sql - records that Postgres refuses for good: tried again by themselves, beside the batches.

-- A record that was refused is kept here, byte for byte, by the transaction that moves the offset past
-- it, so that it holds up nobody. It is applied when a later try succeeds (seq keeps the outcome
-- right), or goes to vote.dead when all tries have failed. The row goes when Kafka has acknowledged
-- what became of it.
create table vote.parked (
    topic           text not null,
    "partition"     integer not null,
    "offset"        bigint not null,
    key             bytea,
    value           bytea,
    header_names    bytea[] not null default '{}',
    header_values   bytea[] not null default '{}',
    request_id      uuid not null,
    attempts        integer not null default 1,
    first_failed_at timestamptz not null default clock_timestamp(),
    next_attempt_at timestamptz not null,
    sqlstate        text not null,
    reason          text not null,
    primary key (topic, "partition", "offset")
);

-- How far the results were announced, as told with the next batch: where a new owner goes on announcing
-- when Kafka's own committed offset is lost.
alter table vote.progress add column announced_offset bigint not null default 0;

-- When the topic was found to be another one than before: ledger rows of the partition that are older
-- than this belong to the topic that was there then.
alter table vote.progress add column since timestamptz not null default '-infinity';

-- Gives up on a request: the ledger gets its outcome, and nothing else changes. Returns a row like
-- those of vote.apply. A request that the ledger has keeps the outcome it has.
create function vote.fail(in_topic text, in_partition integer, in_offset bigint, in_request uuid,
                          in_user text, in_project text, in_value smallint, in_previous smallint,
                          in_action text, in_seq bigint, in_accepted timestamptz, in_variant text,
                          in_reason text)
returns table (ord integer, outcome text, reason text, replayed boolean, standing smallint,
               old_value smallint, upvotes bigint, downvotes bigint, community_score double precision,
               version bigint, committed_at timestamptz)
language plpgsql as $$
declare
    now_at timestamptz := clock_timestamp();
begin
    insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action, outcome,
                          reason, seq, variant, topic, "partition", "offset", version, committed_at,
                          commit_latency_ms)
    select in_request, in_accepted, in_user, in_project, in_value, in_previous, in_action, 'failed',
           in_reason, in_seq, in_variant, in_topic, in_partition, in_offset,
           coalesce((select p.version from vote.projects p where p.project_id = in_project), 0),
           now_at, extract(epoch from now_at - in_accepted) * 1000
    on conflict do nothing;
    return query
    select 1, l.outcome, l.reason, false, coalesce(v.value, 0::smallint), null::smallint,
           coalesce(p.upvotes, 0), coalesce(p.downvotes, 0), coalesce(p.community_score, 0),
           coalesce(p.version, 0), now_at
      from vote.log l
      left join vote.projects p on p.project_id = l.project_id
      left join vote.votes v on v.project_id = l.project_id and v.user_id = l.user_id
     where l.request_id = in_request and l.accepted_at = in_accepted;
end $$;
