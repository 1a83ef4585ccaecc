#include "storage/outcome_store.h"

#include <assert.h>
#include <string.h>

#include "base/date.h"
#include "storage/db_sql.h"

/* ---- learning ---- */

static enum cvm_status read_learning(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct cvm_learning *learning = state;
    (void)column_count;
    (void)err;
    *learning = (struct cvm_learning){
        .contacts = columns[0].integer,
        .reached = columns[1].integer,
        .answers = columns[2].integer,
        .accepted = columns[3].integer,
        .treated = columns[4].integer,
        .treated_churned = columns[5].integer,
        .treated_expected = columns[6].number,
        .controls = columns[7].integer,
        .controls_churned = columns[8].integer,
        .controls_expected = columns[9].number,
    };
    return CVM_OK;
}

enum cvm_status cvm_learning_get(struct cvm_store *store, const char *treatment,
                                 struct cvm_learning *out_learning, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_learning learning = {0};
    struct cvm_db_value params[] = {cvm_db_text(treatment)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_LEARNING_GET), params, 1,
                                          read_learning, &learning, err);
    if (status == CVM_OK) {
        *out_learning = learning;
    }
    return status;
}

enum cvm_status cvm_learning_add(struct cvm_store *store, const char *treatment,
                                 const struct cvm_learning *more, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {
        cvm_db_text(treatment),
        cvm_db_int(more->contacts),
        cvm_db_int(more->reached),
        cvm_db_int(more->answers),
        cvm_db_int(more->accepted),
        cvm_db_int(more->treated),
        cvm_db_int(more->treated_churned),
        cvm_db_double(more->treated_expected),
        cvm_db_int(more->controls),
        cvm_db_int(more->controls_churned),
        cvm_db_double(more->controls_expected),
    };
    assert(cvm_db_in_transaction(db));
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEARNING_ADD), params, CVM_DB_COUNT(params), NULL,
                       err);
}

/* ---- reports of one decision ---- */

enum cvm_status cvm_outcome_add(struct cvm_store *store, const struct cvm_outcome_row *row,
                                struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {
        cvm_db_text(row->run_id),
        cvm_db_int((int64_t)row->customer_key),
        cvm_db_int(row->state),
        cvm_db_int(row->day),
        row->has_moment ? cvm_db_int(row->at_ms) : cvm_db_null(),
        row->minutes >= 0 ? cvm_db_double(row->minutes) : cvm_db_null(),
        row->reason.length > 0 ? cvm_db_text_n(row->reason.data, row->reason.length)
                               : cvm_db_null(),
        cvm_db_int(row->is_late),
        cvm_db_int(row->import),
    };
    assert(cvm_db_in_transaction(db));
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_OUTCOME_ADD), params, CVM_DB_COUNT(params), NULL,
                       err);
}

static enum cvm_status read_outcome(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct cvm_outcomes *outcomes = state;
    (void)column_count;
    if (columns[0].integer < 0 || columns[0].integer >= CVM_OUTCOME_STATE_COUNT) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "an outcome has the unknown state %lld",
                        (long long)columns[0].integer);
    }
    int number = (int)columns[0].integer;
    cvm_outcomes_add(outcomes, number, (int32_t)columns[1].integer);
    outcomes->late |= columns[2].integer != 0 ? UINT32_C(1) << number : 0;
    return CVM_OK;
}

enum cvm_status cvm_outcome_get(struct cvm_store *store, const char *run_id, uint64_t customer_key,
                                struct cvm_outcomes *out_outcomes, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_outcomes outcomes;
    struct cvm_db_value params[] = {cvm_db_text(run_id), cvm_db_int((int64_t)customer_key)};
    cvm_outcomes_init(&outcomes);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTCOME_GET), params,
                                          CVM_DB_COUNT(params), read_outcome, &outcomes, err);
    if (status == CVM_OK) {
        *out_outcomes = outcomes;
    }
    return status;
}

enum cvm_status cvm_outcome_set_late(struct cvm_store *store, const char *run_id,
                                     uint64_t customer_key, const struct cvm_outcomes *before,
                                     const struct cvm_outcomes *now, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    uint32_t changed = (before->late ^ now->late) & before->states;
    enum cvm_status status = CVM_OK;
    for (int state = 0; status == CVM_OK && state < CVM_OUTCOME_STATE_COUNT; state++) {
        if ((changed >> state & 1) == 0) {
            continue;
        }
        struct cvm_db_value params[] = {
            cvm_db_text(run_id),
            cvm_db_int((int64_t)customer_key),
            cvm_db_int(state),
            cvm_db_int(now->late >> state & 1),
        };
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_OUTCOME_SET_LATE), params,
                             CVM_DB_COUNT(params), NULL, err);
    }
    return status;
}

enum cvm_status cvm_decision_set_state(struct cvm_store *store, const char *run_id,
                                       uint64_t customer_key, enum cvm_decision_state state,
                                       const struct cvm_outcomes *outcomes, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    bool has_churned = cvm_outcomes_have(outcomes, CVM_OUTCOME_CHURNED);
    bool has_ended = has_churned || cvm_outcomes_have(outcomes, CVM_OUTCOME_STAYED);
    struct cvm_db_value params[] = {
        cvm_db_text(run_id),
        cvm_db_int((int64_t)customer_key),
        cvm_db_int(state),
        has_ended ? cvm_db_int(has_churned) : cvm_db_null(),
    };
    assert(cvm_db_in_transaction(db));
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DECISION_SET_STATE), params, CVM_DB_COUNT(params),
                       NULL, err);
}

enum cvm_status cvm_outcome_has_alike(struct cvm_store *store, const struct cvm_decision *decision,
                                      struct cvm_outcome_span span, bool *out_has,
                                      struct cvm_error *err)
{
    int64_t count = 0;
    struct cvm_db_value params[] = {
        cvm_db_int((int64_t)decision->customer_key),
        cvm_db_int(span.first_day),
        cvm_db_int(span.end_day),
        cvm_db_text(decision->treatment),
        cvm_db_int(decision->ghost),
    };
    enum cvm_status status = cvm_db_get_int(cvm_store_db(store), CVM_SQL_OUTCOME_ALIKE, params,
                                            CVM_DB_COUNT(params), &count, err);
    if (status == CVM_OK) {
        *out_has = count > 0;
    }
    return status;
}

/* ---- imports ---- */

enum cvm_status cvm_outcome_import_start(struct cvm_store *store, const char *who, const char *file,
                                         int64_t *out_import, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {
        cvm_db_int(cvm_store_now_ms(store)),
        cvm_db_text(who),
        cvm_db_text(file),
    };
    assert(cvm_db_in_transaction(db));
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_OUTCOME_IMPORT_ADD), params,
                                         CVM_DB_COUNT(params), NULL, err);
    return status == CVM_OK ? cvm_outcome_last_import(store, out_import, err) : status;
}

enum cvm_status cvm_outcome_import_finish(struct cvm_store *store, const char *report,
                                          struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_text(report)};
    assert(cvm_db_in_transaction(db));
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_OUTCOME_IMPORT_FINISH), params, 1, NULL, err);
}

enum cvm_status cvm_outcome_unfinished(struct cvm_store *store, int64_t *out_count,
                                       struct cvm_error *err)
{
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_OUTCOME_UNFINISHED, NULL, 0, out_count, err);
}

struct follow_scan {
    cvm_outcome_decision_fn on_decision;
    void *state;
};

static enum cvm_status scan_follow(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct follow_scan *scan = state;
    (void)column_count;
    return scan->on_decision(scan->state, cvm_db_string(&columns[0]), (uint64_t)columns[1].integer,
                             columns[2].integer != 0, err);
}

enum cvm_status cvm_outcome_to_follow(struct cvm_store *store, cvm_outcome_decision_fn on_decision,
                                      void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct follow_scan scan = {.on_decision = on_decision, .state = state};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTCOME_TO_FOLLOW), NULL, 0, scan_follow, &scan,
                        err);
}

enum cvm_status cvm_outcome_last_import(struct cvm_store *store, int64_t *out_import,
                                        struct cvm_error *err)
{
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_OUTCOME_LAST_IMPORT, NULL, 0, out_import,
                          err);
}

/* ---- whole runs ---- */

struct run_scan {
    cvm_outcome_run_fn on_run;
    void *state;
};

static enum cvm_status scan_run(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct run_scan *scan = state;
    (void)column_count;
    struct cvm_outcome_run run = {
        .run_id = cvm_db_string(&columns[0]),
        .as_of_day = (int32_t)columns[1].integer,
        .is_recalled = strcmp(cvm_db_string(&columns[2]), "recalled") == 0,
    };
    return scan->on_run(scan->state, &run, err);
}

enum cvm_status cvm_outcome_runs(struct cvm_store *store, int32_t first_day, int32_t last_day,
                                 const char *run_id, cvm_outcome_run_fn on_run, void *state,
                                 struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct run_scan scan = {on_run, state};
    struct cvm_db_value params[] = {
        cvm_db_int(first_day),
        cvm_db_int(last_day),
        cvm_db_text(run_id == NULL ? "" : run_id),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTCOME_RUNS), params, CVM_DB_COUNT(params),
                        scan_run, &scan, err);
}

struct group_scan {
    cvm_outcome_group_fn on_group;
    void *state;
};

static enum cvm_status scan_group(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct group_scan *scan = state;
    (void)column_count;
    struct cvm_outcome_group group = {
        .treatment = cvm_db_string(&columns[0]),
        .is_ghost = columns[1].integer != 0,
        .state = (enum cvm_decision_state)columns[2].integer,
        .horizon = columns[3].type == CVM_DB_NULL ? -1 : (int)columns[3].integer,
        .contact_day = columns[4].type == CVM_DB_NULL ? CVM_DAY_NONE : (int32_t)columns[4].integer,
        .count = columns[5].integer,
        .value = columns[6].number,
        .cost_micro = columns[7].integer,
        .churn = columns[8].number,
    };
    return scan->on_group(scan->state, &group, err);
}

enum cvm_status cvm_outcome_groups(struct cvm_store *store, const char *run_id,
                                   cvm_outcome_group_fn on_group, void *state,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct group_scan scan = {on_group, state};
    struct cvm_db_value param = cvm_db_text(run_id);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTCOME_GROUPS), &param, 1, scan_group, &scan,
                        err);
}

struct count_scan {
    cvm_outcome_count_fn on_count;
    void *state;
};

static enum cvm_status scan_count(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct count_scan *scan = state;
    (void)column_count;
    struct cvm_outcome_count count = {
        .treatment = cvm_db_string(&columns[0]),
        .state = (int)columns[1].integer,
        .count = columns[2].integer,
        .late = columns[3].integer,
        .minutes = columns[4].number,
    };
    return scan->on_count(scan->state, &count, err);
}

enum cvm_status cvm_outcome_counts(struct cvm_store *store, const char *run_id,
                                   cvm_outcome_count_fn on_count, void *state,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct count_scan scan = {on_count, state};
    struct cvm_db_value param = cvm_db_text(run_id);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTCOME_COUNTS), &param, 1, scan_count, &scan,
                        err);
}
