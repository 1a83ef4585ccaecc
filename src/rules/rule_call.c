#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/suggest.h"
#include "rules/rule_tree.h"

#define WINDOW_DAYS_MAX 36600

struct function;
typedef enum cvm_status (*check_fn)(const struct cvm_rule_reading *reading,
                                    struct cvm_rule_node *node, const struct function *function);
struct function {
    const char *name;
    const char *usage;
    check_fn check;
    size_t min_arguments;
    size_t max_arguments;
    enum cvm_rule_opcode code;
};

/* ---- numbers and dates ---- */

static enum cvm_status check_children(const struct cvm_rule_reading *reading,
                                      struct cvm_rule_node *node)
{
    enum cvm_status status = CVM_OK;
    for (struct cvm_rule_node *child = node->first; status == CVM_OK && child != NULL;
         child = child->next) {
        status = cvm_rule_check(reading, child);
    }
    return status;
}

/* The checked children are all of one type: the node becomes the operation on them. */
static enum cvm_status set_maths(const struct cvm_rule_reading *reading, struct cvm_rule_node *node,
                                 const struct function *function, int type)
{
    char what[64];
    (void)snprintf(what, sizeof(what), "%s() needs", function->name);
    for (struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        enum cvm_status status = cvm_rule_want_type(reading, child, type, what);
        if (status != CVM_OK) {
            return status;
        }
    }
    node->kind = CVM_NODE_MATHS;
    node->code = function->code;
    return cvm_rule_fold(reading, node);
}

static enum cvm_status check_maths(const struct cvm_rule_reading *reading,
                                   struct cvm_rule_node *node, const struct function *function)
{
    enum cvm_status status = check_children(reading, node);
    node->type = CVM_RULE_NUMBER;
    return status == CVM_OK ? set_maths(reading, node, function, CVM_RULE_NUMBER) : status;
}

/* math.least and math.greatest: of numbers, or of dates. */
static enum cvm_status check_extreme(const struct cvm_rule_reading *reading,
                                     struct cvm_rule_node *node, const struct function *function)
{
    enum cvm_status status = check_children(reading, node);
    node->type = node->first->type == CVM_RULE_DATE ? CVM_RULE_DATE : CVM_RULE_NUMBER;
    return status == CVM_OK ? set_maths(reading, node, function, node->type) : status;
}

static enum cvm_status check_part_of_date(const struct cvm_rule_reading *reading,
                                          struct cvm_rule_node *node,
                                          const struct function *function)
{
    enum cvm_status status = check_children(reading, node);
    node->type = CVM_RULE_NUMBER;
    return status == CVM_OK ? set_maths(reading, node, function, CVM_RULE_DATE) : status;
}

static enum cvm_status check_date(const struct cvm_rule_reading *reading,
                                  struct cvm_rule_node *node, const struct function *function)
{
    const struct cvm_rule_node *text = node->first;
    int32_t day = 0;

    (void)function;
    if (text->kind != CVM_NODE_TEXT) {
        return CVM_RULE_FAIL(reading, text->outer_from,
                             "date() takes a text, as in date('2024-03-20')");
    }
    if (text->length != 10 || !cvm_day_parse(text->text, text->length, &day, NULL, NULL)) {
        return CVM_RULE_FAIL(reading, text->from, "'%.60s' is no date; write it as 2024-03-20",
                             text->text);
    }
    cvm_rule_set_constant(node, CVM_RULE_DATE, day);
    return CVM_OK;
}

static enum cvm_status check_has(const struct cvm_rule_reading *reading, struct cvm_rule_node *node,
                                 const struct function *function)
{
    const struct cvm_rule_node *child = node->first;
    enum cvm_status status = cvm_rule_check(reading, node->first);

    (void)function;
    if (status != CVM_OK) {
        return status;
    }
    if (child->type == CVM_TYPE_TOPIC || child->type == CVM_TYPE_TEXT) {
        return CVM_RULE_FAIL(reading, child->outer_from,
                             "has() asks whether a value is there, as in has(satisfaction)");
    }
    node->kind = CVM_NODE_HAS;
    node->type = CVM_RULE_BOOL;
    return cvm_rule_fold(reading, node);
}

/* ---- events ---- */

/* The call as written, one blank for many outside quotes. */
static const char *tidy_text(const struct cvm_rule_reading *reading,
                             const struct cvm_rule_node *node)
{
    char *text = cvm_arena_alloc(reading->arena, (size_t)(node->to - node->from) + 1, 1);
    char *out = text;
    char quote = '\0';

    for (const char *p = node->from; text != NULL && p < node->to; p++) {
        bool is_blank = quote == '\0' && strchr(" \t\r\n", *p) != NULL;
        if (quote != '\0' && *p == '\\') {
            *out++ = *p++; /* and what it escapes */
        } else if (*p == quote) {
            quote = '\0';
        } else if (quote == '\0' && (*p == '\'' || *p == '"')) {
            quote = *p;
        }
        if (!is_blank) {
            *out++ = *p;
        } else if (out[-1] != ' ') {
            *out++ = ' ';
        }
    }
    return text;
}

static enum cvm_status check_window(const struct cvm_rule_reading *reading,
                                    const struct cvm_rule_node *node, int *out_days)
{
    if (!(node->value >= 1 && node->value <= WINDOW_DAYS_MAX) ||
        node->value != floor(node->value)) {
        return CVM_RULE_FAIL(reading, node->outer_from, "a window is 1 to %d whole days",
                             WINDOW_DAYS_MAX);
    }
    *out_days = (int)node->value;
    return CVM_OK;
}

static enum cvm_status check_filter(const struct cvm_rule_reading *reading, const char *subject,
                                    struct cvm_rule_node *node, struct cvm_rule *out_where)
{
    struct cvm_rule_scope scope = {0};
    struct cvm_rule_reading inner = *reading;

    enum cvm_status status =
        reading->scope->events(reading->scope->state, subject, &scope, reading->err);
    if (status != CVM_OK) {
        return cvm_rule_place(reading, node->from, status);
    }
    inner.scope = &scope;
    status = cvm_rule_check(&inner, node);
    status = status == CVM_OK ? cvm_rule_want_bool(&inner, node, "a filter of events is") : status;
    return status == CVM_OK ? cvm_rule_build(&inner, node, out_where) : status;
}

/* (subject), (subject, days), (subject, filter), (subject, days, filter) */
static enum cvm_status check_aggregate(const struct cvm_rule_reading *reading,
                                       struct cvm_rule_node *node, const struct function *function)
{
    struct cvm_rule_node *subject = node->first;
    struct cvm_rule_node *window = subject->next;
    struct cvm_rule_node *filter = window;
    struct cvm_rule_aggregate aggregate = {.function = function->name, .subject = subject->text};
    struct cvm_rule_operand operand = {0};
    struct cvm_rule *where = CVM_NEW(reading->arena, struct cvm_rule);
    enum cvm_status status = CVM_OK;

    if (reading->scope->aggregate == NULL || reading->scope->events == NULL) {
        return CVM_RULE_FAIL(reading, node->from, "counts over events can not be used here");
    }
    if (subject->kind != CVM_NODE_NAME) {
        return CVM_RULE_FAIL(reading, subject->outer_from,
                             "%s() is over a source or an attribute: %s", function->name,
                             function->usage);
    }
    aggregate.text = tidy_text(reading, node);
    aggregate.where = where;
    if (where == NULL || aggregate.text == NULL) {
        return cvm_rule_no_memory(reading);
    }
    where->text = "";
    if (window != NULL && window->kind == CVM_NODE_MINUS) {
        return CVM_RULE_FAIL(reading, window->outer_from, "a window is 1 to %d whole days",
                             WINDOW_DAYS_MAX);
    }
    if (window != NULL && window->kind == CVM_NODE_CONSTANT && window->type == CVM_RULE_NUMBER) {
        status = check_window(reading, window, &aggregate.window_days);
        filter = window->next;
    }
    if (status == CVM_OK && filter != NULL && filter->next != NULL) {
        status = CVM_RULE_FAIL(reading, filter->outer_from, "expected the days of the window: %s",
                               function->usage);
    }
    if (status == CVM_OK && filter != NULL) {
        status = check_filter(reading, subject->text, filter, where);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = reading->scope->aggregate(reading->scope->state, &aggregate, &operand, reading->err);
    if (status != CVM_OK) {
        return cvm_rule_place(reading, node->from, status);
    }
    cvm_rule_set_operand(node, &operand);
    return CVM_OK;
}

static enum cvm_status check_mentions(const struct cvm_rule_reading *reading,
                                      struct cvm_rule_node *node, const struct function *function)
{
    const char **phrases = CVM_NEW_ARRAY(reading->arena, node->child_count, const char *);
    size_t count = 0;
    uint16_t topic = 0;

    (void)function;
    if (reading->scope->mentions == NULL) {
        return CVM_RULE_FAIL(reading, node->from,
                             "mentions() can not be used here; it asks the "
                             "text of an event, within count() or a filter");
    }
    if (phrases == NULL) {
        return cvm_rule_no_memory(reading);
    }
    for (const struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        if (child->kind != CVM_NODE_TEXT || child->length == 0) {
            return CVM_RULE_FAIL(reading, child->outer_from,
                                 "mentions() takes words in quotes: mentions('roaming', 'abroad')");
        }
        phrases[count++] = child->text;
    }
    enum cvm_status status =
        reading->scope->mentions(reading->scope->state, phrases, count, &topic, reading->err);
    if (status != CVM_OK) {
        return cvm_rule_place(reading, node->from, status);
    }
    if (topic >= CVM_RULE_TOPICS_MAX) {
        return CVM_RULE_FAIL(reading, node->from, "more than %d topics", CVM_RULE_TOPICS_MAX);
    }
    cvm_rule_set_operand(node, &(struct cvm_rule_operand){.number = CVM_OPERAND_TOPIC});
    node->type = CVM_RULE_BOOL;
    node->topic = topic;
    node->topics = UINT32_C(1) << topic;
    return CVM_OK;
}

/* ---- the table ---- */

static const struct function functions[] = {
    {"has", "has(satisfaction)", check_has, 1, 1, CVM_OP_HAS},
    {"math.least", "math.least(a, b)", check_extreme, 1, CVM_RULE_LIST_MAX, CVM_OP_LEAST},
    {"math.greatest", "math.greatest(a, b)", check_extreme, 1, CVM_RULE_LIST_MAX, CVM_OP_GREATEST},
    {"math.abs", "math.abs(x)", check_maths, 1, 1, CVM_OP_ABS},
    {"math.round", "math.round(x)", check_maths, 1, 1, CVM_OP_ROUND},
    {"math.floor", "math.floor(x)", check_maths, 1, 1, CVM_OP_FLOOR},
    {"math.ceil", "math.ceil(x)", check_maths, 1, 1, CVM_OP_CEIL},
    {"date", "date('2024-03-20')", check_date, 1, 1, CVM_OP_COPY},
    {"year", "year(d)", check_part_of_date, 1, 1, CVM_OP_YEAR},
    {"month", "month(d)", check_part_of_date, 1, 1, CVM_OP_MONTH},
    {"day", "day(d)", check_part_of_date, 1, 1, CVM_OP_DAY},
    {"weekday", "weekday(d)", check_part_of_date, 1, 1, CVM_OP_WEEKDAY},
    {"count", "count(source, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"sum", "sum(attribute, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"avg", "avg(attribute, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"min", "min(attribute, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"max", "max(attribute, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"last", "last(attribute, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"first", "first(attribute, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"trend", "trend(attribute, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"days_since", "days_since(source, days, filter)", check_aggregate, 1, 3, CVM_OP_COPY},
    {"mentions", "mentions('a', 'b c')", check_mentions, 1, CVM_RULE_LIST_MAX, CVM_OP_COPY},
};
#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

static enum cvm_status fail_unknown(const struct cvm_rule_reading *reading,
                                    const struct cvm_rule_node *node)
{
    struct cvm_suggestion suggestion = {.typed = node->text};

    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        const char *point = strchr(functions[i].name, '.');
        if (point != NULL && strcmp(point + 1, node->text) == 0) { /* abs(x) is math.abs(x) */
            suggestion = (struct cvm_suggestion){.typed = node->text, .best = functions[i].name};
        }
        cvm_suggestion_try(&suggestion, functions[i].name);
    }
    return suggestion.best == NULL
               ? CVM_RULE_FAIL(reading, node->from, "there is no function '%s'", node->text)
               : CVM_RULE_FAIL(reading, node->from, "there is no function '%s'; did you mean '%s'?",
                               node->text, suggestion.best);
}

enum cvm_status cvm_rule_check_call(const struct cvm_rule_reading *reading,
                                    struct cvm_rule_node *node)
{
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        const struct function *function = &functions[i];
        if (strcmp(function->name, node->text) != 0) {
            continue;
        }
        if (node->child_count < function->min_arguments ||
            node->child_count > function->max_arguments) {
            return CVM_RULE_FAIL(reading, node->from, "%s() is written %s", function->name,
                                 function->usage);
        }
        return function->check(reading, node, function);
    }
    return fail_unknown(reading, node);
}
