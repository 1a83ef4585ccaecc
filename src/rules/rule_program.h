/* rule_program.h - a part of a rule as a flat list of operations over columns. Private to this
 * folder.
 *
 * An operation reads columns, constants and registers and fills one register: of 256 doubles (a
 * value, NaN where missing) or of 256 bytes (a mask, 0 or 1). No operation branches by row
 * (rule_kernels.h).
 */
#ifndef CVM_RULES_RULE_PROGRAM_H
#define CVM_RULES_RULE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CVM_RULE_REGISTERS 16
#define CVM_RULE_OPS_MAX   512

enum cvm_rule_opcode {
    /* value <- value */
    CVM_OP_COPY,
    CVM_OP_NEGATE,
    CVM_OP_ABS,
    CVM_OP_ROUND,
    CVM_OP_FLOOR,
    CVM_OP_CEIL,
    CVM_OP_YEAR,
    CVM_OP_MONTH,
    CVM_OP_DAY,
    CVM_OP_WEEKDAY,
    /* value <- value, value */
    CVM_OP_ADD,
    CVM_OP_SUBTRACT,
    CVM_OP_MULTIPLY,
    CVM_OP_DIVIDE,
    CVM_OP_MODULO,
    CVM_OP_LEAST,
    CVM_OP_GREATEST,
    /* value <- mask, value, value */
    CVM_OP_CHOOSE,
    /* value <- mask */
    CVM_OP_FROM_MASK,
    /* mask <- values */
    CVM_OP_COMPARE,
    CVM_OP_IN,
    CVM_OP_HAS,
    CVM_OP_TOPIC,
    CVM_OP_SET_MASK,
    /* mask <- masks */
    CVM_OP_NOT,
    CVM_OP_AND,
    CVM_OP_OR,
    CVM_OP_CHOOSE_MASK
};

enum cvm_rule_from_kind { CVM_FROM_REGISTER, CVM_FROM_COLUMN, CVM_FROM_CONSTANT, CVM_FROM_TODAY };
struct cvm_rule_from {
    uint8_t kind;    /* enum cvm_rule_from_kind */
    uint16_t number; /* of the register or the operand */
    double constant;
};

struct cvm_rule_op {
    uint8_t code;    /* enum cvm_rule_opcode */
    uint8_t compare; /* COMPARE: enum cvm_compare */
    uint8_t out;
    uint8_t masks[3]; /* registers read; CHOOSE: the first decides; SET_MASK: the first is it */
    struct cvm_rule_from a;
    struct cvm_rule_from b;
    const double *list; /* IN */
    size_t list_count;
    uint32_t topics; /* TOPIC */
};

struct cvm_rule_program {
    const struct cvm_rule_op *ops;
    size_t op_count;
    bool is_mask;                /* the result is mask register result.number */
    struct cvm_rule_from result; /* otherwise: a value */
};

/* One value operation on one row: what a column of it does, and how constants are folded. */
double cvm_rule_apply(enum cvm_rule_opcode code, double a, double b);

#endif
