#include "allocation/pass.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"

#define BLOCK CVM_PROBLEM_BLOCK

/* ---- what passes share ---- */

static enum cvm_status make_choosers(struct cvm_solve *solve, struct cvm_error *err)
{
    size_t workers = cvm_worker_count(solve->pool);
    solve->choosers = CVM_NEW_ARRAY(solve->arena, workers, struct cvm_chooser);
    if (solve->choosers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu threads", workers);
    }
    enum cvm_status status = CVM_OK;
    for (size_t w = 0; status == CVM_OK && w < workers; w++) {
        struct cvm_chooser *chooser = &solve->choosers[w];
        status = cvm_chooser_init(chooser, solve->problem, solve->everybody.units->size_max,
                                  solve->arena, err);
        cvm_chooser_set_order(chooser, solve->tariff.treatments, solve->tariff.count);
    }
    return status;
}

enum cvm_status cvm_solve_init(struct cvm_solve *solve, const struct cvm_problem *problem,
                               const struct cvm_kernel *kernel, struct cvm_arena *arena,
                               struct cvm_pool *pool, struct cvm_error *err)
{
    size_t workers = cvm_worker_count(pool);
    solve->problem = problem;
    solve->kernel = kernel;
    solve->arena = arena;
    solve->pool = pool;
    enum cvm_status status = cvm_tariff_init(&solve->tariff, problem, arena, err);
    if (status == CVM_OK) {
        status = cvm_table_of_problem(problem, arena, &solve->everybody, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    size_t pairs = solve->tariff.class_count * (solve->tariff.count + 1);
    solve->worker_sums = CVM_NEW_ARRAY(arena, workers, struct cvm_kernel_sums);
    solve->group_sums =
        CVM_NEW_ARRAY(arena, cvm_group_count(problem->customer_count) + 1, struct cvm_kernel_sums);
    if (solve->worker_sums == NULL || solve->group_sums == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the sums of %zu customers",
                        problem->customer_count);
    }
    for (size_t w = 0; w < workers; w++) {
        solve->worker_sums[w].counts = CVM_NEW_ARRAY(arena, pairs, int64_t);
        if (solve->worker_sums[w].counts == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the sums of %zu classes", pairs);
        }
    }
    if (solve->everybody.units == NULL) {
        return CVM_OK;
    }
    status = make_choosers(solve, err);
    /* A mapped problem may not fit into memory a second time. */
    return status == CVM_OK && !solve->is_mapped
               ? cvm_table_line_up(&solve->everybody, pool, arena, err)
               : status;
}

/* ---- one pass ---- */

struct pass {
    struct cvm_solve *solve;
    const struct cvm_table *table;
    const struct cvm_choices *choices;
    const struct cvm_margins *margins; /* NULL: only choose */
    struct cvm_kernel_pass kernel_pass;
    struct cvm_kernel_list *lists; /* per worker */
    struct list_part {
        size_t worker, first, count;
    } * parts;                   /* per group */
    unsigned char *is_undecided; /* per unit */
};

static size_t item_count(const struct cvm_table *table)
{
    return table->units != NULL ? table->units->count : table->count;
}

/* Pages of a mapped file that were read are given back: memory stays bounded by what is in flight.
 */
static void give_back(const struct cvm_table *table, size_t first, size_t end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)(table->values + first * table->treatment_count);
    uintptr_t to = (uintptr_t)(table->values + end * table->treatment_count);
    from = (from + page - 1) / page * page;
    to = to / page * page;
    if (to > from) {
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
}

/* ---- the simple form ---- */

static void run_kernel(struct pass *pass, size_t group, size_t worker)
{
    struct cvm_solve *solve = pass->solve;
    size_t first = group * CVM_GROUP_SIZE;
    size_t end = first + CVM_GROUP_SIZE;
    end = end < pass->table->count ? end : pass->table->count;
    struct cvm_kernel_sums *sums = &solve->group_sums[group];
    sums->counts = solve->worker_sums[worker].counts;
    if (pass->margins == NULL) {
        solve->kernel->choose(&pass->kernel_pass, first, end, sums);
    } else {
        struct cvm_kernel_list *list = &pass->lists[worker];
        struct list_part part = {worker, list->count, 0};
        solve->kernel->narrow(&pass->kernel_pass, first, end, sums, list);
        part.count = list->count - part.first;
        pass->parts[group] = part;
    }
    if (solve->is_mapped && pass->table == &solve->everybody) {
        give_back(pass->table, first, end);
    }
}

/* ---- the general form ---- */

/* Of the member at a place among those of all units. */
static struct cvm_lined lined_at(const struct cvm_table *table, size_t at)
{
    if (table->lined != NULL) {
        return table->lined[at];
    }
    size_t customer = cvm_units_member(table->units, at);
    return (struct cvm_lined){
        .amount = table->amounts != NULL ? table->amounts[customer] : 0.0,
        .jitter = cvm_jitter(table->keys[customer]),
        .customer_class = table->classes != NULL ? table->classes[customer] : 0,
    };
}

static void score_member(const struct pass *pass, size_t at, double *prices, double *scores)
{
    const struct cvm_tariff *tariff = &pass->solve->tariff;
    const struct cvm_table *table = pass->table;
    const struct cvm_lined lined = lined_at(table, at);
    size_t count = table->treatment_count;
    float values[CVM_PROBLEM_TREATMENTS_MAX];
    struct cvm_kernel_member member = {
        .treatment_count = (int)count,
        .flats = tariff->flat_of_class + lined.customer_class * count,
        .rates = tariff->rate,
        .blurs = tariff->blur,
        .values = values,
        .amount = lined.amount,
        .jitter = lined.jitter,
        .is_jittered = pass->margins == NULL && !pass->solve->is_rough,
    };
    if (table->lined_values != NULL) {
        member.values = table->lined_values + at * count;
    } else {
        size_t customer = cvm_units_member(table->units, at);
        const float *column = table->values + cvm_table_at(table, customer, 0);
        for (size_t t = 0; t < count; t++) {
            values[t] = column[t * BLOCK];
        }
    }
    pass->solve->kernel->score(&member, prices, scores);
}

static void add_counts(const struct pass *pass, size_t at, uint64_t set,
                       const unsigned char *places, struct cvm_kernel_sums *sums)
{
    if (set == 0) {
        return;
    }
    const struct cvm_lined lined = lined_at(pass->table, at);
    for (; set != 0; set &= set - 1) {
        size_t place = places[__builtin_ctzll(set)];
        sums->counts[lined.customer_class * pass->kernel_pass.fare_count + place]++;
        sums->amounts[place] += lined.amount;
    }
}

static void score_unit(const struct pass *pass, struct cvm_chooser *chooser, size_t unit)
{
    const uint32_t *first = pass->table->units->first;
    size_t count = pass->table->treatment_count;
    for (size_t at = first[unit]; at < first[unit + 1]; at++) {
        size_t j = at - first[unit];
        score_member(pass, at, chooser->prices + j * count, chooser->scores + j * count);
    }
}

/* The choice is decided if it is also the best when the prices of what was chosen rise and all
 * others fall as far as they may: for a sum over pairs that is the worst that can happen. */
static bool is_decided(const struct pass *pass, struct cvm_chooser *chooser, size_t unit,
                       const uint64_t *sets)
{
    const struct cvm_tariff *tariff = &pass->solve->tariff;
    const struct cvm_table *table = pass->table;
    size_t size = table->units->first[unit + 1] - table->units->first[unit];
    double chosen = 0.0;
    for (size_t j = 0; j < size; j++) {
        double *scores = chooser->scores + j * table->treatment_count;
        const double *prices = chooser->prices + j * table->treatment_count;
        for (size_t place = 0; place < tariff->count; place++) {
            size_t t = tariff->treatments[place];
            double width = fabs(prices[t]) * pass->margins->shares[t] + pass->margins->slacks[t];
            bool is_chosen = (sets[j] >> t & 1) != 0;
            scores[t] += is_chosen ? -width : width;
            chosen += is_chosen ? scores[t] : 0.0;
        }
    }
    uint64_t *worst = chooser->worst;
    double best = cvm_choose_unit(chooser, size, table->units->max[unit], worst);
    return best <= chosen && memcmp(worst, sets, size * sizeof(*sets)) == 0;
}

static double value_of_sets(const struct cvm_table *table, size_t unit, const uint64_t *sets)
{
    size_t size = table->units->first[unit + 1] - table->units->first[unit];
    double value = 0.0;
    for (size_t j = 0; j < size; j++) {
        size_t customer = cvm_units_member(table->units, table->units->first[unit] + j);
        for (uint64_t set = sets[j]; set != 0; set &= set - 1) {
            size_t t = (size_t)__builtin_ctzll(set);
            value += (double)table->values[cvm_table_at(table, customer, t)];
        }
    }
    return value;
}

static void run_unit(struct pass *pass, size_t unit, struct cvm_chooser *chooser,
                     const unsigned char *places, struct cvm_kernel_sums *sums)
{
    const struct cvm_table *table = pass->table;
    size_t size = table->units->first[unit + 1] - table->units->first[unit];
    uint64_t *sets = chooser->sets;
    score_unit(pass, chooser, unit);
    double gain = cvm_choose_unit(chooser, size, table->units->max[unit], sets);
    bool is_open = pass->margins != NULL && !is_decided(pass, chooser, unit, sets);
    if (pass->margins != NULL) {
        pass->is_undecided[unit] = is_open;
        gain = is_open ? 0.0 : value_of_sets(table, unit, sets);
    }
    sums->gain[0] += gain;
    for (size_t j = 0; j < size; j++) {
        size_t at = table->units->first[unit] + j;
        if (!is_open) {
            add_counts(pass, at, sets[j], places, sums);
        }
        if (pass->choices != NULL) {
            pass->choices->sets[cvm_units_member(table->units, at)] =
                is_open ? UINT64_MAX : sets[j];
        }
    }
}

static void run_units(struct pass *pass, size_t group, size_t worker)
{
    struct cvm_solve *solve = pass->solve;
    const struct cvm_tariff *tariff = &solve->tariff;
    unsigned char places[CVM_PROBLEM_TREATMENTS_MAX] = {0};
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < pass->table->units->count ? end : pass->table->units->count;
    struct cvm_kernel_sums *sums = &solve->group_sums[group];
    sums->counts = solve->worker_sums[worker].counts;
    for (size_t place = 0; place < tariff->count; place++) {
        places[tariff->treatments[place]] = (unsigned char)place;
    }
    for (size_t unit = group * CVM_GROUP_SIZE; unit < end; unit++) {
        run_unit(pass, unit, &solve->choosers[worker], places, sums);
    }
}

/* ---- both ---- */

static void run_group(void *state, size_t group, size_t worker)
{
    struct pass *pass = state;
    struct cvm_kernel_sums *sums = &pass->solve->group_sums[group];
    memset(sums->gain, 0, sizeof(sums->gain));
    memset(sums->amounts, 0, sizeof(sums->amounts));
    if (pass->table->units != NULL) {
        run_units(pass, group, worker);
    } else {
        run_kernel(pass, group, worker);
    }
}

static void add_uses(const struct cvm_tariff *tariff, const int64_t *counts, const double *amounts,
                     double *uses)
{
    const struct cvm_problem *problem = tariff->problem;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        double use = 0.0;
        for (size_t place = 0; place < tariff->count; place++) {
            size_t t = tariff->treatments[place];
            if (!cvm_row_touches(row, t)) {
                continue;
            }
            double inside = 0.0;
            double outside = 0.0;
            for (size_t c = 0; c < tariff->class_count; c++) {
                double count = (double)counts[c * tariff->count + place];
                bool is_inside = row->inside == NULL || row->inside[c] != 0;
                inside += is_inside ? count : 0.0;
                outside += is_inside ? 0.0 : count;
            }
            use += cvm_row_is_money(row) ? row->flat[t] * inside + row->rate[t] * amounts[t]
                                         : inside * cvm_row_natural(row, row->units[t]) +
                                               outside * cvm_row_natural(row, row->outside[t]);
        }
        uses[r] = use;
    }
}

static void run_pass(struct pass *pass, struct cvm_sums *out_sums)
{
    struct cvm_solve *solve = pass->solve;
    const struct cvm_tariff *tariff = &solve->tariff;
    size_t group_count = cvm_group_count(item_count(pass->table));
    size_t workers = cvm_worker_count(solve->pool);
    size_t pairs = tariff->class_count * tariff->count;
    for (size_t w = 0; w < workers; w++) {
        memset(solve->worker_sums[w].counts, 0, pairs * sizeof(int64_t));
    }
    cvm_groups_run(solve->pool, group_count, run_group, pass);
    int64_t *counts = solve->worker_sums[0].counts;
    for (size_t w = 1; w < workers; w++) {
        for (size_t i = 0; i < pairs; i++) {
            counts[i] += solve->worker_sums[w].counts[i];
        }
    }
    memset(out_sums, 0, sizeof(*out_sums));
    for (size_t group = 0; group < group_count; group++) {
        const struct cvm_kernel_sums *sums = &solve->group_sums[group];
        double gain = 0.0;
        for (size_t i = 0; i < BLOCK; i++) {
            gain += sums->gain[i];
        }
        out_sums->gain += gain;
        for (size_t place = 0; place < tariff->count; place++) {
            out_sums->amounts[tariff->treatments[place]] += sums->amounts[place];
        }
    }
    for (size_t i = 0; i < pairs; i++) {
        out_sums->counts[tariff->treatments[i % tariff->count]] += (double)counts[i];
    }
    add_uses(tariff, counts, out_sums->amounts, out_sums->uses);
    solve->passes += pass->table == &solve->everybody;
}

static struct cvm_kernel_pass kernel_pass_of(struct cvm_solve *solve, const struct cvm_table *table,
                                             const struct cvm_choices *choices)
{
    return (struct cvm_kernel_pass){
        .table = table,
        .fares = solve->tariff.fares,
        .fare_count = solve->tariff.count,
        .class_count = solve->tariff.class_count,
        .is_jittered = !solve->is_rough,
        .choices = choices != NULL ? choices->treatments : NULL,
    };
}

void cvm_pass_choose(struct cvm_solve *solve, const struct cvm_table *table,
                     const struct cvm_choices *choices, struct cvm_sums *out_sums)
{
    struct pass pass = {
        .solve = solve,
        .table = table,
        .choices = choices,
        .kernel_pass = kernel_pass_of(solve, table, choices),
    };
    run_pass(&pass, out_sums);
}

/* ---- narrowing ---- */

static enum cvm_status make_lists(struct pass *pass, size_t most, struct cvm_error *err)
{
    struct cvm_solve *solve = pass->solve;
    size_t workers = cvm_worker_count(solve->pool);
    struct cvm_arena *arena = solve->arena;
    pass->lists = CVM_NEW_ARRAY(arena, workers, struct cvm_kernel_list);
    pass->parts = CVM_NEW_ARRAY(arena, cvm_group_count(pass->table->count) + 1, struct list_part);
    bool is_made = pass->lists != NULL && pass->parts != NULL;
    for (size_t w = 0; is_made && w < workers; w++) {
        pass->lists[w].room = most;
        pass->lists[w].customers = cvm_arena_alloc_raw(arena, most + 1, sizeof(uint32_t));
        pass->lists[w].values =
            cvm_arena_alloc_raw(arena, most * pass->table->treatment_count + 1, sizeof(float));
        is_made = pass->lists[w].customers != NULL && pass->lists[w].values != NULL;
    }
    return is_made ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", most);
}

struct gather {
    struct pass *pass;
    const size_t *starts; /* per group, in the new table */
    struct cvm_table *to;
};

static void gather_group(void *state, size_t group, size_t worker)
{
    const struct gather *gather = state;
    const struct pass *pass = gather->pass;
    const struct list_part *part = &pass->parts[group];
    const struct cvm_kernel_list *list = &pass->lists[part->worker];
    size_t treatment_count = pass->table->treatment_count;
    (void)worker;
    for (size_t k = 0; k < part->count; k++) {
        size_t at = part->first + k;
        cvm_table_copy(pass->table, list->customers[at], list->values + at * treatment_count, 1,
                       gather->to, gather->starts[group] + k);
    }
}

static enum cvm_status gather_lists(struct pass *pass, size_t most, struct cvm_table **out_table,
                                    struct cvm_error *err)
{
    struct cvm_solve *solve = pass->solve;
    const struct cvm_table *from = pass->table;
    size_t group_count = cvm_group_count(from->count);
    size_t *starts = CVM_NEW_ARRAY(solve->arena, group_count + 1, size_t);
    struct cvm_table *table = CVM_NEW(solve->arena, struct cvm_table);
    if (starts == NULL || table == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a table");
    }
    size_t count = 0;
    bool is_full = false;
    for (size_t group = 0; group < group_count; group++) {
        starts[group] = count;
        count += pass->parts[group].count;
    }
    for (size_t w = 0; w < cvm_worker_count(solve->pool); w++) {
        is_full = is_full || pass->lists[w].is_full;
    }
    if (is_full || count > most) {
        *out_table = NULL;
        return CVM_OK;
    }
    enum cvm_status status = cvm_table_empty(from, count, solve->arena, table, err);
    if (status == CVM_OK) {
        struct gather gather = {pass, starts, table};
        cvm_groups_run(solve->pool, group_count, gather_group, &gather);
        *out_table = table;
    }
    return status;
}

static enum cvm_status pick_undecided(struct pass *pass, size_t most, struct cvm_table **out_table,
                                      struct cvm_error *err)
{
    struct cvm_solve *solve = pass->solve;
    const struct cvm_units *units = pass->table->units;
    uint32_t *chosen = cvm_arena_alloc_raw(solve->arena, units->count + 1, sizeof(uint32_t));
    struct cvm_table *table = CVM_NEW(solve->arena, struct cvm_table);
    if (chosen == NULL || table == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu households", units->count);
    }
    size_t count = 0;
    size_t customers = 0;
    for (size_t u = 0; u < units->count; u++) {
        if (pass->is_undecided[u] != 0) {
            chosen[count++] = (uint32_t)u;
            customers += units->first[u + 1] - units->first[u];
        }
    }
    if (customers > most) {
        *out_table = NULL;
        return CVM_OK;
    }
    enum cvm_status status = cvm_table_pick(pass->table, chosen, count, solve->arena, table, err);
    if (status == CVM_OK) {
        *out_table = table;
    }
    return status;
}

enum cvm_status cvm_pass_narrow(struct cvm_solve *solve, const struct cvm_narrow_request *narrowing,
                                struct cvm_sums *out_sums, struct cvm_table **out_table,
                                struct cvm_error *err)
{
    const struct cvm_table *table = narrowing->table;
    const struct cvm_margins *margins = narrowing->margins;
    struct pass pass = {
        .solve = solve,
        .table = table,
        .choices = narrowing->choices,
        .margins = margins,
        .kernel_pass = kernel_pass_of(solve, table, narrowing->choices),
    };
    enum cvm_status status = CVM_OK;
    pass.kernel_pass.is_jittered = false; /* the margins are wider than the jitter */
    for (size_t place = 0; place < solve->tariff.count; place++) {
        size_t t = solve->tariff.treatments[place];
        solve->tariff.fares[place].spread = (float)margins->shares[t];
        solve->tariff.fares[place].slack = (float)margins->slacks[t];
    }
    if (table->units != NULL) {
        pass.is_undecided = CVM_NEW_ARRAY(solve->arena, table->units->count + 1, unsigned char);
        if (pass.is_undecided == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu households", table->units->count);
        }
    } else {
        status = make_lists(&pass, narrowing->most, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    run_pass(&pass, out_sums);
    return table->units != NULL ? pick_undecided(&pass, narrowing->most, out_table, err)
                                : gather_lists(&pass, narrowing->most, out_table, err);
}
