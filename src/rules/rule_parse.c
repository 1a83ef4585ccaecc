#include <string.h>

#include "rules/rule_tree.h"

struct parser {
    const struct cvm_rule_reading *reading;
    struct cvm_rule_token token; /* the next one */
    int nesting;
};

/* ---- nodes ---- */

struct cvm_rule_node *cvm_rule_node_create(const struct cvm_rule_reading *reading,
                                           enum cvm_node_kind kind, const char *from,
                                           const char *to)
{
    struct cvm_rule_node *node = CVM_NEW(reading->arena, struct cvm_rule_node);
    if (node != NULL) {
        node->kind = kind;
        node->from = node->outer_from = node->sign = from;
        node->to = node->outer_to = to;
        node->height = 1;
    }
    return node;
}

void cvm_rule_node_append(struct cvm_rule_node *parent, struct cvm_rule_node *child)
{
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
    parent->child_count++;
    if (child->height >= parent->height) {
        parent->height = child->height + 1;
    }
}

/* ---- tokens ---- */

static enum cvm_status advance(struct parser *p)
{
    return cvm_rule_token_read(p->reading, p->token.to, &p->token);
}

static bool is_sign(const struct parser *p, const char *sign)
{
    return p->token.kind == CVM_TOKEN_SIGN && strcmp(p->token.text, sign) == 0;
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->token.kind == CVM_TOKEN_NAME && strcmp(p->token.text, word) == 0;
}

/* What people write who know other languages. */
static const char *foreign_word(const struct parser *p)
{
    static const struct {
        const char *word;
        const char *message;
    } words[] = {
        {"and", "'and' is written '&&'"},
        {"AND", "'AND' is written '&&'"},
        {"or", "'or' is written '||'"},
        {"OR", "'OR' is written '||'"},
        {"not", "'not' is written '!', as in !(x in [1, 2])"},
        {"NOT", "'NOT' is written '!', as in !(x in [1, 2])"},
        {"IN", "'IN' is written 'in'"},
        {"is", "'is' is written '=='; whether a value is there asks has(x)"},
        {"IS", "'IS' is written '=='; whether a value is there asks has(x)"},
        {"null", "there is no 'null'; whether a value is there asks has(x)"},
        {"NULL", "there is no 'NULL'; whether a value is there asks has(x)"},
        {"between", "'between' is written x >= 1 && x <= 2"},
        {"BETWEEN", "'BETWEEN' is written x >= 1 && x <= 2"},
        {"contains", "words in texts are found by mentions('a word')"},
    };
    for (size_t i = 0; p->token.kind == CVM_TOKEN_NAME && i < sizeof(words) / sizeof(words[0]);
         i++) {
        if (strcmp(p->token.text, words[i].word) == 0) {
            return words[i].message;
        }
    }
    return NULL;
}

static enum cvm_status fail_unexpected(const struct parser *p, const char *wanted)
{
    const struct cvm_rule_token *token = &p->token;
    const char *foreign = foreign_word(p);

    if (foreign != NULL) {
        return CVM_RULE_FAIL(p->reading, token->from, "%s", foreign);
    }
    return token->kind == CVM_TOKEN_END
               ? CVM_RULE_FAIL(p->reading, token->from, "expected %s, the rule ends here", wanted)
               : CVM_RULE_FAIL(p->reading, token->from, "expected %s, found '%.*s'", wanted,
                               (int)(token->to - token->from < 40 ? token->to - token->from : 40),
                               token->from);
}

static enum cvm_status take_sign(struct parser *p, const char *sign, const char *wanted)
{
    return is_sign(p, sign) ? advance(p) : fail_unexpected(p, wanted);
}

static enum cvm_status enter(struct parser *p)
{
    p->nesting++;
    return p->nesting > CVM_RULE_NESTING_MAX
               ? CVM_RULE_FAIL(p->reading, p->token.from, "nested more than %d deep",
                               CVM_RULE_NESTING_MAX)
               : CVM_OK;
}

/* ---- expressions ---- */

static enum cvm_status parse_expression(struct parser *p, struct cvm_rule_node **out_node);

/* Children up to the closing bracket, which is taken too. */
static enum cvm_status parse_children(struct parser *p, struct cvm_rule_node *node,
                                      const char *close)
{
    const char *open = p->token.from;
    size_t count = 0;
    enum cvm_status status = enter(p);

    status = status == CVM_OK ? advance(p) : status;
    while (status == CVM_OK && !is_sign(p, close)) {
        struct cvm_rule_node *child = NULL;
        if (count > 0) {
            status = p->token.kind == CVM_TOKEN_END
                         ? CVM_RULE_FAIL(p->reading, open, "the '%c' is never closed", *open)
                         : take_sign(p, ",", "',' or the closing bracket");
        }
        if (status == CVM_OK && ++count > CVM_RULE_LIST_MAX) {
            status =
                CVM_RULE_FAIL(p->reading, p->token.from, "more than %d items", CVM_RULE_LIST_MAX);
        }
        status = status == CVM_OK ? parse_expression(p, &child) : status;
        if (status == CVM_OK) {
            cvm_rule_node_append(node, child);
        }
    }
    if (status != CVM_OK) {
        return status;
    }
    node->to = node->outer_to = p->token.to;
    p->nesting--;
    return advance(p);
}

static enum cvm_status parse_parentheses(struct parser *p, struct cvm_rule_node **out_node)
{
    const char *open = p->token.from;
    struct cvm_rule_node *node = NULL;
    enum cvm_status status = enter(p);

    status = status == CVM_OK ? advance(p) : status;
    status = status == CVM_OK ? parse_expression(p, &node) : status;
    if (status != CVM_OK) {
        return status;
    }
    if (p->token.kind == CVM_TOKEN_END) {
        return CVM_RULE_FAIL(p->reading, open, "the '(' is never closed");
    }
    if (!is_sign(p, ")")) {
        return fail_unexpected(p, "an operator or ')'");
    }
    node->outer_from = open;
    node->outer_to = p->token.to;
    p->nesting--;
    *out_node = node;
    return advance(p);
}

/* A name, true or false, or a call. */
static enum cvm_status parse_name(struct parser *p, struct cvm_rule_node **out_node)
{
    const struct cvm_rule_token name = p->token;
    bool is_true = is_word(p, "true");

    if (foreign_word(p) != NULL || is_word(p, "in")) {
        return fail_unexpected(p, "a name, a number or a text in quotes");
    }
    struct cvm_rule_node *node =
        cvm_rule_node_create(p->reading, CVM_NODE_NAME, name.from, name.to);
    if (node == NULL) {
        return cvm_rule_no_memory(p->reading);
    }
    node->text = name.text;
    node->length = name.length;
    if (is_true || is_word(p, "false")) {
        node->kind = CVM_NODE_CONSTANT;
        node->type = CVM_RULE_BOOL;
        node->value = is_true ? 1 : 0;
    }
    enum cvm_status status = advance(p);
    if (status == CVM_OK && is_sign(p, "(") && node->kind == CVM_NODE_NAME) {
        node->kind = CVM_NODE_CALL;
        status = parse_children(p, node, ")");
    }
    if (status == CVM_OK) {
        *out_node = node;
    }
    return status;
}

static enum cvm_status parse_literal(struct parser *p, struct cvm_rule_node **out_node)
{
    const struct cvm_rule_token *token = &p->token;
    bool is_number = token->kind == CVM_TOKEN_NUMBER;
    struct cvm_rule_node *node = cvm_rule_node_create(
        p->reading, is_number ? CVM_NODE_CONSTANT : CVM_NODE_TEXT, token->from, token->to);

    if (node == NULL) {
        return cvm_rule_no_memory(p->reading);
    }
    node->type = is_number ? (int)CVM_RULE_NUMBER : (int)CVM_TYPE_TEXT;
    node->value = token->number;
    node->text = token->text;
    node->length = token->length;
    *out_node = node;
    return advance(p);
}

static enum cvm_status parse_primary(struct parser *p, struct cvm_rule_node **out_node)
{
    if (p->token.kind == CVM_TOKEN_NUMBER || p->token.kind == CVM_TOKEN_TEXT) {
        return parse_literal(p, out_node);
    }
    if (p->token.kind == CVM_TOKEN_NAME) {
        return parse_name(p, out_node);
    }
    if (is_sign(p, "(")) {
        return parse_parentheses(p, out_node);
    }
    if (!is_sign(p, "[")) {
        return fail_unexpected(p, "a name, a number or a text in quotes");
    }
    struct cvm_rule_node *list =
        cvm_rule_node_create(p->reading, CVM_NODE_LIST, p->token.from, p->token.to);
    if (list == NULL) {
        return cvm_rule_no_memory(p->reading);
    }
    list->type = CVM_TYPE_LIST;
    enum cvm_status status = parse_children(p, list, "]");
    if (status == CVM_OK) {
        *out_node = list;
    }
    return status;
}

static enum cvm_status parse_unary(struct parser *p, struct cvm_rule_node **out_node)
{
    const char *from = p->token.from;
    bool is_not = is_sign(p, "!");
    struct cvm_rule_node *child = NULL;

    if (!is_not && !is_sign(p, "-")) {
        return parse_primary(p, out_node);
    }
    enum cvm_status status = enter(p);
    status = status == CVM_OK ? advance(p) : status;
    status = status == CVM_OK ? parse_unary(p, &child) : status;
    if (status != CVM_OK) {
        return status;
    }
    p->nesting--;
    struct cvm_rule_node *node = cvm_rule_node_create(
        p->reading, is_not ? CVM_NODE_NOT : CVM_NODE_MINUS, from, child->outer_to);
    if (node == NULL) {
        return cvm_rule_no_memory(p->reading);
    }
    cvm_rule_node_append(node, child);
    *out_node = node;
    return CVM_OK;
}

/* ---- operators between two ---- */

static const struct operator_sign {
    const char *sign;
    int level; /* a higher one binds tighter */
    enum cvm_node_kind kind;
    int code; /* enum cvm_rule_opcode, enum cvm_compare */
} operator_signs[] = {
    {"||", 0, CVM_NODE_OR, 0},
    {"&&", 1, CVM_NODE_AND, 0},
    {"==", 2, CVM_NODE_COMPARE, CVM_EQUAL},
    {"!=", 2, CVM_NODE_COMPARE, CVM_NOT_EQUAL},
    {"<", 2, CVM_NODE_COMPARE, CVM_LESS},
    {"<=", 2, CVM_NODE_COMPARE, CVM_LESS_EQUAL},
    {">", 2, CVM_NODE_COMPARE, CVM_GREATER},
    {">=", 2, CVM_NODE_COMPARE, CVM_GREATER_EQUAL},
    {"in", 2, CVM_NODE_IN, 0},
    {"+", 3, CVM_NODE_MATHS, CVM_OP_ADD},
    {"-", 3, CVM_NODE_MATHS, CVM_OP_SUBTRACT},
    {"*", 4, CVM_NODE_MATHS, CVM_OP_MULTIPLY},
    {"/", 4, CVM_NODE_MATHS, CVM_OP_DIVIDE},
    {"%", 4, CVM_NODE_MATHS, CVM_OP_MODULO},
};
#define LEVEL_RELATION 2
#define LEVEL_UNARY    5

static const struct operator_sign *find_operator(const struct parser *p, int level)
{
    for (size_t i = 0; i < sizeof(operator_signs) / sizeof(operator_signs[0]); i++) {
        const struct operator_sign *sign = &operator_signs[i];
        if (sign->level == level && (is_sign(p, sign->sign) || is_word(p, sign->sign))) {
            return sign;
        }
    }
    return NULL;
}

/* `a && b && c` is one node of three, however it is written. */
static void append_flat(struct cvm_rule_node *node, struct cvm_rule_node *child)
{
    if (child->kind != node->kind) {
        cvm_rule_node_append(node, child);
        return;
    }
    struct cvm_rule_node *next = child->first;
    while (next != NULL) {
        struct cvm_rule_node *grandchild = next;
        next = next->next;
        grandchild->next = NULL;
        cvm_rule_node_append(node, grandchild);
    }
}

static enum cvm_status join(struct parser *p, const struct operator_sign *sign, const char *at,
                            struct cvm_rule_node *right, struct cvm_rule_node **inout_left)
{
    struct cvm_rule_node *left = *inout_left;
    struct cvm_rule_node *node =
        cvm_rule_node_create(p->reading, sign->kind, left->outer_from, right->outer_to);

    if (node == NULL) {
        return cvm_rule_no_memory(p->reading);
    }
    node->sign = at;
    if (sign->kind == CVM_NODE_MATHS) {
        node->code = (enum cvm_rule_opcode)sign->code;
    } else {
        node->compare = (enum cvm_compare)sign->code;
    }
    if (sign->kind == CVM_NODE_AND || sign->kind == CVM_NODE_OR) {
        append_flat(node, left);
        append_flat(node, right);
    } else {
        cvm_rule_node_append(node, left);
        cvm_rule_node_append(node, right);
    }
    if (node->height > CVM_RULE_HEIGHT_MAX) {
        return CVM_RULE_FAIL(p->reading, at, "more than %d operators in a row",
                             CVM_RULE_HEIGHT_MAX - 1);
    }
    *inout_left = node;
    return CVM_OK;
}

static enum cvm_status parse_level(struct parser *p, int level, struct cvm_rule_node **out_node)
{
    struct cvm_rule_node *left = NULL;
    const struct operator_sign *sign = NULL;
    bool is_chain = false;

    if (level == LEVEL_UNARY) {
        return parse_unary(p, out_node);
    }
    enum cvm_status status = parse_level(p, level + 1, &left);
    while (status == CVM_OK && (sign = find_operator(p, level)) != NULL) {
        struct cvm_rule_node *right = NULL;
        const char *at = p->token.from;
        if (level == LEVEL_RELATION && is_chain) {
            return CVM_RULE_FAIL(p->reading, at,
                                 "comparisons can not be chained; write a < x && x < b");
        }
        is_chain = true;
        status = advance(p);
        status = status == CVM_OK ? parse_level(p, level + 1, &right) : status;
        status = status == CVM_OK ? join(p, sign, at, right, &left) : status;
    }
    if (status == CVM_OK) {
        *out_node = left;
    }
    return status;
}

/* The two sides of `? :`; the condition becomes the first of three children. */
static enum cvm_status parse_choice(struct parser *p, struct cvm_rule_node **inout_node)
{
    struct cvm_rule_node *condition = *inout_node;
    struct cvm_rule_node *yes = NULL;
    struct cvm_rule_node *no = NULL;
    const char *at = p->token.from;

    enum cvm_status status = enter(p);
    status = status == CVM_OK ? advance(p) : status;
    status = status == CVM_OK ? parse_level(p, 0, &yes) : status;
    status = status == CVM_OK ? take_sign(p, ":", "':' and what is otherwise chosen") : status;
    status = status == CVM_OK ? parse_expression(p, &no) : status;
    if (status != CVM_OK) {
        return status;
    }
    p->nesting--;
    struct cvm_rule_node *node =
        cvm_rule_node_create(p->reading, CVM_NODE_CHOOSE, condition->outer_from, no->outer_to);
    if (node == NULL) {
        return cvm_rule_no_memory(p->reading);
    }
    node->sign = at;
    cvm_rule_node_append(node, condition);
    cvm_rule_node_append(node, yes);
    cvm_rule_node_append(node, no);
    *inout_node = node;
    return CVM_OK;
}

static enum cvm_status parse_expression(struct parser *p, struct cvm_rule_node **out_node)
{
    struct cvm_rule_node *node = NULL;
    enum cvm_status status = parse_level(p, 0, &node);
    if (status == CVM_OK && is_sign(p, "?")) {
        status = parse_choice(p, &node);
    }
    if (status == CVM_OK) {
        *out_node = node;
    }
    return status;
}

enum cvm_status cvm_rule_parse(const struct cvm_rule_reading *reading,
                               struct cvm_rule_node **out_root)
{
    struct parser p = {.reading = reading, .token = {.to = reading->text}};
    struct cvm_rule_node *root = NULL;

    enum cvm_status status = advance(&p);
    if (status != CVM_OK || p.token.kind == CVM_TOKEN_END) {
        *out_root = NULL;
        return status;
    }
    status = parse_expression(&p, &root);
    if (status == CVM_OK && p.token.kind != CVM_TOKEN_END) {
        status = is_sign(&p, ")") || is_sign(&p, "]")
                     ? CVM_RULE_FAIL(reading, p.token.from, "'%s' was never opened", p.token.text)
                     : fail_unexpected(&p, "an operator or the end");
    }
    if (status == CVM_OK) {
        *out_root = root;
    }
    return status;
}
