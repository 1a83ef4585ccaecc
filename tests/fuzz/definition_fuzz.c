/* definition_fuzz.c - any bytes read as the definition of a workflow: refused with a place, or a
 * graph whose order holds; a workflow of it comes to an end when all goes well. */
#include "fuzz.h"

#include <string.h>

#include "workflows/progress.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define SHARDS      2

static void check_order(const struct cvm_definition *definition)
{
    bool is_placed[CVM_DEFINITION_STEPS_MAX] = {false};
    for (size_t o = 0; o < definition->step_count; o++) {
        const struct cvm_definition_step *step = &definition->steps[definition->order[o]];
        for (size_t n = 0; n < step->need_count; n++) {
            REQUIRE(step->needs[n] < definition->step_count && is_placed[step->needs[n]]);
        }
        REQUIRE(!is_placed[definition->order[o]]);
        is_placed[definition->order[o]] = true;
        REQUIRE(cvm_definition_find(definition, step->id) == (int)definition->order[o]);
        REQUIRE(step->attempts >= 1 && step->timeout_ms > 0 && step->line >= 1);
    }
}

/* Each look sends something, or it is the last. */
static void live(struct cvm_arena *arena, const struct cvm_definition *definition)
{
    struct cvm_step rows[CVM_DEFINITION_STEPS_MAX * SHARDS];
    struct cvm_steps steps = {rows, 0};
    struct cvm_workflow workflow = {.workflow_id = "w", .shards = SHARDS};
    const struct cvm_progress_means means = {.now_ms = 1000};
    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < definition->step_count; i++) {
        for (int64_t shard = 0; shard < (definition->steps[i].is_fanned ? SHARDS : 1); shard++) {
            rows[steps.count++] = (struct cvm_step){.step_no = (int64_t)i,
                                                    .shard_no = shard,
                                                    .name = definition->steps[i].id,
                                                    .attempt_max = definition->steps[i].attempts};
        }
    }
    for (size_t round = 0; round <= definition->step_count; round++) {
        const struct cvm_progress_rows now = {definition, &workflow, &steps, &means};
        struct cvm_progress progress;
        REQUIRE(cvm_progress_make(arena, &now, &progress, NULL) == CVM_OK);
        REQUIRE(progress.send_count > 0 || cvm_workflow_has_ended(progress.workflow.state));
        workflow = progress.workflow;
        for (size_t i = 0; i < steps.count; i++) {
            rows[i] = progress.steps[i];
            rows[i].state = rows[i].state == CVM_STEP_RUNNING ? CVM_STEP_DONE : rows[i].state;
        }
    }
    REQUIRE(workflow.state == CVM_WORKFLOW_COMPLETED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cvm_arena *arena;
    arena = arena == NULL ? cvm_arena_create(ARENA_BYTES) : arena;
    REQUIRE(arena != NULL);
    cvm_arena_reset(arena);
    char *text = malloc(size == 0 ? 1 : size); /* exact: reading past the end is seen */
    REQUIRE(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    const struct cvm_definition *definition = NULL;
    struct cvm_error err = {.message = ""};
    enum cvm_status status = cvm_definition_read(arena, "w.yaml", text, size, &definition, &err);
    free(text); /* the definition must not need it */
    if (status == CVM_OK) {
        check_order(definition);
        live(arena, definition);
    } else {
        REQUIRE(err.message[0] != '\0' && strncmp(err.where, "w.yaml", 6) == 0);
    }
    return 0;
}
