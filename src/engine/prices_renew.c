/* Prices on what a day has left: the run's values solved again, for whom it has no decision of yet.
 */
#include <math.h>

#include "allocation/solver.h"
#include "engine/prices.h"
#include "engine/report_internal.h"
#include "engine/run_internal.h"
#include "storage/ledger.h"
#include "storage/price_store.h"

/* Prices hold while what is left stays within this share of what it was. */
#define TOLERANCE 0.1

struct renewal {
    struct cvm_store *store;
    const struct cvm_prices_request *request;
    const struct cvm_catalogue *catalogue; /* with the responses of the run, once it is loaded */
    struct cvm_arena *arena;
    const struct cvm_prices *before;
    struct cvm_report_job report;
    struct cvm_report_problem problem;
    int64_t left[CVM_CONSTRAINTS_MAX]; /* CVM_REPORT_NO_ROW: not limited */
    struct cvm_run_result *result;
};

/* ---- what is left ---- */

static enum cvm_status find_left(struct renewal *renewal, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = renewal->catalogue;
    enum cvm_status status = CVM_OK;
    for (size_t c = 0; status == CVM_OK && c < catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        struct cvm_ledger_row row;
        renewal->left[c] = CVM_REPORT_NO_ROW;
        renewal->result->limits[c] = constraint->limit;
        if (constraint->limit < 0 || constraint->period == CVM_PERIOD_RUN) {
            continue;
        }
        status = cvm_ledger_row(renewal->store, constraint, renewal->request->day, NULL, &row, err);
        int64_t left = row.granted - row.held - row.confirmed;
        renewal->left[c] = left > 0 ? left : 0;
        renewal->result->limits[c] = row.granted;
    }
    return status;
}

/* When the prices were made: what the run left and what it was not given. */
static int64_t left_before(const struct renewal *renewal, size_t c)
{
    const struct cvm_run_result *before = &renewal->before->result;
    if (renewal->before->made_at_ms != 0) {
        return before->solved[c].available;
    }
    return before->remaining[c] +
           (int64_t)((double)before->limits[c] * renewal->request->realtime_share);
}

static bool has_changed(const struct renewal *renewal)
{
    if (renewal->before->made_at_ms == 0 && renewal->before->as_of_day != renewal->request->day) {
        return true; /* another day has means of its own */
    }
    for (size_t c = 0; c < renewal->catalogue->constraint_count; c++) {
        double was = (double)left_before(renewal, c);
        double is = (double)renewal->left[c];
        if (renewal->left[c] != CVM_REPORT_NO_ROW && fabs(is - was) > TOLERANCE * was) {
            return true;
        }
    }
    return false;
}

/* A group's maximum and a reserve hold for the rest of the day as for the run; a minimum was of
 * everybody. */
static void find_left_of_groups(struct renewal *renewal)
{
    const struct cvm_catalogue *catalogue = renewal->catalogue;
    const struct cvm_run_result *run = &renewal->report.now->summary;
    bool is_same_day = renewal->before->as_of_day == renewal->request->day;
    for (size_t g = 0; g < catalogue->group_count; g++) {
        size_t c = catalogue->constraint_count + g;
        const struct cvm_constraint *group = &catalogue->constraints[c];
        int64_t left = CVM_REPORT_NO_ROW;
        if (group->kind == CVM_CONSTRAINT_SEGMENT_MAX) {
            left = group->limit - (is_same_day ? run->solved[c].used : 0);
        } else if (group->kind == CVM_CONSTRAINT_RESERVE) {
            int capacity =
                cvm_catalogue_capacity(catalogue, (size_t)__builtin_ctzll(group->treatments));
            left = capacity == CVM_INDEX_NONE ? 0 : renewal->left[capacity] - group->limit;
        } else {
            renewal->left[c] = CVM_REPORT_NO_ROW;
            continue;
        }
        renewal->left[c] = left > 0 ? left : 0;
    }
}

/* ---- the problem ---- */

static enum cvm_status add_key(void *state, uint64_t key, struct cvm_error *err)
{
    void *slot = NULL;
    enum cvm_status status = cvm_column_extend(state, 1, &slot, err);
    if (status == CVM_OK) {
        *(uint64_t *)slot = key;
    }
    return status;
}

/* Who has a decision of the day gets no other. */
static enum cvm_status leave_out_decided(struct renewal *renewal, struct cvm_error *err)
{
    const struct cvm_report_base *base = &renewal->report.base;
    size_t treatment_count = renewal->catalogue->treatment_count;
    const uint64_t *keys = base->keys.data;
    float *matrix = base->matrix.data;
    struct cvm_column decided;
    cvm_column_init(&decided, sizeof(uint64_t));
    enum cvm_status status =
        cvm_decision_live(renewal->store, renewal->request->day, "", add_key, &decided, err);
    const uint64_t *live = CVM_COLUMN_DATA(&decided, const uint64_t);
    for (size_t i = 0, d = 0; status == CVM_OK && i < base->count; i++) {
        while (d < decided.count && live[d] < keys[i]) {
            d++;
        }
        for (size_t t = 0; d < decided.count && live[d] == keys[i] && t < treatment_count; t++) {
            matrix[cvm_values_at(treatment_count, i, t)] = CVM_VALUE_INELIGIBLE;
        }
    }
    cvm_column_finish(&decided);
    return status;
}

static enum cvm_status load_problem(struct renewal *renewal, struct cvm_error *err)
{
    struct cvm_report_side *side = CVM_NEW(renewal->arena, struct cvm_report_side);
    if (side == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices");
    }
    renewal->report.store = renewal->store;
    renewal->report.arena = renewal->arena;
    renewal->report.now = side;
    renewal->report.base.has_matrix = true;
    enum cvm_status status =
        cvm_run_get(renewal->store, renewal->arena, renewal->before->run_id, &side->run, err);
    if (status == CVM_OK) {
        status = cvm_report_side_load(&renewal->report, renewal->request->catalogue, side,
                                      &renewal->report.base, err);
    }
    if (status == CVM_OK && !side->has_values) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' keeps no values (any more)",
                        side->run.run_id);
    }
    if (status == CVM_OK) {
        renewal->catalogue = side->catalogue;
        status = cvm_report_problem_make(&renewal->report, CVM_REPORT_GHOSTS_GET_NOTHING,
                                         &renewal->problem, err);
    }
    return status == CVM_OK ? leave_out_decided(renewal, err) : status;
}

/* ---- the solve ---- */

static enum cvm_status solve(struct renewal *renewal, struct cvm_error *err)
{
    struct cvm_problem *problem = &renewal->problem.of;
    struct cvm_plan *plan = CVM_NEW(renewal->arena, struct cvm_plan);
    double warm[CVM_PROBLEM_ROWS_MAX] = {0};
    if (plan == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices");
    }
    plan->treatments = cvm_arena_alloc_raw(renewal->arena, problem->customer_count + 1, 1);
    if (plan->treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices");
    }
    find_left_of_groups(renewal);
    cvm_report_problem_limit(&renewal->problem, renewal->catalogue, renewal->left);
    for (size_t r = 0; r < problem->row_count; r++) {
        double price = renewal->before->result.prices[renewal->problem.constraint[r]];
        warm[r] = price > 0 ? price : 0;
    }
    enum cvm_status status =
        cvm_solve(problem, &(struct cvm_solver_options){.warm_prices = warm},
                  renewal->request->pool, renewal->request->context, plan, err);
    if (status == CVM_OK) {
        cvm_run_limits_take(problem, renewal->problem.constraint, plan, renewal->result);
    }
    return status;
}

/* Nobody is given anything: all that is left stays. */
static void keep_left(struct renewal *renewal)
{
    for (size_t c = 0; c < renewal->catalogue->constraint_count; c++) {
        renewal->result->remaining[c] =
            renewal->left[c] == CVM_REPORT_NO_ROW ? -1 : renewal->left[c];
    }
}

static enum cvm_status store(struct renewal *renewal, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(renewal->store);
    struct cvm_json_writer json;
    struct cvm_text body;
    cvm_text_init(&body, 0);
    cvm_json_init(&json, &body, false);
    cvm_json_object(&json);
    cvm_json_key_double(&json, "total_value", renewal->result->value);
    cvm_json_key_double(&json, "dual_bound", renewal->result->dual_bound);
    cvm_json_key_double(&json, "gap", renewal->result->gap);
    cvm_run_limits_write(renewal->result, &json);
    cvm_json_object_end(&json);
    struct cvm_price_record record = {
        .as_of_day = renewal->request->day,
        .run_id = renewal->before->run_id,
        .made_at_ms = cvm_context_now_ms(renewal->request->context),
        .made_by = renewal->request->who,
        .body = cvm_text_string(&body),
    };
    enum cvm_status status =
        body.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices") : cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_price_add(renewal->store, &record, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    cvm_text_finish(&body);
    return status;
}

static enum cvm_status renew(struct renewal *renewal, struct cvm_error *err)
{
    enum cvm_status status = load_problem(renewal, err);
    if (status == CVM_OK) {
        renewal->result->catalogue = renewal->catalogue;
        for (size_t c = 0; c < CVM_CONSTRAINTS_MAX; c++) {
            renewal->result->prices[c] = NAN;
        }
        status = solve(renewal, err);
    }
    if (status == CVM_OK) {
        keep_left(renewal);
        status = store(renewal, err);
    }
    cvm_report_problem_finish(&renewal->problem);
    cvm_report_base_finish(&renewal->report.base);
    return status;
}

enum cvm_status cvm_prices_renew(struct cvm_store *writer, const struct cvm_prices_request *request,
                                 struct cvm_arena *arena, bool *out_is_renewed,
                                 struct cvm_error *err)
{
    struct renewal *renewal = CVM_NEW(arena, struct renewal);
    struct cvm_run_result *result = CVM_NEW(arena, struct cvm_run_result);
    if (renewal == NULL || result == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices");
    }
    renewal->store = writer;
    renewal->request = request;
    renewal->catalogue = request->catalogue;
    renewal->arena = arena;
    renewal->result = result;
    enum cvm_status status =
        cvm_prices_in_force(writer, request->catalogue, request->day, arena, &renewal->before, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(cvm_store_db(writer), err); /* rows of a new day are made */
    }
    if (status == CVM_OK) {
        status = find_left(renewal, err);
        if (status == CVM_OK) {
            status = cvm_db_commit(cvm_store_db(writer), err);
        }
        if (status != CVM_OK) {
            cvm_db_rollback(cvm_store_db(writer));
        }
    }
    if (status == CVM_OK && has_changed(renewal)) {
        *out_is_renewed = true;
        return renew(renewal, err);
    }
    *out_is_renewed = false;
    return status;
}
