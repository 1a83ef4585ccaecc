#include <assert.h>
#include <string.h>

#include "rules/rule_tree.h"

/* ---- registers ---- */

/* Operations in the making. Registers are handed out lowest first; an operation takes its output
 * before its inputs are given back, so that it never writes what it reads. */
struct emitter {
    const struct cvm_rule_reading *reading;
    struct cvm_rule_op *ops; /* CVM_RULE_OPS_MAX */
    size_t count;
    uint32_t values; /* registers in use, a bit each */
    uint32_t masks;
};

static enum cvm_status take(struct emitter *e, uint32_t *used, const struct cvm_rule_node *node,
                            uint8_t *out_register)
{
    for (uint8_t i = 0; i < CVM_RULE_REGISTERS; i++) {
        if ((*used >> i & 1) == 0) {
            *used |= UINT32_C(1) << i;
            *out_register = i;
            return CVM_OK;
        }
    }
    return CVM_RULE_FAIL(e->reading, node->sign, "the expression is too intricate; split it");
}

static void give_mask(struct emitter *e, uint8_t mask)
{
    e->masks &= ~(UINT32_C(1) << mask);
}

static void give_value(struct emitter *e, const struct cvm_rule_from *value)
{
    if (value->kind == CVM_FROM_REGISTER) {
        e->values &= ~(UINT32_C(1) << value->number);
    }
}

static enum cvm_status add(struct emitter *e, const struct cvm_rule_node *node,
                           const struct cvm_rule_op *op)
{
    if (e->count == CVM_RULE_OPS_MAX) {
        return CVM_RULE_FAIL(e->reading, node->sign, "more than %d operations", CVM_RULE_OPS_MAX);
    }
    e->ops[e->count++] = *op;
    return CVM_OK;
}

/* How many registers the node takes: of two children the heavier goes first, so that a long
 * expression needs few. */
static void weigh(struct cvm_rule_node *node)
{
    int heaviest = 0;
    int second = 0;
    for (struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        weigh(child);
        if (child->weight > heaviest) {
            second = heaviest;
            heaviest = child->weight;
        } else if (child->weight > second) {
            second = child->weight;
        }
    }
    bool is_leaf = node->first == NULL && node->kind != CVM_NODE_TOPIC;
    node->weight = is_leaf ? 0 : heaviest > second + 1 ? heaviest : second + 2;
}

/* ---- values ---- */

static enum cvm_status emit_mask(struct emitter *e, const struct cvm_rule_node *node,
                                 uint8_t *out_mask);
static enum cvm_status emit_value(struct emitter *e, const struct cvm_rule_node *node,
                                  struct cvm_rule_from *out_value);

/* Two values, the heavier first. */
static enum cvm_status emit_pair(struct emitter *e, const struct cvm_rule_node *a,
                                 const struct cvm_rule_node *b, struct cvm_rule_op *op)
{
    bool is_a_first = a->weight >= b->weight;
    enum cvm_status status = is_a_first ? emit_value(e, a, &op->a) : emit_value(e, b, &op->b);
    if (status == CVM_OK) {
        status = is_a_first ? emit_value(e, b, &op->b) : emit_value(e, a, &op->a);
    }
    return status;
}

/* The operation's output into a new value register; its inputs are given back. */
static enum cvm_status finish_value(struct emitter *e, const struct cvm_rule_node *node,
                                    struct cvm_rule_op *op, struct cvm_rule_from *out_value)
{
    enum cvm_status status = take(e, &e->values, node, &op->out);
    status = status == CVM_OK ? add(e, node, op) : status;
    if (status != CVM_OK) {
        return status;
    }
    give_value(e, &op->a);
    give_value(e, &op->b);
    *out_value = (struct cvm_rule_from){.kind = CVM_FROM_REGISTER, .number = op->out};
    return CVM_OK;
}

static enum cvm_status finish_mask(struct emitter *e, const struct cvm_rule_node *node,
                                   struct cvm_rule_op *op, uint8_t *out_mask)
{
    enum cvm_status status = take(e, &e->masks, node, &op->out);
    status = status == CVM_OK ? add(e, node, op) : status;
    if (status != CVM_OK) {
        return status;
    }
    give_value(e, &op->a);
    give_value(e, &op->b);
    *out_mask = op->out;
    return CVM_OK;
}

static const struct cvm_rule_from no_value = {.kind = CVM_FROM_CONSTANT};

static const struct cvm_rule_node *heaviest_child(const struct cvm_rule_node *node)
{
    const struct cvm_rule_node *heaviest = node->first;
    for (const struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        heaviest = child->weight > heaviest->weight ? child : heaviest;
    }
    return heaviest;
}

/* Of any number of children, where order plays no part: math.least, math.greatest. */
static enum cvm_status emit_extreme(struct emitter *e, const struct cvm_rule_node *node,
                                    struct cvm_rule_from *out_value)
{
    const struct cvm_rule_node *first = heaviest_child(node);
    struct cvm_rule_from value = no_value;
    enum cvm_status status = emit_value(e, first, &value);

    for (const struct cvm_rule_node *child = node->first; status == CVM_OK && child != NULL;
         child = child->next) {
        struct cvm_rule_op op = {.code = (uint8_t)node->code, .a = value, .b = no_value};
        if (child != first) {
            status = emit_value(e, child, &op.b);
            status = status == CVM_OK ? finish_value(e, node, &op, &value) : status;
        }
    }
    if (status == CVM_OK) {
        *out_value = value;
    }
    return status;
}

static enum cvm_status emit_maths(struct emitter *e, const struct cvm_rule_node *node,
                                  struct cvm_rule_from *out_value)
{
    struct cvm_rule_op op = {.code = (uint8_t)node->code, .a = no_value, .b = no_value};

    if (node->code == CVM_OP_LEAST || node->code == CVM_OP_GREATEST) {
        return emit_extreme(e, node, out_value);
    }
    enum cvm_status status = node->child_count == 1 ? emit_value(e, node->first, &op.a)
                                                    : emit_pair(e, node->first, node->last, &op);
    return status == CVM_OK ? finish_value(e, node, &op, out_value) : status;
}

/* A condition and two values, the heavier of condition and values first. */
static enum cvm_status emit_choice(struct emitter *e, const struct cvm_rule_node *node,
                                   struct cvm_rule_from *out_value)
{
    const struct cvm_rule_node *condition = node->first;
    const struct cvm_rule_node *yes = condition->next;
    const struct cvm_rule_node *no = node->last;
    struct cvm_rule_op op = {.code = CVM_OP_CHOOSE, .a = no_value, .b = no_value};
    bool is_condition_first = condition->weight > yes->weight && condition->weight > no->weight;

    enum cvm_status status = is_condition_first ? emit_mask(e, condition, &op.masks[0]) : CVM_OK;
    status = status == CVM_OK ? emit_pair(e, yes, no, &op) : status;
    if (status == CVM_OK && !is_condition_first) {
        status = emit_mask(e, condition, &op.masks[0]);
    }
    status = status == CVM_OK ? finish_value(e, node, &op, out_value) : status;
    if (status == CVM_OK) {
        give_mask(e, op.masks[0]);
    }
    return status;
}

/* A condition as 0 or 1. */
static enum cvm_status emit_truth(struct emitter *e, const struct cvm_rule_node *node,
                                  struct cvm_rule_from *out_value)
{
    struct cvm_rule_op op = {.code = CVM_OP_FROM_MASK, .a = no_value, .b = no_value};
    enum cvm_status status = emit_mask(e, node, &op.masks[0]);
    status = status == CVM_OK ? finish_value(e, node, &op, out_value) : status;
    if (status == CVM_OK) {
        give_mask(e, op.masks[0]);
    }
    return status;
}

static enum cvm_status emit_value(struct emitter *e, const struct cvm_rule_node *node,
                                  struct cvm_rule_from *out_value)
{
    switch (node->kind) {
    case CVM_NODE_CONSTANT:
        *out_value = (struct cvm_rule_from){.kind = CVM_FROM_CONSTANT, .constant = node->value};
        return CVM_OK;
    case CVM_NODE_TODAY:
        *out_value = (struct cvm_rule_from){.kind = CVM_FROM_TODAY};
        return CVM_OK;
    case CVM_NODE_OPERAND:
        *out_value = (struct cvm_rule_from){.kind = CVM_FROM_COLUMN, .number = node->operand};
        return CVM_OK;
    case CVM_NODE_MATHS:
        return emit_maths(e, node, out_value);
    case CVM_NODE_CHOOSE:
        return emit_choice(e, node, out_value);
    default:
        return emit_truth(e, node, out_value);
    }
}

/* ---- masks ---- */

static enum cvm_status emit_list(struct emitter *e, const struct cvm_rule_node *node,
                                 uint8_t *out_mask)
{
    const struct cvm_rule_node *list = node->last;
    struct cvm_rule_op op = {.code = CVM_OP_IN, .b = no_value, .list_count = list->child_count};
    double *values = CVM_NEW_ARRAY(e->reading->arena, list->child_count, double);
    size_t i = 0;

    if (values == NULL) {
        return cvm_rule_no_memory(e->reading);
    }
    for (const struct cvm_rule_node *item = list->first; item != NULL; item = item->next) {
        values[i++] = item->value;
    }
    op.list = values;
    enum cvm_status status = emit_value(e, node->first, &op.a);
    return status == CVM_OK ? finish_mask(e, node, &op, out_mask) : status;
}

/* && and ||: order plays no part, for nothing in a rule can fail while it is evaluated. */
static enum cvm_status emit_joined(struct emitter *e, const struct cvm_rule_node *node,
                                   uint8_t *out_mask)
{
    const struct cvm_rule_node *first = heaviest_child(node);
    uint8_t code = node->kind == CVM_NODE_AND ? CVM_OP_AND : CVM_OP_OR;
    uint8_t mask = 0;
    enum cvm_status status = emit_mask(e, first, &mask);

    for (const struct cvm_rule_node *child = node->first; status == CVM_OK && child != NULL;
         child = child->next) {
        struct cvm_rule_op op = {.code = code, .masks = {mask}, .a = no_value, .b = no_value};
        if (child == first) {
            continue;
        }
        status = emit_mask(e, child, &op.masks[1]);
        status = status == CVM_OK ? finish_mask(e, node, &op, &mask) : status;
        if (status == CVM_OK) {
            give_mask(e, op.masks[0]);
            give_mask(e, op.masks[1]);
        }
    }
    if (status == CVM_OK) {
        *out_mask = mask;
    }
    return status;
}

static enum cvm_status emit_not(struct emitter *e, const struct cvm_rule_node *node,
                                uint8_t *out_mask)
{
    struct cvm_rule_op op = {.code = CVM_OP_NOT, .a = no_value, .b = no_value};
    enum cvm_status status = emit_mask(e, node->first, &op.masks[0]);
    status = status == CVM_OK ? finish_mask(e, node, &op, out_mask) : status;
    if (status == CVM_OK) {
        give_mask(e, op.masks[0]);
    }
    return status;
}

static enum cvm_status emit_chosen_mask(struct emitter *e, const struct cvm_rule_node *node,
                                        uint8_t *out_mask)
{
    const struct cvm_rule_node *children[3] = {node->first, node->first->next, node->last};
    struct cvm_rule_op op = {.code = CVM_OP_CHOOSE_MASK, .a = no_value, .b = no_value};
    enum cvm_status status = CVM_OK;
    bool is_done[3] = {false};

    for (int round = 0; status == CVM_OK && round < 3; round++) {
        int heaviest = -1;
        for (int i = 0; i < 3; i++) {
            if (!is_done[i] && (heaviest < 0 || children[i]->weight > children[heaviest]->weight)) {
                heaviest = i;
            }
        }
        is_done[heaviest] = true;
        status = emit_mask(e, children[heaviest], &op.masks[heaviest]);
    }
    status = status == CVM_OK ? finish_mask(e, node, &op, out_mask) : status;
    for (int i = 0; status == CVM_OK && i < 3; i++) {
        give_mask(e, op.masks[i]);
    }
    return status;
}

static enum cvm_status emit_compare(struct emitter *e, const struct cvm_rule_node *node,
                                    uint8_t *out_mask)
{
    struct cvm_rule_op op = {
        .code = CVM_OP_COMPARE, .compare = (uint8_t)node->compare, .a = no_value, .b = no_value};
    enum cvm_status status = emit_pair(e, node->first, node->last, &op);
    return status == CVM_OK ? finish_mask(e, node, &op, out_mask) : status;
}

static enum cvm_status emit_has(struct emitter *e, const struct cvm_rule_node *node,
                                uint8_t *out_mask)
{
    struct cvm_rule_op op = {.code = CVM_OP_HAS, .b = no_value};
    enum cvm_status status = emit_value(e, node->first, &op.a);
    return status == CVM_OK ? finish_mask(e, node, &op, out_mask) : status;
}

static enum cvm_status emit_topic(struct emitter *e, const struct cvm_rule_node *node,
                                  uint8_t *out_mask)
{
    struct cvm_rule_op op = {
        .code = CVM_OP_TOPIC, .topics = node->topics, .a = no_value, .b = no_value};
    uint8_t mask = 0;
    enum cvm_status status = finish_mask(e, node, &op, &mask);
    if (status != CVM_OK || !node->is_not) {
        *out_mask = mask;
        return status;
    }
    struct cvm_rule_op not_op = {.code = CVM_OP_NOT, .masks = {mask}, .a = no_value, .b = no_value};
    status = finish_mask(e, node, &not_op, out_mask);
    give_mask(e, mask);
    return status;
}

/* A condition that stands alone: missing counts as false. */
static enum cvm_status emit_alone(struct emitter *e, const struct cvm_rule_node *node,
                                  uint8_t *out_mask)
{
    struct cvm_rule_op op = {.code = CVM_OP_COMPARE,
                             .compare = CVM_EQUAL,
                             .a = {.kind = CVM_FROM_COLUMN, .number = node->operand},
                             .b = {.kind = CVM_FROM_CONSTANT, .constant = 1}};
    return finish_mask(e, node, &op, out_mask);
}

static enum cvm_status emit_mask(struct emitter *e, const struct cvm_rule_node *node,
                                 uint8_t *out_mask)
{
    struct cvm_rule_op set = {
        .code = CVM_OP_SET_MASK, .masks = {node->value != 0}, .a = no_value, .b = no_value};
    switch (node->kind) {
    case CVM_NODE_CONSTANT:
        return finish_mask(e, node, &set, out_mask);
    case CVM_NODE_OPERAND:
        return emit_alone(e, node, out_mask);
    case CVM_NODE_TOPIC:
        return emit_topic(e, node, out_mask);
    case CVM_NODE_HAS:
        return emit_has(e, node, out_mask);
    case CVM_NODE_COMPARE:
        return emit_compare(e, node, out_mask);
    case CVM_NODE_IN:
        return emit_list(e, node, out_mask);
    case CVM_NODE_NOT:
        return emit_not(e, node, out_mask);
    case CVM_NODE_CHOOSE:
        return emit_chosen_mask(e, node, out_mask);
    default:
        assert(node->kind == CVM_NODE_AND || node->kind == CVM_NODE_OR);
        return emit_joined(e, node, out_mask);
    }
}

/* ---- the program ---- */

enum cvm_status cvm_rule_emit(const struct cvm_rule_reading *reading, struct cvm_rule_node *node,
                              const struct cvm_rule_program **out_program)
{
    struct cvm_rule_op ops[CVM_RULE_OPS_MAX];
    struct emitter e = {.reading = reading, .ops = ops};
    struct cvm_rule_program made = {.is_mask = node->type == CVM_RULE_BOOL};
    uint8_t mask = 0;

    weigh(node);
    enum cvm_status status =
        made.is_mask ? emit_mask(&e, node, &mask) : emit_value(&e, node, &made.result);
    if (status != CVM_OK) {
        return status;
    }
    if (made.is_mask) {
        made.result = (struct cvm_rule_from){.kind = CVM_FROM_REGISTER, .number = mask};
    }
    struct cvm_rule_op *kept =
        CVM_NEW_ARRAY(reading->arena, e.count == 0 ? 1 : e.count, struct cvm_rule_op);
    struct cvm_rule_program *program = CVM_NEW(reading->arena, struct cvm_rule_program);
    if (kept == NULL || program == NULL) {
        return cvm_rule_no_memory(reading);
    }
    memcpy(kept, ops, e.count * sizeof(ops[0]));
    made.ops = kept;
    made.op_count = e.count;
    *program = made;
    *out_program = program;
    return CVM_OK;
}
