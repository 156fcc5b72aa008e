-- 0007_direct_edits.sql - a row of vote.votes that is changed by hand moves the totals with it, in the
-- same transaction: they equal the rows in every committed state.
--
-- vote.apply moves them itself and sets vote.apply; so may whoever knows what he does. An edit has its
-- row before it asks for the project, vote.apply has the project first: where the two meet, Postgres
-- ends one of them with 40P01, and vote-commit tries its batch again.

-- Adds what one row counts for to its project, which is made when there is none.
create function vote.move_totals(id text, up integer, down integer)
returns void language plpgsql as $$
begin
    if up = 0 and down = 0 then
        return;
    end if;
    insert into vote.projects (project_id) values (id) on conflict do nothing;
    update vote.projects p
       set upvotes = t.ups, downvotes = t.downs, version = p.version + 1,
           community_score = vote.community_score(t.ups, t.downs), updated_at = clock_timestamp()
      from (select greatest(upvotes + up, 0) as ups, greatest(downvotes + down, 0) as downs
              from vote.projects where project_id = id for update) t
     where p.project_id = id;
end $$;

create function vote.on_vote_edited()
returns trigger language plpgsql as $$
declare
    gone integer := case when tg_op <> 'INSERT' then old.value else 0 end;
    come integer := case when tg_op <> 'DELETE' then new.value else 0 end;
begin
    if tg_op = 'UPDATE' and old.project_id <> new.project_id then
        perform vote.move_totals(id, up, down)
           from (values (old.project_id, -(gone = 1)::integer, -(gone = -1)::integer),
                        (new.project_id, (come = 1)::integer, (come = -1)::integer)) m (id, up, down)
          order by id;
    else
        perform vote.move_totals(case when tg_op = 'DELETE' then old.project_id else new.project_id end,
                                 (come = 1)::integer - (gone = 1)::integer,
                                 (come = -1)::integer - (gone = -1)::integer);
    end if;
    return null;
end $$;

create function vote.on_votes_truncated()
returns trigger language plpgsql as $$
begin
    update vote.projects p
       set upvotes = 0, downvotes = 0, version = version + 1,
           community_score = vote.community_score(0, 0), updated_at = clock_timestamp()
      from (select project_id from vote.projects where upvotes > 0 or downvotes > 0
             order by project_id for update) t
     where p.project_id = t.project_id;
    return null;
end $$;

create trigger vote_edited after insert or update or delete on vote.votes
    for each row when (current_setting('vote.apply', true) is distinct from 'on')
    execute function vote.on_vote_edited();
create trigger votes_truncated after truncate on vote.votes
    for each statement execute function vote.on_votes_truncated();
