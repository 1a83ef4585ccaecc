/* condition.h - comparisons joined by "and": `churn_90d >= 0.1 && plan_type == 'contract'`.
 *
 * The part of the rule language that the main job needs; what is valid here stays valid in the full
 * language. Operands are names that the caller resolves (features of a customer, or attributes of
 * one event); a comparison with a missing value (NaN) is false, also with !=.
 */
#ifndef CVM_MODEL_CONDITION_H
#define CVM_MODEL_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum cvm_compare {
    CVM_EQUAL,
    CVM_NOT_EQUAL,
    CVM_LESS,
    CVM_LESS_EQUAL,
    CVM_GREATER,
    CVM_GREATER_EQUAL
};

struct cvm_comparison {
    uint16_t operand; /* as resolved by the caller */
    uint8_t compare;  /* enum cvm_compare */
    double value;
};

#define CVM_COMPARISONS_MAX 16
struct cvm_condition {
    const char *text; /* as written; NULL or "" = always true */
    const struct cvm_comparison *comparisons;
    size_t count;
};

/* Resolve a name to an operand number. `words` gets the words that 'quoted' literals may be (index
 * = value), NULL if the operand is a number. CVM_E_NOT_FOUND fills err with a message naming near
 * matches. */
struct cvm_condition_scope {
    enum cvm_status (*resolve)(const void *state, const char *name, uint16_t *out_operand,
                               const char *const **out_words, struct cvm_error *err);
    const void *state;
};

/* Errors name the column: "column 12: ...". */
CVM_MUST_CHECK enum cvm_status cvm_condition_parse(struct cvm_arena *arena, const char *text,
                                                   const struct cvm_condition_scope *scope,
                                                   struct cvm_condition *out_condition,
                                                   struct cvm_error *err);

bool cvm_compare_holds(double left, enum cvm_compare compare, double right);

/* values[operand * stride] is the operand's value. */
bool cvm_condition_holds(const struct cvm_condition *condition, const double *values,
                         size_t stride);

#endif
