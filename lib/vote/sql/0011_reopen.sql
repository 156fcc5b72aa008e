-- 0011_reopen.sql - a request that was given up may be asked for once more, by an operator who has mended
-- what refused it.

-- Takes the outcome 'failed' of a request back, so that its copy at this place of the log is applied as if it
-- came for the first time; true when it had one. A copy that the ledger knows, or one behind it, reopens
-- nothing: reading any part of the log again changes nothing.
create function vote.reopen(in_topic text, in_partition integer, in_offset bigint, in_request uuid,
                            in_accepted timestamptz)
returns boolean language plpgsql as $$
begin
    delete from vote.log l
     where l.request_id = in_request and l.accepted_at = in_accepted and l.outcome = 'failed'
       and not (l.topic = in_topic and l."partition" = in_partition and l."offset" >= in_offset);
    return found;
end $$;

comment on table vote.log is
    'append-only ledger: one row a request, whatever became of it. By months of accepted_at (UTC). Only a user who is forgotten is renamed in it, and a failure that is redriven gives way to what becomes of it';
