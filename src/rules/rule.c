#include "rules/rule.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "rules/rule_kernels.h"

bool cvm_compare_holds(double left, enum cvm_compare compare, double right)
{
    unsigned char mask = 0; /* a missing one makes it false, also with != */
    cvm_rule_compare_constant(&left, compare, right, 1, &mask);
    return mask != 0;
}

double cvm_rule_code(const char *text, size_t length)
{
    return (double)(cvm_hash(text, length) >> 12);
}

/* ---- programs ---- */

struct registers {
    double values[CVM_RULE_REGISTERS][CVM_RULE_ROWS_MAX];
    unsigned char masks[CVM_RULE_REGISTERS][CVM_RULE_ROWS_MAX];
    double left[CVM_RULE_ROWS_MAX]; /* a constant as a column */
    double right[CVM_RULE_ROWS_MAX];
};

static const double *column_of(const struct cvm_rule_rows *rows, uint16_t operand)
{
    size_t column = rows->columns != NULL ? rows->columns[operand] : operand;
    return rows->values + column * rows->stride + rows->from;
}

static bool is_scalar(const struct cvm_rule_from *from)
{
    return from->kind == CVM_FROM_CONSTANT || from->kind == CVM_FROM_TODAY;
}

static double scalar_of(const struct cvm_rule_from *from, const struct cvm_rule_rows *rows)
{
    return from->kind == CVM_FROM_TODAY ? rows->today : from->constant;
}

/* Where the values are; a constant is written out to `room`. */
static const double *values_of(const struct cvm_rule_from *from, const struct registers *registers,
                               const struct cvm_rule_rows *rows, size_t count, double *room)
{
    if (from->kind == CVM_FROM_REGISTER) {
        return registers->values[from->number];
    }
    if (from->kind == CVM_FROM_COLUMN) {
        return column_of(rows, from->number);
    }
    double value = scalar_of(from, rows);
    for (size_t i = 0; i < count; i++) {
        room[i] = value;
    }
    return room;
}

static void run_compare(const struct cvm_rule_op *op, struct registers *registers,
                        const struct cvm_rule_rows *rows, size_t count)
{
    const double *left = values_of(&op->a, registers, rows, count, registers->left);
    enum cvm_compare compare = (enum cvm_compare)op->compare;
    unsigned char *mask = registers->masks[op->out];

    if (is_scalar(&op->b)) {
        cvm_rule_compare_constant(left, compare, scalar_of(&op->b, rows), count, mask);
    } else {
        cvm_rule_compare_columns(left, compare,
                                 values_of(&op->b, registers, rows, count, registers->right), count,
                                 mask);
    }
}

static void run_masks(const struct cvm_rule_op *op, struct registers *registers, size_t count)
{
    const unsigned char *restrict a = registers->masks[op->masks[0]];
    const unsigned char *restrict b = registers->masks[op->masks[1]];
    const unsigned char *restrict c = registers->masks[op->masks[2]];
    unsigned char *restrict out = registers->masks[op->out];

    switch ((enum cvm_rule_opcode)op->code) {
    case CVM_OP_NOT:
        for (size_t i = 0; i < count; i++) {
            out[i] = a[i] ^ 1;
        }
        break;
    case CVM_OP_AND:
        for (size_t i = 0; i < count; i++) {
            out[i] = a[i] & b[i];
        }
        break;
    case CVM_OP_OR:
        for (size_t i = 0; i < count; i++) {
            out[i] = a[i] | b[i];
        }
        break;
    default:
        assert(op->code == CVM_OP_CHOOSE_MASK);
        for (size_t i = 0; i < count; i++) {
            out[i] = (unsigned char)((a[i] & b[i]) | ((a[i] ^ 1) & c[i]));
        }
    }
}

static void run_from_mask(const unsigned char *restrict mask, size_t count, double *restrict out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = mask[i];
    }
}

static void run_op(const struct cvm_rule_op *op, struct registers *registers,
                   const struct cvm_rule_rows *rows, size_t count)
{
    const double *a = NULL;
    switch ((enum cvm_rule_opcode)op->code) {
    case CVM_OP_COMPARE:
        run_compare(op, registers, rows, count);
        break;
    case CVM_OP_IN:
        a = values_of(&op->a, registers, rows, count, registers->left);
        cvm_rule_in_list(a, op->list, op->list_count, count, registers->masks[op->out]);
        break;
    case CVM_OP_HAS: /* only what is missing differs from itself */
        a = values_of(&op->a, registers, rows, count, registers->left);
        cvm_rule_compare_columns(a, CVM_EQUAL, a, count, registers->masks[op->out]);
        break;
    case CVM_OP_TOPIC:
        cvm_rule_topics(rows->topics == NULL ? NULL : rows->topics + rows->from, op->topics, count,
                        registers->masks[op->out]);
        break;
    case CVM_OP_SET_MASK:
        memset(registers->masks[op->out], op->masks[0], count);
        break;
    case CVM_OP_NOT:
    case CVM_OP_AND:
    case CVM_OP_OR:
    case CVM_OP_CHOOSE_MASK:
        run_masks(op, registers, count);
        break;
    case CVM_OP_FROM_MASK:
        run_from_mask(registers->masks[op->masks[0]], count, registers->values[op->out]);
        break;
    case CVM_OP_CHOOSE:
        a = values_of(&op->a, registers, rows, count, registers->left);
        cvm_rule_choose(registers->masks[op->masks[0]], a,
                        values_of(&op->b, registers, rows, count, registers->right), count,
                        registers->values[op->out]);
        break;
    default:
        a = values_of(&op->a, registers, rows, count, registers->left);
        cvm_rule_kernel(
            (enum cvm_rule_opcode)op->code, a,
            op->code < CVM_OP_ADD ? a : values_of(&op->b, registers, rows, count, registers->right),
            count, registers->values[op->out]);
    }
}

/* The registers are in the caller's frame; only the part that the rows use is touched. */
static void run_program(const struct cvm_rule_program *program, const struct cvm_rule_rows *rows,
                        size_t count, struct registers *registers)
{
    for (size_t i = 0; i < program->op_count; i++) {
        run_op(&program->ops[i], registers, rows, count);
    }
}

/* ---- parts ---- */

static void topic_mask(const struct cvm_comparison *comparison, const struct cvm_rule_rows *rows,
                       size_t count, unsigned char *mask)
{
    const uint32_t *topics = rows->topics == NULL ? NULL : rows->topics + rows->from;
    cvm_rule_topics(topics, UINT32_C(1) << (unsigned)comparison->value, count, mask);
    if (comparison->compare == CVM_NOT_EQUAL) {
        for (size_t i = 0; i < count; i++) {
            mask[i] ^= 1;
        }
    }
}

void cvm_rule_part_mask(const struct cvm_rule_part *part, const struct cvm_rule_rows *rows,
                        size_t count, unsigned char *mask)
{
    const struct cvm_comparison *comparison = &part->comparison;

    assert(count <= CVM_RULE_ROWS_MAX);
    if (!part->is_simple) {
        struct registers registers;
        assert(part->program->is_mask);
        run_program(part->program, rows, count, &registers);
        memcpy(mask, registers.masks[part->program->result.number], count);
    } else if (comparison->operand == CVM_OPERAND_TOPIC) {
        topic_mask(comparison, rows, count, mask);
    } else {
        cvm_rule_compare_constant(column_of(rows, comparison->operand),
                                  (enum cvm_compare)comparison->compare, comparison->value, count,
                                  mask);
    }
}

/* ---- rules ---- */

void cvm_rule_mask(const struct cvm_rule *rule, const struct cvm_rule_rows *rows, size_t count,
                   unsigned char *mask)
{
    unsigned char one[CVM_RULE_ROWS_MAX];

    assert(count <= CVM_RULE_ROWS_MAX && rule->type == CVM_RULE_BOOL);
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
    if (rule->type == CVM_RULE_BOOL) {
        unsigned char mask[CVM_RULE_ROWS_MAX];
        cvm_rule_mask(rule, rows, count, mask);
        run_from_mask(mask, count, out_values);
        return;
    }
    struct registers registers;
    const struct cvm_rule_program *program = rule->clauses[0].whole.program;
    assert(count <= CVM_RULE_ROWS_MAX);
    run_program(program, rows, count, &registers);
    memcpy(out_values, values_of(&program->result, &registers, rows, count, registers.left),
           count * sizeof(*out_values));
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
