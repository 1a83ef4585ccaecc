#include <math.h>
#include <string.h>

#include "allocation/solver.h"
#include "base/csv.h"
#include "base/file.h"
#include "cli/allocation.h"

/* ---- the plan ---- */

/* Fewer than nine of them. */
static void sort_plan(struct cvm_plan *plan, size_t customers, size_t per_customer)
{
    for (size_t i = 0; per_customer > 1 && i < customers; i++) {
        unsigned char *own = plan->treatments + i * per_customer;
        for (size_t k = 1; k < per_customer; k++) {
            unsigned char moved = own[k];
            size_t place = k;
            for (; place > 0 && own[place - 1] > moved; place--) {
                own[place] = own[place - 1];
            }
            own[place] = moved;
        }
    }
}

typedef void (*pair_fn)(void *state, const char *customer_id, const char *treatment);

/* In byte order of id, then of treatment. */
static void each_pair(const struct cvm_allocations *all, const struct cvm_plan *plan,
                      pair_fn on_pair, void *state)
{
    size_t per_customer = all->file->per_customer_max;
    const uint32_t *by_id = all->values->by_id.data;
    const char *const *ids = all->values->ids.data;
    for (size_t k = 0; k < all->values->customer_count; k++) {
        const unsigned char *own = plan->treatments + (size_t)by_id[k] * per_customer;
        for (size_t j = 0; j < per_customer && own[j] != CVM_NOTHING; j++) {
            on_pair(state, ids[by_id[k]], all->file->treatments[own[j]]);
        }
    }
}

static void add_to_digest(void *state, const char *customer_id, const char *treatment)
{
    struct cvm_digest *digest = state;
    cvm_digest_add(digest, customer_id, strlen(customer_id));
    cvm_digest_add(digest, "\t", 1);
    cvm_digest_add(digest, treatment, strlen(treatment));
    cvm_digest_add(digest, "\n", 1);
}

static void add_to_csv(void *state, const char *customer_id, const char *treatment)
{
    struct cvm_text *text = state;
    cvm_csv_add_field(text, customer_id, strlen(customer_id), ',');
    cvm_text_add_char(text, ',');
    cvm_csv_add_field(text, treatment, strlen(treatment), ',');
    cvm_text_add_char(text, '\n');
}

enum cvm_status cvm_allocation_write_plan(const struct cvm_allocations *all,
                                          const struct cvm_allocation *allocation, const char *path,
                                          struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, SIZE_MAX / 2);
    cvm_text_add(&text, "customer_id,treatment\n");
    each_pair(all, &allocation->plan, add_to_csv, &text);
    enum cvm_status status = CVM_OK;
    if (text.failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the plan '%s'", path);
    } else if (strcmp(path, "-") != 0) {
        status = cvm_file_write(path, text.data, text.length, err);
    } else if (fwrite(text.data, 1, text.length, all->session->out) != text.length) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "standard output can not be written");
    }
    cvm_text_finish(&text);
    return status;
}

static int64_t count_changed(const struct cvm_allocations *all, const struct cvm_plan *plan)
{
    size_t per_customer = all->file->per_customer_max;
    int64_t changed = 0;
    for (size_t i = 0; i < all->values->customer_count; i++) {
        changed += memcmp(plan->treatments + i * per_customer,
                          all->base->plan.treatments + i * per_customer, per_customer) != 0;
    }
    return changed;
}

/* ---- one solve ---- */

struct cvm_row_report cvm_allocation_row(const struct cvm_allocations *all,
                                         const struct cvm_allocation *allocation, size_t row)
{
    const struct cvm_plan *plan = &allocation->plan;
    const struct cvm_row *terms = &allocation->rows[row];
    struct cvm_row_report report = {.limit =
                                        cvm_problem_right_side(all->file, allocation->limits, row)};
    if (terms->kind == CVM_ROW_SHARE_MIN || terms->kind == CVM_ROW_SHARE_MAX) {
        int64_t covered = plan->covered[row];
        report.used = covered == 0 ? 0.0 : (double)plan->inside[row] / (double)covered;
        report.shortfall = plan->shortfall[row] > 0 ? report.limit - report.used : 0.0;
        return report;
    }
    int sign = terms->kind == CVM_ROW_SEGMENT_MIN ? -1 : 1;
    report.used = cvm_row_natural(terms, sign * plan->used[row]);
    report.shortfall = cvm_row_natural(terms, plan->shortfall[row]);
    return report;
}

static bool is_same_set(const struct cvm_conflict *a, const struct cvm_conflict *b)
{
    size_t shared = 0;
    for (size_t i = 0; i < a->row_count; i++) {
        for (size_t k = 0; k < b->row_count; k++) {
            shared += a->rows[i] == b->rows[k];
        }
    }
    return shared == a->row_count && shared == b->row_count;
}

/* What counting found before the solve need not be told again after it. */
static void add_conflicts(struct cvm_allocation *a, const struct cvm_conflict *more, size_t count)
{
    size_t before = a->conflict_count;
    for (size_t i = 0; i < count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < before; k++) {
            is_known |= is_same_set(&a->conflicts[k], &more[i]);
        }
        if (!is_known) {
            a->conflicts[a->conflict_count++] = more[i];
        }
    }
}

/* Where nothing is proved to contradict each other, at least what this plan lacks is told. */
static enum cvm_status add_shortfalls(const struct cvm_allocations *all, struct cvm_allocation *a,
                                      struct cvm_error *err)
{
    struct cvm_conflict *conflict = &a->conflicts[0];
    struct cvm_text message;
    struct cvm_text relaxation;
    cvm_text_init(&message, 0);
    cvm_text_init(&relaxation, 0);
    cvm_text_add(&message, "no plan was found that keeps ");
    for (size_t r = 0; r < all->file->row_count; r++) {
        if (a->plan.shortfall[r] > 0) {
            const struct cvm_row_report report = cvm_allocation_row(all, a, r);
            const char *name = all->file->rows[r].name;
            bool is_first = conflict->row_count == 0;
            conflict->rows[conflict->row_count++] = r;
            cvm_text_add_format(&message, "%s'%s' (%.15g instead of %.15g)", is_first ? "" : ", ",
                                name, report.used, report.limit);
            cvm_text_add_format(&relaxation, "%slower '%s' to %.15g", is_first ? "" : " and ", name,
                                report.used);
        }
    }
    conflict->message = cvm_arena_string(all->session->arena, cvm_text_string(&message));
    conflict->relaxation = cvm_arena_string(all->session->arena, cvm_text_string(&relaxation));
    cvm_text_finish(&message);
    cvm_text_finish(&relaxation);
    a->conflict_count = 1;
    return conflict->message == NULL || conflict->relaxation == NULL
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for conflicts between rows")
               : CVM_OK;
}

static enum cvm_status explain(struct cvm_allocations *all, const struct cvm_problem *problem,
                               struct cvm_allocation *a, struct cvm_error *err)
{
    struct cvm_session *session = all->session;
    struct cvm_conflict *found =
        CVM_NEW_ARRAY(session->arena, CVM_CONFLICTS_MAX, struct cvm_conflict);
    size_t count = 0;
    if (a->plan.is_feasible) {
        return CVM_OK;
    }
    if (found == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for conflicts between rows");
    }
    enum cvm_status status =
        cvm_conflicts_before(problem, all->pool, session->arena, found, &count, err);
    if (status == CVM_OK) {
        add_conflicts(a, found, count);
        count = 0;
        status = cvm_conflicts_after(problem, &a->plan, all->pool, &session->context,
                                     session->arena, found, &count, err);
    }
    if (status == CVM_OK) {
        add_conflicts(a, found, count);
    }
    return status == CVM_OK && a->conflict_count == 0 ? add_shortfalls(all, a, err) : status;
}

/* The solver's limits are whole numbers of a scale; a limit with more digits than that had room was
 * rounded to the strict side. The bound is to be that of the limits as they were written. */
static void refer_to_limits(const struct cvm_allocations *all, struct cvm_allocation *a)
{
    struct cvm_plan *plan = &a->plan;
    double more = 0.0;
    for (size_t r = 0; r < all->file->row_count; r++) {
        enum cvm_row_kind kind = a->rows[r].kind;
        double limit = cvm_problem_right_side(all->file, a->limits, r);
        if (kind == CVM_ROW_SHARE_MIN || kind == CVM_ROW_SHARE_MAX || isinf(limit)) {
            continue;
        }
        limit = kind == CVM_ROW_SEGMENT_MIN ? -limit : limit;
        more += plan->prices[r] * (limit - cvm_row_natural(&a->rows[r], a->rows[r].limit));
    }
    if (more != 0.0) {
        plan->dual_bound += more;
        plan->slack += more;
        plan->gap = (plan->dual_bound - plan->value) / fabs(plan->dual_bound);
    }
}

/* The certificate is made once more, apart from the solve, so that its time is seen. */
static enum cvm_status solve(struct cvm_allocations *all, struct cvm_problem *problem,
                             unsigned char *treatments, struct cvm_allocation *a,
                             struct cvm_error *err)
{
    const struct cvm_context *context = &all->session->context;
    struct cvm_solver_options options = {0};
    size_t customers = all->values->customer_count;
    size_t per_customer = all->file->per_customer_max;
    if (a->scenario != NULL) {
        options.warm_prices = all->base->plan.prices;
    }
    a->plan.treatments = treatments;
    problem->rows = a->rows;
    problem->row_count = all->file->row_count;
    double start = cvm_context_seconds(context);
    enum cvm_status status = cvm_solve(problem, &options, all->pool, context, &a->plan, err);
    double solved = cvm_context_seconds(context);
    if (status == CVM_OK) {
        status = cvm_plan_verify(problem, all->pool, &a->plan, err);
    }
    a->solve_s = solved - start;
    a->verify_s = cvm_context_seconds(context) - solved;
    if (status == CVM_OK) {
        refer_to_limits(all, a);
        status = explain(all, problem, a, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_digest digest;
    sort_plan(&a->plan, customers, per_customer);
    cvm_digest_init(&digest);
    each_pair(all, &a->plan, add_to_digest, &digest);
    cvm_digest_finish(&digest, a->plan_digest);
    return CVM_OK;
}

/* ---- all of them ---- */

static enum cvm_status make(struct cvm_allocations *all,
                            const struct cvm_problem_scenario *scenario,
                            struct cvm_allocation **out_allocation, struct cvm_error *err)
{
    struct cvm_allocation *a = CVM_NEW(all->session->arena, struct cvm_allocation);
    if (a == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an allocation");
    }
    a->scenario = scenario;
    if (scenario == NULL) {
        cvm_problem_limits(all->file, a->limits);
    } else {
        memcpy(a->limits, scenario->limits, sizeof(a->limits));
    }
    enum cvm_status status = cvm_problem_rows_make(all->session->arena, all->file, all->values,
                                                   a->limits, &a->rows, err);
    if (status != CVM_OK) {
        return scenario == NULL ? status
                                : cvm_error_context(err, status, "scenario '%s'", scenario->name);
    }
    *out_allocation = a;
    return CVM_OK;
}

static enum cvm_status make_all(struct cvm_allocations *all, struct cvm_error *err)
{
    struct cvm_arena *arena = all->session->arena;
    all->of_scenarios = CVM_NEW_ARRAY(arena, all->scenario_count + 1, struct cvm_allocation *);
    if (all->of_scenarios == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu scenarios", all->scenario_count);
    }
    enum cvm_status status = make(all, NULL, &all->base, err);
    for (size_t s = 0; status == CVM_OK && s < all->scenario_count; s++) {
        status = make(all, &all->scenarios[s], &all->of_scenarios[s], err);
    }
    return status;
}

/* The plans of the scenarios follow each other in one array: of each only the figures are kept. */
static enum cvm_status solve_scenarios(struct cvm_allocations *all, struct cvm_problem *problem,
                                       unsigned char *treatments, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t s = 0; status == CVM_OK && s < all->scenario_count; s++) {
        struct cvm_allocation *a = all->of_scenarios[s];
        cvm_session_progress(all->session, "scenarios", (double)s / (double)all->scenario_count,
                             (int64_t)s);
        status = solve(all, problem, treatments, a, err);
        if (status == CVM_OK) {
            a->changed = count_changed(all, &a->plan);
        } else {
            (void)cvm_error_context(err, status, "scenario '%s'", a->scenario->name);
        }
    }
    cvm_session_progress_end(all->session);
    return status;
}

enum cvm_status cvm_allocations_solve(struct cvm_allocations *all, struct cvm_error *err)
{
    struct cvm_problem problem;
    size_t bytes = (all->values->customer_count + 1) * all->file->per_customer_max;
    unsigned char *base = cvm_arena_alloc_raw(all->session->arena, bytes, 1);
    unsigned char *others = cvm_arena_alloc_raw(all->session->arena, bytes, 1);
    if (base == NULL || others == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a plan of %zu customers",
                        all->values->customer_count);
    }
    enum cvm_status status = make_all(all, err);
    if (status == CVM_OK) {
        status = cvm_problem_make(all->session->arena, all->file, all->values, &problem, err);
    }
    if (status == CVM_OK) {
        status = solve(all, &problem, base, all->base, err);
    }
    return status == CVM_OK ? solve_scenarios(all, &problem, others, err) : status;
}
