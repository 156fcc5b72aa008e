-- 0014_newest.sql - a user's votes in the order of their clicks, as GET /api/votes/user lists them.
--
-- By updated_at all votes of a batch were of one age, and one that was ahead of its commit had another place behind it.
-- Commits wait while the index is made.
create index votes_by_click on vote.votes (user_id, seq desc);
drop index vote.votes_by_user;
