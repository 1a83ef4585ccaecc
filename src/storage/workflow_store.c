#include "storage/workflow_store.h"

#include <assert.h>
#include <string.h>

#include "base/columns.h"
#include "storage/db_sql.h"

/* ---- names ---- */

static const char *const state_names[CVM_WORKFLOW_STATES] = {
    [CVM_WORKFLOW_ACCEPTED] = "accepted",   [CVM_WORKFLOW_RUNNING] = "running",
    [CVM_WORKFLOW_WAITING] = "waiting",     [CVM_WORKFLOW_PAUSED] = "paused",
    [CVM_WORKFLOW_COMPLETED] = "completed", [CVM_WORKFLOW_FAILED] = "failed",
    [CVM_WORKFLOW_CANCELLED] = "cancelled", [CVM_WORKFLOW_DEAD] = "dead",
};

const char *cvm_workflow_state_name(enum cvm_workflow_state state)
{
    return state_names[state];
}

int cvm_workflow_state_parse(const char *name)
{
    for (int i = 0; i < CVM_WORKFLOW_STATES; i++) {
        if (strcmp(state_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

bool cvm_workflow_has_ended(enum cvm_workflow_state state)
{
    return state >= CVM_WORKFLOW_COMPLETED;
}

/* ---- definitions ---- */

enum cvm_status cvm_workflow_definition_add(struct cvm_store *store, const char *digest,
                                            const char *name, const char *body,
                                            struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_text(digest),
        cvm_db_text(name),
        cvm_db_text(body),
        cvm_db_int(cvm_store_now_ms(store)),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_DEFINITION_ADD), params,
                       CVM_DB_COUNT(params), NULL, err);
}

struct text_copy {
    struct cvm_arena *arena;
    const char *text;
};

static enum cvm_status copy_text(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct text_copy *copy = state;
    (void)column_count;
    return cvm_db_copy_string(copy->arena, &columns[0], &copy->text)
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a definition");
}

enum cvm_status cvm_workflow_definition_get(struct cvm_store *store, struct cvm_arena *arena,
                                            const char *digest, const char **out_body,
                                            struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct text_copy copy = {.arena = arena};
    struct cvm_db_value param = cvm_db_text(digest);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_DEFINITION_GET),
                                          &param, 1, copy_text, &copy, err);
    if (status == CVM_OK && copy.text == NULL) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "the store has no definition '%.12s'", digest);
    }
    if (status == CVM_OK) {
        *out_body = copy.text;
    }
    return status;
}

/* ---- reading ---- */

static int64_t moment_of(const struct cvm_db_value *column)
{
    return column->type == CVM_DB_INT ? column->integer : 0;
}

static enum cvm_status copy_workflow(struct cvm_arena *arena, const struct cvm_db_value *columns,
                                     struct cvm_workflow *out_workflow, struct cvm_error *err)
{
    struct cvm_workflow workflow = {
        .shards = columns[8].integer,
        .partition_no = columns[9].integer,
        .priority = columns[10].integer,
        .epoch = columns[11].integer,
        .recovery_attempts = columns[12].integer,
        .created_ms = columns[13].integer,
        .started_ms = moment_of(&columns[14]),
        .finished_ms = moment_of(&columns[15]),
        .deadline_ms = moment_of(&columns[16]),
        .wake_ms = moment_of(&columns[17]),
    };
    int state = cvm_workflow_state_parse(cvm_db_string(&columns[3]));
    if (state < 0) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a workflow is in an unknown state");
    }
    workflow.state = (enum cvm_workflow_state)state;
    struct {
        int column;
        const char **text;
    } texts[] = {
        {0, &workflow.workflow_id},  {1, &workflow.name},
        {2, &workflow.definition},   {4, &workflow.idempotency_key},
        {6, &workflow.input},        {5, &workflow.input_digest},
        {7, &workflow.run_id},       {18, &workflow.result},
        {19, &workflow.error},       {20, &workflow.who},
        {21, &workflow.traceparent},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!cvm_db_copy_string(arena, &columns[texts[i].column], texts[i].text)) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a workflow");
        }
    }
    *out_workflow = workflow;
    return CVM_OK;
}

struct finding {
    struct cvm_arena *arena;
    const char *exact; /* NULL: the first row counts */
    struct cvm_workflow workflow;
    int count;
};

static enum cvm_status find_workflow(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct finding *finding = state;
    (void)column_count;
    bool is_exact = finding->exact != NULL && finding->count == 1 &&
                    strcmp(finding->workflow.workflow_id, finding->exact) == 0;
    if (is_exact) {
        return CVM_OK; /* the id itself, and another one that it begins */
    }
    finding->count++;
    return copy_workflow(finding->arena, columns, &finding->workflow, err);
}

enum cvm_status cvm_workflow_by_key(struct cvm_store *store, struct cvm_arena *arena,
                                    const char *idempotency_key, struct cvm_workflow *out_workflow,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct finding finding = {.arena = arena};
    struct cvm_db_value param = cvm_db_text(idempotency_key);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_BY_KEY), &param, 1,
                                          find_workflow, &finding, err);
    if (status == CVM_OK && finding.count == 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no workflow has the key '%s'", idempotency_key);
    }
    if (status == CVM_OK) {
        *out_workflow = finding.workflow;
    }
    return status;
}

static enum cvm_status take_first(void *state, const struct cvm_workflow *workflow,
                                  struct cvm_error *err)
{
    (void)err;
    struct finding *finding = state;
    finding->workflow = *workflow;
    finding->count = 1;
    return CVM_OK;
}

enum cvm_status cvm_workflow_find(struct cvm_store *store, struct cvm_arena *arena,
                                  const char *name, struct cvm_workflow *out_workflow,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct finding finding = {.arena = arena, .exact = name};
    struct cvm_db_value param = cvm_db_text(name);
    bool is_latest = strcmp(name, "latest") == 0;
    enum cvm_status status = CVM_OK;
    if (is_latest) {
        status = cvm_workflow_list(store, arena, NULL, 0, 1, take_first, &finding, err);
    } else if (name[0] != '\0') {
        status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_FIND), &param, 1, find_workflow,
                              &finding, err);
    }
    if (status == CVM_OK && finding.count == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no workflow '%s'", name);
        return cvm_error_hint(err, status, "`cvm workflow list` shows them.");
    }
    if (status == CVM_OK && finding.count > 1) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "several workflows begin with '%s'", name);
        return cvm_error_hint(err, status, "`cvm workflow list` shows their whole names.");
    }
    if (status == CVM_OK) {
        *out_workflow = finding.workflow;
    }
    return status;
}

enum cvm_status cvm_workflow_lock(struct cvm_store *store, struct cvm_arena *arena,
                                  const char *workflow_id, struct cvm_workflow *out_workflow,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct finding finding = {.arena = arena};
    struct cvm_db_value param = cvm_db_text(workflow_id);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_LOCK), &param, 1,
                                          find_workflow, &finding, err);
    if (status == CVM_OK && finding.count == 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no workflow '%s'", workflow_id);
    }
    if (status == CVM_OK) {
        *out_workflow = finding.workflow;
    }
    return status;
}

struct listing {
    struct cvm_arena *arena;
    cvm_workflow_fn on_workflow;
    void *state;
};

static enum cvm_status list_workflow(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    struct cvm_workflow workflow;
    (void)column_count;
    enum cvm_status status = copy_workflow(listing->arena, columns, &workflow, err);
    return status == CVM_OK ? listing->on_workflow(listing->state, &workflow, err) : status;
}

enum cvm_status cvm_workflow_list(struct cvm_store *store, struct cvm_arena *arena,
                                  const char *state, int64_t before_ms, int64_t count_max,
                                  cvm_workflow_fn on_workflow, void *state_of_fn,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {arena, on_workflow, state_of_fn};
    struct cvm_db_value params[] = {
        cvm_db_text(state),
        cvm_db_int(before_ms == 0 ? INT64_MAX : before_ms),
        cvm_db_int(count_max),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_LIST), params, CVM_DB_COUNT(params),
                        list_workflow, &listing, err);
}

/* ---- what has to be looked at ---- */

struct id_scan {
    struct cvm_arena *arena;
    struct cvm_column ids; /* const char * */
};

static enum cvm_status scan_id(void *state, const struct cvm_db_value *columns, size_t column_count,
                               struct cvm_error *err)
{
    struct id_scan *scan = state;
    const char *id = NULL;
    void *room = NULL;
    (void)column_count;
    if (!cvm_db_copy_string(scan->arena, &columns[0], &id)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the ids of workflows");
    }
    enum cvm_status status = cvm_column_extend(&scan->ids, 1, &room, err);
    if (status == CVM_OK) {
        *(const char **)room = id;
    }
    return status;
}

static enum cvm_status read_ids(struct cvm_db *db, struct cvm_arena *arena, enum cvm_sql sql,
                                const struct cvm_db_value *params, size_t param_count,
                                struct cvm_workflow_ids *out_ids, struct cvm_error *err)
{
    struct id_scan scan = {.arena = arena};
    cvm_column_init(&scan.ids, sizeof(const char *));
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, sql), params, param_count, scan_id, &scan, err);
    size_t count = scan.ids.count;
    const char **ids = status == CVM_OK ? CVM_NEW_ARRAY(arena, count + 1, const char *) : NULL;
    if (status == CVM_OK && ids == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the ids of workflows");
    }
    if (status == CVM_OK && count > 0) {
        memcpy(ids, scan.ids.buffer.data, count * sizeof(*ids));
    }
    cvm_column_finish(&scan.ids);
    if (status == CVM_OK) {
        *out_ids = (struct cvm_workflow_ids){ids, count};
    }
    return status;
}

enum cvm_status cvm_workflow_due(struct cvm_store *store, struct cvm_arena *arena,
                                 int64_t partition_no, int64_t now_ms, int64_t count_max,
                                 struct cvm_workflow_ids *out_ids, struct cvm_error *err)
{
    struct cvm_db_value params[] = {
        cvm_db_int(partition_no),
        cvm_db_int(now_ms),
        cvm_db_int(count_max),
    };
    return read_ids(cvm_store_db(store), arena, CVM_SQL_WORKFLOW_DUE, params, CVM_DB_COUNT(params),
                    out_ids, err);
}

enum cvm_status cvm_workflow_open_ids(struct cvm_store *store, struct cvm_arena *arena,
                                      int64_t partition_no, struct cvm_workflow_ids *out_ids,
                                      struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int(partition_no);
    return read_ids(cvm_store_db(store), arena, CVM_SQL_WORKFLOW_OPEN_LIST, &param, 1, out_ids,
                    err);
}

enum cvm_status cvm_workflow_next_wake(struct cvm_store *store, int64_t partition_no,
                                       int64_t *out_ms, struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int(partition_no);
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_WORKFLOW_NEXT_WAKE, &param, 1, out_ms, err);
}

enum cvm_status cvm_workflow_runs_at_work(struct cvm_store *store, int64_t *out_count,
                                          struct cvm_error *err)
{
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_WORKFLOW_RUNS_AT_WORK, NULL, 0, out_count,
                          err);
}

enum cvm_status cvm_workflow_moving(struct cvm_store *store, const char *name, int64_t *out_count,
                                    struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_text(name);
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_WORKFLOW_MOVING, &param, 1, out_count, err);
}

/* ---- writing ---- */

static struct cvm_db_value moment(int64_t ms)
{
    return ms == 0 ? cvm_db_null() : cvm_db_int(ms);
}

enum cvm_status cvm_workflow_add(struct cvm_store *store, const struct cvm_workflow *workflow,
                                 bool *out_is_new, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    assert(strlen(workflow->workflow_id) <= CVM_WORKFLOW_ID_MAX);
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(workflow->workflow_id),  cvm_db_text(workflow->name),
        cvm_db_text(workflow->definition),   cvm_db_text(workflow->idempotency_key),
        cvm_db_text(workflow->input_digest), cvm_db_text(workflow->input),
        cvm_db_text(workflow->run_id),       cvm_db_int(workflow->shards),
        cvm_db_int(workflow->partition_no),  cvm_db_int(workflow->priority),
        cvm_db_int(workflow->created_ms),    moment(workflow->deadline_ms),
        cvm_db_text(workflow->who),          cvm_db_text(workflow->traceparent),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_ADD), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK) {
        *out_is_new = changed > 0;
    }
    return status;
}

enum cvm_status cvm_workflow_put(struct cvm_store *store, const struct cvm_workflow *workflow,
                                 struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_text(workflow->workflow_id), cvm_db_text(state_names[workflow->state]),
        cvm_db_text(workflow->run_id),      cvm_db_int(workflow->shards),
        cvm_db_int(workflow->epoch),        cvm_db_int(workflow->recovery_attempts),
        moment(workflow->started_ms),       moment(workflow->finished_ms),
        moment(workflow->wake_ms),          cvm_db_text(workflow->result),
        cvm_db_text(workflow->error),       moment(workflow->deadline_ms),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_WORKFLOW_PUT), params, CVM_DB_COUNT(params), NULL,
                       err);
}

enum cvm_status cvm_workflow_purge(struct cvm_store *store, int64_t before_ms,
                                   struct cvm_error *err)
{
    static const enum cvm_sql statements[] = {
        CVM_SQL_WORKFLOW_PURGE_STEPS,
        CVM_SQL_WORKFLOW_PURGE_FAILURES,
        CVM_SQL_WORKFLOW_PURGE,
    };
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value param = cvm_db_int(before_ms);
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < sizeof(statements) / sizeof(statements[0]); i++) {
        status = cvm_db_exec(db, cvm_db_sql(db, statements[i]), &param, 1, NULL, err);
    }
    return status;
}
