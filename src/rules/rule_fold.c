#include <assert.h>
#include <math.h>

#include "rules/rule_tree.h"

void cvm_rule_set_constant(struct cvm_rule_node *node, int type, double value)
{
    node->kind = CVM_NODE_CONSTANT;
    node->type = type;
    node->value = value;
    node->first = node->last = NULL;
    node->child_count = 0;
    node->height = 1;
}

static double folded_choice(const struct cvm_rule_node *node)
{
    const struct cvm_rule_node *yes = node->first->next;
    return node->first->value != 0 ? yes->value : yes->next->value;
}

static double folded_list(const struct cvm_rule_node *node)
{
    const struct cvm_rule_node *list = node->first->next;
    for (const struct cvm_rule_node *item = list->first; item != NULL; item = item->next) {
        if (item->value == node->first->value) {
            return 1;
        }
    }
    return 0;
}

static double folded_all(const struct cvm_rule_node *node, double neutral)
{
    for (const struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        if ((child->value != 0) != (neutral != 0)) {
            return 1 - neutral;
        }
    }
    return neutral;
}

static double folded_maths(const struct cvm_rule_node *node)
{
    double value = node->first->value;
    if (node->child_count == 1) {
        return cvm_rule_apply(node->code, value, value);
    }
    for (const struct cvm_rule_node *next = node->first->next; next != NULL; next = next->next) {
        value = cvm_rule_apply(node->code, value, next->value);
    }
    return value;
}

static double folded_value(const struct cvm_rule_node *node)
{
    switch (node->kind) {
    case CVM_NODE_MATHS:
        return folded_maths(node);
    case CVM_NODE_COMPARE:
        return cvm_compare_holds(node->first->value, node->compare, node->last->value);
    case CVM_NODE_IN:
        return folded_list(node);
    case CVM_NODE_HAS:
        return 1; /* no constant is missing */
    case CVM_NODE_NOT:
        return node->first->value == 0;
    case CVM_NODE_AND:
        return folded_all(node, 1);
    case CVM_NODE_OR:
        return folded_all(node, 0);
    default:
        assert(node->kind == CVM_NODE_CHOOSE);
        return folded_choice(node);
    }
}

enum cvm_status cvm_rule_fold(const struct cvm_rule_reading *reading, struct cvm_rule_node *node)
{
    for (const struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        if (child->kind != CVM_NODE_CONSTANT && child->kind != CVM_NODE_LIST) {
            return CVM_OK;
        }
    }
    double value = folded_value(node);
    if (isnan(value)) {
        char shown[CVM_RULE_SHOWN_SIZE];
        return CVM_RULE_FAIL(reading, node->outer_from, "'%s' is always missing",
                             cvm_rule_shown(node, shown));
    }
    cvm_rule_set_constant(node, node->type, value);
    return CVM_OK;
}
