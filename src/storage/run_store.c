/* run_store.c - runs, the states of their plans, and value blocks; decisions are in plan_store.c.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/columns.h"
#include "base/date.h"
#include "base/suggest.h"
#include "storage/audit.h"
#include "storage/db_sql.h"
#include "storage/plan_store.h"

/* ---- reading runs ---- */

/* Copies into the arena, so that a record outlives its row. */
static enum cvm_status copy_run(struct cvm_arena *arena, const struct cvm_db_value *columns,
                                struct cvm_run_record *out_run, struct cvm_error *err)
{
    struct cvm_run_record run = {
        .epoch = columns[4].integer,
        .as_of_day = (int32_t)columns[5].integer,
        .seed = columns[6].integer,
        .catalogue_version = columns[7].integer,
        .last_batch = columns[8].integer,
        .created_at_ms = columns[10].integer,
        .finished_at_ms = columns[11].type == CVM_DB_INT ? columns[11].integer : 0,
        .decisions = columns[14].integer,
        .value = columns[15].number,
        .dual_bound = columns[16].number,
        .spend_micro = columns[17].integer,
    };
    if (!cvm_db_copy_string(arena, &columns[0], &run.run_id) ||
        !cvm_db_copy_string(arena, &columns[1], &run.request) ||
        !cvm_db_copy_string(arena, &columns[2], &run.state) ||
        !cvm_db_copy_string(arena, &columns[3], &run.plan_state) ||
        !cvm_db_copy_string(arena, &columns[9], &run.options) ||
        !cvm_db_copy_string(arena, &columns[12], &run.summary) ||
        !cvm_db_copy_string(arena, &columns[13], &run.plan_digest) ||
        !cvm_db_copy_string(arena, &columns[18], &run.created_by) ||
        !cvm_db_copy_string(arena, &columns[19], &run.responses) ||
        !cvm_db_copy_string(arena, &columns[20], &run.hold_reasons)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a run");
    }
    *out_run = run;
    return CVM_OK;
}

struct finding {
    struct cvm_arena *arena;
    const char *run_id; /* NULL: the first row counts */
    struct cvm_run_record run;
    int count;
};

static enum cvm_status find_run(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct finding *finding = state;
    (void)column_count;
    bool is_exact = finding->run_id != NULL && finding->count == 1 &&
                    strcmp(finding->run.run_id, finding->run_id) == 0;
    if (is_exact) {
        return CVM_OK; /* the id itself, and another one that it begins */
    }
    finding->count++;
    return copy_run(finding->arena, columns, &finding->run, err);
}

enum cvm_status cvm_run_find(struct cvm_store *store, struct cvm_arena *arena, const char *request,
                             struct cvm_run_record *out_run, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct finding finding = {.arena = arena};
    struct cvm_db_value param = cvm_db_text(request);
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_RUN_FIND), &param, 1, find_run, &finding, err);
    if (status == CVM_OK && finding.count == 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no such run was made before");
    }
    if (status == CVM_OK) {
        *out_run = finding.run;
    }
    return status;
}

static enum cvm_status fail_none(struct cvm_error *err)
{
    enum cvm_status status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no finished run");
    return cvm_error_hint(err, status, "`cvm plan list` shows the runs, `cvm run` makes one.");
}

static enum cvm_status try_run(void *state, const struct cvm_run_record *run, struct cvm_error *err)
{
    (void)err;
    cvm_suggestion_try(state, run->run_id); /* in the arena, as long as the suggestion */
    return CVM_OK;
}

#define RUNS_TRIED 200

static enum cvm_status fail_unknown(struct cvm_store *store, struct cvm_arena *arena,
                                    const char *run_id, struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = run_id};
    enum cvm_status status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no run '%s'", run_id);
    cvm_suggestion_try(&suggestion, "latest");
    if (cvm_run_list(store, arena, RUNS_TRIED, try_run, &suggestion, NULL) != CVM_OK ||
        suggestion.best == NULL) {
        return cvm_error_hint(err, status, "`cvm plan list` shows the runs, `cvm run` makes one.");
    }
    return cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
}

enum cvm_status cvm_run_get(struct cvm_store *store, struct cvm_arena *arena, const char *run_id,
                            struct cvm_run_record *out_run, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    bool is_latest = strcmp(run_id, "latest") == 0;
    struct finding finding = {.arena = arena, .run_id = is_latest ? NULL : run_id};
    struct cvm_db_value param = cvm_db_text(run_id);
    enum cvm_sql sql = is_latest ? CVM_SQL_RUN_LATEST : CVM_SQL_RUN_GET;
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, sql), &param, is_latest ? 0 : 1, find_run, &finding, err);
    if (status != CVM_OK) {
        return status;
    }
    if (finding.count == 0 || run_id[0] == '\0') {
        return is_latest ? fail_none(err) : fail_unknown(store, arena, run_id, err);
    }
    if (finding.count > 1) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "several runs begin with '%s'", run_id);
        return cvm_error_hint(err, status, "`cvm plan list` shows their whole names.");
    }
    *out_run = finding.run;
    return CVM_OK;
}

enum cvm_status cvm_run_for_everybody(struct cvm_store *store, struct cvm_arena *arena,
                                      int32_t as_of_day, struct cvm_run_record *out_run,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct finding finding = {.arena = arena};
    struct cvm_db_value day = as_of_day == CVM_DAY_NONE ? cvm_db_null() : cvm_db_int(as_of_day);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_RUN_FOR_EVERYBODY), &day, 1,
                                          find_run, &finding, err);
    if (status == CVM_OK && finding.count == 0) {
        return fail_none(err);
    }
    if (status == CVM_OK) {
        *out_run = finding.run;
    }
    return status;
}

struct listing {
    struct cvm_arena *arena;
    cvm_run_fn on_run;
    void *state;
};

static enum cvm_status list_run(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    struct cvm_run_record run;
    (void)column_count;
    enum cvm_status status = copy_run(listing->arena, columns, &run, err);
    return status == CVM_OK ? listing->on_run(listing->state, &run, err) : status;
}

enum cvm_status cvm_run_list_page(struct cvm_store *store, struct cvm_arena *arena,
                                  const struct cvm_run_page *page, cvm_run_fn on_run, void *state,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {.arena = arena, .on_run = on_run, .state = state};
    struct cvm_db_value params[] = {cvm_db_int(page->count_max),
                                    cvm_db_text(page->before == NULL ? "" : page->before)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_RUN_LIST), params, CVM_DB_COUNT(params),
                        list_run, &listing, err);
}

enum cvm_status cvm_run_list(struct cvm_store *store, struct cvm_arena *arena, int64_t count_max,
                             cvm_run_fn on_run, void *state, struct cvm_error *err)
{
    struct cvm_run_page page = {.count_max = count_max};
    return cvm_run_list_page(store, arena, &page, on_run, state, err);
}

/* ---- start, fail, finish ---- */

struct stored_epoch {
    bool is_there;
    bool is_done;
    int64_t epoch;
};

static enum cvm_status read_epoch(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct stored_epoch *stored = state;
    (void)column_count;
    (void)err;
    stored->is_there = true;
    stored->epoch = columns[0].integer;
    stored->is_done = strcmp(cvm_db_string(&columns[1]), "done") == 0;
    return CVM_OK;
}

static enum cvm_status find_epoch(struct cvm_db *db, const char *run_id,
                                  struct stored_epoch *out_stored, struct cvm_error *err)
{
    *out_stored = (struct stored_epoch){0};
    struct cvm_db_value param = cvm_db_text(run_id);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_RUN_EPOCH), &param, 1, read_epoch, out_stored,
                        err);
}

static enum cvm_status add_run(struct cvm_db *db, const struct cvm_run_record *run,
                               struct cvm_error *err)
{
    struct cvm_db_value params[] = {
        cvm_db_text(run->run_id),
        cvm_db_text(run->request),
        cvm_db_int(run->as_of_day),
        cvm_db_int(run->seed),
        cvm_db_int(run->catalogue_version),
        cvm_db_int(run->last_batch),
        cvm_db_text(run->options == NULL ? "{}" : run->options),
        cvm_db_int(run->created_at_ms),
        cvm_db_text(run->created_by == NULL ? "" : run->created_by),
        cvm_db_text(run->responses),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_RUN_ADD), params, CVM_DB_COUNT(params), NULL,
                       err);
}

static enum cvm_status fenced(const char *run_id, struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' was taken over by another process", run_id);
}

/* What the dead process wrote goes; its holds in the ledger are replaced by the next hold. */
static enum cvm_status take_up_run(struct cvm_db *db, const struct cvm_run_record *run,
                                   int64_t epoch, struct cvm_error *err)
{
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(run->run_id),       cvm_db_text(run->options == NULL ? "{}" : run->options),
        cvm_db_int(run->created_at_ms), cvm_db_text(run->created_by == NULL ? "" : run->created_by),
        cvm_db_text(run->responses),    cvm_db_int(epoch),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_RUN_TAKE_UP), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK && changed == 0) {
        return fenced(run->run_id, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_VALUE_BLOCK_DELETE), params, 1, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DECISION_DELETE), params, 1, NULL, err);
    }
    return status;
}

static enum cvm_status start_in_transaction(struct cvm_db *db, const struct cvm_run_record *run,
                                            int64_t *out_epoch, struct cvm_error *err)
{
    struct stored_epoch stored;
    enum cvm_status status = find_epoch(db, run->run_id, &stored, err);
    if (status == CVM_OK && stored.is_done) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' is done already", run->run_id);
    }
    if (status == CVM_OK) {
        status = stored.is_there ? take_up_run(db, run, stored.epoch, err) : add_run(db, run, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_db_value params[] = {cvm_db_text(run->run_id), cvm_db_int(run->created_at_ms)};
    *out_epoch = stored.epoch + 1;
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_PLAN_BUILDING), params, CVM_DB_COUNT(params),
                       NULL, err);
}

struct starting {
    struct cvm_db *db;
    const struct cvm_run_record *run;
    int64_t epoch;
};

static enum cvm_status start_once(void *state, struct cvm_error *err)
{
    struct starting *starting = state;
    starting->epoch = 0;
    return start_in_transaction(starting->db, starting->run, &starting->epoch, err);
}

enum cvm_status cvm_run_start(struct cvm_store *store, const struct cvm_run_record *run,
                              int64_t *out_epoch, struct cvm_error *err)
{
    struct starting starting = {.db = cvm_store_db(store), .run = run};
    assert(strlen(run->run_id) < CVM_RUN_ID_SIZE);
    enum cvm_status status = cvm_db_transact(starting.db, start_once, &starting, err);
    if (status == CVM_OK) {
        *out_epoch = starting.epoch;
    }
    return status;
}

enum cvm_status cvm_run_fail(struct cvm_store *store, const char *run_id, int64_t epoch,
                             struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(run_id),
        cvm_db_int(epoch),
        cvm_db_int(cvm_store_now_ms(store)),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_RUN_FAIL), params,
                                         CVM_DB_COUNT(params), &changed, err);
    return status == CVM_OK && changed == 0 ? fenced(run_id, err) : status;
}

static enum cvm_status finish_plan(struct cvm_db *db, const struct cvm_run_record *run,
                                   int64_t now_ms, struct cvm_error *err)
{
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(run->run_id),
        cvm_db_text(run->plan_state == NULL ? "draft" : run->plan_state),
        cvm_db_text(run->plan_digest),
        cvm_db_int(run->decisions),
        cvm_db_double(run->value),
        cvm_db_double(run->dual_bound),
        cvm_db_int(run->spend_micro),
        cvm_db_int(now_ms),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_PLAN_FINISH), params,
                                         CVM_DB_COUNT(params), &changed, err);
    return status == CVM_OK && changed == 0 ? fenced(run->run_id, err) : status;
}

enum cvm_status cvm_run_finish(struct cvm_store *store, const struct cvm_run_record *run,
                               struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    int64_t now_ms = run->finished_at_ms == 0 ? cvm_store_now_ms(store) : run->finished_at_ms;
    bool is_failed = run->state != NULL && strcmp(run->state, "failed") == 0;
    struct cvm_db_value params[] = {
        cvm_db_text(run->run_id),
        cvm_db_int(run->epoch),
        cvm_db_text(is_failed ? "failed" : "done"),
        cvm_db_int(now_ms),
        cvm_db_text(run->summary),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_RUN_FINISH), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK && changed == 0) {
        return fenced(run->run_id, err);
    }
    return status == CVM_OK ? finish_plan(db, run, now_ms, err) : status;
}

/* ---- states of plans ---- */

static const struct {
    const char *from;
    const char *to;
} steps[] = {
    {"building", "draft"},    {"draft", "approved"},    {"draft", "held"},
    {"draft", "recalled"},    {"approved", "released"}, {"approved", "held"},
    {"approved", "draft"},    {"approved", "recalled"}, {"held", "draft"},
    {"held", "approved"},     {"held", "recalled"},     {"released", "closed"},
    {"released", "recalled"},
};

static bool is_allowed(const char *from, const char *to)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (strcmp(steps[i].from, from) == 0 && strcmp(steps[i].to, to) == 0) {
            return true;
        }
    }
    return false;
}

struct plan_state {
    bool is_there;
    char text[16];
};

static enum cvm_status read_plan_state(void *state, const struct cvm_db_value *columns,
                                       size_t column_count, struct cvm_error *err)
{
    struct plan_state *plan = state;
    (void)column_count;
    (void)err;
    plan->is_there = true;
    (void)snprintf(plan->text, sizeof(plan->text), "%s", cvm_db_string(&columns[0]));
    return CVM_OK;
}

static enum cvm_status audit_state(struct cvm_store *store, const char *run_id, const char *from,
                                   const char *to, const char *who, const char *why,
                                   struct cvm_error *err)
{
    char before[48];
    char after[48];
    char object[CVM_RUN_ID_SIZE + 8];
    (void)snprintf(object, sizeof(object), "plan %s", run_id);
    (void)snprintf(before, sizeof(before), "{\"state\":\"%s\"}", from);
    (void)snprintf(after, sizeof(after), "{\"state\":\"%s\"}", to);
    struct cvm_audit_row row = {
        .who = who,
        .action = "plan",
        .object = object,
        .why = why,
        .before = before,
        .after = after,
    };
    return cvm_audit_add(store, &row, err);
}

enum cvm_status cvm_plan_set_state(struct cvm_store *store, const char *run_id, const char *state,
                                   const char *who, const char *why, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct plan_state plan = {0};
    struct cvm_db_value param = cvm_db_text(run_id);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PLAN_STATE), &param, 1,
                                          read_plan_state, &plan, err);
    if (status == CVM_OK && !plan.is_there) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no plan '%s'", run_id);
    }
    if (status == CVM_OK && !is_allowed(plan.text, state)) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "plan '%s' is %s and can not become %s", run_id,
                        plan.text, state);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_db_value params[] = {
        cvm_db_text(run_id),
        cvm_db_text(plan.text),
        cvm_db_text(state),
        cvm_db_int(cvm_store_now_ms(store)),
    };
    int64_t changed = 0;
    status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_PLAN_SET_STATE), params, CVM_DB_COUNT(params),
                         &changed, err);
    if (status == CVM_OK && changed == 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "plan '%s' was changed by another process", run_id);
    }
    return status == CVM_OK ? audit_state(store, run_id, plan.text, state, who, why, err) : status;
}

struct emptied_scan {
    struct cvm_arena *arena;
    struct cvm_column run_ids; /* const char * */
};

static enum cvm_status scan_emptied(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct emptied_scan *scan = state;
    const char *run_id = NULL;
    void *room = NULL;
    (void)column_count;
    if (!cvm_db_copy_string(scan->arena, &columns[0], &run_id)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the plans of a day");
    }
    enum cvm_status status = cvm_column_extend(&scan->run_ids, 1, &room, err);
    if (status == CVM_OK) {
        *(const char **)room = run_id;
    }
    return status;
}

enum cvm_status cvm_plan_recall_emptied(struct cvm_store *store, struct cvm_arena *arena,
                                        int32_t as_of_day, const char *who, const char *why,
                                        struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct emptied_scan scan = {.arena = arena};
    struct cvm_db_value param = cvm_db_int(as_of_day);
    cvm_column_init(&scan.run_ids, sizeof(const char *));
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PLAN_EMPTIED), &param, 1, scan_emptied, &scan, err);
    const char *const *run_ids = CVM_COLUMN_DATA(&scan.run_ids, const char *);
    for (size_t i = 0; status == CVM_OK && i < scan.run_ids.count; i++) {
        status = cvm_plan_set_state(store, run_ids[i], "recalled", who, why, err);
    }
    cvm_column_finish(&scan.run_ids);
    return status;
}

enum cvm_status cvm_plan_set_hold_reasons(struct cvm_store *store, const char *run_id,
                                          const char *reasons, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_text(run_id), cvm_db_text(reasons)};
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_PLAN_SET_HOLD_REASONS), params,
                       CVM_DB_COUNT(params), NULL, err);
}

/* ---- value blocks ---- */

enum cvm_status cvm_value_block_add(struct cvm_store *store, const char *run_id,
                                    const struct cvm_value_block *block, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_text(run_id),
        cvm_db_int((int64_t)block->first_key),
        cvm_db_int((int64_t)block->last_key),
        cvm_db_int(block->customers),
        cvm_db_blob(block->length == 0 ? "" : block->body, block->length),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_VALUE_BLOCK_ADD), params, CVM_DB_COUNT(params),
                       NULL, err);
}

static struct cvm_value_block block_of(const struct cvm_db_value *columns)
{
    return (struct cvm_value_block){
        .first_key = (uint64_t)columns[0].integer,
        .last_key = (uint64_t)columns[1].integer,
        .customers = columns[2].integer,
        .body = columns[3].bytes.data,
        .length = columns[3].bytes.length,
    };
}

struct block_copy {
    struct cvm_arena *arena;
    uint64_t key;
    bool is_there;
    struct cvm_value_block block;
};

static enum cvm_status copy_block(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct block_copy *copy = state;
    (void)column_count;
    struct cvm_value_block block = block_of(columns);
    if (copy->key > block.last_key) {
        return CVM_OK;
    }
    void *body = cvm_arena_alloc_raw(copy->arena, block.length + 1, 1);
    if (body == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a block of values");
    }
    memcpy(body, block.body, block.length);
    block.body = body;
    copy->block = block;
    copy->is_there = true;
    return CVM_OK;
}

enum cvm_status cvm_value_block_get(struct cvm_store *store, struct cvm_arena *arena,
                                    const char *run_id, uint64_t key,
                                    struct cvm_value_block *out_block, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct block_copy copy = {.arena = arena, .key = key};
    struct cvm_db_value params[] = {cvm_db_text(run_id), cvm_db_int((int64_t)key)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_VALUE_BLOCK_GET), params,
                                          CVM_DB_COUNT(params), copy_block, &copy, err);
    if (status == CVM_OK && !copy.is_there) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "run '%s' has no values for this customer", run_id);
    }
    if (status == CVM_OK) {
        *out_block = copy.block;
    }
    return status;
}

struct block_scan {
    cvm_value_block_fn on_block;
    void *state;
};

static enum cvm_status scan_block(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct block_scan *scan = state;
    (void)column_count;
    struct cvm_value_block block = block_of(columns);
    return scan->on_block(scan->state, &block, err);
}

enum cvm_status cvm_value_block_scan(struct cvm_store *store, const char *run_id,
                                     cvm_value_block_fn on_block, void *state,
                                     struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct block_scan scan = {.on_block = on_block, .state = state};
    struct cvm_db_value param = cvm_db_text(run_id);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_VALUE_BLOCK_SCAN), &param, 1, scan_block, &scan,
                        err);
}

enum cvm_status cvm_value_block_prune(struct cvm_store *store, int64_t keep_runs,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value param = cvm_db_int(keep_runs < 0 ? 0 : keep_runs);
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_VALUE_BLOCK_PRUNE), &param, 1, NULL, err);
}
