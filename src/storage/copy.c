/* copy.c - moving the rows of a store, going on after a break, and comparing both sides.
 *
 * A copy that goes on reads the source from its first row again, passes over what is there already
 * and adds it to the digest: so one walk gives the source's digests, however often the copy was
 * broken off, and the place to go on is a number of rows. */
#include "storage/copy.h"

#include <stdio.h>
#include <string.h>

#include "storage/copy_table.h"
#include "storage/db_sql.h"

/* Of one commit, which also says how far the copy is. */
#define PART_ROWS     20000
#define PART_BYTES    ((size_t)32 << 20)
#define REPORT_ROWS   10000
#define NAME_SIZE     64
#define KEYS_TO_SHARE 0x1p-63

static const char hint_anew[] = "`cvm copy --anew` empties the target and copies it as it is now.";

/* What the target says of itself. */
struct state {
    bool is_there;
    bool has_ended;
    int64_t created_ms;
    char source[200];
    char moment[CVM_DIGEST_TEXT_SIZE];
    char table[NAME_SIZE];
    int64_t rows;
};

struct copying {
    struct cvm_db *source;
    struct cvm_db *target;
    struct cvm_db *journeys; /* of the target */
    const struct cvm_copy_options *options;
    struct cvm_copy_plan plans[CVM_COPY_TABLES_MAX];
    size_t count;
    int64_t created_ms; /* the source */
    char moment[CVM_DIGEST_TEXT_SIZE];
    struct state state;
};

/* ---- reading a table ---- */

struct walk {
    struct copying *copying;
    const struct cvm_copy_plan *plan;
    struct cvm_db_cursor *cursor;
    struct cvm_copy_digest digest;
    bool is_at_end;
    const char *stage; /* NULL = silent */
    size_t part_rows;
    size_t part_bytes;
};

static enum cvm_status walk_open(struct copying *c, struct cvm_db *db,
                                 const struct cvm_copy_plan *plan, struct walk *walk,
                                 struct cvm_error *err)
{
    *walk = (struct walk){.copying = c, .plan = plan};
    cvm_copy_digest_init(&walk->digest);
    return cvm_db_scan(db, plan->scan, NULL, 0, &walk->cursor, err);
}

static void walk_close(struct walk *walk, struct cvm_copy_side *out_side)
{
    out_side->rows = walk->digest.rows;
    cvm_copy_digest_finish(&walk->digest, out_side->digest);
    cvm_db_cursor_close(walk->cursor);
}

static void report(const struct walk *walk, const struct cvm_db_value *columns)
{
    const struct cvm_copy_options *options = walk->copying->options;
    double fraction = -1;
    if (options->on_progress == NULL || walk->stage == NULL) {
        return;
    }
    if (walk->plan->goes_by_customer) {
        fraction = (double)columns[walk->plan->key_column].integer * KEYS_TO_SHARE;
    }
    options->on_progress(options->progress_state, walk->stage, fraction, walk->digest.rows);
}

/* *out_columns is NULL at the end. */
static enum cvm_status walk_next(struct walk *walk, const struct cvm_db_value **out_columns,
                                 struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = cvm_db_cursor_next(walk->cursor, &columns, err);
    if (status == CVM_OK && columns != NULL) {
        status = cvm_copy_digest_add(&walk->digest, columns, walk->plan->column_count, err);
    }
    if (status == CVM_OK && columns != NULL && walk->digest.rows % REPORT_ROWS == 0) {
        report(walk, columns);
        status = cvm_context_check(walk->copying->options->context, err);
    }
    if (status == CVM_OK) {
        walk->is_at_end = columns == NULL;
        *out_columns = columns;
    }
    return status;
}

static enum cvm_status pass_over(struct walk *walk, int64_t rows, struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && !walk->is_at_end && walk->digest.rows < rows) {
        status = walk_next(walk, &columns, err);
    }
    return status;
}

/* All of a table. */
static enum cvm_status digest_table(struct copying *c, struct cvm_db *db,
                                    const struct cvm_copy_plan *plan, const char *stage,
                                    struct cvm_copy_side *out_side, struct cvm_error *err)
{
    struct walk walk;
    enum cvm_status status = walk_open(c, db, plan, &walk, err);
    walk.stage = stage;
    if (status == CVM_OK) {
        status = pass_over(&walk, INT64_MAX, err);
    }
    walk_close(&walk, out_side);
    return status == CVM_OK ? status : cvm_error_context(err, status, "table '%s'", plan->name);
}

/* ---- what the source is, and when ---- */

/* Whatever changes in a store changes one of these tables too, but for the rows that a run or an
 * import brings in the midst of its work: those the comparison finds. */
static enum cvm_status find_moment(struct copying *c, struct cvm_error *err)
{
    struct cvm_digest moment;
    enum cvm_status status = CVM_OK;
    cvm_digest_init(&moment);
    for (size_t i = 0; status == CVM_OK && i < c->count; i++) {
        struct cvm_copy_side side;
        if (c->plans[i].tells_moment) {
            status = digest_table(c, c->source, &c->plans[i], NULL, &side, err);
            cvm_digest_add(&moment, side.digest, CVM_DIGEST_TEXT_SIZE);
        }
    }
    cvm_digest_finish(&moment, c->moment);
    return status;
}

static enum cvm_status plan_copy(struct copying *c, struct cvm_arena *arena, struct cvm_error *err)
{
    struct cvm_copy_plan others[CVM_COPY_TABLES_MAX];
    size_t count = 0;
    enum cvm_status status = cvm_copy_plan_all(c->source, arena, c->plans, &c->count, err);
    if (status == CVM_OK) {
        status = cvm_copy_plan_all(c->target, arena, others, &count, err);
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        if (!cvm_copy_plan_equals(&c->plans[i], &others[i])) {
            status = CVM_FAIL(err, CVM_E_CORRUPT, "table '%s' has other columns in the target",
                              c->plans[i].name);
        }
    }
    return status;
}

/* ---- the state of the target ---- */

static enum cvm_status read_state(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct state *s = state;
    (void)column_count;
    (void)err;
    s->is_there = true;
    s->has_ended = columns[0].type != CVM_DB_NULL;
    s->created_ms = columns[2].integer;
    s->rows = columns[5].integer;
    (void)snprintf(s->source, sizeof(s->source), "%s", cvm_db_string(&columns[1]));
    (void)snprintf(s->moment, sizeof(s->moment), "%s", cvm_db_string(&columns[3]));
    (void)snprintf(s->table, sizeof(s->table), "%s", cvm_db_string(&columns[4]));
    return CVM_OK;
}

static enum cvm_status check_empty(struct copying *c, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < c->count; i++) {
        const struct cvm_db_value *columns = NULL;
        struct cvm_db_cursor *cursor = NULL;
        status = cvm_db_scan(c->target, c->plans[i].scan, NULL, 0, &cursor, err);
        status = status == CVM_OK ? cvm_db_cursor_next(cursor, &columns, err) : status;
        if (status == CVM_OK && columns != NULL) {
            status = CVM_FAIL(err, CVM_E_CONFLICT, "the target is a store already: it has a '%s'",
                              c->plans[i].name);
            status = cvm_error_hint(err, status,
                                    "Name a file that is not there, or an empty "
                                    "database.");
        }
        cvm_db_cursor_close(cursor);
    }
    return status;
}

static enum cvm_status check_state(struct copying *c, struct cvm_error *err)
{
    const struct state *s = &c->state;
    enum cvm_status status = CVM_OK;
    if (!s->is_there) {
        return check_empty(c, err);
    }
    if (s->has_ended) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "the target is a copy of '%s' that has ended: nothing is left to do",
                          s->source);
        return cvm_error_hint(err, status, "Another copy needs another target.");
    }
    if (c->options->starts_anew) {
        return CVM_OK;
    }
    if (s->created_ms != c->created_ms) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "the target is a half copy of another store, '%s'",
                          s->source);
        return cvm_error_hint(err, status, "%s", hint_anew);
    }
    if (strcmp(s->moment, c->moment) != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "the source has changed since this copy of it was broken off");
        return cvm_error_hint(err, status, "%s", hint_anew);
    }
    return CVM_OK;
}

static enum cvm_status forget(struct copying *c, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = c->count; status == CVM_OK && i > 0; i--) {
        status = cvm_db_exec(c->target, c->plans[i - 1].clear, NULL, 0, NULL, err);
    }
    return status == CVM_OK ? cvm_db_exec(c->target, cvm_db_sql(c->target, CVM_SQL_COPY_FORGET),
                                          NULL, 0, NULL, err)
                            : status;
}

static enum cvm_status begin_inside(struct copying *c, int64_t now_ms, struct cvm_error *err)
{
    struct cvm_db *db = c->target;
    struct cvm_db_value created = cvm_db_int(c->created_ms);
    struct cvm_db_value row[] = {cvm_db_int(now_ms), cvm_db_text(c->options->who),
                                 cvm_db_text(c->options->source_shown), created,
                                 cvm_db_text(c->moment)};
    enum cvm_status status = c->state.is_there ? forget(c, err) : CVM_OK;
    if (status == CVM_OK) {
        status =
            cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_COPY_BEGIN), row, CVM_DB_COUNT(row), NULL, err);
    }
    return status == CVM_OK
               ? cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_COPY_CREATED), &created, 1, NULL, err)
               : status;
}

/* A file of journeys may lie there from a store that had the target's name before. */
static enum cvm_status disown_journeys(struct copying *c, struct cvm_error *err)
{
    struct cvm_db *db = c->journeys;
    struct cvm_db_value building[] = {cvm_db_text("building"), cvm_db_text("0")};
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_META_PUT), building,
                       CVM_DB_COUNT(building), NULL, err);
}

static enum cvm_status begin_copy(struct copying *c, int64_t now_ms, struct cvm_error *err)
{
    enum cvm_status status = disown_journeys(c, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(c->target, err);
    }
    if (status == CVM_OK) {
        status = begin_inside(c, now_ms, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(c->target, err);
    }
    cvm_db_rollback(c->target);
    c->state.table[0] = '\0';
    c->state.rows = 0;
    return status;
}

/* ---- moving ---- */

static size_t bytes_of(const struct cvm_db_value *value)
{
    bool is_long = value->type == CVM_DB_TEXT || value->type == CVM_DB_BLOB;
    return is_long ? value->bytes.length : sizeof(value->integer);
}

static enum cvm_status next_row(void *state, struct cvm_db_value *params, size_t param_count,
                                bool *out_has_row, struct cvm_error *err)
{
    struct walk *walk = state;
    const struct cvm_db_value *columns = NULL;
    *out_has_row = false;
    if (walk->part_rows == PART_ROWS || walk->part_bytes >= PART_BYTES) {
        return CVM_OK;
    }
    enum cvm_status status = walk_next(walk, &columns, err);
    if (status != CVM_OK || columns == NULL) {
        return status;
    }
    for (size_t i = 0; i < param_count; i++) {
        params[i] = columns[i];
        walk->part_bytes += bytes_of(&columns[i]);
    }
    walk->part_rows++;
    *out_has_row = true;
    return CVM_OK;
}

static enum cvm_status move_part(struct walk *walk, struct cvm_error *err)
{
    struct cvm_db *db = walk->copying->target;
    const struct cvm_copy_plan *plan = walk->plan;
    walk->part_rows = 0;
    walk->part_bytes = 0;
    enum cvm_status status = cvm_context_check(walk->copying->options->context, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(db, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_bulk_load(db, plan->insert, plan->column_count, next_row, walk, NULL, err);
    }
    if (status == CVM_OK && walk->part_rows > 0) {
        struct cvm_db_value step[] = {cvm_db_text(plan->name), cvm_db_int(walk->digest.rows)};
        status =
            cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_COPY_STEP), step, CVM_DB_COUNT(step), NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

static enum cvm_status move_table(struct copying *c, const struct cvm_copy_plan *plan,
                                  int64_t rows_there, struct cvm_copy_side *out_side,
                                  struct cvm_error *err)
{
    struct walk walk;
    enum cvm_status status = walk_open(c, c->source, plan, &walk, err);
    walk.stage = plan->name;
    if (status == CVM_OK) {
        status = pass_over(&walk, rows_there, err);
    }
    while (status == CVM_OK && !walk.is_at_end) {
        status = move_part(&walk, err);
    }
    walk_close(&walk, out_side);
    return status == CVM_OK ? status : cvm_error_context(err, status, "table '%s'", plan->name);
}

/* How many rows of table `at` an earlier call brought. */
static int64_t rows_there(const struct copying *c, size_t at)
{
    for (size_t i = at; i < c->count; i++) {
        if (strcmp(c->plans[i].name, c->state.table) == 0) {
            return i == at ? c->state.rows : INT64_MAX;
        }
    }
    return 0;
}

static enum cvm_status move_all(struct copying *c, struct cvm_copy_table *tables,
                                struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < c->count; i++) {
        tables[i].name = c->plans[i].name;
        status = move_table(c, &c->plans[i], rows_there(c, i), &tables[i].source, err);
    }
    return status;
}

/* ---- comparing ---- */

static enum cvm_status compare_all(struct copying *c, struct cvm_copy_table *tables,
                                   bool *out_is_equal, struct cvm_error *err)
{
    bool is_equal = true;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < c->count; i++) {
        struct cvm_copy_table *table = &tables[i];
        status = digest_table(c, c->target, &c->plans[i], "check", &table->target, err);
        table->is_equal = table->source.rows == table->target.rows &&
                          strcmp(table->source.digest, table->target.digest) == 0;
        is_equal = is_equal && table->is_equal;
    }
    if (status == CVM_OK) {
        *out_is_equal = is_equal;
    }
    return status;
}

/* ---- all of it ---- */

static bool holds_rows(const struct cvm_copy_report *report, const char *name)
{
    bool holds = false;
    for (size_t i = 0; i < report->table_count; i++) {
        holds = holds ||
                (strcmp(report->tables[i].name, name) == 0 && report->tables[i].source.rows > 0);
    }
    return holds;
}

static enum cvm_status copy_planned(struct copying *c, int64_t now_ms,
                                    struct cvm_copy_report *report, struct cvm_error *err)
{
    enum cvm_status status = find_moment(c, err);
    if (status == CVM_OK) {
        status = cvm_db_query(c->target, cvm_db_sql(c->target, CVM_SQL_COPY_STATE), NULL, 0,
                              read_state, &c->state, err);
    }
    if (status == CVM_OK) {
        status = check_state(c, err);
    }
    report->was_resumed = c->state.is_there && !c->options->starts_anew;
    if (status == CVM_OK && !report->was_resumed) {
        status = begin_copy(c, now_ms, err);
    }
    if (status == CVM_OK) {
        status = move_all(c, report->tables, err);
    }
    return status == CVM_OK ? compare_all(c, report->tables, &report->is_verified, err) : status;
}

enum cvm_status cvm_store_copy(struct cvm_store *source, struct cvm_store *target,
                               const struct cvm_copy_options *options, struct cvm_arena *arena,
                               struct cvm_copy_report *out_report, struct cvm_error *err)
{
    struct copying c = {.source = cvm_store_db(source),
                        .target = cvm_store_db(target),
                        .journeys = cvm_store_journeys(target),
                        .options = options};
    struct cvm_copy_report report = {0};
    enum cvm_status status = cvm_db_begin(c.source, err);
    if (status == CVM_OK) {
        status = cvm_store_created_ms(source, &c.created_ms, err);
    }
    if (status == CVM_OK) {
        status = plan_copy(&c, arena, err);
    }
    if (status == CVM_OK) {
        report.table_count = c.count;
        report.tables = CVM_NEW_ARRAY(arena, c.count, struct cvm_copy_table);
        status = report.tables == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a copy")
                                       : copy_planned(&c, cvm_store_now_ms(target), &report, err);
    }
    cvm_db_rollback(c.source);
    if (status == CVM_OK) {
        report.is_sealed = holds_rows(&report, "vault");
        *out_report = report;
    }
    return status;
}

enum cvm_status cvm_copy_end(struct cvm_store *target, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(target);
    struct cvm_db_value now = cvm_db_int(cvm_store_now_ms(target));
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_COPY_NUMBERS), NULL, 0, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_COPY_END), &now, 1, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status == CVM_OK ? cvm_store_checkpoint(target, err) : status;
}
