-- 0009_commit.sql - vote.progress also learns how far the results were announced, and a refused record
-- is parked by the transaction that moves the offset past it.

drop function vote.advance;

-- Moves the offset of one partition, and refuses with VP001 when it is not where the caller thinks:
-- then somebody else has applied those records, and nothing of this transaction may stand.
create function vote.advance(in_topic text, in_partition integer, expected bigint, next bigint,
                             announced bigint, in_owner text)
returns void language plpgsql as $$
declare
    found_offset bigint;
begin
    update vote.progress
       set next_offset = next, announced_offset = announced, owner = in_owner, updated_at = clock_timestamp()
     where topic = in_topic and "partition" = in_partition and next_offset = expected;
    if found then
        return;
    end if;
    select next_offset into found_offset from vote.progress
     where topic = in_topic and "partition" = in_partition;
    if found_offset is null and expected = 0 then
        insert into vote.progress (topic, "partition", next_offset, announced_offset, owner)
        values (in_topic, in_partition, next, announced, in_owner);
    else
        raise exception 'fenced: % [%] is at offset %, expected %', in_topic, in_partition,
            coalesce(found_offset, 0), expected using errcode = 'VP001';
    end if;
end $$;

-- What vote-commit calls for a batch: fences and moves the offset of each partition in it, then
-- applies. One statement, so one transaction: both or neither.
create function vote.commit_batch(in_topic text, batch_partitions integer[], expected bigint[],
                                  next_offsets bigint[], announced bigint[], in_owner text,
                                  in_partitions integer[], in_offsets bigint[], request_ids uuid[],
                                  user_ids text[], project_ids text[], vote_values smallint[],
                                  previous_values smallint[], actions text[], seqs bigint[],
                                  accepted timestamptz[], variants text[])
returns table (ord integer, outcome text, reason text, replayed boolean, standing smallint,
               old_value smallint, upvotes bigint, downvotes bigint, community_score double precision,
               version bigint, committed_at timestamptz, written boolean)
language plpgsql as $$
begin
    perform vote.advance(in_topic, b.part, b.expect, b.next, b.told, in_owner)
       from (select * from unnest(batch_partitions, expected, next_offsets, announced)
                           as u (part, expect, next, told)
              order by part) b;
    return query select * from vote.apply(in_topic, in_partitions, in_offsets, request_ids, user_ids,
                                          project_ids, vote_values, previous_values, actions, seqs,
                                          accepted, variants);
end $$;

-- Keeps a refused record for later tries and moves the offset past it: both or neither.
create function vote.park(in_topic text, in_partition integer, in_offset bigint, expected bigint,
                          announced bigint, in_owner text, in_key bytea, in_value bytea,
                          in_names bytea[], in_values bytea[], in_request uuid, in_delay_ms bigint,
                          in_sqlstate text, in_reason text)
returns void language plpgsql as $$
begin
    perform vote.advance(in_topic, in_partition, expected, greatest(in_offset + 1, expected), announced,
                         in_owner);
    insert into vote.parked (topic, "partition", "offset", key, value, header_names, header_values,
                             request_id, next_attempt_at, sqlstate, reason)
    values (in_topic, in_partition, in_offset, in_key, in_value, in_names, in_values, in_request,
            clock_timestamp() + in_delay_ms * interval '1 millisecond', in_sqlstate, in_reason)
    on conflict do nothing;
end $$;

-- Puts a partition where the log says it must be: it was made anew, or has lost records. Refuses with
-- VP001 when somebody else has moved it meanwhile.
create function vote.reposition(in_topic text, in_partition integer, expected bigint, next bigint,
                                is_new_topic boolean, in_owner text)
returns void language plpgsql as $$
begin
    perform vote.advance(in_topic, in_partition, expected, next, next, in_owner);
    update vote.progress set since = clock_timestamp()
     where topic = in_topic and "partition" = in_partition and is_new_topic;
end $$;

-- Gives up on a request: the ledger gets its outcome, and nothing else changes. Returns a row like
-- those of vote.apply. A request that the ledger has keeps the outcome it has.
create function vote.fail(in_topic text, in_partition integer, in_offset bigint, in_request uuid,
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
           coalesce(p.version, 0), now_at, false
      from vote.log l
      left join vote.projects p on p.project_id = l.project_id
      left join vote.votes v on v.project_id = l.project_id and v.user_id = l.user_id
     where l.request_id = in_request and l.accepted_at = in_accepted;
end $$;
