#include "workflows/progress.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_BYTES 600

/* ---- states ---- */

#define NO (-1)

static const signed char step_table[CVM_STEP_STATES][CVM_STEP_EVENTS] = {
    /* SEND, RESULT, FAILURE, GIVE_UP, PASS_OVER, AGAIN */
    [CVM_STEP_PENDING] = {CVM_STEP_RUNNING, NO, NO, NO, CVM_STEP_SKIPPED, NO},
    [CVM_STEP_RUNNING] = {CVM_STEP_RUNNING, CVM_STEP_DONE, CVM_STEP_RETRY, NO, CVM_STEP_SKIPPED,
                          NO},
    [CVM_STEP_RETRY] = {CVM_STEP_RUNNING, NO, NO, CVM_STEP_FAILED, CVM_STEP_SKIPPED, NO},
    [CVM_STEP_DONE] = {NO, NO, NO, NO, NO, NO},
    [CVM_STEP_FAILED] = {NO, NO, NO, NO, CVM_STEP_SKIPPED, CVM_STEP_PENDING},
    [CVM_STEP_SKIPPED] = {NO, NO, NO, NO, NO, CVM_STEP_PENDING},
};

static const signed char workflow_table[CVM_WORKFLOW_STATES][CVM_WORKFLOW_EVENTS] = {
    [CVM_WORKFLOW_ACCEPTED] = {CVM_WORKFLOW_RUNNING, NO, NO, CVM_WORKFLOW_PAUSED, NO, NO,
                               CVM_WORKFLOW_FAILED, CVM_WORKFLOW_CANCELLED, CVM_WORKFLOW_DEAD},
    [CVM_WORKFLOW_RUNNING] = {NO, CVM_WORKFLOW_WAITING, CVM_WORKFLOW_RUNNING, CVM_WORKFLOW_PAUSED,
                              NO, CVM_WORKFLOW_COMPLETED, CVM_WORKFLOW_FAILED,
                              CVM_WORKFLOW_CANCELLED, CVM_WORKFLOW_DEAD},
    [CVM_WORKFLOW_WAITING] = {NO, CVM_WORKFLOW_WAITING, CVM_WORKFLOW_RUNNING, CVM_WORKFLOW_PAUSED,
                              NO, CVM_WORKFLOW_COMPLETED, CVM_WORKFLOW_FAILED,
                              CVM_WORKFLOW_CANCELLED, CVM_WORKFLOW_DEAD},
    [CVM_WORKFLOW_PAUSED] = {NO, NO, NO, NO, CVM_WORKFLOW_RUNNING, NO, CVM_WORKFLOW_FAILED,
                             CVM_WORKFLOW_CANCELLED, NO},
    [CVM_WORKFLOW_COMPLETED] = {NO, NO, NO, NO, NO, NO, NO, NO, NO},
    [CVM_WORKFLOW_FAILED] = {NO, NO, NO, NO, CVM_WORKFLOW_RUNNING, NO, NO, NO, NO},
    [CVM_WORKFLOW_CANCELLED] = {NO, NO, NO, NO, NO, NO, NO, NO, NO},
    [CVM_WORKFLOW_DEAD] = {NO, NO, NO, NO, CVM_WORKFLOW_RUNNING, NO, NO, NO, NO},
};

int cvm_step_next(enum cvm_step_state state, enum cvm_step_event event)
{
    return step_table[state][event];
}

int cvm_workflow_next(enum cvm_workflow_state state, enum cvm_workflow_event event)
{
    return workflow_table[state][event];
}

/* ---- why an attempt failed ---- */

static const char *const failure_names[CVM_FAILURE_CLASSES] = {
    [CVM_FAILURE_TRANSIENT] = "transient", [CVM_FAILURE_THROTTLED] = "throttled",
    [CVM_FAILURE_TIMEOUT] = "timeout",     [CVM_FAILURE_POISON] = "poison",
    [CVM_FAILURE_EXPIRED] = "expired",     [CVM_FAILURE_CHANGED] = "changed",
    [CVM_FAILURE_BUDGET] = "budget",
};

const char *cvm_failure_name(enum cvm_failure_class failure)
{
    return failure_names[failure];
}

enum cvm_failure_class cvm_failure_of_status(enum cvm_status status)
{
    switch (status) {
    case CVM_E_INVALID:
    case CVM_E_DENIED:
    case CVM_E_NOT_FOUND:
    case CVM_E_CORRUPT:
        return CVM_FAILURE_POISON;
    case CVM_E_CONFLICT:
        return CVM_FAILURE_CHANGED;
    case CVM_E_LIMIT:
        return CVM_FAILURE_THROTTLED;
    case CVM_E_TIMEOUT:
        return CVM_FAILURE_TIMEOUT;
    case CVM_OK:
    case CVM_E_INTERNAL:
    case CVM_E_UNAVAILABLE:
    default:
        return CVM_FAILURE_TRANSIENT;
    }
}

bool cvm_failure_may_repeat(const char *name)
{
    for (int i = CVM_FAILURE_POISON; name != NULL && i < CVM_FAILURE_CLASSES; i++) {
        if (strcmp(failure_names[i], name) == 0) {
            return false;
        }
    }
    return true;
}

/* ---- rows ---- */

/* What stands of one step of the definition. */
struct stand {
    size_t first; /* row */
    size_t count;
    size_t done;
    size_t skipped;
};

struct making {
    struct cvm_arena *arena;
    const struct cvm_definition *definition;
    const struct cvm_progress_means *means;
    struct cvm_progress progress;
    struct stand stands[CVM_DEFINITION_STEPS_MAX];
    int64_t wake_ms; /* the first moment to look again; 0 = none */
    size_t waiting;  /* rows that wait for a moment */
    size_t running;
    struct cvm_error *err;
};

static enum cvm_status fail_memory(struct making *making)
{
    return CVM_FAIL(making->err, CVM_E_LIMIT, "no memory for the steps of a workflow");
}

static enum cvm_status start(struct making *making, struct cvm_arena *arena,
                             const struct cvm_progress_rows *rows, struct cvm_error *err)
{
    struct cvm_progress *progress = &making->progress;
    size_t count = rows->steps->count;
    *making = (struct making){.arena = arena,
                              .definition = rows->definition,
                              .means = rows->means,
                              .progress.workflow = *rows->workflow,
                              .err = err};
    progress->workflow.epoch = making->means->epoch;
    progress->row_count = count;
    progress->steps = CVM_NEW_ARRAY(making->arena, count + 1, struct cvm_step);
    progress->is_changed = CVM_NEW_ARRAY(making->arena, count + 1, bool);
    progress->is_late = CVM_NEW_ARRAY(making->arena, count + 1, bool);
    progress->sends = CVM_NEW_ARRAY(making->arena, count + 1, size_t);
    if (progress->steps == NULL || progress->is_changed == NULL || progress->is_late == NULL ||
        progress->sends == NULL) {
        return fail_memory(making);
    }
    for (size_t row = 0; row < count; row++) {
        int64_t step_no = rows->steps->items[row].step_no;
        if (step_no < 0 || (size_t)step_no >= making->definition->step_count) {
            return CVM_FAIL(making->err, CVM_E_CORRUPT,
                            "workflow '%s' has a step %" PRId64 " that its definition has not",
                            rows->workflow->workflow_id, step_no);
        }
        progress->steps[row] = rows->steps->items[row];
        struct stand *stand = &making->stands[step_no];
        stand->first = stand->count == 0 ? row : stand->first;
        stand->count++;
    }
    return CVM_OK;
}

static void move_step(struct making *making, size_t row, enum cvm_step_event event)
{
    struct cvm_step *step = &making->progress.steps[row];
    int next = cvm_step_next(step->state, event);
    assert(next >= 0);
    step->state = (enum cvm_step_state)next;
    making->progress.is_changed[row] = true;
}

static void move_workflow(struct making *making, enum cvm_workflow_event event)
{
    struct cvm_workflow *workflow = &making->progress.workflow;
    int next = cvm_workflow_next(workflow->state, event);
    assert(next >= 0);
    workflow->state = (enum cvm_workflow_state)next;
    if (cvm_workflow_has_ended(workflow->state)) {
        workflow->finished_ms = making->means->now_ms;
        workflow->wake_ms = 0;
    }
}

static void look_again(struct making *making, int64_t moment_ms)
{
    if (moment_ms != 0 && (making->wake_ms == 0 || moment_ms < making->wake_ms)) {
        making->wake_ms = moment_ms;
    }
}

/* ---- the end ---- */

static void pass_over(struct making *making, size_t row)
{
    struct cvm_step *step = &making->progress.steps[row];
    move_step(making, row, CVM_STEP_PASS_OVER);
    step->due_ms = 0;
    step->finished_ms = making->means->now_ms;
}

/* What is not done is not wanted any more. */
static void end_all(struct making *making, enum cvm_workflow_event event, const char *error)
{
    struct cvm_progress *progress = &making->progress;
    for (size_t row = 0; row < progress->row_count; row++) {
        enum cvm_step_state state = progress->steps[row].state;
        if (state == CVM_STEP_PENDING || state == CVM_STEP_RUNNING || state == CVM_STEP_RETRY) {
            pass_over(making, row);
            progress->steps[row].error_class = NULL; /* it was not its own failure */
        }
    }
    progress->send_count = 0;
    progress->workflow.error = error;
    move_workflow(making, event);
}

static const char *tell_failure(struct making *making, const struct cvm_step *step)
{
    char text[ERROR_BYTES];
    char shard[48] = "";
    if (making->definition->steps[step->step_no].is_fanned) {
        (void)snprintf(shard, sizeof(shard), ", shard %" PRId64, step->shard_no);
    }
    int length = snprintf(text, sizeof(text), "step '%s'%s: %s", step->name, shard,
                          step->error == NULL ? "it failed" : step->error);
    if (length >= (int)sizeof(text)) {
        length = (int)sizeof(text) - 1;
    }
    const char *copy = cvm_arena_copy(making->arena, text, (size_t)length);
    return copy == NULL ? "a step failed" : copy;
}

/* ---- attempts ---- */

/* True when the workflow goes on. */
static bool give_up(struct making *making, size_t row)
{
    struct cvm_progress *progress = &making->progress;
    struct cvm_step *step = &progress->steps[row];
    const struct cvm_definition_step *definition = &making->definition->steps[step->step_no];
    move_step(making, row, CVM_STEP_GIVE_UP);
    step->due_ms = 0;
    step->finished_ms = making->means->now_ms;
    switch (definition->on_failure) {
    case CVM_ON_FAILURE_SKIP:
        pass_over(making, row);
        return true;
    case CVM_ON_FAILURE_PAUSE:
        progress->workflow.error = tell_failure(making, step);
        if (progress->workflow.state != CVM_WORKFLOW_PAUSED) {
            move_workflow(making, CVM_WORKFLOW_PAUSE);
        }
        return true;
    case CVM_ON_FAILURE_FAIL:
    default:
        end_all(making, CVM_WORKFLOW_FAIL, tell_failure(making, step));
        return false;
    }
}

/* A failed attempt is followed by another one after a pause, or it was the last. */
static bool judge(struct making *making, size_t row)
{
    struct cvm_step *step = &making->progress.steps[row];
    const struct cvm_definition_step *definition = &making->definition->steps[step->step_no];
    const struct cvm_progress_means *means = making->means;
    if (step->state != CVM_STEP_RETRY || step->due_ms != 0) {
        return true;
    }
    if (means->gives_up_at_once || step->attempt >= step->attempt_max ||
        !cvm_failure_may_repeat(step->error_class)) {
        return give_up(making, row);
    }
    int64_t pause_ms = means->pause_ms == NULL
                           ? definition->retry_cap_ms
                           : means->pause_ms(means->state, definition, step->attempt);
    step->due_ms = means->now_ms + (pause_ms < 1 ? 1 : pause_ms);
    making->progress.is_changed[row] = true;
    return true;
}

static void time_out(struct making *making, size_t row)
{
    struct cvm_step *step = &making->progress.steps[row];
    if (step->state != CVM_STEP_RUNNING || step->due_ms == 0 ||
        step->due_ms > making->means->now_ms) {
        return;
    }
    making->progress.is_late[row] = true;
    move_step(making, row, CVM_STEP_FAILURE);
    step->due_ms = 0;
    step->error_class = cvm_failure_name(CVM_FAILURE_TIMEOUT);
    step->error = "nobody answered in time";
}

/* ---- what can be sent ---- */

enum readiness { READY, NOT_YET, NEVER };

static enum readiness readiness_of_need(const struct making *making, const struct cvm_step *step,
                                        size_t need)
{
    const struct cvm_definition_step *before = &making->definition->steps[need];
    const struct stand *stand = &making->stands[need];
    const struct cvm_definition_step *mine = &making->definition->steps[step->step_no];
    if (before->is_fanned && making->progress.workflow.shards < 0) {
        return NOT_YET;
    }
    if (before->is_fanned && mine->is_fanned) {
        if ((size_t)step->shard_no >= stand->count) {
            return NOT_YET;
        }
        enum cvm_step_state state =
            making->progress.steps[stand->first + (size_t)step->shard_no].state;
        return state == CVM_STEP_DONE ? READY : state == CVM_STEP_SKIPPED ? NEVER : NOT_YET;
    }
    if (stand->done + stand->skipped < stand->count || (!before->is_fanned && stand->count == 0)) {
        return NOT_YET;
    }
    return stand->count > 0 && stand->done == 0 ? NEVER : READY;
}

/* A need that gives something that the step only may take is not missed when it was passed over. */
static bool is_optional(const struct making *making, const struct cvm_definition_step *step,
                        size_t need)
{
    const char *type = making->definition->steps[need].kind->gives;
    for (const char *const *taken = step->kind->takes; *taken != NULL; taken++) {
        if (strcmp(*taken, type) == 0) {
            return false;
        }
    }
    return true;
}

static enum readiness readiness_of(const struct making *making, const struct cvm_step *step)
{
    const struct cvm_definition_step *definition = &making->definition->steps[step->step_no];
    enum readiness result = READY;
    for (size_t i = 0; i < definition->need_count; i++) {
        size_t need = definition->needs[i];
        enum readiness one = readiness_of_need(making, step, need);
        if (one == NOT_YET) {
            return NOT_YET;
        }
        if (one == NEVER && !is_optional(making, definition, need)) {
            result = NEVER;
        }
    }
    return result;
}

static void send(struct making *making, size_t row)
{
    struct cvm_progress *progress = &making->progress;
    struct cvm_step *step = &progress->steps[row];
    const struct cvm_definition_step *definition = &making->definition->steps[step->step_no];
    int64_t now_ms = making->means->now_ms;
    int64_t deadline_ms = progress->workflow.deadline_ms;
    move_step(making, row, CVM_STEP_SEND);
    step->attempt++;
    step->epoch = making->means->epoch;
    step->queued_ms = now_ms;
    step->finished_ms = 0;
    step->due_ms = now_ms + definition->timeout_ms;
    if (deadline_ms != 0 && step->due_ms > deadline_ms) {
        step->due_ms = deadline_ms;
    }
    step->error_class = NULL;
    step->error = NULL;
    progress->sends[progress->send_count++] = row;
}

static void send_if_ready(struct making *making, size_t row)
{
    struct cvm_step *step = &making->progress.steps[row];
    const struct cvm_progress_means *means = making->means;
    bool is_again = step->state == CVM_STEP_RETRY;
    int64_t again_ms = 0;
    if (is_again ? step->due_ms > means->now_ms : step->state != CVM_STEP_PENDING) {
        return;
    }
    enum readiness readiness = is_again ? READY : readiness_of(making, step);
    if (readiness == NEVER) {
        pass_over(making, row);
    }
    if (readiness != READY) {
        return;
    }
    if (means->may_send != NULL &&
        !means->may_send(means->state, &making->definition->steps[step->step_no], &again_ms)) {
        making->waiting++;
        look_again(making, again_ms > means->now_ms ? again_ms : means->now_ms + 1);
        return;
    }
    send(making, row);
}

/* ---- one look ---- */

static void count_row(struct making *making, size_t row, struct stand *stand)
{
    const struct cvm_step *step = &making->progress.steps[row];
    stand->done += step->state == CVM_STEP_DONE;
    stand->skipped += step->state == CVM_STEP_SKIPPED;
    making->running += step->state == CVM_STEP_RUNNING;
    making->waiting += step->state == CVM_STEP_RETRY;
    if (step->due_ms > making->means->now_ms) { /* else its agent is left alone */
        look_again(making, step->due_ms);
    }
}

/* Steps that are needed come first, so one pass is enough. False when the workflow has ended. */
static bool pass(struct making *making)
{
    for (size_t o = 0; o < making->definition->step_count; o++) {
        struct stand *stand = &making->stands[making->definition->order[o]];
        for (size_t row = stand->first; row < stand->first + stand->count; row++) {
            time_out(making, row);
            if (!judge(making, row)) {
                return false;
            }
            if (making->progress.workflow.state != CVM_WORKFLOW_PAUSED) {
                send_if_ready(making, row);
            }
            count_row(making, row, stand);
        }
    }
    return true;
}

static bool is_complete(const struct making *making)
{
    for (size_t i = 0; i < making->definition->step_count; i++) {
        const struct stand *stand = &making->stands[i];
        bool is_known =
            !making->definition->steps[i].is_fanned || making->progress.workflow.shards >= 0;
        if (!is_known || stand->done + stand->skipped < stand->count) {
            return false;
        }
    }
    return true;
}

/* What the last step gave; how many were passed over. */
static void complete(struct making *making)
{
    struct cvm_progress *progress = &making->progress;
    size_t skipped = 0;
    size_t last = making->definition->order[making->definition->step_count - 1];
    for (size_t i = 0; i < making->definition->step_count; i++) {
        skipped += making->stands[i].skipped;
    }
    if (!making->definition->steps[last].is_fanned && making->stands[last].done == 1) {
        progress->workflow.result = progress->steps[making->stands[last].first].output;
    }
    if (skipped > 0) {
        char text[64];
        int length = snprintf(text, sizeof(text), "%zu step%s passed over", skipped,
                              skipped == 1 ? " was" : "s were");
        progress->workflow.error = cvm_arena_copy(making->arena, text, (size_t)length);
    }
    move_workflow(making, CVM_WORKFLOW_COMPLETE);
}

static void settle(struct making *making)
{
    struct cvm_workflow *workflow = &making->progress.workflow;
    look_again(making, workflow->deadline_ms);
    if (workflow->state == CVM_WORKFLOW_PAUSED) {
        workflow->wake_ms = workflow->deadline_ms;
        return;
    }
    if (is_complete(making)) {
        complete(making);
        return;
    }
    move_workflow(making, making->running == 0 && making->waiting > 0 ? CVM_WORKFLOW_WAIT
                                                                      : CVM_WORKFLOW_GO_ON);
    workflow->wake_ms = making->wake_ms;
}

static void look(struct making *making)
{
    struct cvm_workflow *workflow = &making->progress.workflow;
    int64_t now_ms = making->means->now_ms;
    if (cvm_workflow_has_ended(workflow->state)) {
        return;
    }
    if (workflow->deadline_ms != 0 && workflow->deadline_ms <= now_ms) {
        end_all(making, CVM_WORKFLOW_FAIL, "its deadline has passed");
        return;
    }
    if (workflow->state == CVM_WORKFLOW_ACCEPTED) {
        move_workflow(making, CVM_WORKFLOW_START);
        workflow->started_ms = now_ms;
    }
    if (pass(making)) {
        settle(making);
    }
}

enum cvm_status cvm_progress_make(struct cvm_arena *arena, const struct cvm_progress_rows *rows,
                                  struct cvm_progress *out_progress, struct cvm_error *err)
{
    struct making making;
    enum cvm_status status = start(&making, arena, rows, err);
    if (status == CVM_OK) {
        look(&making);
        *out_progress = making.progress;
    }
    return status;
}

enum cvm_status cvm_progress_fail(struct cvm_arena *arena, const struct cvm_progress_rows *rows,
                                  const char *error, struct cvm_progress *out_progress,
                                  struct cvm_error *err)
{
    struct making making;
    enum cvm_status status = start(&making, arena, rows, err);
    if (status == CVM_OK) {
        end_all(&making, CVM_WORKFLOW_FAIL, error);
        *out_progress = making.progress;
    }
    return status;
}

/* ---- recovery ---- */

static void send_lost(struct making *making)
{
    for (size_t row = 0; row < making->progress.row_count; row++) {
        struct cvm_step *step = &making->progress.steps[row];
        if (step->state == CVM_STEP_RUNNING) {
            step->attempt_max++;
            send(making, row);
        }
    }
}

enum cvm_status cvm_progress_recover(struct cvm_arena *arena, const struct cvm_progress_rows *rows,
                                     bool is_lost, struct cvm_progress *out_progress,
                                     struct cvm_error *err)
{
    struct making making;
    enum cvm_status status = start(&making, arena, rows, err);
    struct cvm_workflow *workflow = &making.progress.workflow;
    if (status != CVM_OK) {
        return status;
    }
    bool is_at_work =
        !cvm_workflow_has_ended(workflow->state) && workflow->state != CVM_WORKFLOW_PAUSED;
    if (is_at_work && ++workflow->recovery_attempts > CVM_WORKFLOW_RECOVERIES_MAX) {
        end_all(&making, CVM_WORKFLOW_DIE, "taken up too often without news of any step");
    } else if (is_at_work) {
        if (is_lost) {
            send_lost(&making);
        }
        look(&making);
    }
    *out_progress = making.progress;
    return CVM_OK;
}

/* ---- a person's choice ---- */

/* Steps that failed, and those that were passed over with them, begin anew. */
static void resume(struct making *making)
{
    struct cvm_progress *progress = &making->progress;
    struct cvm_workflow *workflow = &progress->workflow;
    int64_t now_ms = making->means->now_ms;
    for (size_t row = 0; row < progress->row_count; row++) {
        struct cvm_step *step = &progress->steps[row];
        bool is_own_failure = step->error_class != NULL; /* its definition passes it over */
        if (step->state == CVM_STEP_FAILED ||
            (step->state == CVM_STEP_SKIPPED && !is_own_failure)) {
            move_step(making, row, CVM_STEP_AGAIN);
            step->attempt_max = step->attempt + making->definition->steps[step->step_no].attempts;
            step->finished_ms = 0;
            step->error_class = NULL;
            step->error = NULL;
        }
    }
    if (workflow->deadline_ms != 0 && workflow->deadline_ms <= now_ms) {
        workflow->deadline_ms =
            making->definition->deadline_ms == 0 ? 0 : now_ms + making->definition->deadline_ms;
    }
    workflow->finished_ms = 0;
    workflow->recovery_attempts = 0;
    workflow->error = NULL;
    move_workflow(making, CVM_WORKFLOW_RESUME);
    if (workflow->started_ms == 0) {
        workflow->started_ms = now_ms;
    }
    workflow->wake_ms = now_ms; /* whoever works looks at it */
}

enum cvm_status cvm_progress_order(struct cvm_arena *arena, const struct cvm_progress_rows *rows,
                                   enum cvm_workflow_event event, struct cvm_progress *out_progress,
                                   struct cvm_error *err)
{
    static const char *const words[CVM_WORKFLOW_EVENTS] = {
        [CVM_WORKFLOW_PAUSE] = "paused",
        [CVM_WORKFLOW_RESUME] = "resumed",
        [CVM_WORKFLOW_CANCEL] = "cancelled",
    };
    const struct cvm_workflow *workflow = rows->workflow;
    struct making making;
    assert(words[event] != NULL);
    if (cvm_workflow_next(workflow->state, event) < 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "workflow '%s' is %s and can not be %s",
                        workflow->workflow_id, cvm_workflow_state_name(workflow->state),
                        words[event]);
    }
    enum cvm_status status = start(&making, arena, rows, err);
    if (status != CVM_OK) {
        return status;
    }
    making.progress.workflow.epoch = workflow->epoch; /* nobody's lease */
    if (event == CVM_WORKFLOW_CANCEL) {
        end_all(&making, event, NULL);
    } else if (event == CVM_WORKFLOW_RESUME) {
        resume(&making);
    } else {
        move_workflow(&making, event);
        making.progress.workflow.wake_ms = workflow->deadline_ms;
    }
    *out_progress = making.progress;
    return CVM_OK;
}
