#include "rules/rule.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"

#define WORD_BYTES_MAX  128
#define COMPARISONS_MAX 16

static const char *const operators[] = {
    [CVM_EQUAL] = "==",      [CVM_NOT_EQUAL] = "!=", [CVM_LESS] = "<",
    [CVM_LESS_EQUAL] = "<=", [CVM_GREATER] = ">",    [CVM_GREATER_EQUAL] = ">=",
};

struct parser {
    const char *text;
    const char *at;
    const struct cvm_rule_scope *scope;
    struct cvm_arena *arena;
    struct cvm_error *err;
};

static int column_of(const struct parser *p, const char *at)
{
    return (int)(at - p->text) + 1;
}

#define FAIL_AT(p, where, ...)                                                                     \
    cvm_error_context((p)->err, CVM_FAIL((p)->err, CVM_E_INVALID, __VA_ARGS__), "column %d",       \
                      column_of((p), (where)))

static void skip_blanks(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r') {
        p->at++;
    }
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A name into `word`; its length, 0 if there is none or it is too long. */
static size_t read_name(struct parser *p, char word[WORD_BYTES_MAX])
{
    const char *start = p->at;
    const char *end = start;

    if (!is_letter(*start)) {
        return 0;
    }
    while (is_letter(*end) || is_digit(*end) || *end == '.') {
        end++;
    }
    size_t length = (size_t)(end - start);
    if (length >= WORD_BYTES_MAX) {
        return 0;
    }
    memcpy(word, start, length);
    word[length] = '\0';
    p->at = end;
    return length;
}

static enum cvm_status read_operator(struct parser *p, uint8_t *out_compare)
{
    /* The longer ones first, for "<" is the start of "<=". */
    static const uint8_t order[] = {CVM_EQUAL,         CVM_NOT_EQUAL, CVM_LESS_EQUAL,
                                    CVM_GREATER_EQUAL, CVM_LESS,      CVM_GREATER};

    skip_blanks(p);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const char *sign = operators[order[i]];
        if (strncmp(p->at, sign, strlen(sign)) == 0) {
            p->at += strlen(sign);
            *out_compare = order[i];
            return CVM_OK;
        }
    }
    if (*p->at == '=') {
        return FAIL_AT(p, p->at, "'=' is no comparison; equality is '=='");
    }
    return FAIL_AT(p, p->at, "expected one of == != < <= > >=");
}

/* "a, b or c", as much as fits. */
static void list_words(const char *const *words, char text[256])
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *glue = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        size_t length = strlen(glue) + strlen(words[i]);
        if (used + length + 5 >= 256) {
            memcpy(text + used, ", ...", 6);
            return;
        }
        memcpy(text + used, glue, strlen(glue));
        memcpy(text + used + strlen(glue), words[i], strlen(words[i]) + 1);
        used += length;
    }
}

static enum cvm_status find_word(struct parser *p, const char *at, const char *word,
                                 const char *const *words, const char *name, double *out_value)
{
    char allowed[256];

    if (words == NULL) {
        return FAIL_AT(p, at, "'%s' is a number and is never '%s'", name, word);
    }
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            *out_value = (double)i;
            return CVM_OK;
        }
    }
    list_words(words, allowed);
    return FAIL_AT(p, at, "'%s' is never '%s'; it is %s", name, word, allowed);
}

/* 'word' or "word" */
static enum cvm_status read_quoted(struct parser *p, const char *const *words, const char *name,
                                   double *out_value)
{
    const char *start = p->at + 1;
    const char *end = strchr(start, *p->at);
    char word[WORD_BYTES_MAX];

    if (end == NULL) {
        return FAIL_AT(p, p->at, "the quote is never closed");
    }
    size_t length = (size_t)(end - start);
    if (length >= WORD_BYTES_MAX) {
        return FAIL_AT(p, p->at, "the word is longer than %d bytes", WORD_BYTES_MAX - 1);
    }
    memcpy(word, start, length);
    word[length] = '\0';
    enum cvm_status status = find_word(p, p->at, word, words, name, out_value);
    p->at = end + 1;
    return status;
}

/* A decimal number of digits, point and exponent only: not strtod()'s "inf", "0x1p3" or blanks. */
static enum cvm_status read_number(struct parser *p, double *out_value)
{
    const char *at = p->at;
    char digits[64];

    at += *at == '-' || *at == '+' ? 1 : 0;
    if (!is_digit(*at) && *at != '.') {
        return FAIL_AT(p, p->at, "expected a number or a word in quotes");
    }
    while (is_digit(*at) || *at == '.' || *at == 'e' || *at == 'E' ||
           ((*at == '-' || *at == '+') && (at[-1] == 'e' || at[-1] == 'E'))) {
        at++;
    }
    size_t length = (size_t)(at - p->at);
    if (length < sizeof(digits)) {
        char *end = NULL;
        memcpy(digits, p->at, length);
        digits[length] = '\0';
        double value = strtod(digits, &end);
        if (*end == '\0' && isfinite(value) && !is_letter(*at)) {
            p->at = at;
            *out_value = value;
            return CVM_OK;
        }
    }
    return FAIL_AT(p, p->at, "not a number");
}

static enum cvm_status read_literal(struct parser *p, const char *const *words, const char *name,
                                    double *out_value)
{
    char word[WORD_BYTES_MAX];

    skip_blanks(p);
    const char *start = p->at;
    if (*p->at == '\'' || *p->at == '"') {
        return read_quoted(p, words, name, out_value);
    }
    if (read_name(p, word) > 0) {
        bool is_true = strcmp(word, "true") == 0;
        if (words == NULL && (is_true || strcmp(word, "false") == 0)) {
            *out_value = is_true ? 1 : 0;
            return CVM_OK;
        }
        return FAIL_AT(p, start,
                       "'%s' stands without quotes; a condition compares a name with a "
                       "number or a word in quotes",
                       word);
    }
    enum cvm_status status = read_number(p, out_value);
    if (status == CVM_OK && words != NULL) {
        char allowed[256];
        list_words(words, allowed);
        return FAIL_AT(p, start, "'%s' is a word, not a number; it is %s", name, allowed);
    }
    return status;
}

static enum cvm_status read_comparison(struct parser *p, struct cvm_rule_part *out_part)
{
    char name[WORD_BYTES_MAX];
    struct cvm_comparison comparison = {0};
    struct cvm_rule_operand operand = {0};

    skip_blanks(p);
    const char *start = p->at;
    if (read_name(p, name) == 0) {
        return FAIL_AT(p, start, "expected a name");
    }
    enum cvm_status status = p->scope->resolve(p->scope->state, name, &operand, p->err);
    if (status != CVM_OK) {
        return cvm_error_context(p->err, status, "column %d", column_of(p, start));
    }
    skip_blanks(p);
    const char *sign = p->at;
    comparison.operand = operand.number;
    status = read_operator(p, &comparison.compare);
    if (status != CVM_OK) {
        return status;
    }
    if (operand.words != NULL && comparison.compare > CVM_NOT_EQUAL) {
        return FAIL_AT(p, sign, "'%s' is a word: only == and != compare it", name);
    }
    status = read_literal(p, operand.words, name, &comparison.value);
    if (status == CVM_OK) {
        struct cvm_rule_part part = {.is_simple = true, .comparison = comparison};
        part.text = cvm_arena_copy(p->arena, start, (size_t)(p->at - start));
        uint16_t *operands = CVM_NEW_ARRAY(p->arena, 1, uint16_t);
        if (part.text == NULL || operands == NULL) {
            return CVM_FAIL(p->err, CVM_E_LIMIT, "no memory for a rule");
        }
        operands[0] = operand.number;
        part.operands = operands;
        part.operand_count = 1;
        *out_part = part;
    }
    return status;
}

/* "&&" or the end. */
static enum cvm_status read_joint(struct parser *p, bool *out_more)
{
    skip_blanks(p);
    if (*p->at == '\0') {
        *out_more = false;
        return CVM_OK;
    }
    if (p->at[0] == '&' && p->at[1] == '&') {
        p->at += 2;
        *out_more = true;
        return CVM_OK;
    }
    if (p->at[0] == '|' && p->at[1] == '|') {
        return FAIL_AT(p, p->at, "'||' is not supported; comparisons are joined by '&&'");
    }
    return FAIL_AT(p, p->at, "expected '&&' or the end");
}

enum cvm_status cvm_rule_compile(struct cvm_arena *arena, const char *text,
                                 enum cvm_rule_type wanted, const struct cvm_rule_scope *scope,
                                 struct cvm_rule *out_rule, struct cvm_error *err)
{
    struct parser p = {.text = text, .at = text, .scope = scope, .arena = arena, .err = err};
    struct cvm_rule_clause found[COMPARISONS_MAX] = {0};
    size_t count = 0;

    assert(text != NULL && scope != NULL && wanted == CVM_RULE_BOOL);
    skip_blanks(&p);
    bool more = *p.at != '\0';
    while (more) {
        if (count == COMPARISONS_MAX) {
            return FAIL_AT(&p, p.at, "more than %d comparisons", COMPARISONS_MAX);
        }
        enum cvm_status status = read_comparison(&p, &found[count].whole);
        if (status == CVM_OK) {
            count++;
            status = read_joint(&p, &more);
        }
        if (status != CVM_OK) {
            return status;
        }
    }
    struct cvm_rule_clause *kept =
        CVM_NEW_ARRAY(arena, count == 0 ? 1 : count, struct cvm_rule_clause);
    const char *copy = cvm_arena_string(arena, text);
    if (kept == NULL || copy == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a rule");
    }
    memcpy(kept, found, count * sizeof(found[0]));
    *out_rule = (struct cvm_rule){
        .text = copy, .type = CVM_RULE_BOOL, .clauses = kept, .clause_count = count};
    return CVM_OK;
}

bool cvm_compare_holds(double left, enum cvm_compare compare, double right)
{
    if (isnan(left) || isnan(right)) {
        return false; /* missing: also with != */
    }
    switch (compare) {
    case CVM_EQUAL:
        return left == right;
    case CVM_NOT_EQUAL:
        return left != right;
    case CVM_LESS:
        return left < right;
    case CVM_LESS_EQUAL:
        return left <= right;
    case CVM_GREATER:
        return left > right;
    case CVM_GREATER_EQUAL:
        return left >= right;
    }
    return false;
}

double cvm_rule_code(const char *text, size_t length)
{
    return (double)(cvm_hash(text, length) >> 12);
}

static bool same_part(const struct cvm_rule_part *a, const struct cvm_rule_part *b)
{
    return a->comparison.operand == b->comparison.operand &&
           a->comparison.compare == b->comparison.compare &&
           a->comparison.value == b->comparison.value;
}

bool cvm_rule_same(const struct cvm_rule *a, const struct cvm_rule *b)
{
    bool is_same = a->clause_count == b->clause_count;
    for (size_t i = 0; is_same && i < a->clause_count; i++) {
        is_same = same_part(&a->clauses[i].whole, &b->clauses[i].whole);
    }
    return is_same;
}

/* ---- evaluating ---- */

/* The same as cvm_compare_holds(), a loop per operator: NaN fails every one of them. */
static void compare_column(const double *column, enum cvm_compare compare, double right,
                           size_t count, unsigned char *mask)
{
    switch (compare) {
    case CVM_EQUAL:
        for (size_t i = 0; i < count; i++) {
            mask[i] = column[i] == right;
        }
        break;
    case CVM_NOT_EQUAL: /* less or greater, so that a missing one on either side fails */
        for (size_t i = 0; i < count; i++) {
            mask[i] = (column[i] < right) | (column[i] > right);
        }
        break;
    case CVM_LESS:
        for (size_t i = 0; i < count; i++) {
            mask[i] = column[i] < right;
        }
        break;
    case CVM_LESS_EQUAL:
        for (size_t i = 0; i < count; i++) {
            mask[i] = column[i] <= right;
        }
        break;
    case CVM_GREATER:
        for (size_t i = 0; i < count; i++) {
            mask[i] = column[i] > right;
        }
        break;
    case CVM_GREATER_EQUAL:
        for (size_t i = 0; i < count; i++) {
            mask[i] = column[i] >= right;
        }
        break;
    }
}

static void topic_mask(const struct cvm_comparison *comparison, const struct cvm_rule_rows *rows,
                       size_t count, unsigned char *mask)
{
    unsigned topic = (unsigned)comparison->value;
    for (size_t i = 0; i < count; i++) {
        bool has = rows->topics != NULL && (rows->topics[rows->from + i] >> topic & 1) != 0;
        mask[i] = has == (comparison->compare == CVM_EQUAL);
    }
}

void cvm_rule_part_mask(const struct cvm_rule_part *part, const struct cvm_rule_rows *rows,
                        size_t count, unsigned char *mask)
{
    const struct cvm_comparison *comparison = &part->comparison;
    if (comparison->operand == CVM_OPERAND_TOPIC) {
        topic_mask(comparison, rows, count, mask);
        return;
    }
    size_t column =
        rows->columns != NULL ? rows->columns[comparison->operand] : comparison->operand;
    compare_column(rows->values + column * rows->stride + rows->from,
                   (enum cvm_compare)comparison->compare, comparison->value, count, mask);
}

void cvm_rule_mask(const struct cvm_rule *rule, const struct cvm_rule_rows *rows, size_t count,
                   unsigned char *mask)
{
    unsigned char one[CVM_RULE_ROWS_MAX];
    assert(count <= CVM_RULE_ROWS_MAX);
    memset(mask, 1, count);
    for (size_t c = 0; c < rule->clause_count; c++) {
        cvm_rule_part_mask(&rule->clauses[c].whole, rows, count, one);
        for (size_t i = 0; i < count; i++) {
            mask[i] &= one[i];
        }
    }
}

void cvm_rule_values(const struct cvm_rule *rule, const struct cvm_rule_rows *rows, size_t count,
                     double *out_values)
{
    unsigned char mask[CVM_RULE_ROWS_MAX];
    cvm_rule_mask(rule, rows, count, mask);
    for (size_t i = 0; i < count; i++) {
        out_values[i] = mask[i];
    }
}

bool cvm_rule_part_holds(const struct cvm_rule_part *part, const struct cvm_rule_rows *rows)
{
    unsigned char mask = 0;
    cvm_rule_part_mask(part, rows, 1, &mask);
    return mask != 0;
}

const struct cvm_rule_clause *cvm_rule_failed(const struct cvm_rule *rule,
                                              const struct cvm_rule_rows *rows)
{
    for (size_t c = 0; c < rule->clause_count; c++) {
        if (!cvm_rule_part_holds(&rule->clauses[c].whole, rows)) {
            return &rule->clauses[c];
        }
    }
    return NULL;
}

bool cvm_rule_holds(const struct cvm_rule *rule, const struct cvm_rule_rows *rows)
{
    return cvm_rule_failed(rule, rows) == NULL;
}
