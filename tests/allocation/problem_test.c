#include "allocation/problem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "allocation/solver.h"

static struct cvm_row row_of(enum cvm_row_kind kind, int64_t limit)
{
    struct cvm_row row;
    memset(&row, 0, sizeof(row));
    row.name = "row";
    row.kind = kind;
    row.limit = limit;
    return row;
}

static struct cvm_problem problem_of(const struct cvm_row *rows, size_t row_count)
{
    static const float values[CVM_PROBLEM_BLOCK * 2] = {0};
    static const uint64_t keys[1] = {1};
    static const float amounts[1] = {10.0f};
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

static void a_units_row_uses_its_units(void **state)
{
    (void)state;
    struct cvm_row row = row_of(CVM_ROW_UNITS, 5);
    row.units[1] = 2500;
    assert_int_equal(cvm_row_use(&row, 0, 99.0), 0);
    assert_int_equal(cvm_row_use(&row, 1, 99.0), 2500);
}

static void a_money_row_rounds_each_pair_half_to_even(void **state)
{
    (void)state;
    struct cvm_row row = row_of(CVM_ROW_MONEY, 5);
    row.flat[0] = 0.5;
    row.rate[0] = 0.25;
    assert_int_equal(cvm_row_use(&row, 0, 13.5), 3875000);
    row.flat[0] = 0.0;
    row.rate[0] = 1.0;
    assert_int_equal(cvm_row_use(&row, 0, 0x1p-7), 7812);      /* 7812.5 micros: to the even one */
    assert_int_equal(cvm_row_use(&row, 0, 3 * 0x1p-7), 23438); /* 23437.5 */
}

static void a_pair_costs_the_sum_over_rows_of_price_times_use(void **state)
{
    (void)state;
    struct cvm_row rows[2] = {row_of(CVM_ROW_UNITS, 5), row_of(CVM_ROW_MONEY, 5)};
    rows[0].units[0] = 3;
    rows[1].flat[0] = 1.0;
    rows[1].rate[0] = 0.5;
    struct cvm_problem problem = problem_of(rows, 2);
    double prices[2] = {2.0, 0.5};
    assert_true(cvm_pair_price(&problem, prices, 0, 0) == 3 * 2.0 + 6.0 * 0.5);
    assert_true(cvm_pair_price(&problem, prices, 0, 1) == 0.0);
}

static void check_fails(const struct cvm_problem *problem, enum cvm_status status, const char *text)
{
    struct cvm_error err;
    assert_int_equal(cvm_problem_check(problem, &err), status);
    assert_non_null(strstr(err.message, text));
}

static void a_sound_problem_is_accepted(void **state)
{
    (void)state;
    struct cvm_row rows[2] = {row_of(CVM_ROW_UNITS, 0), row_of(CVM_ROW_MONEY, 0)};
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
    struct cvm_row row = row_of(CVM_ROW_UNITS, -1);
    struct cvm_problem problem = problem_of(&row, 1);
    check_fails(&problem, CVM_E_INVALID, "limit -1");
    row.limit = 1;
    row.units[1] = -2;
    check_fails(&problem, CVM_E_INVALID, "-2 units of treatment 1");
    row = row_of(CVM_ROW_MONEY, 1);
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
}

static void amounts_must_be_ordinary_numbers(void **state)
{
    (void)state;
    static const float bad[] = {-1.0f, INFINITY, NAN, 2e9f};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cvm_problem problem = problem_of(NULL, 0);
        problem.amounts = &bad[i];
        check_fails(&problem, CVM_E_INVALID, "customer 0 has the amount");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_units_row_uses_its_units),
        cmocka_unit_test(a_money_row_rounds_each_pair_half_to_even),
        cmocka_unit_test(a_pair_costs_the_sum_over_rows_of_price_times_use),
        cmocka_unit_test(a_sound_problem_is_accepted),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(amounts_must_be_ordinary_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
