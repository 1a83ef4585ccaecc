/* definition.h - a workflow as a graph of steps, read from YAML and checked before anything runs.
 *
 * A definition is data, not code: who recovers a workflow reads its steps' rows and sends what can
 * run, nothing is replayed. Its digest names it; a workflow that was accepted keeps its own. The
 * format: docs/concepts/workflow.md.
 *
 * All of it lives in the arena that it was read into. Immutable: may be read from any thread.
 */
#ifndef CVM_WORKFLOWS_DEFINITION_H
#define CVM_WORKFLOWS_DEFINITION_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/json_reader.h"
#include "workflows/step_kind.h"

#define CVM_DEFINITION_BYTES_MAX ((size_t)64 << 10)
#define CVM_DEFINITION_STEPS_MAX 64
#define CVM_DEFINITION_NEEDS_MAX 16
#define CVM_WORKFLOW_SHARDS_MAX  10000
#define CVM_WORKFLOW_ROWS_MAX    100000 /* steps times shards */

enum cvm_on_failure {
    CVM_ON_FAILURE_FAIL, /* the workflow fails */
    CVM_ON_FAILURE_SKIP, /* it goes on without the step, and without what needs it */
    CVM_ON_FAILURE_PAUSE /* it waits for a person */
};

struct cvm_definition_step {
    const char *id;
    const struct cvm_step_kind *kind;
    size_t needs[CVM_DEFINITION_NEEDS_MAX]; /* indices of steps */
    size_t need_count;
    bool is_fanned;     /* once per shard */
    int64_t timeout_ms; /* of an attempt */
    int64_t priority;   /* added to the workflow's */
    int64_t attempts;
    int64_t retry_base_ms;
    int64_t retry_cap_ms;
    enum cvm_on_failure on_failure;
    int line;
};

enum cvm_input_type {
    CVM_INPUT_TEXT,
    CVM_INPUT_DATE,
    CVM_INPUT_INTEGER,
    CVM_INPUT_NUMBER,
    CVM_INPUT_BOOLEAN,
    CVM_INPUT_OBJECT
};
struct cvm_definition_input {
    const char *name;
    enum cvm_input_type type;
    bool is_optional;
};

struct cvm_definition {
    const char *name;
    const char *description;
    const char *text; /* the YAML */
    char digest[CVM_DIGEST_TEXT_SIZE];
    int64_t deadline_ms; /* after it was accepted; 0 = none */
    int64_t priority;
    const struct cvm_definition_input *inputs;
    size_t input_count;
    const struct cvm_definition_step *steps;
    size_t step_count;
    const size_t *order; /* of the steps, those that are needed first */
    bool has_fan_out;
};

/* `file` is for messages, "batch.yaml": the file of a workflow has its name. CVM_E_INVALID with
 * file and line: unknown agents, messages and steps, cycles, inputs that nobody gives, types that
 * do not fit; CVM_E_LIMIT: more of something than the limits above. */
CVM_MUST_CHECK enum cvm_status cvm_definition_read(struct cvm_arena *arena, const char *file,
                                                   const char *text, size_t length,
                                                   const struct cvm_definition **out_definition,
                                                   struct cvm_error *err);

/* Does the input of a workflow hold what the definition asks for, and nothing else? CVM_E_INVALID
 * names the member. */
CVM_MUST_CHECK enum cvm_status cvm_definition_check_input(const struct cvm_definition *definition,
                                                          const struct cvm_json_value *input,
                                                          struct cvm_error *err);

/* Index of the step, or -1. */
int cvm_definition_find(const struct cvm_definition *definition, const char *id);

#endif
