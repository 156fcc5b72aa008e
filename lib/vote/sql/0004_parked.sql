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
