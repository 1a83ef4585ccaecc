#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "base/text.h"
#include "rules/rule_tree.h"

/* ---- words for messages ---- */

const char *cvm_rule_shown(const struct cvm_rule_node *node, char text[CVM_RULE_SHOWN_SIZE])
{
    size_t length = (size_t)(node->to - node->from);
    size_t shown = length < CVM_RULE_SHOWN_SIZE - 4 ? length : CVM_RULE_SHOWN_SIZE - 4;

    while (shown < length && shown > 0 && ((unsigned char)node->from[shown] & 0xC0) == 0x80) {
        shown--; /* no character is cut in two */
    }
    memcpy(text, node->from, shown);
    memcpy(text + shown, shown < length ? "..." : "", shown < length ? 4 : 1);
    return text;
}

static const char *type_name(int type)
{
    static const char *const names[] = {
        [CVM_RULE_BOOL] = "true or false", [CVM_RULE_NUMBER] = "a number",
        [CVM_RULE_WORD] = "a word",        [CVM_RULE_DATE] = "a date",
        [CVM_RULE_CODE] = "a text",        [CVM_TYPE_TEXT] = "a text in quotes",
        [CVM_TYPE_LIST] = "a list",        [CVM_TYPE_TOPIC] = "a topic of an event",
    };
    return names[type];
}

/* ---- what a place takes ---- */

static enum cvm_status fail_type(const struct cvm_rule_reading *reading,
                                 const struct cvm_rule_node *node, const char *wanted)
{
    char shown[CVM_RULE_SHOWN_SIZE];
    return CVM_RULE_FAIL(reading, node->outer_from, "'%s' is %s; %s", cvm_rule_shown(node, shown),
                         type_name(node->type), wanted);
}

enum cvm_status cvm_rule_want_bool(const struct cvm_rule_reading *reading,
                                   const struct cvm_rule_node *node, const char *what)
{
    char wanted[128];
    if (node->type == CVM_RULE_BOOL) {
        return CVM_OK;
    }
    (void)snprintf(wanted, sizeof(wanted), "%s a condition, such as %s", what,
                   node->type == CVM_RULE_NUMBER  ? "x > 0"
                   : node->type == CVM_RULE_DATE  ? "d < today"
                   : node->type == CVM_TYPE_TOPIC ? "topic == 'x'"
                                                  : "x == 'a'");
    return fail_type(reading, node, wanted);
}

enum cvm_status cvm_rule_want_type(const struct cvm_rule_reading *reading,
                                   const struct cvm_rule_node *node, int type, const char *what)
{
    char wanted[128];
    if (node->type == type) {
        return CVM_OK;
    }
    (void)snprintf(wanted, sizeof(wanted), "%s %s", what, type_name(type));
    return fail_type(reading, node, wanted);
}

/* ---- names ---- */

void cvm_rule_set_operand(struct cvm_rule_node *node, const struct cvm_rule_operand *operand)
{
    bool is_topic = operand->number == CVM_OPERAND_TOPIC;
    node->kind = is_topic ? CVM_NODE_TOPIC : CVM_NODE_OPERAND;
    node->type = is_topic ? (int)CVM_TYPE_TOPIC : (int)operand->type;
    node->operand = operand->number;
    node->words = operand->words;
    node->first = node->last = NULL;
    node->child_count = 0;
    node->height = 1;
}

static enum cvm_status check_name(const struct cvm_rule_reading *reading,
                                  struct cvm_rule_node *node)
{
    struct cvm_rule_operand operand = {0};

    if (strcmp(node->text, "today") == 0) {
        node->kind = CVM_NODE_TODAY;
        node->type = CVM_RULE_DATE;
        return CVM_OK;
    }
    enum cvm_status status =
        reading->scope->resolve(reading->scope->state, node->text, &operand, reading->err);
    if (status != CVM_OK) {
        return cvm_rule_place(reading, node->from, status);
    }
    cvm_rule_set_operand(node, &operand);
    return CVM_OK;
}

/* ---- texts: what they stand for depends on what they are compared with ---- */

static enum cvm_status fail_word(const struct cvm_rule_reading *reading,
                                 const struct cvm_rule_node *left, const struct cvm_rule_node *text)
{
    char shown[CVM_RULE_SHOWN_SIZE];
    char allowed[CVM_WORD_LIST_SIZE];
    struct cvm_suggestion suggestion = {.typed = text->text};

    for (size_t i = 0; left->words[i] != NULL; i++) {
        /* All are listed anyway: only what is surely a typing mistake is pointed at. */
        if (cvm_text_distance(left->words[i], text->text) <= 2) {
            cvm_suggestion_try(&suggestion, left->words[i]);
        }
    }
    cvm_word_list(left->words, allowed);
    cvm_rule_shown(left, shown);
    return suggestion.best == NULL
               ? CVM_RULE_FAIL(reading, text->from, "'%s' is never '%.60s'; it is %s", shown,
                               text->text, allowed)
               : CVM_RULE_FAIL(reading, text->from,
                               "'%s' is never '%.60s'; did you mean '%s'? It is %s", shown,
                               text->text, suggestion.best, allowed);
}

static enum cvm_status find_word(const struct cvm_rule_reading *reading,
                                 const struct cvm_rule_node *left, const struct cvm_rule_node *text,
                                 double *out_index)
{
    for (size_t i = 0; left->words != NULL && left->words[i] != NULL; i++) {
        if (strcmp(left->words[i], text->text) == 0) {
            *out_index = (double)i;
            return CVM_OK;
        }
    }
    static const char *const none[] = {"nothing", NULL};
    struct cvm_rule_node shown = *left;
    shown.words = left->words == NULL || left->words[0] == NULL ? none : left->words;
    return fail_word(reading, &shown, text);
}

/* The text becomes a constant of the type of `left`. */
static enum cvm_status bind_text(const struct cvm_rule_reading *reading,
                                 const struct cvm_rule_node *left, struct cvm_rule_node *text)
{
    char shown[CVM_RULE_SHOWN_SIZE];
    double value = 0;

    cvm_rule_shown(left, shown);
    switch (left->type) {
    case CVM_RULE_WORD:
    case CVM_TYPE_TOPIC: {
        enum cvm_status status = find_word(reading, left, text, &value);
        if (status != CVM_OK) {
            return status;
        }
        if (left->type == CVM_TYPE_TOPIC && value >= CVM_RULE_TOPICS_MAX) {
            return CVM_RULE_FAIL(reading, text->from, "more than %d topics", CVM_RULE_TOPICS_MAX);
        }
        cvm_rule_set_constant(text, left->type, value);
        return CVM_OK;
    }
    case CVM_RULE_CODE:
        cvm_rule_set_constant(text, CVM_RULE_CODE, cvm_rule_code(text->text, text->length));
        return CVM_OK;
    case CVM_RULE_DATE:
        return CVM_RULE_FAIL(reading, text->from, "'%s' is a date; write date('%.60s')", shown,
                             text->text);
    case CVM_TYPE_TEXT:
        return CVM_RULE_FAIL(reading, left->from, "two texts are compared; one must be a name");
    default:
        return CVM_RULE_FAIL(reading, text->from, "'%s' is %s and is never '%.60s'", shown,
                             type_name(left->type), text->text);
    }
}

static bool same_words(const char *const *a, const char *const *b)
{
    size_t i = 0;
    if (a == b || a == NULL || b == NULL) {
        return a == b;
    }
    while (a[i] != NULL && b[i] != NULL && strcmp(a[i], b[i]) == 0) {
        i++;
    }
    return a[i] == b[i];
}

/* ---- comparisons ---- */

static enum cvm_status fail_mixed(const struct cvm_rule_reading *reading,
                                  const struct cvm_rule_node *left,
                                  const struct cvm_rule_node *right)
{
    char a[CVM_RULE_SHOWN_SIZE];
    char b[CVM_RULE_SHOWN_SIZE];
    char allowed[CVM_WORD_LIST_SIZE];

    cvm_rule_shown(left, a);
    cvm_rule_shown(right, b);
    if (left->type == CVM_RULE_WORD && right->type == CVM_RULE_NUMBER && left->words != NULL) {
        cvm_word_list(left->words, allowed);
        return CVM_RULE_FAIL(reading, right->outer_from, "'%s' is a word, not a number; it is %s",
                             a, allowed);
    }
    return CVM_RULE_FAIL(reading, right->outer_from, "'%s' is %s and '%s' is %s", a,
                         type_name(left->type), b, type_name(right->type));
}

/* Both sides are of one type that knows the operator. */
static enum cvm_status check_sides(const struct cvm_rule_reading *reading,
                                   const struct cvm_rule_node *node)
{
    const struct cvm_rule_node *left = node->first;
    const struct cvm_rule_node *right = node->last;
    bool is_ordered = left->type == CVM_RULE_NUMBER || left->type == CVM_RULE_DATE;
    char shown[CVM_RULE_SHOWN_SIZE];

    if (left->type != right->type) {
        return fail_mixed(reading, left, right);
    }
    if (left->type == CVM_RULE_WORD && left->kind != CVM_NODE_CONSTANT &&
        right->kind != CVM_NODE_CONSTANT && !same_words(left->words, right->words)) {
        return CVM_RULE_FAIL(reading, right->outer_from, "the two have different words");
    }
    if (!is_ordered && node->compare > CVM_NOT_EQUAL) {
        return CVM_RULE_FAIL(reading, node->sign, "'%s' is %s: only == and != compare it",
                             cvm_rule_shown(left, shown), type_name(left->type));
    }
    if (left->type == CVM_TYPE_LIST || left->type == CVM_TYPE_TOPIC) {
        return CVM_RULE_FAIL(reading, right->outer_from, "two %s can not be compared",
                             left->type == CVM_TYPE_LIST ? "lists" : "topics");
    }
    return CVM_OK;
}

static void set_topic(struct cvm_rule_node *node, double index, bool is_not)
{
    struct cvm_rule_operand operand = {.number = CVM_OPERAND_TOPIC};
    cvm_rule_set_operand(node, &operand);
    node->type = CVM_RULE_BOOL;
    node->topic = (uint16_t)index;
    node->topics = UINT32_C(1) << node->topic;
    node->is_not = is_not;
}

/* A name that is one of the words of the other side lacks its quotes. */
static enum cvm_status check_quotes(const struct cvm_rule_reading *reading,
                                    const struct cvm_rule_node *word,
                                    const struct cvm_rule_node *name, enum cvm_status status)
{
    bool has_words = word->type == CVM_RULE_WORD || word->type == CVM_TYPE_TOPIC;
    if (status != CVM_E_NOT_FOUND || name->kind != CVM_NODE_NAME || !has_words) {
        return status;
    }
    for (size_t i = 0; word->words != NULL && word->words[i] != NULL; i++) {
        if (strcmp(word->words[i], name->text) == 0) {
            return CVM_RULE_FAIL(reading, name->from, "'%s' stands without quotes", name->text);
        }
    }
    return status;
}

static void flip(struct cvm_rule_node *node)
{
    static const enum cvm_compare flipped[] = {
        [CVM_EQUAL] = CVM_EQUAL,  [CVM_NOT_EQUAL] = CVM_NOT_EQUAL,
        [CVM_LESS] = CVM_GREATER, [CVM_LESS_EQUAL] = CVM_GREATER_EQUAL,
        [CVM_GREATER] = CVM_LESS, [CVM_GREATER_EQUAL] = CVM_LESS_EQUAL,
    };
    struct cvm_rule_node *left = node->first;
    node->first = node->last;
    node->last = left;
    node->first->next = left;
    left->next = NULL;
    node->compare = flipped[node->compare];
}

static enum cvm_status check_compare(const struct cvm_rule_reading *reading,
                                     struct cvm_rule_node *node)
{
    enum cvm_status status = cvm_rule_check(reading, node->first);
    if (status == CVM_OK) {
        status = cvm_rule_check(reading, node->last);
        status = check_quotes(reading, node->first, node->last, status);
    }
    if (status != CVM_OK) {
        return status;
    }
    /* The constant, or the text, to the right. */
    if (node->first->kind == CVM_NODE_TEXT || node->first->kind == CVM_NODE_CONSTANT) {
        flip(node);
    }
    if (node->last->type == CVM_TYPE_TEXT) {
        status = bind_text(reading, node->first, node->last);
    }
    if (status == CVM_OK && node->first->type == CVM_TYPE_TOPIC &&
        node->last->kind == CVM_NODE_CONSTANT && node->last->type == CVM_TYPE_TOPIC &&
        node->compare <= CVM_NOT_EQUAL) {
        set_topic(node, node->last->value, node->compare == CVM_NOT_EQUAL);
        return CVM_OK;
    }
    status = status == CVM_OK ? check_sides(reading, node) : status;
    if (status != CVM_OK) {
        return status;
    }
    node->type = CVM_RULE_BOOL;
    return cvm_rule_fold(reading, node);
}

/* ---- in [..] ---- */

static enum cvm_status check_item(const struct cvm_rule_reading *reading,
                                  const struct cvm_rule_node *left, struct cvm_rule_node *item)
{
    enum cvm_status status = cvm_rule_check(reading, item);
    status = check_quotes(reading, left, item, status);
    if (status == CVM_OK && item->type == CVM_TYPE_TEXT) {
        status = bind_text(reading, left, item);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (item->kind != CVM_NODE_CONSTANT) {
        char shown[CVM_RULE_SHOWN_SIZE];
        return CVM_RULE_FAIL(reading, item->outer_from, "a list holds constants, and '%s' is none",
                             cvm_rule_shown(item, shown));
    }
    return item->type == left->type ? CVM_OK : fail_mixed(reading, left, item);
}

static enum cvm_status check_in(const struct cvm_rule_reading *reading, struct cvm_rule_node *node)
{
    struct cvm_rule_node *left = node->first;
    struct cvm_rule_node *list = node->last;
    enum cvm_status status = cvm_rule_check(reading, left);

    if (status != CVM_OK) {
        return status;
    }
    if (list->kind != CVM_NODE_LIST || list->child_count == 0) {
        return CVM_RULE_FAIL(reading, list->outer_from,
                             "after 'in' comes a list: x in ['a', 'b'], or x in [1, 2]");
    }
    if (left->type == CVM_TYPE_TEXT || left->type == CVM_TYPE_LIST) {
        return cvm_rule_want_type(reading, left, CVM_RULE_NUMBER, "before 'in' comes a name or");
    }
    uint32_t topics = 0;
    for (struct cvm_rule_node *item = list->first; status == CVM_OK && item != NULL;
         item = item->next) {
        status = check_item(reading, left, item);
        if (status == CVM_OK && left->type == CVM_TYPE_TOPIC) {
            topics |= UINT32_C(1) << (unsigned)item->value;
        }
    }
    if (status != CVM_OK) {
        return status;
    }
    if (left->type == CVM_TYPE_TOPIC) {
        set_topic(node, list->first->value, false);
        node->topics = topics;
        return CVM_OK;
    }
    node->type = CVM_RULE_BOOL;
    return cvm_rule_fold(reading, node);
}

/* ---- arithmetic ---- */

/* date - date = days, date +/- number = date, number + date = date. */
static enum cvm_status check_dates(const struct cvm_rule_reading *reading,
                                   struct cvm_rule_node *node, bool *out_done)
{
    int left = node->first->type;
    int right = node->last->type;
    bool is_plus = node->code == CVM_OP_ADD;
    bool is_minus = node->code == CVM_OP_SUBTRACT;

    *out_done = true;
    if (is_minus && left == CVM_RULE_DATE && right == CVM_RULE_DATE) {
        node->type = CVM_RULE_NUMBER;
    } else if ((is_plus || is_minus) && left == CVM_RULE_DATE && right == CVM_RULE_NUMBER) {
        node->type = CVM_RULE_DATE;
    } else if (is_plus && left == CVM_RULE_NUMBER && right == CVM_RULE_DATE) {
        node->type = CVM_RULE_DATE;
    } else if (left == CVM_RULE_DATE && right == CVM_RULE_DATE) {
        return CVM_RULE_FAIL(reading, node->sign, "two dates can only be subtracted or compared");
    } else {
        *out_done = false;
    }
    return CVM_OK;
}

static enum cvm_status check_number(const struct cvm_rule_reading *reading,
                                    const struct cvm_rule_node *node, const char *what)
{
    if (node->type == CVM_RULE_BOOL) {
        char shown[CVM_RULE_SHOWN_SIZE];
        cvm_rule_shown(node, shown);
        return CVM_RULE_FAIL(reading, node->outer_from,
                             "'%s' is true or false; as a number it is (%s ? 1 : 0)", shown, shown);
    }
    return cvm_rule_want_type(reading, node, CVM_RULE_NUMBER, what);
}

static enum cvm_status check_maths(const struct cvm_rule_reading *reading,
                                   struct cvm_rule_node *node)
{
    bool is_done = false;
    enum cvm_status status = cvm_rule_check(reading, node->first);
    status = status == CVM_OK ? cvm_rule_check(reading, node->last) : status;
    status = status == CVM_OK ? check_dates(reading, node, &is_done) : status;
    if (status == CVM_OK && !is_done) {
        node->type = CVM_RULE_NUMBER;
        status = check_number(reading, node->first, "arithmetic needs");
        status = status == CVM_OK ? check_number(reading, node->last, "arithmetic needs") : status;
    }
    return status == CVM_OK ? cvm_rule_fold(reading, node) : status;
}

static enum cvm_status check_minus(const struct cvm_rule_reading *reading,
                                   struct cvm_rule_node *node)
{
    enum cvm_status status = cvm_rule_check(reading, node->first);
    status = status == CVM_OK ? check_number(reading, node->first, "'-' needs") : status;
    if (status != CVM_OK) {
        return status;
    }
    node->kind = CVM_NODE_MATHS;
    node->code = CVM_OP_NEGATE;
    node->type = CVM_RULE_NUMBER;
    return cvm_rule_fold(reading, node);
}

/* ---- conditions ---- */

static enum cvm_status check_joined(const struct cvm_rule_reading *reading,
                                    struct cvm_rule_node *node)
{
    const char *what = node->kind == CVM_NODE_NOT   ? "'!' needs"
                       : node->kind == CVM_NODE_AND ? "each side of '&&' is"
                                                    : "each side of '||' is";
    for (struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        enum cvm_status status = cvm_rule_check(reading, child);
        status = status == CVM_OK ? cvm_rule_want_bool(reading, child, what) : status;
        if (status != CVM_OK) {
            return status;
        }
    }
    node->type = CVM_RULE_BOOL;
    return cvm_rule_fold(reading, node);
}

static enum cvm_status check_choose(const struct cvm_rule_reading *reading,
                                    struct cvm_rule_node *node)
{
    struct cvm_rule_node *yes = node->first->next;
    struct cvm_rule_node *no = node->last;
    enum cvm_status status = cvm_rule_check(reading, node->first);

    status =
        status == CVM_OK ? cvm_rule_want_bool(reading, node->first, "before '?' comes") : status;
    status = status == CVM_OK ? cvm_rule_check(reading, yes) : status;
    status = status == CVM_OK ? cvm_rule_check(reading, no) : status;
    if (status != CVM_OK) {
        return status;
    }
    if (yes->type != CVM_RULE_NUMBER && yes->type != CVM_RULE_DATE && yes->type != CVM_RULE_BOOL) {
        return cvm_rule_want_type(reading, yes, CVM_RULE_NUMBER,
                                  "'?' chooses conditions, dates or");
    }
    if (yes->type != no->type) {
        return fail_mixed(reading, yes, no);
    }
    node->type = yes->type;
    return cvm_rule_fold(reading, node);
}

enum cvm_status cvm_rule_check(const struct cvm_rule_reading *reading, struct cvm_rule_node *node)
{
    switch (node->kind) {
    case CVM_NODE_NAME:
        return check_name(reading, node);
    case CVM_NODE_CALL:
        return cvm_rule_check_call(reading, node);
    case CVM_NODE_MINUS:
        return check_minus(reading, node);
    case CVM_NODE_MATHS:
        return check_maths(reading, node);
    case CVM_NODE_COMPARE:
        return check_compare(reading, node);
    case CVM_NODE_IN:
        return check_in(reading, node);
    case CVM_NODE_NOT:
    case CVM_NODE_AND:
    case CVM_NODE_OR:
        return check_joined(reading, node);
    case CVM_NODE_CHOOSE:
        return check_choose(reading, node);
    case CVM_NODE_LIST:
        return CVM_RULE_FAIL(reading, node->from, "a list stands after 'in' only");
    default:
        return CVM_OK; /* constants and texts; the rest only comes out of here */
    }
}
