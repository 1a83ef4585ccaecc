/* rule_test.c - what rules say (rules.case), what they are made of, what they ask their scope, and
 * what happens at the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "rules/rule.h"

#define TODAY 19802 /* 2024-03-20 */

static const char *const plan_words[] = {"prepaid", "sim_only", "contract", NULL};
static const char *const topic_words[] = {"roaming", "billing", "leaving", NULL};
static const struct name {
    const char *name;
    enum cvm_rule_type type;
} names[] = {
    {"churn", CVM_RULE_NUMBER},    {"spend", CVM_RULE_NUMBER}, {"months", CVM_RULE_NUMBER},
    {"vulnerable", CVM_RULE_BOOL}, {"roams", CVM_RULE_BOOL},   {"contract_end", CVM_RULE_DATE},
    {"birthday", CVM_RULE_DATE},   {"plan", CVM_RULE_WORD},    {"old_plan", CVM_RULE_WORD},
    {"country", CVM_RULE_CODE},    {"city", CVM_RULE_CODE},
};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

static int name_number(const char *name)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (strcmp(names[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static enum cvm_status resolve(void *state, const char *name, struct cvm_rule_operand *out_operand,
                               struct cvm_error *err)
{
    int number = name_number(name);
    (void)state;
    if (number < 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown name '%s'", name);
    }
    *out_operand = (struct cvm_rule_operand){
        .number = (uint16_t)number,
        .type = names[number].type,
        .words = names[number].type == CVM_RULE_WORD ? plan_words : NULL,
    };
    return CVM_OK;
}
static const struct cvm_rule_scope scope = {.resolve = resolve};

static int set_up(void **state)
{
    *state = cvm_arena_create((size_t)4 << 20);
    return *state == NULL;
}

static int tear_down(void **state)
{
    cvm_arena_destroy(*state);
    return 0;
}

/* ---- rules.case ---- */

struct cases {
    struct cvm_arena *arena;
    double values[NAME_COUNT];
    int line;
};

static double read_value(const struct cases *cases, enum cvm_rule_type type, const char *text)
{
    int32_t day = 0;
    if (strcmp(text, "missing") == 0) {
        return NAN;
    }
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        return text[0] == 't';
    }
    if (type == CVM_RULE_WORD) {
        for (int i = 0; plan_words[i] != NULL; i++) {
            if (strcmp(plan_words[i], text) == 0) {
                return i;
            }
        }
        fail_msg("line %d: no plan '%s'", cases->line, text);
    }
    if (type == CVM_RULE_CODE) {
        return cvm_rule_code(text, strlen(text));
    }
    if (cvm_day_parse(text, strlen(text), &day, NULL, NULL)) {
        return day;
    }
    char *end = NULL;
    double value = strtod(text, &end);
    if (*end != '\0' || end == text) {
        fail_msg("line %d: '%s' is no value", cases->line, text);
    }
    return value;
}

/* "churn 0.25, months 36" */
static void read_given(struct cases *cases, char *text)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        cases->values[i] = NAN;
    }
    while (text != NULL) {
        char *next = strstr(text, ", ");
        char *blank = strchr(text, ' ');
        assert_non_null(blank);
        *blank = '\0';
        if (next != NULL) {
            *next = '\0';
            next += 2;
        }
        int number = name_number(text);
        if (number < 0) {
            fail_msg("line %d: no name '%s'", cases->line, text);
        }
        cases->values[number] = read_value(cases, names[number].type, blank + 1);
        text = next;
    }
}

static enum cvm_status compile_any(struct cvm_arena *arena, const char *text, struct cvm_rule *rule,
                                   struct cvm_error *err)
{
    enum cvm_status status = cvm_rule_compile(arena, text, CVM_RULE_BOOL, &scope, rule, err);
    if (status != CVM_OK &&
        cvm_rule_compile(arena, text, CVM_RULE_NUMBER, &scope, rule, NULL) == CVM_OK) {
        status = CVM_OK;
    }
    return status;
}

static void check_case(struct cases *cases, const char *text, const char *expected)
{
    struct cvm_rule rule = {.text = "sentinel"};
    struct cvm_error err = {0};
    enum cvm_status status = compile_any(cases->arena, text, &rule, &err);

    if (strncmp(expected, "error ", 6) == 0) {
        expected += 6;
        if (status == CVM_OK || strncmp(err.message, expected, strlen(expected)) != 0) {
            fail_msg("line %d: '%s' gives '%s'", cases->line, text,
                     status == CVM_OK ? "no error" : err.message);
        }
        assert_string_equal(rule.text, "sentinel");
        return;
    }
    if (status != CVM_OK) {
        fail_msg("line %d: '%s': %s", cases->line, text, err.message);
    }
    double found = 0;
    double wanted = read_value(cases, rule.type, expected);
    cvm_rule_values(&rule,
                    &(struct cvm_rule_rows){.values = cases->values, .stride = 1, .today = TODAY},
                    1, &found);
    if (isnan(wanted) ? !isnan(found) : found != wanted) {
        fail_msg("line %d: '%s' is %.17g", cases->line, text, found);
    }
    bool is_truth = strcmp(expected, "true") == 0 || strcmp(expected, "false") == 0;
    assert_true((rule.type == CVM_RULE_BOOL) == is_truth);
}

static void rules_say_what_the_table_says(void **state)
{
    struct cases cases = {.arena = *state};
    char line[512];
    size_t count = 0;
    FILE *file = fopen(CVM_RULE_CASES, "r");

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *arrow = strstr(line, " -> ");
        cases.line++;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "given ", 6) == 0) {
            read_given(&cases, line + 6);
        } else if (arrow != NULL && line[0] != '#') {
            char *end = arrow;
            while (end > line && end[-1] == ' ') {
                end--;
            }
            *end = '\0';
            check_case(&cases, line, arrow + 4);
            count++;
        }
    }
    assert_int_equal(fclose(file), 0);
    assert_true(count > 200);
}

/* ---- what a rule is made of ---- */

static struct cvm_rule compile(struct cvm_arena *arena, const char *text,
                               const struct cvm_rule_scope *in)
{
    struct cvm_rule rule = {0};
    struct cvm_error err = {0};
    if (cvm_rule_compile(arena, text, CVM_RULE_BOOL, in, &rule, &err) != CVM_OK) {
        fail_msg("'%s': %s", text, err.message);
    }
    assert_string_equal(rule.text, text);
    return rule;
}

static void an_empty_rule_always_holds(void **state)
{
    static const char *const texts[] = {"", "  \t\n"};
    double nothing = NAN;
    for (size_t i = 0; i < 2; i++) {
        struct cvm_rule rule = compile(*state, texts[i], &scope);
        assert_int_equal(rule.clause_count, 0);
        assert_true(cvm_rule_holds(&rule, &(struct cvm_rule_rows){.values = &nothing}));
    }
    struct cvm_rule rule = {.text = "sentinel"};
    struct cvm_error err = {0};
    assert_int_equal(cvm_rule_compile(*state, " ", CVM_RULE_NUMBER, &scope, &rule, &err),
                     CVM_E_INVALID);
    assert_string_equal(rule.text, "sentinel");
}

static void a_rule_falls_into_clauses_and_alternatives(void **state)
{
    struct cvm_rule rule = compile(
        *state, " churn>0.1 && ( months > 3 || (vulnerable||roams) ) && (has(spend) && !roams)",
        &scope);

    assert_int_equal(rule.clause_count, 4);
    assert_string_equal(rule.clauses[0].whole.text, "churn>0.1");
    assert_true(rule.clauses[0].whole.is_simple);
    assert_int_equal(rule.clauses[0].alternative_count, 0);
    assert_string_equal(rule.clauses[1].whole.text, "months > 3 || (vulnerable||roams)");
    assert_false(rule.clauses[1].whole.is_simple);
    assert_int_equal(rule.clauses[1].alternative_count, 3);
    assert_string_equal(rule.clauses[1].alternatives[0].text, "months > 3");
    assert_true(rule.clauses[1].alternatives[0].is_simple);
    assert_string_equal(rule.clauses[1].alternatives[1].text, "vulnerable");
    assert_string_equal(rule.clauses[1].alternatives[2].text, "roams");
    assert_string_equal(rule.clauses[2].whole.text, "has(spend)");
    assert_string_equal(rule.clauses[3].whole.text, "!roams");
}

static void a_comparison_with_a_constant_is_simple(void **state)
{
    static const struct {
        const char *text;
        struct cvm_comparison comparison;
    } simple[] = {
        {"churn >= 0.1", {0, CVM_GREATER_EQUAL, 0.1}},
        {"0.1 <= churn", {0, CVM_GREATER_EQUAL, 0.1}},
        {"churn > 2 * 3 - 10", {0, CVM_GREATER, -4}},
        {"(churn) > (1)", {0, CVM_GREATER, 1}},
        {"vulnerable", {3, CVM_EQUAL, 1}},
        {"vulnerable != true", {3, CVM_NOT_EQUAL, 1}},
        {"contract_end < date('1970-01-11')", {5, CVM_LESS, 10}},
        {"'contract' != plan", {7, CVM_NOT_EQUAL, 2}},
    };
    static const char *const others[] = {"!vulnerable",   "has(churn)", "churn in [1]",
                                         "churn > spend", "-churn > 1", "contract_end < today"};
    for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
        struct cvm_rule rule = compile(*state, simple[i].text, &scope);
        const struct cvm_rule_part *part = &rule.clauses[0].whole;
        assert_true(part->is_simple);
        assert_int_equal(part->comparison.operand, simple[i].comparison.operand);
        assert_int_equal(part->comparison.compare, simple[i].comparison.compare);
        assert_true(part->comparison.value == simple[i].comparison.value);
        assert_int_equal(part->operand_count, 1);
        assert_int_equal(part->operands[0], simple[i].comparison.operand);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(compile(*state, others[i], &scope).clauses[0].whole.is_simple);
    }
}

static void a_part_tells_what_it_reads_each_once(void **state)
{
    struct cvm_rule rule = compile(
        *state, "(months > 3 ? churn : spend) + churn > months && today > today - 1", &scope);
    const struct cvm_rule_part *part = &rule.clauses[0].whole;

    assert_int_equal(part->operand_count, 3);
    assert_int_equal(part->operands[0], 2);
    assert_int_equal(part->operands[1], 0);
    assert_int_equal(part->operands[2], 1);
    assert_int_equal(rule.clauses[1].whole.operand_count, 0);
}

static void rules_are_the_same_whatever_their_blanks(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool is_same;
    } pairs[] = {
        {"churn>1&&roams", "( churn > 1 )\n && roams", true},
        {"churn > 1", "1 < churn", true},
        {"churn + 1 > 2 || roams", "((churn + 1)>2)||roams", true},
        {"churn in [1, 2]", "churn in [ 1,2 ]", true},
        {"churn in [1, 2]", "churn in [1, 3]", false},
        {"churn in [1, 2]", "churn in [1]", false},
        {"churn > 1", "churn > 2", false},
        {"churn > 1", "churn >= 1", false},
        {"churn > 1", "spend > 1", false},
        {"churn > 1", "churn > 1 && roams", false},
        {"churn + 1 > 2", "churn + 1 > 3", false},
        {"churn + 1 > 2", "churn - 1 > 2", false},
        {"!has(churn)", "!has(spend)", false},
        {"", "churn > 1", false},
        {"", " ", true},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct cvm_rule a = compile(*state, pairs[i].a, &scope);
        struct cvm_rule b = compile(*state, pairs[i].b, &scope);
        assert_true(cvm_rule_same(&a, &b) == pairs[i].is_same);
    }
}

/* ---- evaluating ---- */

static void values_are_read_with_stride_place_and_columns(void **state)
{
    /* Columns of three rows: months, plan, churn. */
    static const double values[] = {1, 5, 9, /**/ 0, 2, 1, /**/ 0.1, 0.5, NAN};
    static const uint16_t columns[NAME_COUNT] = {[0] = 2, [2] = 0, [7] = 1};
    const struct cvm_rule_rows rows = {
        .values = values, .stride = 3, .from = 1, .columns = columns, .today = TODAY};
    struct cvm_rule rule =
        compile(*state, "months + 0 == 5 && plan == 'contract' && churn == 0.5", &scope);
    unsigned char mask[2] = {9, 9};

    cvm_rule_mask(&rule, &rows, 2, mask);
    assert_int_equal(mask[0], 1);
    assert_int_equal(mask[1], 0);
    assert_true(cvm_rule_holds(&rule, &rows));
    assert_null(cvm_rule_failed(&rule, &rows));
    struct cvm_rule_rows last = rows;
    last.from = 2;
    assert_ptr_equal(cvm_rule_failed(&rule, &last), &rule.clauses[0]);
    assert_false(cvm_rule_part_holds(&rule.clauses[2].whole, &last));
}

static void a_missing_value_makes_every_comparison_false(void **state)
{
    (void)state;
    for (int compare = CVM_EQUAL; compare <= CVM_GREATER_EQUAL; compare++) {
        assert_false(cvm_compare_holds(NAN, (enum cvm_compare)compare, 1));
        assert_false(cvm_compare_holds(1, (enum cvm_compare)compare, NAN));
        assert_false(cvm_compare_holds(NAN, (enum cvm_compare)compare, NAN));
    }
    assert_true(cvm_compare_holds(1, CVM_NOT_EQUAL, 2));
    assert_true(cvm_compare_holds(2, CVM_GREATER_EQUAL, 2));
}

/* ---- events ---- */

/* Records the last aggregate asked for. */
struct asked {
    char text[256];
    char function[32];
    char subject[64];
    char where[128];
    int window_days;
    size_t clause_count;
    char phrases[128];
    int count;
};

static enum cvm_status resolve_event(void *state, const char *name,
                                     struct cvm_rule_operand *out_operand, struct cvm_error *err)
{
    (void)state;
    if (strcmp(name, "topic") == 0) {
        *out_operand = (struct cvm_rule_operand){CVM_OPERAND_TOPIC, CVM_RULE_WORD, topic_words};
        return CVM_OK;
    }
    if (strcmp(name, "minutes") == 0) {
        *out_operand = (struct cvm_rule_operand){4, CVM_RULE_NUMBER, NULL};
        return CVM_OK;
    }
    return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown attribute '%s'", name);
}

static enum cvm_status mentions(void *state, const char *const *phrases, size_t count,
                                uint16_t *out_topic, struct cvm_error *err)
{
    struct asked *asked = state;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(asked->phrases);
        (void)snprintf(asked->phrases + used, sizeof(asked->phrases) - used, "<%s>", phrases[i]);
    }
    *out_topic = 7;
    return CVM_OK;
}

static enum cvm_status events(void *state, const char *subject, struct cvm_rule_scope *out_scope,
                              struct cvm_error *err)
{
    if (strcmp(subject, "calls") != 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown source '%s'", subject);
    }
    *out_scope =
        (struct cvm_rule_scope){.resolve = resolve_event, .mentions = mentions, .state = state};
    return CVM_OK;
}

static enum cvm_status aggregate(void *state, const struct cvm_rule_aggregate *wanted,
                                 struct cvm_rule_operand *out_operand, struct cvm_error *err)
{
    struct asked *asked = state;
    if (strcmp(wanted->subject, "nothing") == 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown source 'nothing'");
    }
    (void)snprintf(asked->text, sizeof(asked->text), "%s", wanted->text);
    (void)snprintf(asked->function, sizeof(asked->function), "%s", wanted->function);
    (void)snprintf(asked->subject, sizeof(asked->subject), "%s", wanted->subject);
    (void)snprintf(asked->where, sizeof(asked->where), "%s", wanted->where->text);
    asked->window_days = wanted->window_days;
    asked->clause_count = wanted->where->clause_count;
    asked->count++;
    *out_operand = (struct cvm_rule_operand){.number = 20, .type = CVM_RULE_NUMBER};
    return CVM_OK;
}

static struct cvm_rule_scope counting_scope(struct asked *asked)
{
    return (struct cvm_rule_scope){.resolve = resolve,
                                   .events = events,
                                   .aggregate = aggregate,
                                   .mentions = NULL,
                                   .state = asked};
}

static void an_aggregate_is_asked_of_the_scope(void **state)
{
    struct asked asked = {0};
    const struct cvm_rule_scope counting = counting_scope(&asked);
    struct cvm_rule rule = compile(
        *state, "count( calls,\n 90,  minutes > 5 && topic == 'billing'  ) >= 2", &counting);

    assert_string_equal(asked.text, "count( calls, 90, minutes > 5 && topic == 'billing' )");
    assert_string_equal(asked.function, "count");
    assert_string_equal(asked.subject, "calls");
    assert_string_equal(asked.where, "minutes > 5 && topic == 'billing'");
    assert_int_equal(asked.window_days, 90);
    assert_int_equal(asked.clause_count, 2);
    assert_true(rule.clauses[0].whole.is_simple);
    assert_int_equal(rule.clauses[0].whole.comparison.operand, 20);

    (void)compile(*state, "last(calls) + 1 > 0", &counting);
    assert_string_equal(asked.text, "last(calls)");
    assert_int_equal(asked.window_days, 0);
    assert_int_equal(asked.clause_count, 0);
    (void)compile(*state, "days_since(calls, topic in ['roaming', 'leaving']) < 3", &counting);
    assert_string_equal(asked.where, "topic in ['roaming', 'leaving']");
    assert_int_equal(asked.window_days, 0);
}

static void mentions_becomes_a_topic(void **state)
{
    struct asked asked = {0};
    const struct cvm_rule_scope counting = counting_scope(&asked);
    (void)compile(*state, "count(calls, mentions('zu teuer', \"abroad\")) > 0", &counting);
    assert_string_equal(asked.phrases, "<zu teuer><abroad>");
}

static void topics_are_bits_of_the_row(void **state)
{
    static const struct {
        const char *text;
        bool expected[4];
        bool is_simple;
    } cases[] = {
        {"topic == 'billing'", {false, true, false, true}, true},
        {"topic != 'billing'", {true, false, true, false}, true},
        {"topic in ['roaming', 'leaving']", {false, false, true, true}, false},
        {"!(topic == 'billing')", {true, false, true, false}, false},
        {"topic == 'billing' ? minutes > 5 : minutes > 0", {false, true, false, false}, false},
        {"mentions('x')", {false, false, true, false}, true},
    };
    static const uint32_t topics[] = {99, 0, 2, 4 | 128,
                                      2 | 4}; /* the first row is not looked at */
    static const double minutes[] = {9, 0, 9, 0, 3};
    static const uint16_t columns[5] = {0};
    struct asked asked = {0};
    const struct cvm_rule_scope in_events = {
        .resolve = resolve_event, .mentions = mentions, .state = &asked};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char mask[4];
        struct cvm_rule rule = compile(*state, cases[i].text, &in_events);
        struct cvm_rule_rows rows = {
            .values = minutes, .stride = 5, .from = 1, .columns = columns, .topics = topics};
        cvm_rule_mask(&rule, &rows, 4, mask);
        for (size_t r = 0; r < 4; r++) {
            assert_int_equal(mask[r], cases[i].expected[r]);
        }
        assert_true(rule.clauses[0].whole.is_simple == cases[i].is_simple);
        assert_int_equal(rule.clauses[0].whole.operands[0], CVM_OPERAND_TOPIC);
        rows.topics = NULL; /* no events with text: none has any */
        cvm_rule_mask(&rule, &rows, 1, mask);
        assert_int_equal(mask[0], cases[i].expected[0]);
    }
}

static void mistakes_in_counts_are_told(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } bad[] = {
        {"count(calls, 0) > 1", "column 14: a window is 1 to 36600 whole days"},
        {"count(calls, 1.5) > 1", "column 14: a window is 1 to 36600 whole days"},
        {"count(calls, -5) > 1", "column 14: a window is 1 to 36600 whole days"},
        {"count(calls, minuts > 5) > 1", "column 14: unknown attribute 'minuts'"},
        {"count(calls, 90, minutes) > 1",
         "column 18: 'minutes' is a number; a filter of events is a condition"},
        {"count(calls, minutes > 5, 90) > 1", "column 14: expected the days of the window"},
        {"count(mails, minutes > 5) > 1", "column 14: unknown source 'mails'"},
        {"count(nothing) > 1", "column 1: unknown source 'nothing'"},
        {"count('calls') > 1", "column 7: count() is over a source or an attribute"},
        {"count() > 1", "column 1: count() is written count(source, days, filter)"},
        {"count(calls, count(calls) > 1) > 1",
         "column 14: counts over events can not be used here"},
        {"count(calls, mentions()) > 1", "column 14: mentions() is written mentions('a', 'b c')"},
        {"count(calls, mentions('')) > 1", "column 23: mentions() takes words in quotes"},
        {"count(calls, mentions(minutes)) > 1", "column 23: mentions() takes words in quotes"},
        {"mentions('a')", "column 1: mentions() can not be used here"},
        {"count(calls, topic) > 1",
         "column 14: 'topic' is a topic of an event; a filter of events is a condition, such as "
         "topic == 'x'"},
        {"count(calls, topic == 'bill') > 1", "column 23: 'topic' is never 'bill'"},
        {"count(calls, topic == billing) > 1", "column 23: 'billing' stands without quotes"},
        {"count(calls, topic > 'billing') > 1", "column 20: 'topic' is a topic of an event: only"},
        {"count(calls, topic == minutes) > 1", "column 23: 'topic' is a topic of an event and"},
        {"count(calls, topic == topic) > 1", "column 23: two topics can not be compared"},
        {"count(calls, has(topic)) > 1", "column 18: has() asks whether a value is there"},
        {"churn > 1 &&\n  count(calls,\n  minuts > 5) > 1", "line 3, column 3: unknown attribute"},
        {"churn > 1 &&\n  ä", "line 2, column 3: 'ä' has no meaning in a rule"},
        {"churn >\n", "column 8: expected"},
    };
    struct asked asked = {0};
    const struct cvm_rule_scope counting = counting_scope(&asked);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cvm_rule rule = {.text = "sentinel"};
        struct cvm_error err = {0};
        assert_int_not_equal(
            cvm_rule_compile(*state, bad[i].text, CVM_RULE_BOOL, &counting, &rule, &err), CVM_OK);
        if (strncmp(err.message, bad[i].message, strlen(bad[i].message)) != 0) {
            fail_msg("'%s' gives '%s'", bad[i].text, err.message);
        }
        assert_string_equal(rule.text, "sentinel");
    }
}

/* ---- limits ---- */

/* head, `count` times one, tail */
static char *repeat(struct cvm_arena *arena, const char *head, const char *one, size_t count,
                    const char *tail)
{
    size_t bytes = strlen(head) + strlen(one) * count + strlen(tail) + 1;
    char *text = cvm_arena_alloc(arena, bytes, 1);
    size_t used = strlen(head);

    assert_non_null(text);
    memcpy(text, head, used);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + used, one, strlen(one));
        used += strlen(one);
    }
    memcpy(text + used, tail, strlen(tail) + 1);
    return text;
}

static void assert_limit(struct cvm_arena *arena, const char *text, const char *message)
{
    struct cvm_rule rule = {.text = "sentinel"};
    struct cvm_error err = {0};
    assert_int_equal(cvm_rule_compile(arena, text, CVM_RULE_BOOL, &scope, &rule, &err),
                     CVM_E_INVALID);
    if (strstr(err.message, message) == NULL) {
        fail_msg("%.60s... gives '%s'", text, err.message);
    }
    assert_string_equal(rule.text, "sentinel");
}

static void what_is_too_much_is_refused(void **state)
{
    struct cvm_arena *arena = *state;

    assert_limit(arena, repeat(arena, "churn > 1", " ", CVM_RULE_BYTES_MAX, ""),
                 "a rule has at most 8192 bytes");
    assert_limit(arena, repeat(arena, "", "(", 65, "churn"), "nested more than 64 deep");
    assert_limit(arena, repeat(arena, "", "!", 8000, "roams"), "nested more than 64 deep");
    assert_limit(arena, repeat(arena, "churn > ", "-", 8000, "1"), "nested more than 64 deep");
    assert_limit(arena, repeat(arena, "", "roams ? roams : ", 65, "roams"), "nested more than 64");
    assert_limit(arena, repeat(arena, "churn > 1", "+1", 4000, ""), "operators in a row");
    assert_limit(arena, repeat(arena, "roams", "&&roams", 64, ""), "more than 64 conditions");
    assert_limit(arena, repeat(arena, "roams", "||roams", 64, ""), "more than 64 conditions");
    assert_limit(arena, repeat(arena, "churn in [1", ",1", 256, "]"), "more than 256 items");
    assert_limit(arena, repeat(arena, "has(churn", "+churn*2", 300, ")"),
                 "more than 512 operations");
    assert_limit(arena, repeat(arena, "", "a", 128, " > 1"), "longer than 127 bytes");
    assert_limit(arena, "churn > 1 && \xff", "not valid UTF-8");
}

static void what_is_just_not_too_much_works(void **state)
{
    struct cvm_arena *arena = *state;
    const double values[NAME_COUNT] = {1, 1, 1, 1, 1};
    const char *const texts[] = {
        repeat(arena, repeat(arena, "", "(", 64, "churn"), ")", 64, " == 1"),
        repeat(arena, "", "!", 64, "roams"),
        repeat(arena, "", "roams ? roams : ", 64, "roams"),
        repeat(arena, "roams", "&&roams", 63, ""),
        repeat(arena, "roams", "||roams", 63, ""),
        repeat(arena, "churn in [1", ",1", 255, "]"),
        repeat(arena, "512 == churn", "+churn", 511 - 1, " + churn"),
        repeat(arena, repeat(arena, "", "churn + (", 63, "churn"), ")", 63, " == 64"),
        repeat(arena, repeat(arena, "", "math.least(churn, ", 64, "churn"), ")", 64, " == 1"),
        repeat(arena, repeat(arena, "", "roams && (roams || ", 63, "roams"), ")", 63, ""),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cvm_rule rule = {0};
        struct cvm_error err = {0};
        if (i == 6) { /* one operator more than the tree may be high, the comparison being one */
            assert_limit(arena, texts[i], "operators in a row");
            continue;
        }
        if (cvm_rule_compile(arena, texts[i], CVM_RULE_BOOL, &scope, &rule, &err) != CVM_OK) {
            fail_msg("%.60s...: %s", texts[i], err.message);
        }
        assert_true(cvm_rule_holds(&rule, &(struct cvm_rule_rows){.values = values, .stride = 1}));
    }
}

/* Grow the memory until the rule fits: every allocation gets to fail once. */
static void every_allocation_may_fail(void **state)
{
    static const char text[] =
        "churn > 1 && (plan in ['contract', 'prepaid'] || -spend + 1 > 2) && "
        "count(calls, 90, minutes > 5 && mentions('a b')) >= 2 && "
        "math.least(1, churn, (roams ? spend : 2)) < 1";
    struct asked asked = {0};
    const struct cvm_rule_scope counting = counting_scope(&asked);
    enum cvm_status status = CVM_E_LIMIT;
    size_t failures = 0;

    (void)state;
    for (size_t budget = 0; status != CVM_OK; budget += 16) {
        struct cvm_arena *arena = cvm_arena_create(budget);
        struct cvm_rule rule = {.text = "sentinel"};
        struct cvm_error err = {0};
        status = arena == NULL
                     ? CVM_E_LIMIT
                     : cvm_rule_compile(arena, text, CVM_RULE_BOOL, &counting, &rule, &err);
        if (status != CVM_OK) {
            assert_int_equal(status, CVM_E_LIMIT);
            assert_string_equal(rule.text, "sentinel");
            failures++;
        }
        cvm_arena_destroy(arena);
        assert_true(budget < 1 << 20);
    }
    assert_true(failures > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_say_what_the_table_says),
        cmocka_unit_test(an_empty_rule_always_holds),
        cmocka_unit_test(a_rule_falls_into_clauses_and_alternatives),
        cmocka_unit_test(a_comparison_with_a_constant_is_simple),
        cmocka_unit_test(a_part_tells_what_it_reads_each_once),
        cmocka_unit_test(rules_are_the_same_whatever_their_blanks),
        cmocka_unit_test(values_are_read_with_stride_place_and_columns),
        cmocka_unit_test(a_missing_value_makes_every_comparison_false),
        cmocka_unit_test(an_aggregate_is_asked_of_the_scope),
        cmocka_unit_test(mentions_becomes_a_topic),
        cmocka_unit_test(topics_are_bits_of_the_row),
        cmocka_unit_test(mistakes_in_counts_are_told),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(what_is_just_not_too_much_works),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
