/* audit_check.c - what is compared: each check is a query for (project_id, a sentence about one
 * difference). All hold in any snapshot that is not older than the log was read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/audit.h"

#include "vote/event.h"

#include <stdio.h>

enum { SHOWN_MAX = 100 }; /* of each kind of difference; all are counted */

/* audit_newest: each user's newest vote in the log, of those that neither wait in vote.parked nor
 * failed, and whose user was not forgotten since; indexed, since the planner takes joins by several
 * columns for far smaller than they are. audit_wrong_rows: rows that are not what the log's newest
 * vote says, or, where the log does not reach back, what the ledger says of the row's own request.
 * audit_missing: requests without a ledger row, although no dropped month can have had it. */
static const char views_sql[] =
    "create temporary table audit_found (project_id text, sentence text); "
    "create temporary table audit_newest as "
    "select distinct on (project_id, user_id) project_id, user_id, value, seq, request_id "
    "  from audit_log a "
    " where not exists (select from vote.parked k where k.request_id = a.request_id) "
    "   and not exists (select from vote.log l "
    "                    where l.request_id = a.request_id and l.outcome = 'failed') "
    "   and not exists (select from vote.forgotten f "
    "                    where f.user_hash = vote.user_hash(a.user_id) and f.seq >= a.seq) "
    " order by project_id, user_id, seq desc, \"partition\", record; "
    "create unique index on audit_newest (project_id, user_id); "
    "analyze audit_newest; "
    "create temporary view audit_truth as "
    "select project_id, user_id, value, seq, request_id, 'log' as source from audit_newest "
    "union all "
    "select l.project_id, l.user_id, l.value, l.seq, l.request_id, 'ledger' "
    "  from vote.votes v join vote.log l using (project_id, user_id, request_id) "
    " where l.outcome <> 'failed' "
    "   and not exists (select from audit_newest n "
    "                    where (n.project_id, n.user_id) = (v.project_id, v.user_id)); "
    "create temporary view audit_wrong_rows as "
    "select t.*, case when v.seq is null then 'missing' when v.seq < t.seq then 'older' "
    "                 else v.value::text end as found "
    "  from audit_truth t left join vote.votes v using (project_id, user_id) "
    " where v.seq is null or v.seq < t.seq or (v.seq = t.seq and v.value <> t.value) "
    "    or (v.request_id = t.request_id and v.seq <> t.seq); "
    "create temporary view audit_missing as "
    "select distinct on (a.request_id) a.* from audit_log a "
    " where a.accepted_at > '-infinity' "
    "   and not exists (select from vote.log l where l.request_id = a.request_id) "
    "   and not exists (select from vote.parked k where k.request_id = a.request_id) "
    "   and not exists (select from vote.log_dropped d where a.accepted_at < d.ends) "
    " order by a.request_id, a.\"partition\", a.record";

static const char *const checks[] = {
    /* nothing is counted that was never asked for */
    "select v.project_id, format('%s: a row stands for request %s, which neither log nor ledger "
    "has', v.project_id, v.request_id) "
    "  from vote.votes v "
    " where not exists (select from audit_log a where (a.request_id, a.project_id, a.user_id) = "
    "                                                 (v.request_id, v.project_id, v.user_id)) "
    "   and not exists (select from vote.log l where (l.request_id, l.project_id, l.user_id) = "
    "                                                (v.request_id, v.project_id, v.user_id)) "
    "   and not exists (select from vote.outbox o where o.key = v.project_id) "
    "   and not exists (select from audit_range where low > 0) order by 2",
    "select l.project_id, format('request %s is in the ledger with offset %s:%s, where the log has "
    "another', l.request_id, l.\"partition\", l.\"offset\") "
    "  from vote.log l join audit_range r using (\"partition\") "
    "  join vote.progress p using (topic, \"partition\") "
    " where l.topic = '" TOPIC_REQUESTS
    "' and l.\"offset\" >= r.low and l.\"offset\" < r.next and l.committed_at >= p.since "
    "   and not exists (select from audit_log a where a.request_id = l.request_id) order by 2",
    /* G2: each request has one outcome */
    "select project_id, format('request %s is in the log at %s:%s, in the ledger it is missing', "
    "                          request_id, \"partition\", record) "
    "  from audit_missing order by \"partition\", record",
    "select min(l.project_id), format('request %s is in the log at %s, in the ledger %s times', "
    "                                 l.request_id, a.place, count(*)) "
    "  from (select request_id, min(format('%s:%s', \"partition\", record)) as place "
    "          from audit_log group by request_id) a join vote.log l using (request_id) "
    " group by l.request_id, a.place having count(*) > 1 order by 2",
    /* G1, G3: every vote of the log is counted, the newest stands */
    "select project_id, format('%s: the %s''s newest vote of one user is %s, its row is %s', "
    "                          project_id, source, value, found) "
    "  from audit_wrong_rows order by 2",
    /* G4: totals equal rows */
    "select project_id, format('%s: has %s votes, but is no project', project_id, count(*)) "
    "  from vote.votes v "
    " where not exists (select from vote.projects p where p.project_id = v.project_id) "
    " group by project_id order by project_id",
    "select p.project_id, format('%s: projects say %s up %s down, votes say %s up %s down', "
    "            p.project_id, p.upvotes, p.downvotes, coalesce(v.up, 0), coalesce(v.down, 0)) "
    "  from vote.projects p "
    "  left join (select project_id, count(*) filter (where value = 1) as up, "
    "                    count(*) filter (where value = -1) as down "
    "               from vote.votes group by project_id) v using (project_id) "
    " where (p.upvotes, p.downvotes) is distinct from (coalesce(v.up, 0), coalesce(v.down, 0)) "
    " order by p.project_id",
    "select project_id, format('%s: community_score is %s, its counts make it %s', project_id, "
    "                          community_score, vote.community_score(upvotes, downvotes)) "
    "  from vote.projects "
    " where abs(community_score - vote.community_score(upvotes, downvotes)) > 1e-9 "
    " order by project_id",
};

bool audit_make_views(struct audit *audit, struct error *error)
{
    return audit_execute(audit, views_sql, error);
}

static bool check_run(struct audit *audit, const char *find, const char *prefix, int64_t *count,
                      struct error *error)
{
    struct buf sql = {0};
    buf_format(&sql, "insert into audit_found %s returning sentence", find);
    PGresult *rows = pg_query(&audit->pg, sql.data, 0, NULL, error);
    buf_free(&sql);
    if (!rows)
        return false;
    int found = PQntuples(rows);
    for (int i = 0; i < found && i < SHOWN_MAX; i++)
        printf("%s%s\n", prefix, PQgetvalue(rows, i, 0));
    if (found > SHOWN_MAX)
        printf("%sand %d more of this kind\n", prefix, found - SHOWN_MAX);
    *count += found;
    PQclear(rows);
    return true;
}

bool audit_find(struct audit *audit, const char *prefix, int64_t *count, struct error *error)
{
    bool fine = audit_execute(audit, "truncate audit_found", error);
    for (size_t i = 0; fine && i < sizeof checks / sizeof *checks; i++)
        fine = check_run(audit, checks[i], prefix, count, error);
    return fine;
}
