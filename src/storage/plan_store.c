/* plan_store.c - decisions; runs, plans and value blocks are in run_store.c. */
#include "storage/plan_store.h"

#include <assert.h>
#include <string.h>

#include "storage/db_sql.h"

/* ---- writing ---- */

enum { DECISION_COLUMNS = 23 };

struct adding {
    const struct cvm_decision *next;
    size_t left;
};

static enum cvm_status next_decision(void *state, struct cvm_db_value *params, size_t param_count,
                                     bool *out_has_row, struct cvm_error *err)
{
    struct adding *adding = state;
    (void)err;
    assert(param_count == DECISION_COLUMNS);
    *out_has_row = adding->left > 0;
    if (adding->left == 0) {
        return CVM_OK;
    }
    const struct cvm_decision *decision = adding->next++;
    bool has_earliest = decision->earliest_at_ms != 0;
    bool has_latest = decision->latest_at_ms != 0;
    adding->left--;
    params[0] = cvm_db_text(decision->run_id);
    params[1] = cvm_db_int((int64_t)decision->customer_key);
    params[2] = cvm_db_text(decision->customer_id);
    params[3] = cvm_db_text(decision->treatment);
    params[4] = cvm_db_text(decision->offer);
    params[5] = cvm_db_text(decision->content);
    params[6] = cvm_db_text(decision->language);
    params[7] = cvm_db_double(decision->value);
    params[8] = cvm_db_double(decision->sd);
    params[9] = cvm_db_double(decision->price);
    params[10] = cvm_db_int(decision->cost_micro);
    params[11] = cvm_db_int(decision->incentive_micro);
    params[12] = cvm_db_int(decision->reason);
    params[13] = cvm_db_text(decision->arm);
    params[14] = cvm_db_double(decision->selection_probability);
    params[15] = cvm_db_int(decision->ghost ? 1 : 0);
    params[16] = has_earliest ? cvm_db_int(decision->earliest_at_ms) : cvm_db_null();
    params[17] = has_latest ? cvm_db_int(decision->latest_at_ms) : cvm_db_null();
    params[18] = cvm_db_int(decision->state);
    params[19] = cvm_db_text(decision->channel);
    params[20] = cvm_db_text(decision->withheld);
    params[21] = cvm_db_double(decision->churn);
    params[22] = cvm_db_int(decision->export);
    return CVM_OK;
}

enum cvm_status cvm_decision_add(struct cvm_store *store, const struct cvm_decision *decisions,
                                 size_t count, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct adding adding = {.next = decisions, .left = count};
    return cvm_db_bulk_load(db, cvm_db_sql(db, CVM_SQL_DECISION_ADD), DECISION_COLUMNS,
                            next_decision, &adding, NULL, err);
}

/* ---- reading ---- */

static int64_t int_or_zero(const struct cvm_db_value *column)
{
    return column->type == CVM_DB_INT ? column->integer : 0;
}

/* Texts live until the next row. */
static enum cvm_status read_decision(const struct cvm_db_value *columns, size_t column_count,
                                     struct cvm_decision *out_decision, struct cvm_error *err)
{
    assert(column_count == DECISION_COLUMNS);
    if (columns[18].integer < 0 || columns[18].integer >= CVM_DECISION_STATE_COUNT) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a decision has the unknown state %lld",
                        (long long)columns[18].integer);
    }
    *out_decision = (struct cvm_decision){
        .run_id = cvm_db_string(&columns[0]),
        .customer_key = (uint64_t)columns[1].integer,
        .customer_id = cvm_db_string(&columns[2]),
        .treatment = cvm_db_string(&columns[3]),
        .offer = cvm_db_string(&columns[4]),
        .content = cvm_db_string(&columns[5]),
        .language = cvm_db_string(&columns[6]),
        .value = columns[7].number,
        .sd = columns[8].number,
        .price = columns[9].number,
        .cost_micro = columns[10].integer,
        .incentive_micro = columns[11].integer,
        .reason = (int)columns[12].integer,
        .arm = cvm_db_string(&columns[13]),
        .selection_probability = columns[14].number,
        .ghost = columns[15].integer != 0,
        .earliest_at_ms = int_or_zero(&columns[16]),
        .latest_at_ms = int_or_zero(&columns[17]),
        .state = (enum cvm_decision_state)columns[18].integer,
        .channel = cvm_db_string(&columns[19]),
        .withheld = cvm_db_string(&columns[20]),
        .churn = columns[21].number,
        .export = columns[22].integer,
    };
    return CVM_OK;
}

struct decision_copy {
    struct cvm_arena *arena;
    bool is_there;
    struct cvm_decision decision;
};

static enum cvm_status copy_decision(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct decision_copy *copy = state;
    enum cvm_status status = read_decision(columns, column_count, &copy->decision, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_decision *decision = &copy->decision;
    if (!cvm_db_copy_string(copy->arena, &columns[0], &decision->run_id) ||
        !cvm_db_copy_string(copy->arena, &columns[2], &decision->customer_id) ||
        !cvm_db_copy_string(copy->arena, &columns[3], &decision->treatment) ||
        !cvm_db_copy_string(copy->arena, &columns[4], &decision->offer) ||
        !cvm_db_copy_string(copy->arena, &columns[5], &decision->content) ||
        !cvm_db_copy_string(copy->arena, &columns[6], &decision->language) ||
        !cvm_db_copy_string(copy->arena, &columns[13], &decision->arm) ||
        !cvm_db_copy_string(copy->arena, &columns[19], &decision->channel) ||
        !cvm_db_copy_string(copy->arena, &columns[20], &decision->withheld)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a decision");
    }
    copy->is_there = true;
    return CVM_OK;
}

enum cvm_status cvm_decision_get(struct cvm_store *store, struct cvm_arena *arena,
                                 const char *run_id, uint64_t customer_key,
                                 struct cvm_decision *out_decision, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct decision_copy copy = {.arena = arena};
    struct cvm_db_value params[] = {cvm_db_text(run_id), cvm_db_int((int64_t)customer_key)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_GET), params,
                                          CVM_DB_COUNT(params), copy_decision, &copy, err);
    if (status == CVM_OK && !copy.is_there) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "run '%s' decided nothing for this customer", run_id);
    }
    if (status == CVM_OK) {
        *out_decision = copy.decision;
    }
    return status;
}

enum cvm_status cvm_decision_of_day(struct cvm_store *store, struct cvm_arena *arena,
                                    int32_t as_of_day, uint64_t customer_key,
                                    struct cvm_decision *out_decision, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct decision_copy copy = {.arena = arena};
    struct cvm_db_value params[] = {cvm_db_int(as_of_day), cvm_db_int((int64_t)customer_key)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_OF_DAY), params,
                                          CVM_DB_COUNT(params), copy_decision, &copy, err);
    if (status == CVM_OK && !copy.is_there) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "this customer has no decision of the day");
    }
    if (status == CVM_OK) {
        *out_decision = copy.decision;
    }
    return status;
}

struct decision_scan {
    bool is_withdrawing; /* what is given is withdrawn from now on */
    cvm_decision_fn on_decision;
    void *state;
};

static enum cvm_status scan_decision(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct decision_scan *scan = state;
    struct cvm_decision decision;
    enum cvm_status status = read_decision(columns, column_count, &decision, err);
    decision.state = scan->is_withdrawing ? CVM_DECISION_WITHDRAWN : decision.state;
    return status == CVM_OK ? scan->on_decision(scan->state, &decision, err) : status;
}

enum cvm_status cvm_decision_scan(struct cvm_store *store, const char *run_id,
                                  cvm_decision_fn on_decision, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct decision_scan scan = {.on_decision = on_decision, .state = state};
    struct cvm_db_value param = cvm_db_text(run_id);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_SCAN), &param, 1, scan_decision, &scan,
                        err);
}

enum cvm_status cvm_decision_scan_range(struct cvm_store *store, const char *run_id,
                                        const uint64_t keys[2], cvm_decision_fn on_decision,
                                        void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct decision_scan scan = {.on_decision = on_decision, .state = state};
    struct cvm_db_value params[] = {
        cvm_db_text(run_id),
        cvm_db_int((int64_t)keys[0]),
        cvm_db_int((int64_t)keys[1]),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_SCAN_RANGE), params,
                        CVM_DB_COUNT(params), scan_decision, &scan, err);
}

enum cvm_status cvm_decision_scan_handed_over(struct cvm_store *store, const char *run_id,
                                              cvm_decision_fn on_decision, void *state,
                                              struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct decision_scan scan = {.on_decision = on_decision, .state = state};
    struct cvm_db_value param = cvm_db_text(run_id);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_HANDED_OVER), &param, 1, scan_decision,
                        &scan, err);
}

enum cvm_status cvm_decision_withdraw_one(struct cvm_store *store, const char *run_id,
                                          uint64_t customer_key, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {cvm_db_text(run_id), cvm_db_int((int64_t)customer_key)};
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DECISION_WITHDRAW_ONE), params,
                       CVM_DB_COUNT(params), NULL, err);
}

struct key_scan {
    cvm_key_fn on_key;
    void *state;
};

static enum cvm_status scan_key(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct key_scan *scan = state;
    (void)column_count;
    return scan->on_key(scan->state, (uint64_t)columns[0].integer, err);
}

enum cvm_status cvm_decision_live(struct cvm_store *store, int32_t as_of_day,
                                  const char *except_run_id, cvm_key_fn on_key, void *state,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct key_scan scan = {.on_key = on_key, .state = state};
    struct cvm_db_value params[] = {
        cvm_db_int(as_of_day),
        cvm_db_text(except_run_id == NULL ? "" : except_run_id),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_LIVE), params, CVM_DB_COUNT(params),
                        scan_key, &scan, err);
}

struct pending_scan {
    cvm_pending_fn on_pending;
    void *state;
};

static enum cvm_status scan_pending(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct pending_scan *scan = state;
    struct cvm_pending_row row = {
        .key = (uint64_t)columns[0].integer,
        .treatment = cvm_db_string(&columns[1]),
        .channel = cvm_db_string(&columns[2]),
        .as_of_day = (int32_t)columns[3].integer,
    };
    (void)column_count;
    return scan->on_pending(scan->state, &row, err);
}

enum cvm_status cvm_decision_pending(struct cvm_store *store, const struct cvm_pending_query *query,
                                     cvm_pending_fn on_pending, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct pending_scan scan = {on_pending, state};
    struct cvm_db_value params[] = {
        cvm_db_int(query->first_day),
        cvm_db_int(query->last_day),
        cvm_db_text(query->except_run_id == NULL ? "" : query->except_run_id),
        cvm_db_int((int64_t)query->first_key),
        cvm_db_int((int64_t)query->last_key),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_PENDING), params, CVM_DB_COUNT(params),
                        scan_pending, &scan, err);
}

static enum cvm_status withdraw_range(struct cvm_store *store, int32_t as_of_day,
                                      const int64_t keys[2], struct decision_scan *scan,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_int(as_of_day),
        cvm_db_int(keys[0]),
        cvm_db_int(keys[1]),
    };
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DECISION_WITHDRAWABLE), params,
                                          CVM_DB_COUNT(params), scan_decision, scan, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DECISION_WITHDRAW), params,
                             CVM_DB_COUNT(params), NULL, err);
    }
    return status;
}

enum cvm_status cvm_decision_withdraw(struct cvm_store *store, int32_t as_of_day,
                                      cvm_decision_fn on_withdrawn, void *state,
                                      struct cvm_error *err)
{
    struct decision_scan scan = {
        .is_withdrawing = true, .on_decision = on_withdrawn, .state = state};
    return withdraw_range(store, as_of_day, (const int64_t[]){0, INT64_MAX}, &scan, err);
}

enum cvm_status cvm_decision_withdraw_customer(struct cvm_store *store, int32_t as_of_day,
                                               uint64_t customer_key, cvm_decision_fn on_withdrawn,
                                               void *state, struct cvm_error *err)
{
    struct decision_scan scan = {
        .is_withdrawing = true, .on_decision = on_withdrawn, .state = state};
    int64_t key = (int64_t)customer_key;
    return withdraw_range(store, as_of_day, (const int64_t[]){key, key}, &scan, err);
}
