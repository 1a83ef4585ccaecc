/* random_test.c - random expressions: what the compiled rule says of a row is what a slow, obvious
 * evaluator says, which walks a tree of its own and knows nothing of src/rules.
 *
 * The tree is made here, written as text with as few parentheses as the precedence of CEL allows
 * (and some more, and odd blanks), and evaluated here row by row with plain ifs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "rules/rule.h"

#define EXPRESSIONS_DEFAULT 100000
#define ROWS_MAX            CVM_RULE_ROWS_MAX
#define NODES_MAX           400
#define CHILDREN_MAX        4
#define TODAY               19810 /* 2024-03-28, a Thursday */

/* ---- operands ---- */

enum { A, B, C, D1, D2, PLAN, OLD_PLAN, LAND, YES, ALSO, OPERAND_COUNT };
static const char *const plans[] = {"prepaid", "sim_only", "contract", NULL};
static const char *const lands[] = {"DE", "FR", "it's \"Z\u00fcrich\"\n"};
static const struct {
    const char *name;
    enum cvm_rule_type type;
} operands[OPERAND_COUNT] = {
    {"a", CVM_RULE_NUMBER},      {"b_2", CVM_RULE_NUMBER},   {"usage.c", CVM_RULE_NUMBER},
    {"d1", CVM_RULE_DATE},       {"bill.d2", CVM_RULE_DATE}, {"plan", CVM_RULE_WORD},
    {"old.plan", CVM_RULE_WORD}, {"land", CVM_RULE_CODE},    {"yes", CVM_RULE_BOOL},
    {"also", CVM_RULE_BOOL},
};

static enum cvm_status resolve(void *state, const char *name, struct cvm_rule_operand *out_operand,
                               struct cvm_error *err)
{
    (void)state;
    for (uint16_t i = 0; i < OPERAND_COUNT; i++) {
        if (strcmp(name, operands[i].name) == 0) {
            enum cvm_rule_type type = operands[i].type;
            *out_operand = (struct cvm_rule_operand){i, type, type == CVM_RULE_WORD ? plans : NULL};
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown name '%s'", name);
}
static const struct cvm_rule_scope scope = {.resolve = resolve};

struct row {
    double values[OPERAND_COUNT];
};

/* ---- the tree of this test ---- */

enum kind {
    LITERAL, /* number */
    TRUTH,
    DATE_LITERAL,
    TODAY_NAME,
    OPERAND,
    ARITHMETIC, /* sign */
    MINUS,
    FUNCTION, /* name */
    RELATION, /* sign; number against number or date against date or condition against condition */
    WORD_IS,  /* sign == or !=, of `operand` and word number `value` */
    WORDS_ARE,
    LAND_IS,
    IN_NUMBERS, /* the children after the first are literals */
    IN_WORDS,   /* bits of value */
    HAS,
    NOT,
    AND,
    OR,
    CHOICE
};
struct node {
    enum kind kind;
    const char *sign;
    double value;
    int operand;
    struct node *children[CHILDREN_MAX];
    int count;
};
struct maker {
    struct cvm_random random;
    struct node nodes[NODES_MAX];
    int used;
};

static int below(struct maker *maker, int bound)
{
    return (int)cvm_random_below(&maker->random, (uint64_t)bound);
}

static struct node *make(struct maker *maker, enum kind kind)
{
    struct node *node = &maker->nodes[maker->used++];
    assert_true(maker->used < NODES_MAX);
    *node = (struct node){.kind = kind};
    return node;
}

static struct node *with(struct node *node, struct node *child)
{
    node->children[node->count++] = child;
    return node;
}

static struct node *make_number(struct maker *maker, int depth);
static struct node *make_date(struct maker *maker, int depth);
static struct node *make_condition(struct maker *maker, int depth);

static struct node *make_literal(struct maker *maker)
{
    static const double values[] = {0, 1, 2, 3, 7, 0.5, 2.5, 0.1, 36, 1000, 1e9, 1e300};
    struct node *node = make(maker, LITERAL);
    node->value = values[below(maker, sizeof(values) / sizeof(values[0]))];
    return node;
}

static struct node *make_operand(struct maker *maker, int first, int count)
{
    struct node *node = make(maker, OPERAND);
    node->operand = first + below(maker, count);
    return node;
}

static struct node *make_choice(struct maker *maker, int depth,
                                struct node *(*side)(struct maker *, int))
{
    struct node *node = make(maker, CHOICE);
    with(node, make_condition(maker, depth - 1));
    with(node, side(maker, depth - 1));
    return with(node, side(maker, depth - 1));
}

static struct node *make_call(struct maker *maker, int depth)
{
    static const char *const names[] = {"math.abs", "math.round", "math.floor", "math.ceil"};
    static const char *const extremes[] = {"math.least", "math.greatest"};
    static const char *const parts[] = {"year", "month", "day", "weekday"};
    struct node *node = make(maker, FUNCTION);
    int which = below(maker, 3);

    if (which == 0) {
        node->sign = names[below(maker, 4)];
        return with(node, make_number(maker, depth - 1));
    }
    if (which == 1) {
        node->sign = parts[below(maker, 4)];
        return with(node, make_date(maker, depth - 1));
    }
    node->sign = extremes[below(maker, 2)];
    for (int i = 1 + below(maker, CHILDREN_MAX); i > 0; i--) {
        with(node, make_number(maker, depth - 1));
    }
    return node;
}

static struct node *make_number(struct maker *maker, int depth)
{
    static const char *const signs[] = {"+", "-", "*", "/", "%"};
    int which = depth <= 0 ? below(maker, 2) : below(maker, 10);
    struct node *node = NULL;

    switch (which) {
    case 0:
        return make_literal(maker);
    case 1:
    case 2:
        return make_operand(maker, A, 3);
    case 3:
        return with(make(maker, MINUS), make_number(maker, depth - 1));
    case 4:
        return make_call(maker, depth);
    case 5:
        return make_choice(maker, depth, make_number);
    case 6: /* days between */
        node = with(make(maker, ARITHMETIC), make_date(maker, depth - 1));
        node->sign = "-";
        return with(node, make_date(maker, depth - 1));
    default:
        node = with(make(maker, ARITHMETIC), make_number(maker, depth - 1));
        node->sign = signs[below(maker, 5)];
        return with(node, make_number(maker, depth - 1));
    }
}

static struct node *make_date(struct maker *maker, int depth)
{
    int which = depth <= 0 ? below(maker, 3) : below(maker, 6);
    struct node *node = NULL;

    switch (which) {
    case 0:
        return make_operand(maker, D1, 2);
    case 1:
        return make(maker, TODAY_NAME);
    case 2:
        node = make(maker, DATE_LITERAL); /* 1970-01-01 .. 2049-12-31 or so */
        node->value = below(maker, 29200);
        return node;
    case 3:
        return make_choice(maker, depth, make_date);
    case 4:
        node = make(maker, ARITHMETIC);
        node->sign = "+";
        with(node, make_number(maker, depth - 1));
        return with(node, make_date(maker, depth - 1));
    default:
        node = make(maker, ARITHMETIC);
        node->sign = below(maker, 2) == 0 ? "+" : "-";
        with(node, make_date(maker, depth - 1));
        return with(node, make_number(maker, depth - 1));
    }
}

static struct node *make_relation(struct maker *maker, int depth)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    struct node *node = make(maker, RELATION);
    int which = below(maker, 6);
    struct node *(*side)(struct maker *, int) = which == 0   ? make_date
                                                : which == 1 ? make_condition
                                                             : make_number;
    node->sign = signs[below(maker, side == make_condition ? 2 : 6)];
    with(node, side(maker, depth - 1));
    return with(node, side(maker, depth - 1));
}

static struct node *make_words(struct maker *maker)
{
    static const enum kind kinds[] = {WORD_IS, WORDS_ARE, LAND_IS, IN_WORDS};
    struct node *node = make(maker, kinds[below(maker, 4)]);
    node->sign = below(maker, 2) == 0 ? "==" : "!=";
    node->operand = node->kind == LAND_IS ? LAND : PLAN + below(maker, 2);
    node->value = node->kind == IN_WORDS ? 1 + below(maker, 7) : below(maker, 3);
    return node;
}

static struct node *make_in(struct maker *maker, int depth)
{
    struct node *node = with(make(maker, IN_NUMBERS), make_number(maker, depth - 1));
    for (int i = 1 + below(maker, CHILDREN_MAX - 1); i > 0; i--) {
        with(node, make_literal(maker));
    }
    return node;
}

static struct node *make_has(struct maker *maker, int depth)
{
    int which = below(maker, 4);
    struct node *node = make(maker, HAS);
    return with(node, which == 0   ? make_number(maker, depth - 1)
                      : which == 1 ? make_date(maker, depth - 1)
                      : which == 2 ? make_condition(maker, depth - 1)
                                   : make_operand(maker, 0, OPERAND_COUNT));
}

static struct node *make_condition(struct maker *maker, int depth)
{
    int which = depth <= 0 ? below(maker, 3) : below(maker, 12);
    struct node *node = NULL;

    switch (which) {
    case 0:
        return make_operand(maker, YES, 2);
    case 1:
        return make_words(maker);
    case 2:
        node = make(maker, TRUTH);
        node->value = below(maker, 2);
        return below(maker, 3) == 0 ? node : make_operand(maker, YES, 2);
    case 3:
        return make_in(maker, depth);
    case 4:
        return make_has(maker, depth);
    case 5:
        return with(make(maker, NOT), make_condition(maker, depth - 1));
    case 6:
        return make_choice(maker, depth, make_condition);
    case 7:
    case 8:
        node = make(maker, below(maker, 2) == 0 ? AND : OR);
        for (int i = 2 + below(maker, 2); i > 0; i--) {
            with(node, make_condition(maker, depth - 1));
        }
        return node;
    default:
        return make_relation(maker, depth);
    }
}

/* ---- the tree as text ---- */

static int level(const struct node *node)
{
    switch (node->kind) {
    case CHOICE:
        return 0;
    case OR:
        return 1;
    case AND:
        return 2;
    case RELATION:
    case WORD_IS:
    case WORDS_ARE:
    case LAND_IS:
    case IN_NUMBERS:
    case IN_WORDS:
        return 3;
    case ARITHMETIC:
        return strchr("+-", node->sign[0]) != NULL ? 4 : 5;
    case MINUS:
    case NOT:
        return 6;
    default:
        return 7;
    }
}

static void blank(struct maker *maker, struct cvm_text *out)
{
    static const char *const blanks[] = {" ", "", "  ", "\n ", "\t"};
    cvm_text_add(out, below(maker, 8) != 0 ? " " : blanks[below(maker, 5)]);
}

static void write_node(struct maker *maker, struct cvm_text *out, const struct node *node,
                       int least);

static void write_join(struct maker *maker, struct cvm_text *out, const struct node *node,
                       const char *sign)
{
    int own = level(node);
    bool is_flat = node->kind == AND || node->kind == OR;
    for (int i = 0; i < node->count; i++) {
        if (i > 0) {
            cvm_text_add(out, " ");
            cvm_text_add(out, sign);
            blank(maker, out);
        }
        /* From left to right; a relation stands in no relation without parentheses. */
        int least = own == 3 || (i > 0 && !is_flat) ? own + 1 : own;
        write_node(maker, out, node->children[i], least);
    }
}

static void write_call(struct maker *maker, struct cvm_text *out, const struct node *node,
                       const char *name)
{
    cvm_text_add(out, name);
    cvm_text_add(out, "(");
    for (int i = 0; i < node->count; i++) {
        cvm_text_add(out, i > 0 ? "," : "");
        blank(maker, out);
        write_node(maker, out, node->children[i], 0);
    }
    cvm_text_add(out, ")");
}

static void write_quoted(struct cvm_text *out, const char *text)
{
    cvm_text_add(out, "'");
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\n') {
            cvm_text_add(out, "\\n");
        } else {
            cvm_text_add(out, *p == '\'' ? "\\" : "");
            cvm_text_add_char(out, *p);
        }
    }
    cvm_text_add(out, "'");
}

static void write_words(struct cvm_text *out, const struct node *node)
{
    cvm_text_add_format(out, "%s ", operands[node->operand].name);
    if (node->kind == IN_WORDS) {
        const char *glue = "in [";
        for (int i = 0; i < 3; i++) {
            if (((int)node->value >> i & 1) != 0) {
                cvm_text_add(out, glue);
                write_quoted(out, plans[i]);
                glue = ", ";
            }
        }
        cvm_text_add(out, "]");
        return;
    }
    cvm_text_add_format(out, "%s ", node->sign);
    if (node->kind == WORDS_ARE) {
        cvm_text_add(out, operands[node->operand == PLAN ? OLD_PLAN : PLAN].name);
    } else {
        write_quoted(out,
                     node->kind == WORD_IS ? plans[(int)node->value] : lands[(int)node->value]);
    }
}

static void write_in(struct maker *maker, struct cvm_text *out, const struct node *node)
{
    write_node(maker, out, node->children[0], 4);
    cvm_text_add(out, " in [");
    for (int i = 1; i < node->count; i++) {
        cvm_text_add(out, i > 1 ? ", " : "");
        cvm_text_add_double(out, node->children[i]->value);
    }
    cvm_text_add(out, "]");
}

/* The day counted up from 1970, year by year and month by month. */
static bool civil(double day, int *year, int *month, int *of_month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    double left = floor(day);
    int y = 1970;
    int m = 0;

    if (isnan(day) || fabs(day) > 4e6) {
        return false;
    }
    for (;;) {
        bool is_leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        int days = is_leap ? 366 : 365;
        if (left < 0) {
            y--;
            is_leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            left += is_leap ? 366 : 365;
        } else if (left >= days) {
            left -= days;
            y++;
        } else {
            while (left >= lengths[m] + (m == 1 && is_leap)) {
                left -= lengths[m] + (m == 1 && is_leap);
                m++;
            }
            break;
        }
    }
    *year = y;
    *month = m + 1;
    *of_month = (int)left + 1;
    return y >= 1 && y <= 9999;
}

static void write_leaf(struct cvm_text *out, const struct node *node)
{
    int year = 0;
    int month = 0;
    int day = 0;
    switch (node->kind) {
    case LITERAL:
        cvm_text_add_double(out, node->value);
        break;
    case TRUTH:
        cvm_text_add(out, node->value != 0 ? "true" : "false");
        break;
    case DATE_LITERAL:
        assert_true(civil(node->value, &year, &month, &day));
        cvm_text_add_format(out, "date('%04d-%02d-%02d')", year, month, day);
        break;
    case TODAY_NAME:
        cvm_text_add(out, "today");
        break;
    default:
        cvm_text_add(out, operands[node->operand].name);
    }
}

static void write_bare(struct maker *maker, struct cvm_text *out, const struct node *node)
{
    switch (node->kind) {
    case ARITHMETIC:
    case RELATION:
        write_join(maker, out, node, node->sign);
        break;
    case AND:
        write_join(maker, out, node, "&&");
        break;
    case OR:
        write_join(maker, out, node, "||");
        break;
    case MINUS:
    case NOT:
        cvm_text_add(out, node->kind == MINUS ? "-" : "!");
        write_node(maker, out, node->children[0], 6);
        break;
    case FUNCTION:
        write_call(maker, out, node, node->sign);
        break;
    case HAS:
        write_call(maker, out, node, "has");
        break;
    case IN_NUMBERS:
        write_in(maker, out, node);
        break;
    case WORD_IS:
    case WORDS_ARE:
    case LAND_IS:
    case IN_WORDS:
        write_words(out, node);
        break;
    case CHOICE:
        write_node(maker, out, node->children[0], 1);
        cvm_text_add(out, " ? ");
        write_node(maker, out, node->children[1], 1);
        cvm_text_add(out, " : ");
        write_node(maker, out, node->children[2], 0);
        break;
    default:
        write_leaf(out, node);
    }
}

static void write_node(struct maker *maker, struct cvm_text *out, const struct node *node,
                       int least)
{
    bool has_parentheses = level(node) < least || below(maker, 10) == 0;
    cvm_text_add(out, has_parentheses ? "(" : "");
    write_bare(maker, out, node);
    cvm_text_add(out, has_parentheses ? ")" : "");
}

/* ---- the slow evaluator: NAN is missing ---- */

static bool holds(const struct node *node, const struct row *row);
static double value(const struct node *node, const struct row *row);

static double not_infinite(double x)
{
    return isfinite(x) ? x : NAN;
}

static double arithmetic(char sign, double x, double y)
{
    if (isnan(x) || isnan(y)) {
        return NAN;
    }
    switch (sign) {
    case '+':
        return not_infinite(x + y);
    case '-':
        return not_infinite(x - y);
    case '*':
        return not_infinite(x * y);
    case '/':
        return y == 0 ? NAN : not_infinite(x / y);
    default:
        return y == 0 ? NAN : fmod(x, y);
    }
}

static double rounded(double x)
{
    double whole = trunc(x);
    if (fabs(x - whole) >= 0.5) {
        whole += x < 0 ? -1 : 1;
    }
    return whole;
}

static double extreme(const struct node *node, const struct row *row, bool is_least)
{
    double best = value(node->children[0], row);
    for (int i = 1; i < node->count; i++) {
        double x = value(node->children[i], row);
        if (isnan(x) || isnan(best)) {
            return NAN;
        }
        if (is_least ? x < best : x > best) {
            best = x;
        }
    }
    return best;
}

static double date_part(const char *name, double day)
{
    int year = 0;
    int month = 0;
    int of_month = 0;
    if (!civil(day, &year, &month, &of_month)) {
        return NAN;
    }
    if (strcmp(name, "weekday") == 0) { /* 1970-01-05 was a Monday */
        int since = (int)floor(day) - 4;
        return ((since % 7) + 7) % 7;
    }
    return strcmp(name, "year") == 0 ? year : strcmp(name, "month") == 0 ? month : of_month;
}

static double call(const struct node *node, const struct row *row)
{
    double x = value(node->children[0], row);
    if (strcmp(node->sign, "math.least") == 0 || strcmp(node->sign, "math.greatest") == 0) {
        return extreme(node, row, strcmp(node->sign, "math.least") == 0);
    }
    if (isnan(x)) {
        return NAN;
    }
    if (strcmp(node->sign, "math.abs") == 0) {
        return x < 0 ? -x : x;
    }
    if (strcmp(node->sign, "math.round") == 0) {
        return rounded(x);
    }
    if (strcmp(node->sign, "math.floor") == 0) {
        double whole = trunc(x);
        return whole > x ? whole - 1 : whole;
    }
    if (strcmp(node->sign, "math.ceil") == 0) {
        double whole = trunc(x);
        return whole < x ? whole + 1 : whole;
    }
    return date_part(node->sign, x);
}

/* The value of anything; of a condition 0 or 1, of a name also missing. */
static double value(const struct node *node, const struct row *row)
{
    switch (node->kind) {
    case LITERAL:
    case DATE_LITERAL:
        return node->value;
    case TODAY_NAME:
        return TODAY;
    case OPERAND:
        return row->values[node->operand];
    case ARITHMETIC:
        return arithmetic(node->sign[0], value(node->children[0], row),
                          value(node->children[1], row));
    case MINUS:
        return -value(node->children[0], row);
    case FUNCTION:
        return call(node, row);
    case CHOICE:
        return holds(node->children[0], row) ? value(node->children[1], row)
                                             : value(node->children[2], row);
    default:
        return holds(node, row) ? 1 : 0;
    }
}

static bool related(const char *sign, double x, double y)
{
    if (isnan(x) || isnan(y)) {
        return false;
    }
    if (sign[0] == '=') {
        return x == y;
    }
    if (sign[0] == '!') {
        return x != y;
    }
    if (sign[0] == '<') {
        return x < y || (sign[1] == '=' && x == y);
    }
    return x > y || (sign[1] == '=' && x == y);
}

static bool words_hold(const struct node *node, const struct row *row)
{
    double x = row->values[node->operand];
    switch (node->kind) {
    case WORD_IS:
        return related(node->sign, x, node->value);
    case WORDS_ARE:
        return related(node->sign, x, row->values[node->operand == PLAN ? OLD_PLAN : PLAN]);
    case LAND_IS: {
        const char *land = lands[(int)node->value];
        return related(node->sign, x, cvm_rule_code(land, strlen(land)));
    }
    default:
        return !isnan(x) && ((int)node->value >> (int)x & 1) != 0;
    }
}

static bool in_numbers(const struct node *node, const struct row *row)
{
    double x = value(node->children[0], row);
    for (int i = 1; i < node->count; i++) {
        if (x == node->children[i]->value) {
            return true;
        }
    }
    return false;
}

static bool holds(const struct node *node, const struct row *row)
{
    switch (node->kind) {
    case TRUTH:
        return node->value != 0;
    case OPERAND:
        return row->values[node->operand] == 1;
    case RELATION:
        return related(node->sign, value(node->children[0], row), value(node->children[1], row));
    case IN_NUMBERS:
        return in_numbers(node, row);
    case HAS:
        return !isnan(value(node->children[0], row));
    case NOT:
        return !holds(node->children[0], row);
    case AND:
    case OR: {
        for (int i = 0; i < node->count; i++) {
            if (holds(node->children[i], row) == (node->kind == OR)) {
                return node->kind == OR;
            }
        }
        return node->kind == AND;
    }
    case CHOICE:
        return holds(node->children[0], row) ? holds(node->children[1], row)
                                             : holds(node->children[2], row);
    default:
        return words_hold(node, row);
    }
}

/* ---- rows ---- */

static double random_number(struct maker *maker)
{
    static const double odd[] = {0, 1, 2, 3, -1, 0.5, -2.5, 1e300, -1e300, 36};
    return below(maker, 2) == 0 ? odd[below(maker, 10)]
                                : floor(cvm_random_normal(&maker->random) * 1000) / 8;
}

static struct row random_row(struct maker *maker)
{
    struct row row;
    const char *land = lands[below(maker, 3)];
    for (int i = A; i <= C; i++) {
        row.values[i] = random_number(maker);
    }
    row.values[D1] = TODAY - below(maker, 400);
    row.values[D2] = TODAY + below(maker, 30) - below(maker, 20000);
    row.values[PLAN] = below(maker, 3);
    row.values[OLD_PLAN] = below(maker, 3);
    row.values[LAND] = cvm_rule_code(land, strlen(land));
    row.values[YES] = below(maker, 2);
    row.values[ALSO] = below(maker, 2);
    for (int i = 0; i < OPERAND_COUNT; i++) {
        row.values[i] = below(maker, 6) == 0 ? NAN : row.values[i];
    }
    return row;
}

/* ---- the comparison ---- */

struct block {
    struct row rows[ROWS_MAX];
    double columns[OPERAND_COUNT * ROWS_MAX];
    size_t count;
};

static void fill(struct maker *maker, struct block *block, size_t count)
{
    block->count = count;
    for (size_t r = 0; r < count; r++) {
        block->rows[r] = random_row(maker);
        for (size_t i = 0; i < OPERAND_COUNT; i++) {
            block->columns[i * ROWS_MAX + r] = block->rows[r].values[i];
        }
    }
}

static bool is_same_value(double x, double y)
{
    return isnan(x) ? isnan(y) != 0 : x == y;
}

static void check_values(const struct cvm_rule *rule, const struct node *node,
                         const struct block *block, const struct cvm_rule_rows *rows)
{
    double found[ROWS_MAX];
    cvm_rule_values(rule, rows, block->count, found);
    for (size_t r = 0; r < block->count; r++) {
        double expected = rule->type == CVM_RULE_BOOL ? (double)holds(node, &block->rows[r])
                                                      : value(node, &block->rows[r]);
        if (!is_same_value(expected, found[r])) {
            fail_msg("'%s' is %.17g, expected %.17g", rule->text, found[r], expected);
        }
    }
}

/* Clauses are joined by &&, alternatives by ||; row by row and column by column are the same. */
static void check_parts(const struct cvm_rule *rule, const struct block *block,
                        const struct cvm_rule_rows *rows)
{
    for (size_t r = 0; r < block->count; r++) {
        struct cvm_rule_rows one = *rows;
        const struct cvm_rule_clause *failed = NULL;
        one.from = r;
        for (size_t c = 0; c < rule->clause_count; c++) {
            const struct cvm_rule_clause *clause = &rule->clauses[c];
            bool any = false;
            bool whole = cvm_rule_part_holds(&clause->whole, &one);
            for (size_t i = 0; i < clause->alternative_count; i++) {
                any = any || cvm_rule_part_holds(&clause->alternatives[i], &one);
            }
            assert_true(clause->alternative_count == 0 || any == whole);
            failed = failed == NULL && !whole ? clause : failed;
        }
        assert_ptr_equal(cvm_rule_failed(rule, &one), failed);
        double found = NAN;
        cvm_rule_values(rule, &one, 1, &found);
        assert_true(found == (failed == NULL));
    }
}

struct counts {
    size_t compiled;
    size_t always_missing;
    size_t programs;
    size_t held;
};

/* The same tree in other blanks and parentheses is the same rule. */
static void check_same(struct maker *maker, struct cvm_arena *arena, const struct node *node,
                       const struct cvm_rule *rule)
{
    struct cvm_text again;
    struct cvm_rule other = {0};
    cvm_text_init(&again, 0);
    write_node(maker, &again, node, 0);
    assert_int_equal(cvm_rule_compile(arena, cvm_text_string(&again),
                                      rule->type == CVM_RULE_BOOL ? CVM_RULE_BOOL : CVM_RULE_NUMBER,
                                      &scope, &other, NULL),
                     CVM_OK);
    assert_true(cvm_rule_same(rule, &other));
    cvm_text_finish(&again);
}

static void check_one(struct maker *maker, struct cvm_arena *arena, struct block *block,
                      struct counts *counts)
{
    struct cvm_text text;
    struct cvm_rule rule = {0};
    struct cvm_error err = {0};
    const struct cvm_rule_rows rows = {
        .values = block->columns, .stride = ROWS_MAX, .today = TODAY};
    bool is_condition = below(maker, 3) != 0;

    maker->used = 0;
    const struct node *node =
        is_condition ? make_condition(maker, 1 + below(maker, 4)) : make_number(maker, 4);
    cvm_text_init(&text, 0);
    write_node(maker, &text, node, 0);
    enum cvm_status status =
        cvm_rule_compile(arena, cvm_text_string(&text),
                         is_condition ? CVM_RULE_BOOL : CVM_RULE_NUMBER, &scope, &rule, &err);
    if (status == CVM_OK) {
        check_values(&rule, node, block, &rows);
        check_same(maker, arena, node, &rule);
        if (is_condition) {
            check_parts(&rule, block, &rows);
        }
        counts->compiled++;
        counts->programs += rule.clause_count > 0 && !rule.clauses[0].whole.is_simple;
        counts->held += is_condition && holds(node, &block->rows[0]);
    } else if (strstr(err.message, "is always missing") != NULL) {
        counts->always_missing++;
    } else {
        fail_msg("'%s': %s", cvm_text_string(&text), err.message);
    }
    cvm_text_finish(&text);
}

static void compiled_rules_say_what_the_slow_evaluator_says(void **state)
{
    static struct maker maker;
    static struct block block;
    struct counts counts = {0};
    const char *asked = getenv("CVM_RULES_EXPRESSIONS");
    size_t expressions = asked == NULL ? EXPRESSIONS_DEFAULT : strtoul(asked, NULL, 10);
    struct cvm_arena *arena = cvm_arena_create((size_t)16 << 20);

    (void)state;
    cvm_random_init(&maker.random, 20240328);
    for (size_t i = 0; i < expressions; i++) {
        /* Seven rows, and now and then a whole block: other code may run at a vector's end. */
        fill(&maker, &block, i % 500 == 0 ? 1 + cvm_random_below(&maker.random, ROWS_MAX) : 7);
        check_one(&maker, arena, &block, &counts);
        cvm_arena_reset(arena);
    }
    print_message("%zu compiled, %zu of them programs, %zu hold; %zu always missing\n",
                  counts.compiled, counts.programs, counts.held, counts.always_missing);
    assert_true(counts.always_missing < expressions / 10);
    assert_true(counts.programs > expressions / 4);
    assert_true(counts.held > expressions / 8);
    cvm_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiled_rules_say_what_the_slow_evaluator_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
