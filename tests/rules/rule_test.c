/* rule_test.c - comparisons joined by "&&": what is read, what holds, and where mistakes are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "rules/rule.h"

static const char *const plan_words[] = {"prepaid", "sim_only", "contract", NULL};

/* Operands: 0 churn, 1 tenure.months, 2 plan (words). */
static enum cvm_status resolve(void *state, const char *name, struct cvm_rule_operand *out_operand,
                               struct cvm_error *err)
{
    static const char *const names[] = {"churn", "tenure.months", "plan"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out_operand = (struct cvm_rule_operand){
                .number = (uint16_t)i,
                .type = i == 2 ? CVM_RULE_WORD : CVM_RULE_NUMBER,
                .words = i == 2 ? plan_words : NULL,
            };
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown name '%s'", name);
}

static const struct cvm_rule_scope scope = {.resolve = resolve};

static int set_up(void **state)
{
    *state = cvm_arena_create((size_t)1 << 20);
    return *state == NULL;
}

static int tear_down(void **state)
{
    cvm_arena_destroy(*state);
    return 0;
}

static bool holds(struct cvm_arena *arena, const char *text, double churn, double tenure,
                  double plan)
{
    const double values[] = {churn, tenure, plan};
    struct cvm_rule condition = {0};
    struct cvm_error err = {0};
    if (cvm_rule_compile(arena, text, CVM_RULE_BOOL, &scope, &condition, &err) != CVM_OK) {
        fail_msg("'%s': %s", text, err.message);
    }
    assert_string_equal(condition.text, text);
    return cvm_rule_holds(&condition, &(struct cvm_rule_rows){.values = values, .stride = 1});
}

static void every_comparison_holds_where_it_should(void **state)
{
    assert_true(holds(*state, "churn >= 0.1", 0.1, 0, 0));
    assert_false(holds(*state, "churn > 0.1", 0.1, 0, 0));
    assert_true(holds(*state, "churn <= 0.1", 0.1, 0, 0));
    assert_false(holds(*state, "churn < 0.1", 0.1, 0, 0));
    assert_true(holds(*state, "churn == 0.1", 0.1, 0, 0));
    assert_true(holds(*state, "churn != 0.2", 0.1, 0, 0));
    assert_true(holds(*state, "churn>=-1.5e-1&&tenure.months<36", -0.15, 35, 0));
    assert_true(holds(*state, "plan == 'contract' && churn >= 0.1", 0.2, 0, 2));
    assert_false(holds(*state, "plan == 'contract' && churn >= 0.1", 0.2, 0, 1));
    assert_true(holds(*state, "plan != \"prepaid\"", 0, 0, 1));
    assert_true(holds(*state, "churn == true", 1, 0, 0));
    assert_true(holds(*state, "churn == false", 0, 0, 0));
}

static void a_missing_value_makes_every_comparison_false(void **state)
{
    assert_false(holds(*state, "churn != 0.1", NAN, 0, 0));
    assert_false(holds(*state, "churn < 0.1", NAN, 0, 0));
    assert_false(holds(*state, "plan != 'prepaid'", 0, 0, NAN));
    assert_false(cvm_compare_holds(NAN, CVM_NOT_EQUAL, NAN));
}

static void an_empty_condition_always_holds(void **state)
{
    assert_true(holds(*state, "", NAN, NAN, NAN));
    assert_true(holds(*state, "  \t", NAN, NAN, NAN));
}

static void values_are_read_with_the_stride(void **state)
{
    const double values[] = {1, 99, 5, 99, 2, 99};
    struct cvm_rule condition = {0};

    assert_int_equal(cvm_rule_compile(*state,
                                      "churn == 1 && tenure.months == 5 && plan == "
                                      "'contract'",
                                      CVM_RULE_BOOL, &scope, &condition, NULL),
                     CVM_OK);
    assert_int_equal(condition.clause_count, 3);
    assert_true(cvm_rule_holds(&condition, &(struct cvm_rule_rows){.values = values, .stride = 2}));
}

static void a_mistake_names_the_column(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } bad[] = {
        {"churn", "column 1: 'churn' is a number; a rule is a condition, such as x > 0"},
        {"churn = 1", "column 7: '=' is no comparison; equality is '=='"},
        {"churn >=", "column 9: expected a name, a number or a text in quotes, the rule ends here"},
        {"churn >= abc", "column 10: unknown name 'abc'"},
        {"churn >= 0.1 &&", "column 16: expected a name"},
        {"churn >= 0.1 and plan == 'prepaid'", "column 14: 'and' is written '&&'"},
        {"churn >= 0.1.2", "column 10: not a number"},
        {"churn >= 1e999", "column 10: not a number"},
        {"churn >= 0x10", "column 10: not a number"},
        {"churn >= 5 days", "column 12: expected an operator or the end, found 'days'"},
        {"churn >= 5days", "column 10: not a number"},
        {"chrun >= 5", "column 1: unknown name 'chrun'"},
        {"churn == 'high'", "column 10: 'churn' is a number and is never 'high'"},
        {"plan == 2", "column 9: 'plan' is a word, not a number; it is prepaid, sim_only or "
                      "contract"},
        {"plan == 'postpaid'", "column 9: 'plan' is never 'postpaid'; it is prepaid, sim_only or "
                               "contract"},
        {"plan >= 'prepaid'", "column 6: 'plan' is a word: only == and != compare it"},
        {"plan == 'prepaid", "column 9: the quote is never closed"},
        {"plan == prepaid", "column 9: 'prepaid' stands without quotes"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cvm_rule condition = {.text = "sentinel"};
        struct cvm_error err = {0};
        assert_int_not_equal(
            cvm_rule_compile(*state, bad[i].text, CVM_RULE_BOOL, &scope, &condition, &err), CVM_OK);
        if (strncmp(err.message, bad[i].message, strlen(bad[i].message)) != 0) {
            fail_msg("'%s' gives '%s'", bad[i].text, err.message);
        }
        assert_string_equal(condition.text, "sentinel");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_comparison_holds_where_it_should),
        cmocka_unit_test(a_missing_value_makes_every_comparison_false),
        cmocka_unit_test(an_empty_condition_always_holds),
        cmocka_unit_test(values_are_read_with_the_stride),
        cmocka_unit_test(a_mistake_names_the_column),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
