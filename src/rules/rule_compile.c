#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "rules/rule_tree.h"

/* ---- parts ---- */

/* One operand against one constant? */
static bool is_simple(const struct cvm_rule_node *node, struct cvm_comparison *out_comparison)
{
    if (node->kind == CVM_NODE_COMPARE && node->first->kind == CVM_NODE_OPERAND &&
        node->last->kind == CVM_NODE_CONSTANT) {
        *out_comparison = (struct cvm_comparison){node->first->operand, (uint8_t)node->compare,
                                                  node->last->value};
        return true;
    }
    if (node->kind == CVM_NODE_OPERAND && node->type == CVM_RULE_BOOL) {
        *out_comparison = (struct cvm_comparison){node->operand, CVM_EQUAL, 1};
        return true;
    }
    if (node->kind == CVM_NODE_TOPIC && node->topics == UINT32_C(1) << node->topic) {
        *out_comparison = (struct cvm_comparison){
            CVM_OPERAND_TOPIC, node->is_not ? CVM_NOT_EQUAL : CVM_EQUAL, node->topic};
        return true;
    }
    return false;
}

static size_t count_operands(const struct cvm_rule_node *node)
{
    size_t count = node->kind == CVM_NODE_OPERAND || node->kind == CVM_NODE_TOPIC ? 1 : 0;
    for (const struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        count += count_operands(child);
    }
    return count;
}

static void collect_operands(const struct cvm_rule_node *node, uint16_t *operands, size_t *count)
{
    if (node->kind == CVM_NODE_OPERAND || node->kind == CVM_NODE_TOPIC) {
        size_t i = 0;
        while (i < *count && operands[i] != node->operand) {
            i++;
        }
        operands[i] = node->operand;
        *count += i == *count ? 1 : 0;
    }
    for (const struct cvm_rule_node *child = node->first; child != NULL; child = child->next) {
        collect_operands(child, operands, count);
    }
}

static enum cvm_status build_part(const struct cvm_rule_reading *reading,
                                  struct cvm_rule_node *node, struct cvm_rule_part *out_part)
{
    struct cvm_rule_part part = {0};
    uint16_t *operands = CVM_NEW_ARRAY(reading->arena, count_operands(node) + 1, uint16_t);

    part.text = cvm_arena_copy(reading->arena, node->from, (size_t)(node->to - node->from));
    if (part.text == NULL || operands == NULL) {
        return cvm_rule_no_memory(reading);
    }
    collect_operands(node, operands, &part.operand_count);
    part.operands = operands;
    part.is_simple = is_simple(node, &part.comparison);
    enum cvm_status status = part.is_simple ? CVM_OK : cvm_rule_emit(reading, node, &part.program);
    if (status == CVM_OK) {
        *out_part = part;
    }
    return status;
}

static enum cvm_status build_clause(const struct cvm_rule_reading *reading,
                                    struct cvm_rule_node *node, struct cvm_rule_clause *out_clause)
{
    size_t count = node->kind == CVM_NODE_OR ? node->child_count : 0;
    struct cvm_rule_clause clause = {.alternative_count = count};
    size_t i = 0;

    if (count > CVM_RULE_CLAUSES_MAX) {
        return CVM_RULE_FAIL(reading, node->from, "more than %d conditions joined by '||'",
                             CVM_RULE_CLAUSES_MAX);
    }
    enum cvm_status status = build_part(reading, node, &clause.whole);
    if (status != CVM_OK || count == 0) {
        *out_clause = clause;
        return status;
    }
    struct cvm_rule_part *alternatives = CVM_NEW_ARRAY(reading->arena, count, struct cvm_rule_part);
    if (alternatives == NULL) {
        return cvm_rule_no_memory(reading);
    }
    for (struct cvm_rule_node *child = node->first; status == CVM_OK && child != NULL;
         child = child->next) {
        status = build_part(reading, child, &alternatives[i++]);
    }
    clause.alternatives = alternatives;
    *out_clause = clause;
    return status;
}

enum cvm_status cvm_rule_build(const struct cvm_rule_reading *reading, struct cvm_rule_node *root,
                               struct cvm_rule *out_rule)
{
    bool is_and = root->kind == CVM_NODE_AND;
    size_t count = is_and ? root->child_count : 1;
    enum cvm_status status = CVM_OK;
    size_t i = 0;

    if (count > CVM_RULE_CLAUSES_MAX) {
        return CVM_RULE_FAIL(reading, root->from, "more than %d conditions joined by '&&'",
                             CVM_RULE_CLAUSES_MAX);
    }
    struct cvm_rule_clause *clauses = CVM_NEW_ARRAY(reading->arena, count, struct cvm_rule_clause);
    const char *text = cvm_arena_copy(reading->arena, root->from, (size_t)(root->to - root->from));
    if (clauses == NULL || text == NULL) {
        return cvm_rule_no_memory(reading);
    }
    for (struct cvm_rule_node *node = is_and ? root->first : root; status == CVM_OK && i < count;
         node = node->next) {
        status = build_clause(reading, node, &clauses[i++]);
    }
    if (status == CVM_OK) {
        *out_rule = (struct cvm_rule){.text = text,
                                      .type = (enum cvm_rule_type)root->type,
                                      .clauses = clauses,
                                      .clause_count = count};
    }
    return status;
}

/* ---- the whole ---- */

static enum cvm_status check_wanted(const struct cvm_rule_reading *reading,
                                    const struct cvm_rule_node *root, enum cvm_rule_type wanted)
{
    if (wanted == CVM_RULE_BOOL) {
        return cvm_rule_want_bool(reading, root, "a rule is");
    }
    return root->type == CVM_RULE_DATE
               ? CVM_OK
               : cvm_rule_want_type(reading, root, CVM_RULE_NUMBER, "wanted is");
}

static enum cvm_status check_text(const struct cvm_rule_reading *reading)
{
    size_t length = strlen(reading->text);
    if (length > CVM_RULE_BYTES_MAX) {
        return CVM_FAIL(reading->err, CVM_E_INVALID, "a rule has at most %d bytes, this has %zu",
                        CVM_RULE_BYTES_MAX, length);
    }
    return cvm_utf8_is_valid(reading->text, length)
               ? CVM_OK
               : CVM_FAIL(reading->err, CVM_E_INVALID, "the rule is not valid UTF-8");
}

enum cvm_status cvm_rule_compile(struct cvm_arena *arena, const char *text,
                                 enum cvm_rule_type wanted, const struct cvm_rule_scope *scope,
                                 struct cvm_rule *out_rule, struct cvm_error *err)
{
    struct cvm_rule_reading reading = {.arena = arena, .text = text, .scope = scope, .err = err};
    struct cvm_rule_node *root = NULL;
    struct cvm_rule rule = {.type = CVM_RULE_BOOL};

    assert(text != NULL && scope != NULL && (wanted == CVM_RULE_BOOL || wanted == CVM_RULE_NUMBER));
    enum cvm_status status = check_text(&reading);
    status = status == CVM_OK ? cvm_rule_parse(&reading, &root) : status;
    if (status == CVM_OK && root == NULL && wanted != CVM_RULE_BOOL) {
        status = CVM_FAIL(err, CVM_E_INVALID, "an expression is expected, not an empty text");
    }
    if (status == CVM_OK && root != NULL) {
        status = cvm_rule_check(&reading, root);
        status = status == CVM_OK ? check_wanted(&reading, root, wanted) : status;
        status = status == CVM_OK ? cvm_rule_build(&reading, root, &rule) : status;
    }
    if (status != CVM_OK) {
        return status;
    }
    rule.text = cvm_arena_string(arena, text);
    if (rule.text == NULL) {
        return cvm_rule_no_memory(&reading);
    }
    *out_rule = rule;
    return CVM_OK;
}

/* ---- the same? ---- */

static bool same_from(const struct cvm_rule_from *a, const struct cvm_rule_from *b)
{
    return a->kind == b->kind && a->number == b->number && a->constant == b->constant;
}

static bool same_op(const struct cvm_rule_op *a, const struct cvm_rule_op *b)
{
    return a->code == b->code && a->compare == b->compare && a->out == b->out &&
           memcmp(a->masks, b->masks, sizeof(a->masks)) == 0 && same_from(&a->a, &b->a) &&
           same_from(&a->b, &b->b) && a->topics == b->topics && a->list_count == b->list_count &&
           (a->list_count == 0 || memcmp(a->list, b->list, a->list_count * sizeof(double)) == 0);
}

static bool same_program(const struct cvm_rule_program *a, const struct cvm_rule_program *b)
{
    bool is_same =
        a->op_count == b->op_count && a->is_mask == b->is_mask && same_from(&a->result, &b->result);
    for (size_t i = 0; is_same && i < a->op_count; i++) {
        is_same = same_op(&a->ops[i], &b->ops[i]);
    }
    return is_same;
}

static bool same_part(const struct cvm_rule_part *a, const struct cvm_rule_part *b)
{
    if (a->is_simple != b->is_simple) {
        return false;
    }
    return a->is_simple ? a->comparison.operand == b->comparison.operand &&
                              a->comparison.compare == b->comparison.compare &&
                              a->comparison.value == b->comparison.value
                        : same_program(a->program, b->program);
}

bool cvm_rule_same(const struct cvm_rule *a, const struct cvm_rule *b)
{
    bool is_same = a->clause_count == b->clause_count && a->type == b->type;
    for (size_t i = 0; is_same && i < a->clause_count; i++) {
        is_same = same_part(&a->clauses[i].whole, &b->clauses[i].whole);
    }
    return is_same;
}
