#include "allocation/problem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "allocation/solver.h"

/* Class 1 is inside. */
static const unsigned char inside[2] = {0, 1};

static struct cvm_row row_of(const struct cvm_row_terms *terms)
{
    struct cvm_row row;
    memset(&row, 0xA5, sizeof(row)); /* what is not said is set too */
    cvm_row_make(terms, &row);
    return row;
}

static struct cvm_row capacity_of(int64_t limit)
{
    return row_of(&(struct cvm_row_terms){
        .name = "row", .kind = CVM_ROW_CAPACITY, .treatments = 3, .limit = limit});
}

static struct cvm_row budget_of(const double *flat, const double *rate)
{
    return row_of(&(struct cvm_row_terms){.name = "row",
                                          .kind = CVM_ROW_BUDGET,
                                          .treatments = 3,
                                          .limit = 5,
                                          .flat = flat,
                                          .rate = rate});
}

static struct cvm_problem problem_of(const struct cvm_row *rows, size_t row_count)
{
    static const float values[CVM_PROBLEM_BLOCK * 2] = {0};
    static const uint64_t keys[1] = {1};
    static const double amounts[1] = {10.0};
    return (struct cvm_problem){
        .customer_count = 1,
        .treatment_count = 2,
        .values = values,
        .keys = keys,
        .amounts = amounts,
        .rows = rows,
        .row_count = row_count,
        .forced_treatment = -1,
    };
}

/* ---- rows ---- */

static void a_pair_uses_what_the_kind_of_row_says(void **state)
{
    static const int64_t units[CVM_PROBLEM_TREATMENTS_MAX] = {0, 2500, 7};
    static const struct {
        enum cvm_row_kind kind;
        int64_t outside_use;
        int64_t inside_use;
        int64_t limit; /* of 4, or of the share 0.25 */
    } cases[] = {
        {CVM_ROW_CAPACITY, 1, 1, 4},
        {CVM_ROW_SHARED, 2500, 2500, 4},
        {CVM_ROW_SEGMENT_MAX, 0, 1, 4},
        {CVM_ROW_SEGMENT_MIN, 0, -1, -4},
        {CVM_ROW_SHARE_MIN, CVM_ROW_SHARE_SCALE / 4, -3 * CVM_ROW_SHARE_SCALE / 4, 0},
        {CVM_ROW_SHARE_MAX, -CVM_ROW_SHARE_SCALE / 4, 3 * CVM_ROW_SHARE_SCALE / 4, 0},
        {CVM_ROW_RESERVE, 1, 0, 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_of_segment = cases[i].kind >= CVM_ROW_SEGMENT_MAX;
        struct cvm_row row = row_of(&(struct cvm_row_terms){.name = "row",
                                                            .kind = cases[i].kind,
                                                            .treatments = 2,
                                                            .inside = is_of_segment ? inside : NULL,
                                                            .limit = 4,
                                                            .share = 0.25,
                                                            .units = units});
        assert_int_equal(cvm_row_use(&row, 0, 1, 99.0), cases[i].outside_use);
        assert_int_equal(cvm_row_use(&row, 1, 1, 99.0), cases[i].inside_use);
        assert_int_equal(cvm_row_use(&row, 0, 0, 99.0), 0); /* not covered */
        assert_int_equal(cvm_row_use(&row, 1, 2, 99.0), 0);
        assert_int_equal(row.limit, cases[i].limit);
    }
}

static void without_units_a_shared_row_counts_pairs(void **state)
{
    (void)state;
    struct cvm_row row = row_of(&(struct cvm_row_terms){
        .name = "row", .kind = CVM_ROW_SHARED, .treatments = 2, .limit = 4, .scale = 0});
    assert_int_equal(cvm_row_use(&row, 0, 1, 0.0), 1);
    assert_int_equal(cvm_row_use(&row, 0, 0, 0.0), 0);
    assert_int_equal(row.scale, 1);
}

static void without_inside_everybody_is(void **state)
{
    (void)state;
    struct cvm_row row = row_of(&(struct cvm_row_terms){
        .name = "row", .kind = CVM_ROW_SEGMENT_MAX, .treatments = 2, .limit = 4});
    assert_int_equal(cvm_row_use(&row, 0, 1, 0.0), 1);
    assert_int_equal(cvm_row_use(&row, 7, 1, 0.0), 1);
}

static void a_money_row_rounds_each_pair_half_to_even(void **state)
{
    static const double flat[CVM_PROBLEM_TREATMENTS_MAX] = {0.5, 0.0};
    static const double rate[CVM_PROBLEM_TREATMENTS_MAX] = {0.25, 1.0};
    (void)state;
    struct cvm_row row = budget_of(flat, rate);
    assert_int_equal(cvm_row_use(&row, 0, 0, 13.5), 3875000);
    assert_int_equal(cvm_row_use(&row, 0, 1, 0x1p-7), 7812); /* 7812.5 micros: to the even one */
    assert_int_equal(cvm_row_use(&row, 0, 1, 3 * 0x1p-7), 23438); /* 23437.5 */
}

static void people_speak_in_units_of_the_scale(void **state)
{
    (void)state;
    struct cvm_row minutes = row_of(&(struct cvm_row_terms){
        .name = "row", .kind = CVM_ROW_SHARED, .treatments = 1, .limit = 4, .scale = 1000});
    struct cvm_row money = budget_of(NULL, NULL);
    struct cvm_row share =
        row_of(&(struct cvm_row_terms){.name = "row", .kind = CVM_ROW_SHARE_MIN, .treatments = 1});
    assert_true(cvm_row_natural(&minutes, 4500) == 4.5);
    assert_true(cvm_row_natural(&money, 2500000) == 2.5);
    assert_true(cvm_row_natural(&share, CVM_ROW_SHARE_SCALE) == 1.0);
}

static void a_pair_costs_the_sum_over_rows_of_price_times_use(void **state)
{
    static const int64_t units[CVM_PROBLEM_TREATMENTS_MAX] = {3000, 0};
    static const double flat[CVM_PROBLEM_TREATMENTS_MAX] = {1.0, 0.0};
    static const double rate[CVM_PROBLEM_TREATMENTS_MAX] = {0.5, 0.0};
    static const uint16_t classes[1] = {1};
    (void)state;
    struct cvm_row rows[3];
    rows[0] = row_of(&(struct cvm_row_terms){.name = "minutes",
                                             .kind = CVM_ROW_SHARED,
                                             .treatments = 1,
                                             .limit = 5,
                                             .scale = 1000,
                                             .units = units});
    rows[1] = budget_of(flat, rate);
    rows[2] = row_of(&(struct cvm_row_terms){.name = "minimum",
                                             .kind = CVM_ROW_SEGMENT_MIN,
                                             .treatments = 3,
                                             .inside = inside,
                                             .limit = 1});
    struct cvm_problem problem = problem_of(rows, 3);
    problem.classes = classes;
    problem.class_count = 2;
    double prices[3] = {2.0, 0.5, 4.0};
    assert_true(cvm_pair_price(&problem, prices, 0, 0) == 3 * 2.0 + 6.0 * 0.5 - 4.0);
    assert_true(cvm_pair_price(&problem, prices, 0, 1) == -4.0);
}

/* ---- checks ---- */

static void check_fails(const struct cvm_problem *problem, enum cvm_status status, const char *text)
{
    struct cvm_error err = {.message = ""};
    assert_int_equal(cvm_problem_check(problem, &err), status);
    if (strstr(err.message, text) == NULL) {
        fail_msg("'%s' does not say '%s'", err.message, text);
    }
}

static void a_sound_problem_is_accepted(void **state)
{
    (void)state;
    struct cvm_row rows[2] = {capacity_of(0), budget_of(NULL, NULL)};
    struct cvm_problem problem = problem_of(rows, 2);
    assert_int_equal(cvm_problem_check(&problem, NULL), CVM_OK);
    problem.row_count = 0;
    problem.customer_count = 0;
    problem.treatment_count = 0;
    assert_int_equal(cvm_problem_check(&problem, NULL), CVM_OK);
}

static void faults_are_named(void **state)
{
    (void)state;
    struct cvm_row row = capacity_of(1);
    struct cvm_problem problem = problem_of(&row, 1);
    row.limit = -1;
    check_fails(&problem, CVM_E_INVALID, "limit -1");
    row = capacity_of(1);
    row.units[1] = -2;
    check_fails(&problem, CVM_E_INVALID, "treatment 1");
    row = budget_of(NULL, NULL);
    row.rate[1] = NAN;
    check_fails(&problem, CVM_E_INVALID, "money of treatment 1");
    row.rate[1] = 1e9; /* times the amount of 10 */
    check_fails(&problem, CVM_E_INVALID, "money of treatment 1");
    row.rate[1] = 0.0;
    row.flat[0] = -0.01;
    check_fails(&problem, CVM_E_INVALID, "money of treatment 0");
    row.flat[0] = 0.0;
    problem.forced_treatment = 2;
    check_fails(&problem, CVM_E_INVALID, "forced treatment 2");
    problem.forced_treatment = -1;
    problem.treatment_count = CVM_PROBLEM_TREATMENTS_MAX + 1;
    check_fails(&problem, CVM_E_LIMIT, "treatments");
    problem = problem_of(&row, CVM_PROBLEM_ROWS_MAX + 1);
    check_fails(&problem, CVM_E_LIMIT, "rows");
    problem = problem_of(&row, 1);
    problem.per_customer_max = CVM_PROBLEM_PER_CUSTOMER_MAX + 1;
    check_fails(&problem, CVM_E_LIMIT, "per customer");
}

static void amounts_must_be_ordinary_numbers(void **state)
{
    (void)state;
    static const double bad[] = {-1.0, (double)INFINITY, (double)NAN, 2e9};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cvm_problem problem = problem_of(NULL, 0);
        problem.amounts = &bad[i];
        check_fails(&problem, CVM_E_INVALID, "customer 0 has the amount");
    }
}

static void keys_must_ascend(void **state)
{
    static const float values[CVM_PROBLEM_BLOCK * 2] = {0};
    static const double amounts[2] = {0};
    static const uint64_t keys[][2] = {{2, 1}, {2, 2}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct cvm_problem problem = problem_of(NULL, 0);
        problem.customer_count = 2;
        problem.values = values;
        problem.amounts = amounts;
        problem.keys = keys[i];
        check_fails(&problem, CVM_E_INVALID, "key");
    }
}

static void classes_and_groups_must_be_there(void **state)
{
    static const uint16_t classes[1] = {2};
    static const uint32_t groups[1] = {3};
    (void)state;
    struct cvm_problem problem = problem_of(NULL, 0);
    problem.classes = classes;
    problem.class_count = 2;
    check_fails(&problem, CVM_E_INVALID, "class");
    problem.classes = NULL;
    problem.groups = groups;
    problem.group_count = 3;
    check_fails(&problem, CVM_E_INVALID, "group");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_uses_what_the_kind_of_row_says),
        cmocka_unit_test(without_units_a_shared_row_counts_pairs),
        cmocka_unit_test(without_inside_everybody_is),
        cmocka_unit_test(a_money_row_rounds_each_pair_half_to_even),
        cmocka_unit_test(people_speak_in_units_of_the_scale),
        cmocka_unit_test(a_pair_costs_the_sum_over_rows_of_price_times_use),
        cmocka_unit_test(a_sound_problem_is_accepted),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(amounts_must_be_ordinary_numbers),
        cmocka_unit_test(keys_must_ascend),
        cmocka_unit_test(classes_and_groups_must_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
