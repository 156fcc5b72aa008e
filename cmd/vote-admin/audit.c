/* audit.c - vote-admin audit: do the totals equal the rows, and the rows the log?
 *
 * Postgres is read in one snapshot, and the log up to where that snapshot says it was applied: so
 * it may run at any time, beside any load. It changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/audit.h"
#include "vote-admin/commands.h"

#include "vote/event.h"

#include <stdio.h>

enum { SHOWN_MAX = 100 }; /* of each kind of difference; all are counted */

/* Each row is a sentence about one difference. */
static const char *const checks[] = {
    /* G4: totals equal rows */
    "select format('%s: projects say %s up %s down, votes say %s up %s down', p.project_id, "
    "              p.upvotes, p.downvotes, coalesce(v.up, 0), coalesce(v.down, 0)) "
    "  from vote.projects p "
    "  left join (select project_id, count(*) filter (where value = 1) as up, "
    "                    count(*) filter (where value = -1) as down "
    "               from vote.votes group by project_id) v using (project_id) "
    " where (p.upvotes, p.downvotes) is distinct from (coalesce(v.up, 0), coalesce(v.down, 0)) "
    " order by p.project_id",
    "select format('%s: community_score is %s, its counts make it %s', project_id, "
    "              community_score, vote.community_score(upvotes, downvotes)) "
    "  from vote.projects "
    " where abs(community_score - vote.community_score(upvotes, downvotes)) > 1e-9 "
    " order by project_id",
    "select format('%s: has %s votes, but is no project', project_id, count(*)) "
    "  from vote.votes v "
    " where not exists (select from vote.projects p where p.project_id = v.project_id) "
    " group by project_id order by project_id",
    /* G1, G3: every vote of the log is counted, the newest stands */
    "select format('%s: the log''s newest vote of one user is %s, its row is %s', l.project_id, "
    "              l.value, case when v.seq is null then 'missing' "
    "                            when v.seq < l.seq then 'older' else v.value::text end) "
    "  from (select distinct on (project_id, user_id) * from audit_log "
    "         order by project_id, user_id, seq desc) l "
    "  left join vote.votes v using (project_id, user_id) "
    " where v.seq is null or v.seq < l.seq or (v.seq = l.seq and v.value <> l.value) order by 1",
    /* G2: each request has one outcome */
    "select format('request %s is in the log %s, in the ledger %s', a.request_id, a.place, "
    "              case when l.times is null then 'it is missing' else l.times || ' times' end) "
    "  from (select request_id, min(format('at %s:%s', \"partition\", record)) as place "
    "          from audit_log group by request_id) a "
    "  left join (select request_id, count(*) as times from vote.log group by request_id) l "
    "    using (request_id) "
    " where l.times is distinct from 1 order by a.place, 1",
    /* nothing is counted that was never asked for */
    "select format('request %s is in the ledger with offset %s:%s, where the log has another', "
    "              l.request_id, l.\"partition\", l.\"offset\") "
    "  from vote.log l join audit_range r using (\"partition\") "
    " where l.topic = '" TOPIC_REQUESTS "' and l.\"offset\" >= r.low "
    "   and not exists (select from audit_log a where a.request_id = l.request_id) order by 1",
    "select format('%s: a row stands for request %s, which neither log nor ledger has', "
    "              v.project_id, v.request_id) "
    "  from vote.votes v "
    " where not exists (select from audit_log a where a.request_id = v.request_id) "
    "   and not exists (select from vote.log l where l.request_id = v.request_id) "
    "   and not exists (select from vote.outbox o where o.key = v.project_id) "
    "   and not exists (select from audit_range where low > 0) order by 1",
};

static const char totals_sql[] =
    "select (select count(*) from vote.projects), (select count(*) from vote.votes), "
    "       (select count(*) from vote.log)";

bool audit_execute(struct audit *audit, const char *sql, struct error *error)
{
    PGresult *result = pg_query(&audit->pg, sql, 0, NULL, error);
    PQclear(result);
    return result != NULL;
}

static bool audit_check(struct audit *audit, const char *sql, struct error *error)
{
    PGresult *rows = pg_query(&audit->pg, sql, 0, NULL, error);
    if (!rows)
        return false;
    int count = PQntuples(rows);
    for (int i = 0; i < count && i < SHOWN_MAX; i++)
        puts(PQgetvalue(rows, i, 0));
    if (count > SHOWN_MAX)
        printf("and %d more of this kind\n", count - SHOWN_MAX);
    audit->differences += count;
    PQclear(rows);
    return true;
}

static bool audit_print_totals(struct audit *audit, struct error *error)
{
    PGresult *rows = pg_query(&audit->pg, totals_sql, 0, NULL, error);
    if (!rows)
        return false;
    printf("%s projects, %s votes, %s requests in the ledger, %lld records in the log\n",
           PQgetvalue(rows, 0, 0), PQgetvalue(rows, 0, 1), PQgetvalue(rows, 0, 2),
           (long long)audit->records);
    if (audit->undecodable)
        printf("%lld records are no votes\n", (long long)audit->undecodable);
    PQclear(rows);
    return true;
}

static bool audit_compare(struct audit *audit, struct error *error)
{
    bool fine = audit_execute(audit, "begin isolation level repeatable read", error) &&
                audit_load_log(audit, error) && audit_print_totals(audit, error);
    for (size_t i = 0; fine && i < sizeof checks / sizeof *checks; i++)
        fine = audit_check(audit, checks[i], error);
    return fine;
}

bool audit_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    const struct admin_config *config = context;
    struct audit audit = {.pg = {.url = config->pg.url, .name = "vote-admin"}};
    bool fine = reader_open(&audit.reader, &config->kafka, "vote-admin", TOPIC_REQUESTS, error) &&
                audit_compare(&audit, error);
    reader_close(&audit.reader);
    pg_close(&audit.pg); /* rolls back: the tables were temporary */
    if (!fine)
        return false;
    if (audit.differences == 0) {
        puts("audit: clean");
        return true;
    }
    printf("audit: %lld differences\n", (long long)audit.differences);
    return error_set(error, ERROR_FOUND, "%s", "");
}
