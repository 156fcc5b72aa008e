-- 0003_sync.sql - a vote applied while Kafka is away: by the same function, with its event kept in the
-- same transaction, to be relayed to vote.requests when Kafka is back. There it is found applied.

create function vote.apply_now(in_request uuid, in_user text, in_project text, in_value smallint,
                               in_previous smallint, in_action text, in_seq bigint,
                               in_accepted timestamptz, in_variant text, in_event text,
                               in_headers jsonb)
returns table (ord integer, outcome text, reason text, replayed boolean, standing smallint,
               old_value smallint, upvotes bigint, downvotes bigint, community_score double precision,
               version bigint, committed_at timestamptz)
language plpgsql as $$
declare
    applied record;
begin
    select * into applied
      from vote.apply('vote.requests', '{-1}', '{-1}', array[in_request], array[in_user],
                      array[in_project], array[in_value], array[in_previous], array[in_action],
                      array[in_seq], array[in_accepted], array[in_variant]);
    -- What the ledger had already is in the log, or in the outbox.
    if not applied.replayed then
        insert into vote.outbox (topic, key, value, headers)
        values ('vote.requests', in_project, in_event, in_headers);
    end if;
    return query select applied.ord, applied.outcome, applied.reason, applied.replayed,
                        applied.standing, applied.old_value, applied.upvotes, applied.downvotes,
                        applied.community_score, applied.version, applied.committed_at;
end $$;
