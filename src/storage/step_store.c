#include "storage/step_store.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/columns.h"
#include "storage/db_sql.h"

static const char *const state_names[CVM_STEP_STATES] = {
    [CVM_STEP_PENDING] = "pending", [CVM_STEP_RUNNING] = "running", [CVM_STEP_RETRY] = "retry",
    [CVM_STEP_DONE] = "done",       [CVM_STEP_FAILED] = "failed",   [CVM_STEP_SKIPPED] = "skipped",
};

const char *cvm_step_state_name(enum cvm_step_state state)
{
    return state_names[state];
}

/* ---- reading ---- */

static int64_t number_of(const struct cvm_db_value *column)
{
    return column->type == CVM_DB_INT ? column->integer : 0;
}

static bool parse_state(const char *name, enum cvm_step_state *out_state)
{
    for (int i = 0; i < CVM_STEP_STATES; i++) {
        if (strcmp(state_names[i], name) == 0) {
            *out_state = (enum cvm_step_state)i;
            return true;
        }
    }
    return false;
}

static enum cvm_status copy_step(struct cvm_arena *arena, const struct cvm_db_value *columns,
                                 struct cvm_step *out_step, struct cvm_error *err)
{
    struct cvm_step step = {
        .step_no = columns[0].integer,
        .shard_no = columns[1].integer,
        .attempt = columns[4].integer,
        .attempt_max = columns[5].integer,
        .epoch = columns[6].integer,
        .due_ms = number_of(&columns[7]),
        .is_news = columns[8].integer != 0,
        .customers = number_of(&columns[11]),
        .queued_ms = number_of(&columns[14]),
        .started_ms = number_of(&columns[15]),
        .finished_ms = number_of(&columns[16]),
    };
    if (!parse_state(cvm_db_string(&columns[3]), &step.state)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a step is in an unknown state");
    }
    if (!cvm_db_copy_string(arena, &columns[2], &step.name) ||
        !cvm_db_copy_string(arena, &columns[9], &step.worker) ||
        !cvm_db_copy_string(arena, &columns[10], &step.output) ||
        !cvm_db_copy_string(arena, &columns[12], &step.error_class) ||
        !cvm_db_copy_string(arena, &columns[13], &step.error)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a step");
    }
    *out_step = step;
    return CVM_OK;
}

struct step_scan {
    struct cvm_arena *arena;
    struct cvm_column steps; /* struct cvm_step */
};

static enum cvm_status scan_step(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct step_scan *scan = state;
    void *room = NULL;
    (void)column_count;
    enum cvm_status status = cvm_column_extend(&scan->steps, 1, &room, err);
    return status == CVM_OK ? copy_step(scan->arena, columns, room, err) : status;
}

enum cvm_status cvm_step_list(struct cvm_store *store, struct cvm_arena *arena,
                              const char *workflow_id, struct cvm_steps *out_steps,
                              struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct step_scan scan = {.arena = arena};
    struct cvm_db_value param = cvm_db_text(workflow_id);
    cvm_column_init(&scan.steps, sizeof(struct cvm_step));
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_STEP_LIST), &param, 1, scan_step, &scan, err);
    size_t count = scan.steps.count;
    struct cvm_step *items =
        status == CVM_OK ? CVM_NEW_ARRAY(arena, count + 1, struct cvm_step) : NULL;
    if (status == CVM_OK && items == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to read the steps of a workflow");
    }
    if (status == CVM_OK && count > 0) {
        memcpy(items, scan.steps.buffer.data, count * sizeof(*items));
    }
    cvm_column_finish(&scan.steps);
    if (status == CVM_OK) {
        *out_steps = (struct cvm_steps){items, count};
    }
    return status;
}

struct step_copy {
    struct cvm_arena *arena;
    bool is_there;
    struct cvm_step step;
};

static enum cvm_status copy_one(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct step_copy *copy = state;
    (void)column_count;
    copy->is_there = true;
    return copy_step(copy->arena, columns, &copy->step, err);
}

enum cvm_status cvm_step_get(struct cvm_store *store, struct cvm_arena *arena,
                             const struct cvm_step_key *key, struct cvm_step *out_step,
                             struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct step_copy copy = {.arena = arena};
    struct cvm_db_value params[] = {
        cvm_db_text(key->workflow_id),
        cvm_db_int(key->step_no),
        cvm_db_int(key->shard_no),
    };
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_STEP_GET), params,
                                          CVM_DB_COUNT(params), copy_one, &copy, err);
    if (status == CVM_OK && !copy.is_there) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND,
                        "workflow '%s' has no step %" PRId64 " of shard %" PRId64, key->workflow_id,
                        key->step_no, key->shard_no);
    }
    if (status == CVM_OK) {
        *out_step = copy.step;
    }
    return status;
}

/* ---- for who decides ---- */

struct adding {
    const struct cvm_step_rows *rows;
    int64_t next;
};

enum { STEP_COLUMNS = 5 };

static enum cvm_status next_row(void *state, struct cvm_db_value *params, size_t param_count,
                                bool *out_has_row, struct cvm_error *err)
{
    struct adding *adding = state;
    const struct cvm_step_rows *rows = adding->rows;
    (void)err;
    assert(param_count == STEP_COLUMNS);
    *out_has_row = adding->next <= rows->last_shard;
    if (*out_has_row) {
        params[0] = cvm_db_text(rows->workflow_id);
        params[1] = cvm_db_int(rows->step_no);
        params[2] = cvm_db_int(adding->next++);
        params[3] = cvm_db_text(rows->name);
        params[4] = cvm_db_int(rows->attempt_max);
    }
    return CVM_OK;
}

enum cvm_status cvm_step_add(struct cvm_store *store, const struct cvm_step_rows *rows,
                             struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct adding adding = {rows, rows->first_shard};
    return cvm_db_bulk_load(db, cvm_db_sql(db, CVM_SQL_STEP_ADD), STEP_COLUMNS, next_row, &adding,
                            NULL, err);
}

struct news_scan {
    cvm_step_news_fn on_news;
    void *state;
};

static enum cvm_status scan_news(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct news_scan *scan = state;
    struct cvm_step_news news = {.step_no = columns[0].integer,
                                 .error_class = cvm_db_string(&columns[2])};
    (void)column_count;
    if (!parse_state(cvm_db_string(&columns[1]), &news.state)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a step is in an unknown state");
    }
    if (scan->on_news != NULL) {
        scan->on_news(scan->state, &news);
    }
    return CVM_OK;
}

enum cvm_status cvm_step_news_take(struct cvm_store *store, const char *workflow_id,
                                   cvm_step_news_fn on_news, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct news_scan scan = {on_news, state};
    struct cvm_db_value param = cvm_db_text(workflow_id);
    assert(cvm_db_in_transaction(db));
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_STEP_NEWS_TAKE), &param, 1, scan_news, &scan,
                        err);
}

static struct cvm_db_value moment(int64_t ms)
{
    return ms == 0 ? cvm_db_null() : cvm_db_int(ms);
}

enum cvm_status cvm_step_put(struct cvm_store *store, const char *workflow_id,
                             const struct cvm_step *from, const struct cvm_step *to, bool *out_kept,
                             struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(workflow_id),     cvm_db_int(from->step_no),
        cvm_db_int(from->shard_no),   cvm_db_text(state_names[from->state]),
        cvm_db_int(from->attempt),    cvm_db_text(state_names[to->state]),
        cvm_db_int(to->attempt),      cvm_db_int(to->attempt_max),
        cvm_db_int(to->epoch),        moment(to->due_ms),
        moment(to->queued_ms),        moment(to->finished_ms),
        cvm_db_text(to->error_class), cvm_db_text(to->error),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STEP_PUT), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK) {
        *out_kept = changed > 0;
    }
    return status;
}

/* ---- for workers ---- */

static enum cvm_status not_in_force(const struct cvm_step_key *key, struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_CONFLICT,
                    "attempt %" PRId64 " of step %" PRId64 ", shard %" PRId64
                    ", of workflow '%s' is not in force any more",
                    key->attempt, key->step_no, key->shard_no, key->workflow_id);
}

enum cvm_status cvm_step_done(struct cvm_store *store, const struct cvm_step_key *key,
                              const struct cvm_step_result *result, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    if (result->output != NULL && strlen(result->output) > CVM_STEP_OUTPUT_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the output of a step has more than %zu bytes",
                        CVM_STEP_OUTPUT_MAX);
    }
    struct cvm_db_value params[] = {
        cvm_db_text(key->workflow_id), cvm_db_int(key->step_no),    cvm_db_int(key->shard_no),
        cvm_db_int(key->attempt),      cvm_db_text(result->worker), cvm_db_text(result->output),
        cvm_db_int(result->customers), moment(result->started_ms),  moment(result->finished_ms),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STEP_DONE), params,
                                         CVM_DB_COUNT(params), &changed, err);
    return status == CVM_OK && changed == 0 ? not_in_force(key, err) : status;
}

enum cvm_status cvm_step_failed(struct cvm_store *store, const struct cvm_step_key *key,
                                const struct cvm_step_failure *failure, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(key->workflow_id),
        cvm_db_int(key->step_no),
        cvm_db_int(key->shard_no),
        cvm_db_int(key->attempt),
        cvm_db_text(failure->worker),
        cvm_db_text(failure->error_class),
        cvm_db_text(failure->error),
        moment(failure->started_ms),
        cvm_db_int(failure->failed_ms != 0 ? failure->failed_ms : cvm_store_now_ms(store)),
        cvm_db_int(failure->is_seen ? 0 : 1),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STEP_FAIL), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK && changed == 0) {
        return not_in_force(key, err);
    }
    return status == CVM_OK ? cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STEP_FAILURE_ADD), params,
                                          CVM_DB_COUNT(params) - 1, NULL, err)
                            : status;
}

enum cvm_status cvm_step_beat(struct cvm_store *store, const struct cvm_step_key *key,
                              const struct cvm_step_life *life, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(key->workflow_id),       cvm_db_int(key->step_no),
        cvm_db_int(key->shard_no),           cvm_db_int(key->attempt),
        cvm_db_int(cvm_store_now_ms(store)), cvm_db_int(life->life_ms),
        cvm_db_int(life->deadline_ms),       cvm_db_text(life->worker),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STEP_BEAT), params,
                                         CVM_DB_COUNT(params), &changed, err);
    return status == CVM_OK && changed == 0 ? not_in_force(key, err) : status;
}

struct failure_scan {
    cvm_step_failure_fn on_failure;
    void *state;
};

static enum cvm_status scan_failure(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct failure_scan *scan = state;
    (void)column_count;
    struct cvm_step_failure failure = {
        .step_no = columns[0].integer,
        .shard_no = columns[1].integer,
        .attempt = columns[2].integer,
        .epoch = columns[3].integer,
        .worker = cvm_db_string(&columns[4]),
        .error_class = cvm_db_string(&columns[5]),
        .error = cvm_db_string(&columns[6]),
        .started_ms = number_of(&columns[7]),
        .failed_ms = columns[8].integer,
    };
    return scan->on_failure(scan->state, &failure, err);
}

enum cvm_status cvm_step_failure_list(struct cvm_store *store, const char *workflow_id,
                                      cvm_step_failure_fn on_failure, void *state,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct failure_scan scan = {on_failure, state};
    struct cvm_db_value param = cvm_db_text(workflow_id);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_STEP_FAILURE_LIST), &param, 1, scan_failure,
                        &scan, err);
}
