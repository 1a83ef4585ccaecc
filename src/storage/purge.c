#include "storage/purge.h"

#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/json_writer.h"
#include "storage/audit.h"
#include "storage/customers.h"
#include "storage/db_sql.h"
#include "storage/purge_slice.h"

#define SLICE_CUSTOMERS 512 /* some ten thousand rows: a transaction of a fraction of a second */
#define PLAN_BYTES_MAX  ((size_t)64 << 20)
#define KEY_MAX         ((uint64_t)INT64_MAX)

struct purging {
    struct cvm_store *store;
    struct cvm_db *db;
    const struct cvm_catalogue *catalogue;
    const struct cvm_purge_options *options;
    struct cvm_purge_report *report;
    struct cvm_import_view view;
    struct cvm_purge_slice slice;
    struct cvm_arena *arena;            /* of the plan */
    struct cvm_import_packing *packing; /* NULL: journeys are not current, or it is a dry run */
    struct cvm_text limits_json;
    uint64_t done_key;  /* customers up to it are done */
    uint64_t saved_key; /* the same as the store has it */
};

/* ---- limits ---- */

/* Sources that the store has never seen have nothing that could go. */
static void plan_limits(struct purging *p)
{
    struct cvm_purge_limits *limits = &p->report->limits;
    for (size_t s = 0; s < p->catalogue->source_count; s++) {
        const struct cvm_source *source = &p->catalogue->sources[s];
        if (source->keep_days > 0 && p->view.numbers[s] >= 0) {
            limits->limits[limits->count++] = (struct cvm_purge_limit){
                .name = source->name,
                .source = p->view.numbers[s],
                .before_day = p->options->as_of_day - source->keep_days + 1,
            };
        }
    }
}

static enum cvm_status write_limits(struct purging *p, struct cvm_error *err)
{
    const struct cvm_purge_limits *limits = &p->report->limits;
    cvm_text_clear(&p->limits_json);
    for (size_t i = 0; i < limits->count; i++) {
        cvm_text_add_format(&p->limits_json, "%s\"%lld\":%d", i == 0 ? "{" : ",",
                            (long long)limits->limits[i].source, limits->limits[i].before_day);
    }
    cvm_text_add_char(&p->limits_json, '}');
    return p->limits_json.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to purge") : CVM_OK;
}

/* ---- the record of it ---- */

struct newest {
    int64_t purge; /* 0 = there was none */
    int32_t as_of_day;
    uint64_t done_key;
    bool is_unfinished;
    struct cvm_purge_limits limits;
    struct cvm_arena *arena;
};

static enum cvm_status read_newest(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct newest *newest = state;
    (void)column_count;
    (void)err;
    newest->purge = columns[0].integer;
    newest->as_of_day = (int32_t)columns[1].integer;
    newest->done_key = (uint64_t)columns[2].integer;
    newest->is_unfinished = columns[3].integer != 0;
    return CVM_OK;
}

static enum cvm_status read_source(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct newest *newest = state;
    struct cvm_purge_limits *limits = &newest->limits;
    (void)column_count;
    if (limits->count == CVM_SOURCES_MAX) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a purge of more than %d sources", CVM_SOURCES_MAX);
    }
    struct cvm_purge_limit *limit = &limits->limits[limits->count++];
    *limit = (struct cvm_purge_limit){
        .source = columns[0].integer,
        .before_day = (int32_t)columns[2].integer,
        .records = columns[3].integer,
        .rows = columns[4].integer,
    };
    return cvm_db_copy_string(newest->arena, &columns[1], &limit->name)
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the sources of a purge");
}

static enum cvm_status find_newest(struct purging *p, struct newest *out_newest,
                                   struct cvm_error *err)
{
    *out_newest = (struct newest){.arena = p->arena};
    enum cvm_status status = cvm_db_query(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_NEWEST), NULL, 0,
                                          read_newest, out_newest, err);
    struct cvm_db_value param = cvm_db_int(out_newest->purge);
    return status == CVM_OK ? cvm_db_query(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_SOURCES), &param,
                                           1, read_source, out_newest, err)
                            : status;
}

/* `shows_counts`: at its end. */
static enum cvm_status add_audit(struct purging *p, int64_t purge, int32_t as_of_day,
                                 const struct cvm_purge_limits *limits, const char *state,
                                 struct cvm_error *err)
{
    char object[40];
    char day[CVM_DAY_TEXT_SIZE];
    struct cvm_text text;
    struct cvm_json_writer json;
    (void)snprintf(object, sizeof(object), "purge %lld", (long long)purge);
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "state", state);
    cvm_json_key_string(&json, "as_of", cvm_day_format(as_of_day, day));
    cvm_json_key(&json, "sources");
    cvm_json_object(&json);
    for (size_t i = 0; i < limits->count; i++) {
        const struct cvm_purge_limit *limit = &limits->limits[i];
        cvm_json_key(&json, limit->name);
        cvm_json_object(&json);
        cvm_json_key_string(&json, "kept_from", cvm_day_format(limit->before_day, day));
        if (strcmp(state, "begun") != 0) {
            cvm_json_key_int(&json, "records", limit->records);
            cvm_json_key_int(&json, "rows", limit->rows);
        }
        cvm_json_object_end(&json);
    }
    cvm_json_object_end(&json);
    cvm_json_object_end(&json);
    struct cvm_audit_row row = {
        .who = p->options->who,
        .action = "purge",
        .object = object,
        .why = p->options->why,
        .after = cvm_text_string(&text),
    };
    enum cvm_status status = text.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for an audit row")
                                         : cvm_audit_add(p->store, &row, err);
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status end_purge(struct purging *p, int64_t purge, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_int(purge), cvm_db_int(cvm_store_now_ms(p->store))};
    return cvm_db_exec(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_FINISH), params, CVM_DB_COUNT(params),
                       NULL, err);
}

static enum cvm_status add_purge(struct purging *p, int64_t purge, struct cvm_error *err)
{
    const struct cvm_purge_limits *limits = &p->report->limits;
    struct cvm_db_value params[] = {cvm_db_int(purge), cvm_db_int(p->options->as_of_day),
                                    cvm_db_int(cvm_store_now_ms(p->store)),
                                    cvm_db_text(p->options->who), cvm_db_text(p->options->why)};
    enum cvm_status status = cvm_db_exec(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_ADD), params,
                                         CVM_DB_COUNT(params), NULL, err);
    for (size_t i = 0; status == CVM_OK && i < limits->count; i++) {
        struct cvm_db_value source[] = {cvm_db_int(purge), cvm_db_int(limits->limits[i].source),
                                        cvm_db_int(limits->limits[i].before_day)};
        status = cvm_db_exec(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_SOURCE_ADD), source,
                             CVM_DB_COUNT(source), NULL, err);
    }
    return status == CVM_OK ? add_audit(p, purge, p->options->as_of_day, limits, "begun", err)
                            : status;
}

/* The limit of the same source and day; NULL = there is none. */
static const struct cvm_purge_limit *find_same(const struct cvm_purge_limits *limits,
                                               const struct cvm_purge_limit *wanted)
{
    for (size_t i = 0; i < limits->count; i++) {
        if (limits->limits[i].source == wanted->source &&
            limits->limits[i].before_day == wanted->before_day) {
            return &limits->limits[i];
        }
    }
    return NULL;
}

static bool is_same(const struct purging *p, const struct newest *newest)
{
    const struct cvm_purge_limits *now = &p->report->limits;
    bool same = newest->as_of_day == p->options->as_of_day && newest->limits.count == now->count;
    for (size_t i = 0; same && i < now->count; i++) {
        same = find_same(&newest->limits, &now->limits[i]) != NULL;
    }
    return same;
}

static enum cvm_status begin_new(struct purging *p, const struct newest *newest,
                                 struct cvm_error *err)
{
    enum cvm_status status = cvm_db_begin(p->db, err);
    if (status == CVM_OK && newest->is_unfinished) {
        status = end_purge(p, newest->purge, err);
        status = status == CVM_OK ? add_audit(p, newest->purge, newest->as_of_day, &newest->limits,
                                              "cut off", err)
                                  : status;
    }
    if (status == CVM_OK) {
        status = add_purge(p, newest->purge + 1, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(p->db, err);
    }
    cvm_db_rollback(p->db);
    if (status == CVM_OK) {
        p->report->purge = newest->purge + 1;
    }
    return status;
}

static enum cvm_status begin_or_resume(struct purging *p, struct cvm_error *err)
{
    struct newest newest;
    enum cvm_status status = find_newest(p, &newest, err);
    if (status != CVM_OK || !newest.is_unfinished || !is_same(p, &newest)) {
        return status == CVM_OK ? begin_new(p, &newest, err) : status;
    }
    p->report->purge = newest.purge;
    for (size_t i = 0; i < p->report->limits.count; i++) { /* by the catalogue's names */
        struct cvm_purge_limit *limit = &p->report->limits.limits[i];
        const struct cvm_purge_limit *before = find_same(&newest.limits, limit);
        limit->records = before->records;
        limit->rows = before->rows;
    }
    p->done_key = newest.done_key;
    p->saved_key = p->done_key;
    return CVM_OK;
}

static enum cvm_status finish_purge(struct purging *p, struct cvm_error *err)
{
    enum cvm_status status = cvm_db_begin(p->db, err);
    if (status == CVM_OK) {
        status = end_purge(p, p->report->purge, err);
    }
    if (status == CVM_OK) {
        status =
            add_audit(p, p->report->purge, p->options->as_of_day, &p->report->limits, "done", err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(p->db, err);
    }
    cvm_db_rollback(p->db);
    return status;
}

/* ---- one range of customers ---- */

static enum cvm_status delete_rows_of(struct purging *p, uint64_t key, int64_t *deleted,
                                      struct cvm_error *err)
{
    const struct cvm_purge_row *rows = CVM_COLUMN_DATA(&p->slice.rows, struct cvm_purge_row);
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < p->slice.rows.count; i++) {
        const struct cvm_purge_row *row = &rows[i];
        if (row->key != key || !row->goes) {
            continue;
        }
        struct cvm_db_value params[] = {cvm_db_int((int64_t)row->key), cvm_db_int(row->day),
                                        cvm_db_int(row->source), cvm_db_int((int64_t)row->identity),
                                        cvm_db_int(row->version)};
        int64_t changed = 0;
        status = cvm_db_exec(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_ROW), params,
                             CVM_DB_COUNT(params), &changed, err);
        *deleted += changed;
    }
    return status;
}

static enum cvm_status delete_range(struct purging *p, const struct cvm_purge_range *range,
                                    int64_t *deleted, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_int((int64_t)range->first_key),
                                    cvm_db_int((int64_t)range->last_key),
                                    cvm_db_text(cvm_text_string(&p->limits_json))};
    int64_t changed = 0;
    if (range->is_exact) {
        return delete_rows_of(p, range->first_key, deleted, err);
    }
    enum cvm_status status = cvm_db_exec(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_RANGE), params,
                                         CVM_DB_COUNT(params), &changed, err);
    *deleted += changed;
    return status;
}

static enum cvm_status delete_all(struct purging *p, struct cvm_error *err)
{
    const struct cvm_purge_range *ranges =
        CVM_COLUMN_DATA(&p->slice.ranges, struct cvm_purge_range);
    int64_t deleted = 0;
    int64_t wanted = 0;
    enum cvm_status status = CVM_OK;
    for (size_t r = 0; status == CVM_OK && r < p->slice.ranges.count; r++) {
        status = delete_range(p, &ranges[r], &deleted, err);
    }
    for (size_t i = 0; i < p->report->limits.count; i++) {
        wanted += p->slice.row_counts[i];
    }
    return status == CVM_OK && deleted != wanted
               ? CVM_FAIL(err, CVM_E_INTERNAL, "%lld rows were to go, %lld would have gone",
                          (long long)wanted, (long long)deleted)
               : status;
}

static enum cvm_status save_step(struct purging *p, uint64_t done_key, bool changes_journeys,
                                 struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_int(p->report->purge), cvm_db_int((int64_t)done_key),
                                    cvm_db_int(changes_journeys)};
    return cvm_db_exec(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_STEP), params, CVM_DB_COUNT(params),
                       NULL, err);
}

static enum cvm_status save_counts(struct purging *p, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < p->report->limits.count; i++) {
        struct cvm_db_value params[] = {
            cvm_db_int(p->report->purge), cvm_db_int(p->report->limits.limits[i].source),
            cvm_db_int(p->slice.records[i]), cvm_db_int(p->slice.row_counts[i])};
        if (p->slice.row_counts[i] > 0) {
            status = cvm_db_exec(p->db, cvm_db_sql(p->db, CVM_SQL_PURGE_SOURCE_STEP), params,
                                 CVM_DB_COUNT(params), NULL, err);
        }
    }
    return status;
}

static enum cvm_status remove_rows(struct purging *p, struct cvm_error *err)
{
    enum cvm_status status = cvm_db_begin(p->db, err);
    if (status == CVM_OK) {
        status = delete_all(p, err);
    }
    if (status == CVM_OK) {
        status = save_counts(p, err);
    }
    if (status == CVM_OK) {
        status = save_step(p, p->slice.last_key, p->slice.bodies.count > 0, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(p->db, err);
    }
    cvm_db_rollback(p->db);
    if (status == CVM_OK) {
        p->saved_key = p->slice.last_key;
    }
    return status;
}

static enum cvm_status note_changes(struct purging *p, int64_t changes, struct cvm_error *err)
{
    struct cvm_db *journeys = cvm_store_journeys(p->store);
    char number[24];
    char changed[24];
    (void)snprintf(number, sizeof(number), "%lld", (long long)changes);
    (void)snprintf(changed, sizeof(changed), "%lld", (long long)cvm_store_now_ms(p->store));
    struct cvm_db_value purges[] = {cvm_db_text("purges"), cvm_db_text(number)};
    struct cvm_db_value moment[] = {cvm_db_text("changed"), cvm_db_text(changed)};
    const char *sql = cvm_db_sql(journeys, CVM_SQL_IMPORT_META_PUT);
    enum cvm_status status = cvm_db_exec(journeys, sql, purges, 2, NULL, err);
    return status == CVM_OK ? cvm_db_exec(journeys, sql, moment, 2, NULL, err) : status;
}

/* Behind the rows: whoever comes in between, or after a crash, finds that the journeys have not
 * seen as many changes as the store has. */
static enum cvm_status follow_with_journeys(struct purging *p, struct cvm_error *err)
{
    struct cvm_db *journeys = cvm_store_journeys(p->store);
    int64_t changes = 0;
    enum cvm_status status = cvm_db_get_int(p->db, CVM_SQL_PURGE_CHANGES, NULL, 0, &changes, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(journeys, err);
    }
    if (status == CVM_OK) {
        status = cvm_import_pack(
            p->packing, journeys, CVM_COLUMN_DATA(&p->slice.bodies, struct cvm_import_body),
            p->slice.bodies.count, CVM_COLUMN_DATA(&p->slice.events, struct cvm_import_pack_event),
            err);
    }
    if (status == CVM_OK) {
        status = note_changes(p, changes, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(journeys, err);
    }
    cvm_db_rollback(journeys);
    return status;
}

static void count_gone(struct purging *p)
{
    for (size_t i = 0; i < p->report->limits.count; i++) {
        p->report->limits.limits[i].records += p->slice.records[i];
        p->report->limits.limits[i].rows += p->slice.row_counts[i];
    }
    p->report->customers += p->slice.customers;
}

static enum cvm_status purge_slice(struct purging *p, struct cvm_error *err)
{
    enum cvm_status status = cvm_context_check(p->options->context, err);
    if (status == CVM_OK) {
        status = cvm_purge_slice_read(&p->slice, &p->report->limits,
                                      cvm_text_string(&p->limits_json), err);
    }
    bool has_some = status == CVM_OK && p->slice.customers > 0;
    if (has_some && !p->options->is_dry) {
        /* Before the rows go: what can not be read must not be left behind stale. */
        status = cvm_purge_slice_pack(&p->slice, err);
        status = status == CVM_OK ? remove_rows(p, err) : status;
    }
    if (has_some && status == CVM_OK) {
        count_gone(p);
    }
    if (has_some && status == CVM_OK && p->packing != NULL && p->slice.bodies.count > 0) {
        status = follow_with_journeys(p, err);
    }
    return status;
}

/* ---- all of them ---- */

static enum cvm_status save_place(struct purging *p, struct cvm_error *err)
{
    if (p->options->is_dry || p->saved_key == p->done_key) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_db_begin(p->db, err);
    if (status == CVM_OK) {
        status = save_step(p, p->done_key, false, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(p->db, err);
    }
    cvm_db_rollback(p->db);
    return status;
}

static void report_progress(const struct purging *p)
{
    if (p->options->on_progress != NULL) {
        p->options->on_progress(p->options->progress_state, "purge",
                                (double)p->done_key / (double)KEY_MAX, p->report->customers);
    }
}

static enum cvm_status walk(struct purging *p, struct cvm_error *err)
{
    uint64_t step = KEY_MAX / ((uint64_t)p->view.customers_before / SLICE_CUSTOMERS + 1) + 1;
    bool goes_on = true;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && goes_on && p->done_key < KEY_MAX) {
        p->slice.first_key = p->done_key + 1;
        p->slice.last_key = KEY_MAX - p->done_key > step ? p->done_key + step : KEY_MAX;
        status = purge_slice(p, err);
        if (status == CVM_OK) {
            p->done_key = p->slice.last_key;
            report_progress(p);
            goes_on =
                p->options->may_go_on == NULL || p->options->may_go_on(p->options->may_go_on_state);
        }
    }
    if (status == CVM_OK) {
        p->report->is_done = p->done_key == KEY_MAX;
        status = save_place(p, err);
    }
    return status;
}

static enum cvm_status prepare_packing(struct purging *p, struct cvm_error *err)
{
    const struct cvm_import_plan *plan = NULL;
    bool is_current = false;
    enum cvm_status status =
        cvm_packed_is_current(p->store, p->catalogue, p->view.last_closed, &is_current, err);
    p->report->has_stale_journeys = !is_current;
    if (status != CVM_OK || !is_current) {
        return status;
    }
    status = cvm_import_plan_make(p->arena, p->catalogue, &plan, err);
    if (status == CVM_OK && (p->packing = cvm_import_packing_create(plan)) == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to pack journeys");
    }
    return status;
}

static enum cvm_status run(struct purging *p, struct cvm_error *err)
{
    p->arena = cvm_arena_create(PLAN_BYTES_MAX);
    enum cvm_status status = p->arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to purge")
                                              : cvm_purge_slice_init(&p->slice, err);
    p->slice.view = &p->view;
    plan_limits(p);
    if (status == CVM_OK && p->report->limits.count == 0) {
        p->report->is_done = true;
        return CVM_OK;
    }
    if (status == CVM_OK && !p->options->is_dry) {
        status = prepare_packing(p, err);
        status = status == CVM_OK ? begin_or_resume(p, err) : status;
    }
    if (status == CVM_OK) {
        status = write_limits(p, err);
    }
    if (status == CVM_OK) {
        status = walk(p, err);
    }
    return status == CVM_OK && p->report->is_done && !p->options->is_dry ? finish_purge(p, err)
                                                                         : status;
}

enum cvm_status cvm_purge(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                          const struct cvm_purge_options *options,
                          struct cvm_purge_report *out_report, struct cvm_error *err)
{
    struct cvm_purge_report report = {0};
    struct purging p = {.store = store,
                        .db = cvm_store_db(store),
                        .catalogue = catalogue,
                        .options = options,
                        .report = &report};
    enum cvm_status status = cvm_import_view_open(&p.view, store, catalogue, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&p.limits_json, 0);
    status = run(&p, err);
    cvm_purge_slice_finish(&p.slice);
    cvm_import_packing_destroy(p.packing);
    cvm_text_finish(&p.limits_json);
    cvm_arena_destroy(p.arena);
    cvm_import_view_close(&p.view);
    if (status == CVM_OK) {
        *out_report = report;
    }
    return status;
}
