-- 0001_schema.sql - the truth: who voted what, what it adds up to, and what became of each request.

create schema if not exists vote;

-- Lower bound of the Wilson score interval at 95 % for the share of upvotes, 0 without votes.
-- A site may replace it by `create or replace function` with its own ranking of the same form.
create function vote.community_score(upvotes bigint, downvotes bigint)
returns double precision language sql immutable parallel safe as $$
    select case when upvotes + downvotes = 0 then 0 else
        (upvotes::float8 / (upvotes + downvotes) + 1.9208 / (upvotes + downvotes)
         - 1.96 * sqrt(upvotes::float8 * downvotes / (upvotes + downvotes) + 0.9604)
           / (upvotes + downvotes)) / (1 + 3.8416 / (upvotes + downvotes)) end
$$;

create table vote.projects (
    project_id      text primary key,
    owner_id        text,
    upvotes         bigint not null default 0 check (upvotes >= 0),
    downvotes       bigint not null default 0 check (downvotes >= 0),
    vote_count      bigint not null generated always as (upvotes - downvotes) stored,
    community_score double precision not null default 0,
    version         bigint not null default 0,
    updated_at      timestamptz not null default now()
) with (fillfactor = 70);

create index projects_by_score on vote.projects (community_score desc, project_id);

-- One row for each user who ever voted on a project; 0 is a vote taken back. `seq` says which click
-- it stands for: a request with a lower one changes nothing any more.
create table vote.votes (
    project_id text not null,
    user_id    text not null,
    value      smallint not null check (value in (-1, 0, 1)),
    seq        bigint not null,
    request_id uuid not null,
    updated_at timestamptz not null default now(),
    primary key (project_id, user_id)
) with (fillfactor = 80);

create index votes_by_user on vote.votes (user_id, updated_at desc);

-- The ledger: one row a request, whatever became of it. Never updated.
create table vote.log (
    request_id        uuid not null,
    accepted_at       timestamptz not null,
    user_id           text not null,
    project_id        text not null,
    value             smallint not null,
    previous          smallint not null,
    action            text not null,
    outcome           text not null check (outcome in ('committed', 'reconciled', 'superseded', 'failed')),
    reason            text,
    seq               bigint not null,
    variant           text,
    topic             text not null,
    "partition"       integer not null,
    "offset"          bigint not null,
    version           bigint not null,
    committed_at      timestamptz not null default clock_timestamp(),
    commit_latency_ms double precision not null,
    primary key (request_id, accepted_at)
);

create index log_by_offset on vote.log (topic, "partition", "offset");

-- How far each partition was applied. It moves in the transaction that applies the votes, so that it
-- and they are never apart; Kafka's own committed offset is a hint.
create table vote.progress (
    topic       text not null,
    "partition" integer not null,
    next_offset bigint not null,
    owner       text,
    updated_at  timestamptz not null default now(),
    primary key (topic, "partition")
) with (fillfactor = 50);

-- Request events accepted while Kafka was away, to be relayed in order of id.
create table vote.outbox (
    id         bigint generated always as identity primary key,
    topic      text not null,
    key        text not null,
    value      text not null,
    headers    jsonb not null default '{}',
    created_at timestamptz not null default now()
);

-- What a project's owner should hear of, one row a project and minute.
create table vote.notifications (
    project_id text not null,
    minute     timestamptz not null,
    owner_id   text not null,
    upvotes    bigint not null default 0,
    downvotes  bigint not null default 0,
    primary key (project_id, minute)
);
