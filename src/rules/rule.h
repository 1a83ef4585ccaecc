/* rule.h - the expression language of the catalogue, a subset of CEL: who qualifies, whom to look
 * for, what a number is.
 *
 *     churn_90d >= 0.1 && plan_type in ['contract', 'converged'] && !has(open_complaint)
 *     count(call_transcripts, 90, contact.sentiment == 'negative') >= 2
 *
 * A rule is compiled once against a scope, which knows the names, and evaluated over columns.
 * Types are checked when it is compiled; errors name line and column ("line 1, column 12: ...").
 * Missing is NaN: a comparison with missing is false (also with !=), arithmetic with it is missing;
 * `has(x)` asks. docs/concepts/rules.md is the reference.
 *
 * Pure; a compiled rule is immutable, lives in its arena and may be used from any thread.
 */
#ifndef CVM_RULES_RULE_H
#define CVM_RULES_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum cvm_rule_type {
    CVM_RULE_BOOL, /* columns of operands hold 0, 1 or missing */
    CVM_RULE_NUMBER,
    CVM_RULE_WORD, /* one of a closed list: the number is the index in it */
    CVM_RULE_DATE, /* the number is the day */
    CVM_RULE_CODE  /* open text known by its hash only (cvm_rule_code): == != in, nothing else */
};

/* ---- what a compiled rule is ---- */

enum cvm_compare {
    CVM_EQUAL,
    CVM_NOT_EQUAL,
    CVM_LESS,
    CVM_LESS_EQUAL,
    CVM_GREATER,
    CVM_GREATER_EQUAL
};
bool cvm_compare_holds(double left, enum cvm_compare compare, double right);

/* The operand that stands for the words of an event's free text: `topic == 'x'` and mentions()
 * compile to comparisons of it with the topic's number. */
#define CVM_OPERAND_TOPIC 65535

struct cvm_comparison {
    uint16_t operand; /* as resolved by the scope */
    uint8_t compare;  /* enum cvm_compare */
    double value;
};

struct cvm_rule_program; /* private to this folder */

/* A part that can be told apart: of `a && (b || c)` the clauses are `a` and `b || c`, and the
 * alternatives of the second `b` and `c`. */
struct cvm_rule_part {
    const char *text; /* as written, without the blanks around it */
    bool is_simple;   /* one operand compared with a constant: `comparison` says all */
    struct cvm_comparison comparison;
    const struct cvm_rule_program *program; /* otherwise */
    const uint16_t *operands;               /* all that it reads, each once, as they appear */
    size_t operand_count;
};
struct cvm_rule_clause {
    struct cvm_rule_part whole;
    const struct cvm_rule_part *alternatives; /* of `||` at its top; none when there is no `||` */
    size_t alternative_count;
};

struct cvm_rule {
    const char *text; /* as written; NULL or "" = always true */
    enum cvm_rule_type type;
    const struct cvm_rule_clause *clauses; /* joined by && at the top; one if it is no BOOL */
    size_t clause_count;                   /* 0 = always true */
};

/* ---- compiling ---- */

struct cvm_rule_operand {
    uint16_t number;
    enum cvm_rule_type type;
    const char *const *words; /* CVM_RULE_WORD: NULL-terminated */
};

/* count(calls, 90, sentiment == 'negative'), last(bill.total), days_since(calls) ... */
struct cvm_rule_aggregate {
    const char *function;         /* count sum avg min max last first trend days_since */
    const char *subject;          /* a source or an attribute of events */
    int window_days;              /* 0 = the whole history */
    const struct cvm_rule *where; /* always true if there is no filter */
    const char *text;             /* as written, one blank for many: names the aggregate */
};

/* What the names of a rule mean. CVM_E_NOT_FOUND fills err with a message naming near matches.
 * NULL slots: the rule may have no aggregates, or no mentions(), here. */
struct cvm_rule_scope {
    enum cvm_status (*resolve)(void *state, const char *name, struct cvm_rule_operand *out_operand,
                               struct cvm_error *err);
    /* The scope of a filter over events of the subject. */
    enum cvm_status (*events)(void *state, const char *subject, struct cvm_rule_scope *out_scope,
                              struct cvm_error *err);
    enum cvm_status (*aggregate)(void *state, const struct cvm_rule_aggregate *aggregate,
                                 struct cvm_rule_operand *out_operand, struct cvm_error *err);
    /* mentions('a', 'b c'): the topic of events whose free text has one of the phrases as whole
     * words, in any language and case. */
    enum cvm_status (*mentions)(void *state, const char *const *phrases, size_t count,
                                uint16_t *out_topic, struct cvm_error *err);
    void *state;
};

#define CVM_RULE_BYTES_MAX   8192
#define CVM_RULE_CLAUSES_MAX 64

/* `wanted` CVM_RULE_BOOL or CVM_RULE_NUMBER (which takes a date too). An empty text is an
 * always-true rule where a BOOL is wanted. CVM_E_INVALID, CVM_E_NOT_FOUND (a name), CVM_E_LIMIT. */
CVM_MUST_CHECK enum cvm_status cvm_rule_compile(struct cvm_arena *arena, const char *text,
                                                enum cvm_rule_type wanted,
                                                const struct cvm_rule_scope *scope,
                                                struct cvm_rule *out_rule, struct cvm_error *err);

/* The number that stands for an open text in a CODE column: 52 bits of its hash, exact in a double.
 */
double cvm_rule_code(const char *text, size_t length);

/* The same rule, whatever its blanks and places? */
bool cvm_rule_same(const struct cvm_rule *a, const struct cvm_rule *b);

/* ---- evaluating: no allocation ---- */

#define CVM_RULE_ROWS_MAX 256

struct cvm_rule_rows {
    const double *values; /* operand o of row i: values[column(o) * stride + from + i] */
    size_t stride;
    size_t from;
    const uint16_t *columns; /* column(o) = columns[o]; NULL: column(o) = o */
    const uint32_t *topics;  /* of row i: topics[from + i], a bit each; NULL = none */
    int32_t today;           /* the as-of day */
};

/* mask[i] becomes 0 or 1 for `count` <= CVM_RULE_ROWS_MAX rows. */
void cvm_rule_mask(const struct cvm_rule *rule, const struct cvm_rule_rows *rows, size_t count,
                   unsigned char *mask);
void cvm_rule_part_mask(const struct cvm_rule_part *part, const struct cvm_rule_rows *rows,
                        size_t count, unsigned char *mask);
/* A rule that is no BOOL: its values, NaN where missing. A BOOL: 0 or 1. */
void cvm_rule_values(const struct cvm_rule *rule, const struct cvm_rule_rows *rows, size_t count,
                     double *out_values);

/* Row 0 only. */
bool cvm_rule_holds(const struct cvm_rule *rule, const struct cvm_rule_rows *rows);
bool cvm_rule_part_holds(const struct cvm_rule_part *part, const struct cvm_rule_rows *rows);
/* The first clause that does not hold; NULL when all do. */
const struct cvm_rule_clause *cvm_rule_failed(const struct cvm_rule *rule,
                                              const struct cvm_rule_rows *rows);

#endif
