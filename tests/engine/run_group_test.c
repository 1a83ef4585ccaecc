/* Constraints on groups of customers in a run, and the certificate that it keeps. */
#include "run_base.h"

#include <math.h>

#include "engine/prices.h"
#include "engine/values.h"

#define CUSTOMERS 3000

#define GROUPS                                                                                     \
    "groups:\n"                                                                                    \
    "  - {group: few_prepaid, kind: segment_max, segment: prepaid, limit: 20}\n"                   \
    "  - group: unhappy\n"                                                                         \
    "    kind: segment_min\n"                                                                      \
    "    customers: last_sentiment == 'negative'\n"                                                \
    "    limit: 150\n"                                                                             \
    "  - {group: converged, kind: share_min, segment: converged, limit: 0.3}\n"                    \
    "  - {group: young, kind: share_max, customers: age_band == 'under_25', limit: 0.1}\n"         \
    "  - group: dear\n"                                                                            \
    "    kind: reserve\n"                                                                          \
    "    customers: plan_charge >= 40\n"                                                           \
    "    treatments: [loyalty_points]\n"                                                           \
    "    limit: 60\n"

enum { FEW, UNHAPPY, CONVERGED, YOUNG, DEAR, GROUP_COUNT };

static void add_groups(struct cvm_arena *arena, struct config_files *config)
{
    (void)config_replace(arena, config, "constraints.yaml", "budgets:", GROUPS "budgets:");
}

static void ask_too_much(struct cvm_arena *arena, struct config_files *config)
{
    add_groups(arena, config);
    (void)config_replace(arena, config, "constraints.yaml", "limit: 150", "limit: 2900");
}

static int set_up(void **state)
{
    *state = base_create(CUSTOMERS, add_groups);
    return 0;
}

static int set_up_too_much(void **state)
{
    *state = base_create(CUSTOMERS, ask_too_much);
    return 0;
}

static int tear_down(void **state)
{
    base_destroy(*state);
    return 0;
}

/* Counted from the decisions and the stored values: treatments of a mask, and those of them given
 * inside of a group. */
struct counted {
    const struct cvm_run_result *result;
    uint64_t treatments;
    size_t group;
    int64_t covered, inside;
};

static enum cvm_status count_block(void *state, const struct cvm_value_block *block,
                                   struct cvm_error *err)
{
    struct counted *counted = state;
    struct cvm_values_view view;
    must(cvm_values_open(block->body, block->length, &view, err), err);
    for (size_t d = 0; d < counted->result->decision_count; d++) {
        const struct cvm_run_decision *decision = &counted->result->decisions[d];
        size_t row = cvm_values_find(&view, decision->key);
        if (row != SIZE_MAX && (counted->treatments >> decision->treatment & 1) != 0) {
            counted->covered++;
            counted->inside += (int64_t)(cvm_values_groups(&view, row) >> counted->group & 1);
        }
    }
    return CVM_OK;
}

static struct counted count(const struct base *base, const struct cvm_run_result *result,
                            size_t group)
{
    const struct cvm_catalogue *catalogue = base->catalogue;
    struct cvm_error err;
    struct counted counted = {
        .result = result,
        .treatments = catalogue->constraints[catalogue->constraint_count + group].treatments,
        .group = group,
    };
    must(cvm_value_block_scan(base->store, result->run_id, count_block, &counted, &err), &err);
    return counted;
}

static const struct cvm_run_limit *solved(const struct base *base,
                                          const struct cvm_run_result *result, size_t group)
{
    return &result->solved[base->catalogue->constraint_count + group];
}

static void a_plan_keeps_minimums_maximums_shares_and_reserves(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    assert_true(result->is_feasible);
    assert_int_equal(result->conflict_count, 0);
    struct counted counted[GROUP_COUNT];
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        counted[g] = count(base, result, g);
        assert_true(solved(base, result, g)->is_solved);
        assert_int_equal(solved(base, result, g)->covered, counted[g].covered);
        assert_int_equal(solved(base, result, g)->inside, counted[g].inside);
        assert_int_equal(solved(base, result, g)->shortfall, 0);
    }
    assert_true(counted[FEW].inside <= 20);
    assert_true(counted[UNHAPPY].inside >= 150);
    assert_true(10 * counted[CONVERGED].inside >= 3 * counted[CONVERGED].covered);
    assert_true(10 * counted[YOUNG].inside <= counted[YOUNG].covered);
    int points = cvm_catalogue_treatment(base->catalogue, "loyalty_points");
    int64_t capacity = base->catalogue->treatments[points].max_per_day;
    assert_true(counted[DEAR].covered - counted[DEAR].inside <= capacity - 60);
    /* Something of it was in the way, else the test would show nothing. */
    bool is_binding = false;
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        is_binding |= solved(base, result, g)->is_binding;
    }
    assert_true(is_binding);
    cvm_run_result_destroy(result);
}

static double price_of(const struct base *base, const struct cvm_run_result *result, size_t c)
{
    (void)base;
    return result->prices[c] > 0 ? result->prices[c] : 0;
}

static void the_certificate_says_where_the_gap_lies(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    double gap = result->dual_bound - result->value;
    assert_true(gap >= -1e-9 && result->gap < 1e-3);
    assert_true(fabs(gap - (result->regret + result->slack)) < 1e-6);
    double slack = 0;
    size_t rows = base->catalogue->constraint_count + base->catalogue->group_count;
    for (size_t c = 0; c < rows; c++) {
        const struct cvm_constraint *constraint = &base->catalogue->constraints[c];
        const struct cvm_run_limit *limit = &result->solved[c];
        double scale = constraint->kind == CVM_CONSTRAINT_RESOURCE
                           ? 1
                           : (double)cvm_constraint_scale(constraint);
        slack += price_of(base, result, c) * (double)(limit->available - limit->used) / scale;
        assert_true(limit->is_solved);
        assert_true(limit->used <= limit->available);
        assert_true(limit->price_low <= price_of(base, result, c) + 1e-12);
        assert_true(limit->price_high >= price_of(base, result, c) - 1e-12);
    }
    assert_true(fabs(slack - result->slack) < 1e-6);
    cvm_run_result_destroy(result);
}

static void a_run_loaded_again_has_the_whole_certificate(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    struct cvm_engine *engine = open_engine(base, 1, 256);
    struct cvm_run_result *loaded = NULL;
    struct cvm_error err;
    must(cvm_run_load(engine, base->store, result->run_id, base->arena, &loaded, &err), &err);
    assert_true(loaded->regret == result->regret);
    assert_true(loaded->slack == result->slack);
    assert_true(loaded->is_feasible == result->is_feasible);
    for (size_t c = 0; c < base->catalogue->constraint_count + base->catalogue->group_count; c++) {
        const struct cvm_run_limit *was = &result->solved[c];
        const struct cvm_run_limit *now = &loaded->solved[c];
        assert_true(now->is_solved == was->is_solved);
        assert_int_equal(now->available, was->available);
        assert_int_equal(now->used, was->used);
        assert_int_equal(now->shortfall, was->shortfall);
        assert_true(now->is_binding == was->is_binding);
        assert_true(fabs(now->price_low - was->price_low) < 1e-12);
        assert_true(fabs(now->price_high - was->price_high) < 1e-12);
    }
    cvm_run_result_destroy(loaded);
    cvm_run_result_destroy(result);
    cvm_engine_close(engine);
}

static void groups_do_not_depend_on_threads_and_chunks(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    request.is_dry = true;
    struct cvm_run_result *first = run(base, &request, 1, 16);
    struct cvm_run_result *second = run(base, &request, 3, 100);
    assert_string_equal(first->plan_digest, second->plan_digest);
    assert_memory_equal(first->prices, second->prices,
                        sizeof(double) * base->catalogue->constraint_count);
    cvm_run_result_destroy(first);
    cvm_run_result_destroy(second);
}

static void minimums_and_shares_are_not_asked_of_a_run_for_some(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *whole = run(base, &request, 2, 256);
    const char *customers[] = {whole->decisions[0].customer_id, whole->decisions[1].customer_id};
    request.customers = customers;
    request.customer_count = 2;
    request.is_dry = true;
    struct cvm_run_result *result = run(base, &request, 2, 256);
    assert_true(result->is_feasible);
    assert_true(solved(base, result, FEW)->is_solved);
    assert_false(solved(base, result, UNHAPPY)->is_solved);
    assert_false(solved(base, result, CONVERGED)->is_solved);
    assert_true(solved(base, result, DEAR)->is_solved);
    cvm_run_result_destroy(result);
    cvm_run_result_destroy(whole);
}

static void a_minimum_out_of_reach_gives_the_best_plan_and_says_what_is_missing(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    assert_false(result->is_feasible);
    assert_true(result->decision_count > 0);
    const struct cvm_run_limit *limit = solved(base, result, UNHAPPY);
    assert_true(limit->shortfall > 0);
    assert_int_equal(limit->inside + limit->shortfall, 2900);
    assert_string_equal(result->plan_state, "released");
    assert_int_equal(result->conflict_count, 1);
    assert_int_equal(result->conflicts[0].row_count, 1);
    assert_string_equal(result->conflicts[0].rows[0], "unhappy");
    assert_non_null(strstr(result->conflicts[0].message, "2900"));
    assert_non_null(strstr(result->conflicts[0].relaxation, "lower 'unhappy'"));
    struct cvm_engine *engine = open_engine(base, 1, 256);
    struct cvm_run_result *loaded = NULL;
    struct cvm_error err;
    must(cvm_run_load(engine, base->store, result->run_id, base->arena, &loaded, &err), &err);
    assert_false(loaded->is_feasible);
    assert_int_equal(loaded->conflict_count, 1);
    assert_string_equal(loaded->conflicts[0].rows[0], "unhappy");
    assert_string_equal(loaded->conflicts[0].message, result->conflicts[0].message);
    cvm_run_result_destroy(loaded);
    cvm_run_result_destroy(result);
    cvm_engine_close(engine);
}

/* ---- prices of the day ---- */

static bool renew(const struct base *base, int32_t day)
{
    struct cvm_pool *pool = NULL;
    struct cvm_error err;
    bool is_renewed = false;
    must(cvm_pool_create(2, &pool, &err), &err);
    const struct cvm_prices_request request = {
        .day = day,
        .who = "test",
        .catalogue = base->catalogue,
        .pool = pool,
        .context = &base->context,
    };
    must(cvm_prices_renew(base->store, &request, base->arena, &is_renewed, &err), &err);
    cvm_pool_destroy(pool);
    return is_renewed;
}

static const struct cvm_prices *prices_of(const struct base *base, int32_t day)
{
    const struct cvm_prices *prices = NULL;
    struct cvm_error err;
    must(cvm_prices_in_force(base->store, base->catalogue, day, base->arena, &prices, &err), &err);
    return prices;
}

/* Somebody else takes this much of what is left. */
static void take(const struct base *base, size_t constraint, int64_t amount)
{
    struct cvm_error err;
    const struct cvm_ledger_holder holder = {"other", 1, NOW_MS + 60000};
    const struct cvm_ledger_amount amounts[] = {{(int)constraint, amount}};
    must(cvm_db_begin(cvm_store_db(base->store), &err), &err);
    must(cvm_ledger_hold(base->store, base->catalogue, AS_OF, &holder, amounts, 1, &err), &err);
    must(cvm_ledger_confirm(base->store, base->catalogue, AS_OF, &holder, amounts, 1, &err), &err);
    must(cvm_db_commit(cvm_store_db(base->store), &err), &err);
}

static void prices_are_renewed_when_a_tenth_of_what_was_left_has_gone(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    int email = cvm_catalogue_capacity(
        base->catalogue, (size_t)cvm_catalogue_treatment(base->catalogue, "retention_email"));
    int64_t left = result->remaining[email];
    assert_true(left >= 20 && !(result->prices[email] > 0)); /* plentiful */
    assert_false(renew(base, AS_OF));
    take(base, (size_t)email, left / 10);
    assert_false(renew(base, AS_OF));
    assert_true(prices_of(base, AS_OF)->made_at_ms == 0);
    take(base, (size_t)email, left - left / 10);
    assert_true(renew(base, AS_OF));
    const struct cvm_prices *prices = prices_of(base, AS_OF);
    assert_string_equal(prices->run_id, result->run_id);
    assert_true(prices->made_at_ms == NOW_MS);
    assert_int_equal(prices->result.solved[email].available, 0);
    assert_true(prices->result.prices[email] >= 0);
    assert_int_equal(prices->result.remaining[email], 0);
    assert_false(renew(base, AS_OF)); /* they hold now */
    cvm_run_result_destroy(result);
}

static void another_day_has_prices_of_its_own_means(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    const struct cvm_prices *day = NULL;
    struct cvm_error err;
    assert_int_equal(
        cvm_prices_of_day(base->store, base->catalogue, AS_OF + 1, base->arena, &day, &err),
        CVM_E_NOT_FOUND);
    assert_true(renew(base, AS_OF + 1));
    must(cvm_prices_of_day(base->store, base->catalogue, AS_OF + 1, base->arena, &day, &err), &err);
    for (size_t c = 0; c < base->catalogue->constraint_count; c++) {
        if (base->catalogue->constraints[c].period == CVM_PERIOD_DAY) {
            assert_int_equal(day->result.solved[c].available,
                             base->catalogue->constraints[c].limit);
        }
    }
    assert_true(prices_of(base, AS_OF)->made_at_ms == 0); /* the run's own day is as it was */
    cvm_run_result_destroy(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plan_keeps_minimums_maximums_shares_and_reserves, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_certificate_says_where_the_gap_lies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_loaded_again_has_the_whole_certificate, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(groups_do_not_depend_on_threads_and_chunks, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(minimums_and_shares_are_not_asked_of_a_run_for_some, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_minimum_out_of_reach_gives_the_best_plan_and_says_what_is_missing, set_up_too_much,
            tear_down),
        cmocka_unit_test_setup_teardown(prices_are_renewed_when_a_tenth_of_what_was_left_has_gone,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_day_has_prices_of_its_own_means, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
