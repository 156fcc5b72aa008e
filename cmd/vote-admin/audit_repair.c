/* audit_repair.c - the log is the truth for rows, and rows are the truth for totals.
 *
 * One transaction, under the locks of vote.apply and in its order (projects by id, those that are
 * made before those that are locked), so that votes of these projects wait meanwhile and the others
 * go on. Every statement looks anew under the locks: what vote-commit has put right, or applied,
 * since the differences were found is left alone. A crash leaves all as it was, or all repaired.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/audit.h"

#include "vote/event.h"

#include <stdio.h>

/* Whose votes are to be repaired; every statement below keeps to them. */
#define OF_FOUND "project_id in (select project_id from audit_found) "

/* The triggers for direct edits stand back: totals are counted here when the rows are right. */
static const char begin_sql[] =
    "begin; set local vote.apply = 'on'; "
    "create temporary table audit_repaired (project_id text) on commit preserve rows";

static const char lock_sql[] =
    "select from vote.projects where " OF_FOUND "order by project_id for update";

/* Each returns (project_id, a sentence about one change). */
static const char add_projects_sql[] =
    "insert into vote.projects (project_id) "
    "select distinct project_id from vote.votes v where " OF_FOUND
    "   and not exists (select from vote.projects p where p.project_id = v.project_id) "
    " order by project_id on conflict do nothing "
    "returning project_id, format('%s: is a project', project_id)";

static const char remove_rows_sql[] =
    "delete from vote.votes v where " OF_FOUND
    "   and not exists (select from audit_log a where (a.request_id, a.project_id, a.user_id) = "
    "                                                 (v.request_id, v.project_id, v.user_id)) "
    "   and not exists (select from vote.log l where (l.request_id, l.project_id, l.user_id) = "
    "                                                (v.request_id, v.project_id, v.user_id)) "
    "   and not exists (select from vote.outbox o where o.key = v.project_id) "
    "   and not exists (select from audit_range where low > 0) "
    "returning project_id, format('%s: removed the vote %s of %s, request %s', project_id, value, "
    "                             user_id, request_id)";

/* A request whose row stands was applied: only its ledger row is gone. */
static const char record_standing_sql[] =
    "insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action, "
    "                      outcome, seq, variant, topic, \"partition\", \"offset\", version, "
    "                      commit_latency_ms) "
    "select m.request_id, m.accepted_at, m.user_id, m.project_id, m.value, m.previous, m.action, "
    "       'committed', m.seq, m.variant, '" TOPIC_REQUESTS "', m.\"partition\", m.record, "
    "       p.version, extract(epoch from v.updated_at - m.accepted_at) * 1000 "
    "  from audit_missing m join vote.votes v using (project_id, user_id, request_id, seq, value) "
    "  join vote.projects p using (project_id) where " OF_FOUND
    "returning project_id, format('%s: request %s is in the ledger again', project_id, request_id)";

static const char apply_missing_sql[] =
    "with m as (select array_agg(\"partition\" order by \"partition\", record) as partitions, "
    "                  array_agg(record order by \"partition\", record) as records, "
    "                  array_agg(request_id order by \"partition\", record) as request_ids, "
    "                  array_agg(user_id order by \"partition\", record) as user_ids, "
    "                  array_agg(project_id order by \"partition\", record) as project_ids, "
    "                  array_agg(value order by \"partition\", record) as vote_values, "
    "                  array_agg(previous order by \"partition\", record) as previous_values, "
    "                  array_agg(action order by \"partition\", record) as actions, "
    "                  array_agg(seq order by \"partition\", record) as seqs, "
    "                  array_agg(accepted_at order by \"partition\", record) as accepted, "
    "                  array_agg(variant order by \"partition\", record) as variants "
    "             from audit_missing where " OF_FOUND ") "
    "select m.project_ids[r.ord], format('%s: request %s is applied, and %s', "
    "                                    m.project_ids[r.ord], m.request_ids[r.ord], r.outcome) "
    "  from m, vote.apply('" TOPIC_REQUESTS "', partitions, records, request_ids, user_ids, "
    "                     project_ids, vote_values, previous_values, actions, seqs, accepted, "
    "                     variants) r";

static const char set_rows_sql[] =
    "with wrong as materialized (select distinct on (project_id, user_id) * "
    "                              from audit_wrong_rows where " OF_FOUND "), "
    "fixed as (insert into vote.votes (project_id, user_id, value, seq, request_id, updated_at) "
    "          select project_id, user_id, value, seq, request_id, clock_timestamp() from wrong "
    "          on conflict (project_id, user_id) do update "
    "             set value = excluded.value, seq = excluded.seq, "
    "                 request_id = excluded.request_id, updated_at = excluded.updated_at) "
    "select project_id, format('%s: the vote of %s is %s, its row was %s', project_id, user_id, "
    "                          value, found) "
    "  from wrong";

static const char count_totals_sql[] =
    "update vote.projects p "
    "   set upvotes = t.up, downvotes = t.down, version = p.version + 1, "
    "       community_score = vote.community_score(t.up, t.down), updated_at = clock_timestamp() "
    "  from (select o.project_id, o.upvotes, o.downvotes, "
    "               count(*) filter (where v.value = 1) as up, "
    "               count(*) filter (where v.value = -1) as down "
    "          from vote.projects o left join vote.votes v using (project_id) "
    "         where " OF_FOUND " group by o.project_id) t "
    " where p.project_id = t.project_id "
    "   and ((p.upvotes, p.downvotes) <> (t.up, t.down) "
    "        or abs(p.community_score - vote.community_score(t.up, t.down)) > 1e-9) "
    "returning p.project_id, format('%s: counts are %s up %s down, they were %s up %s down', "
    "                               p.project_id, t.up, t.down, t.upvotes, t.downvotes)";

/* A row may have changed under the same totals: a reader drops what is older than what it has. */
static const char raise_versions_sql[] =
    "update vote.projects set version = version + 1, updated_at = clock_timestamp() "
    " where project_id in (select project_id from audit_repaired)";

/* In this order. Totals are counted before requests are applied, too: vote.apply moves them from
 * where they are, and could not from where they cannot be. */
static const char *const repairs[] = {remove_rows_sql,   count_totals_sql, record_standing_sql,
                                      apply_missing_sql, set_rows_sql,     count_totals_sql};

/* Prints what a repair returns and notes the projects. */
static bool repair_run(struct audit *audit, const char *sql, struct error *error)
{
    struct buf projects = {0};
    PGresult *rows = pg_query(&audit->pg, sql, 0, NULL, error);
    if (!rows)
        return false;
    for (int row = 0; row < PQntuples(rows); row++) {
        printf("%s: %s\n", audit->dry_run ? "would repair" : "repaired", PQgetvalue(rows, row, 1));
        pg_array_text(&projects, PQgetvalue(rows, row, 0));
    }
    PQclear(rows);
    const char *parameters[] = {pg_array_end(&projects)};
    rows = pg_query(&audit->pg, "insert into audit_repaired select unnest($1::text[])", 1,
                    parameters, error);
    PQclear(rows);
    buf_free(&projects);
    return rows != NULL;
}

/* The transaction; what is left is looked for in it, so that what is printed is what stands. */
static bool repair_all(struct audit *audit, int64_t *left, struct error *error)
{
    bool fine = audit_execute(audit, begin_sql, error) &&
                repair_run(audit, add_projects_sql, error) && audit_execute(audit, lock_sql, error);
    for (size_t i = 0; fine && i < sizeof repairs / sizeof *repairs; i++)
        fine = repair_run(audit, repairs[i], error);
    *left = audit->misplaced;
    if (audit->misplaced)
        puts("not repaired: what the log does not have of vote.progress, see above");
    return fine && audit_execute(audit, raise_versions_sql, error) &&
           audit_find(audit, "not repaired: ", left, error) &&
           audit_execute(audit, audit->dry_run ? "rollback" : "commit", error);
}

bool audit_repair(struct audit *audit, int64_t *left, struct error *error)
{
    return repair_all(audit, left, error) &&
           (audit->dry_run || !audit->redis || audit_redis_repair(audit, error));
}
