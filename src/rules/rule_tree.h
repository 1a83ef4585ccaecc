/* rule_tree.h - a rule on its way from text to program: tokens, tree, types. Private to this
 * folder.
 *
 *     text -> tokens (rule_lexer) -> tree (rule_parse) -> typed tree (rule_check, rule_call)
 *          -> program (rule_emit) -> parts of a rule (rule_compile)
 *
 * All of it lives in the arena of the rule.
 */
#ifndef CVM_RULES_RULE_TREE_H
#define CVM_RULES_RULE_TREE_H

#include "rules/rule.h"
#include "rules/rule_program.h"

#define CVM_RULE_NESTING_MAX 64  /* parentheses, lists, calls, signs, choices in each other */
#define CVM_RULE_HEIGHT_MAX  512 /* of the tree: bounds every recursion over it */
#define CVM_RULE_LIST_MAX    256
#define CVM_RULE_NAME_MAX    128
#define CVM_RULE_TOPICS_MAX  32 /* bits of cvm_rule_rows.topics */

/* What the stages share. */
struct cvm_rule_reading {
    struct cvm_arena *arena;
    const char *text; /* of the whole rule: places in errors count from here */
    const struct cvm_rule_scope *scope;
    struct cvm_error *err;
};

/* Puts "column 4: " or "line 2, column 4: " before the message; returns status. */
enum cvm_status cvm_rule_place(const struct cvm_rule_reading *reading, const char *at,
                               enum cvm_status status);
enum cvm_status cvm_rule_no_memory(const struct cvm_rule_reading *reading);
#define CVM_RULE_FAIL(reading, at, ...)                                                            \
    cvm_rule_place((reading), (at), CVM_FAIL((reading)->err, CVM_E_INVALID, __VA_ARGS__))

/* ---- tokens ---- */

enum cvm_token_kind {
    CVM_TOKEN_END,
    CVM_TOKEN_NUMBER,
    CVM_TOKEN_TEXT,
    CVM_TOKEN_NAME,
    CVM_TOKEN_SIGN /* operators and brackets */
};
struct cvm_rule_token {
    enum cvm_token_kind kind;
    const char *from; /* in the rule */
    const char *to;
    double number;
    const char *text; /* TEXT without quotes and escapes; NAME; SIGN: as written */
    size_t length;
};
/* The token at or after `at`. */
enum cvm_status cvm_rule_token_read(const struct cvm_rule_reading *reading, const char *at,
                                    struct cvm_rule_token *out_token);

/* ---- the tree ---- */

enum cvm_node_kind {
    /* as parsed */
    CVM_NODE_TEXT,
    CVM_NODE_LIST,
    CVM_NODE_NAME,
    CVM_NODE_CALL,
    CVM_NODE_MINUS,
    /* as checked */
    CVM_NODE_CONSTANT,
    CVM_NODE_OPERAND,
    CVM_NODE_TODAY,
    CVM_NODE_TOPIC, /* the event has one of `topics`, or (is_not) has none of them */
    CVM_NODE_HAS,
    /* both */
    CVM_NODE_MATHS, /* `code` over the children */
    CVM_NODE_COMPARE,
    CVM_NODE_IN, /* the second child is the list */
    CVM_NODE_NOT,
    CVM_NODE_AND, /* two and more children */
    CVM_NODE_OR,
    CVM_NODE_CHOOSE
};

/* enum cvm_rule_type, and what only lives inside a rule. */
enum cvm_node_type { CVM_TYPE_TEXT = CVM_RULE_CODE + 1, CVM_TYPE_LIST, CVM_TYPE_TOPIC };

struct cvm_rule_node {
    enum cvm_node_kind kind;
    const char *from; /* as written, without parentheses around it */
    const char *to;
    const char *outer_from; /* with them */
    const char *outer_to;
    const char *sign; /* place of the operator, for errors */
    struct cvm_rule_node *first;
    struct cvm_rule_node *last;
    struct cvm_rule_node *next;
    size_t child_count;
    int height;
    const char *text; /* TEXT, NAME, CALL */
    size_t length;
    enum cvm_rule_opcode code; /* MATHS */
    enum cvm_compare compare;
    /* from here on set by checking */
    int type; /* enum cvm_rule_type or enum cvm_node_type */
    double value;
    uint16_t operand;
    const char *const *words;
    uint32_t topics;
    uint16_t topic; /* the number, when it is one */
    bool is_not;
    int weight; /* registers that its value takes to compute */
};

/* The whole text as one tree; *out_root NULL when it is blank. */
enum cvm_status cvm_rule_parse(const struct cvm_rule_reading *reading,
                               struct cvm_rule_node **out_root);
struct cvm_rule_node *cvm_rule_node_create(const struct cvm_rule_reading *reading,
                                           enum cvm_node_kind kind, const char *from,
                                           const char *to);
void cvm_rule_node_append(struct cvm_rule_node *parent, struct cvm_rule_node *child);

/* Names, types, constants. */
enum cvm_status cvm_rule_check(const struct cvm_rule_reading *reading, struct cvm_rule_node *node);
/* The same for a call (rule_call.c). */
enum cvm_status cvm_rule_check_call(const struct cvm_rule_reading *reading,
                                    struct cvm_rule_node *node);
void cvm_rule_set_constant(struct cvm_rule_node *node, int type, double value);
/* When all children are constants the node becomes one (rule_fold.c). */
enum cvm_status cvm_rule_fold(const struct cvm_rule_reading *reading, struct cvm_rule_node *node);
/* Fails unless the node is a condition, or a number. */
enum cvm_status cvm_rule_want_bool(const struct cvm_rule_reading *reading,
                                   const struct cvm_rule_node *node, const char *what);
enum cvm_status cvm_rule_want_type(const struct cvm_rule_reading *reading,
                                   const struct cvm_rule_node *node, int type, const char *what);
/* The node becomes the operand. */
void cvm_rule_set_operand(struct cvm_rule_node *node, const struct cvm_rule_operand *operand);

#define CVM_RULE_SHOWN_SIZE 72
/* The node as written, cut when long, for messages. */
const char *cvm_rule_shown(const struct cvm_rule_node *node, char text[CVM_RULE_SHOWN_SIZE]);

/* The program of a checked tree (rule_emit.c), and the rule of one (rule_compile.c). */
enum cvm_status cvm_rule_emit(const struct cvm_rule_reading *reading, struct cvm_rule_node *node,
                              const struct cvm_rule_program **out_program);
enum cvm_status cvm_rule_build(const struct cvm_rule_reading *reading, struct cvm_rule_node *root,
                               struct cvm_rule *out_rule);

#endif
