/* What a workflow does next: its tables, each rule, and long random lives. */
#include "workflows/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

#define T0 INT64_C(1000000)

/* ---- tables ---- */

static void every_event_in_every_state_of_a_step_leads_where_it_should(void **state)
{
    (void)state;
    enum { P = CVM_STEP_PENDING, R, T, D, F, S, X = -1 };
    static const int expected[CVM_STEP_STATES][CVM_STEP_EVENTS] = {
        /* SEND RESULT FAILURE GIVE_UP PASS_OVER AGAIN */
        [P] = {R, X, X, X, S, X}, [R] = {R, D, T, X, S, X}, [T] = {R, X, X, F, S, X},
        [D] = {X, X, X, X, X, X}, [F] = {X, X, X, X, S, P}, [S] = {X, X, X, X, X, P},
    };
    for (int from = 0; from < CVM_STEP_STATES; from++) {
        for (int event = 0; event < CVM_STEP_EVENTS; event++) {
            assert_int_equal(cvm_step_next((enum cvm_step_state)from, (enum cvm_step_event)event),
                             expected[from][event]);
        }
    }
}

static void every_event_in_every_state_of_a_workflow_leads_where_it_should(void **state)
{
    (void)state;
    enum { A = CVM_WORKFLOW_ACCEPTED, R, W, P, C, F, N, D, X = -1 };
    static const int expected[CVM_WORKFLOW_STATES][CVM_WORKFLOW_EVENTS] = {
        /* START WAIT GO_ON PAUSE RESUME COMPLETE FAIL CANCEL DIE */
        [A] = {R, X, X, P, X, X, F, N, D}, [R] = {X, W, R, P, X, C, F, N, D},
        [W] = {X, W, R, P, X, C, F, N, D}, [P] = {X, X, X, X, R, X, F, N, X},
        [C] = {X, X, X, X, X, X, X, X, X}, [F] = {X, X, X, X, R, X, X, X, X},
        [N] = {X, X, X, X, X, X, X, X, X}, [D] = {X, X, X, X, R, X, X, X, X},
    };
    for (int from = 0; from < CVM_WORKFLOW_STATES; from++) {
        for (int event = 0; event < CVM_WORKFLOW_EVENTS; event++) {
            assert_int_equal(
                cvm_workflow_next((enum cvm_workflow_state)from, (enum cvm_workflow_event)event),
                expected[from][event]);
        }
    }
}

static void a_failure_is_repeated_when_later_may_be_better(void **state)
{
    (void)state;
    assert_true(cvm_failure_may_repeat(NULL));
    assert_true(cvm_failure_may_repeat("transient"));
    assert_true(cvm_failure_may_repeat("throttled"));
    assert_true(cvm_failure_may_repeat("timeout"));
    assert_true(cvm_failure_may_repeat("of a newer program"));
    assert_false(cvm_failure_may_repeat("poison"));
    assert_false(cvm_failure_may_repeat("expired"));
    assert_false(cvm_failure_may_repeat("changed"));
    assert_false(cvm_failure_may_repeat("budget"));
    for (int status = 0; status <= CVM_E_TIMEOUT; status++) {
        const char *name = cvm_failure_name(cvm_failure_of_status((enum cvm_status)status));
        bool may_repeat = cvm_status_may_retry((enum cvm_status)status) ||
                          status == CVM_E_INTERNAL || status == CVM_OK;
        assert_int_equal(cvm_failure_may_repeat(name), may_repeat);
    }
}

/* ---- a small world of rows ---- */

static const char text_of_chain[] = "workflow: w\ndescription: d\nsteps:\n"
                                    "  - {id: begin, agent: data, message: CUSTOMER_DATA_REQUEST, "
                                    "timeout: 10s, retry: {attempts: 2}}\n"
                                    "  - {id: values, agent: treatment, message: "
                                    "TREATMENT_REQUEST, needs: begin, fan_out: shards, timeout: "
                                    "20s, retry: {attempts: 2}}\n"
                                    "  - {id: plan, agent: allocation, message: "
                                    "ALLOCATION_REQUEST, needs: [begin, values], timeout: 30s, "
                                    "retry: {attempts: 2}}\n";
static const char text_of_branch[] =
    "workflow: w\ndescription: d\nsteps:\n"
    "  - {id: begin, agent: data, message: CUSTOMER_DATA_REQUEST}\n"
    "  - {id: words, agent: journey, message: JOURNEY_REQUEST, needs: begin, on_failure: skip, "
    "retry: {attempts: 1}}\n"
    "  - {id: values, agent: treatment, message: TREATMENT_REQUEST, needs: [begin, words], "
    "on_failure: pause, retry: {attempts: 1}}\n"
    "  - {id: plan, agent: allocation, message: ALLOCATION_REQUEST, needs: [begin, values], "
    "on_failure: skip, retry: {attempts: 1}}\n"
    "  - {id: report, agent: evaluation, message: EVALUATION_REQUEST, needs: plan}\n";

struct world {
    struct cvm_arena *arena;
    const struct cvm_definition *definition;
    struct cvm_workflow workflow;
    struct cvm_step rows[16];
    struct cvm_steps steps;
    struct cvm_progress_means means;
    struct cvm_progress progress;
};

static void add_rows(struct world *w, size_t step, int64_t count)
{
    for (int64_t shard = 0; shard < count; shard++) {
        w->rows[w->steps.count++] = (struct cvm_step){
            .step_no = (int64_t)step,
            .shard_no = shard,
            .name = w->definition->steps[step].id,
            .attempt_max = w->definition->steps[step].attempts,
        };
    }
}

/* With `shards` rows of each step that is cut. */
static struct world make(const char *text, int64_t shards)
{
    struct world w = {.arena = cvm_arena_create((size_t)64 << 20)};
    assert_int_equal(
        cvm_definition_read(w.arena, "w.yaml", text, strlen(text), &w.definition, NULL), CVM_OK);
    w.workflow = (struct cvm_workflow){
        .workflow_id = "w-1", .name = "w", .shards = shards, .created_ms = T0};
    w.means.now_ms = T0;
    w.means.epoch = 4;
    for (size_t i = 0; i < w.definition->step_count; i++) {
        add_rows(&w, i, w.definition->steps[i].is_fanned ? (shards < 0 ? 0 : shards) : 1);
    }
    return w;
}

static void end(struct world *w)
{
    cvm_arena_destroy(w->arena);
}

static void keep(struct world *w)
{
    w->workflow = w->progress.workflow;
    for (size_t i = 0; i < w->steps.count; i++) {
        w->rows[i] = w->progress.steps[i];
    }
}

static struct cvm_progress_rows rows_of(struct world *w)
{
    w->steps.items = w->rows;
    return (struct cvm_progress_rows){w->definition, &w->workflow, &w->steps, &w->means};
}

/* How many were sent. */
static size_t look(struct world *w)
{
    struct cvm_progress_rows rows = rows_of(w);
    assert_int_equal(cvm_progress_make(w->arena, &rows, &w->progress, NULL), CVM_OK);
    keep(w);
    return w->progress.send_count;
}

static void recover(struct world *w, bool is_lost)
{
    struct cvm_progress_rows rows = rows_of(w);
    assert_int_equal(cvm_progress_recover(w->arena, &rows, is_lost, &w->progress, NULL), CVM_OK);
    keep(w);
}

static enum cvm_status order(struct world *w, enum cvm_workflow_event event)
{
    struct cvm_progress_rows rows = rows_of(w);
    enum cvm_status status = cvm_progress_order(w->arena, &rows, event, &w->progress, NULL);
    if (status == CVM_OK) {
        keep(w);
    }
    return status;
}

static struct cvm_step *row_of(struct world *w, const char *id, int64_t shard)
{
    for (size_t i = 0; i < w->steps.count; i++) {
        if (strcmp(w->rows[i].name, id) == 0 && w->rows[i].shard_no == shard) {
            return &w->rows[i];
        }
    }
    fail_msg("no row '%s'", id);
    return NULL;
}

static void done(struct world *w, const char *id, int64_t shard)
{
    struct cvm_step *row = row_of(w, id, shard);
    assert_int_equal(row->state, CVM_STEP_RUNNING);
    row->state = CVM_STEP_DONE;
    row->output = "{}";
    row->due_ms = 0;
}

static void failed(struct world *w, const char *id, int64_t shard, const char *error_class)
{
    struct cvm_step *row = row_of(w, id, shard);
    assert_int_equal(row->state, CVM_STEP_RUNNING);
    row->state = CVM_STEP_RETRY;
    row->error_class = error_class;
    row->error = "it broke";
    row->due_ms = 0;
}

static enum cvm_step_state state_of(struct world *w, const char *id, int64_t shard)
{
    return row_of(w, id, shard)->state;
}

/* ---- rules ---- */

static void steps_are_sent_when_what_they_need_is_done(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 2);
    assert_int_equal(look(&w), 1);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_RUNNING);
    assert_int_equal(w.workflow.started_ms, T0);
    assert_int_equal(w.workflow.epoch, 4);
    struct cvm_step *begin = row_of(&w, "begin", 0);
    assert_int_equal(begin->state, CVM_STEP_RUNNING);
    assert_int_equal(begin->attempt, 1);
    assert_int_equal(begin->due_ms, T0 + 10000);
    assert_int_equal(w.workflow.wake_ms, T0 + 10000);
    assert_int_equal(look(&w), 0); /* again, for nothing */
    done(&w, "begin", 0);
    assert_int_equal(look(&w), 2);
    done(&w, "values", 1);
    assert_int_equal(look(&w), 0); /* not all shards */
    done(&w, "values", 0);
    assert_int_equal(look(&w), 1);
    done(&w, "plan", 0);
    row_of(&w, "plan", 0)->output = "{\"run_id\":\"r\"}";
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_COMPLETED);
    assert_string_equal(w.workflow.result, "{\"run_id\":\"r\"}");
    assert_int_equal(w.workflow.finished_ms, T0);
    assert_int_equal(w.workflow.wake_ms, 0);
    end(&w);
}

static void without_shards_nothing_is_cut_and_the_rest_goes_on(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, -1);
    assert_int_equal(look(&w), 1);
    done(&w, "begin", 0);
    assert_int_equal(look(&w), 0); /* nobody knows yet into how many */
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_RUNNING);
    w.workflow.shards = 0;
    assert_int_equal(look(&w), 1);
    assert_int_equal(state_of(&w, "plan", 0), CVM_STEP_RUNNING);
    end(&w);
}

static void a_failed_attempt_is_repeated_after_a_pause_until_none_is_left(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    (void)look(&w);
    failed(&w, "begin", 0, "transient");
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_WAITING);
    assert_int_equal(row_of(&w, "begin", 0)->due_ms, T0 + 30000); /* the cap: no pause is drawn */
    assert_int_equal(w.workflow.wake_ms, T0 + 30000);
    w.means.now_ms = T0 + 30000;
    assert_int_equal(look(&w), 1);
    assert_int_equal(row_of(&w, "begin", 0)->attempt, 2);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_RUNNING);
    failed(&w, "begin", 0, "transient");
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_FAILED);
    assert_string_equal(w.workflow.error, "step 'begin': it broke");
    assert_int_equal(state_of(&w, "begin", 0), CVM_STEP_FAILED);
    assert_int_equal(state_of(&w, "values", 0), CVM_STEP_SKIPPED);
    end(&w);
}

static void where_nobody_waits_for_a_second_attempt_the_first_failure_ends_it(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    w.means.gives_up_at_once = true;
    (void)look(&w);
    failed(&w, "begin", 0, "transient");
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_FAILED);
    assert_int_equal(row_of(&w, "begin", 0)->attempt, 1);
    end(&w);
}

static void what_can_never_go_well_is_not_repeated(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 2);
    (void)look(&w);
    done(&w, "begin", 0);
    (void)look(&w);
    failed(&w, "values", 1, "poison");
    (void)look(&w);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_FAILED);
    assert_string_equal(w.workflow.error, "step 'values', shard 1: it broke");
    assert_int_equal(state_of(&w, "values", 0), CVM_STEP_SKIPPED); /* it was running */
    end(&w);
}

static void an_attempt_that_takes_too_long_has_failed(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    (void)look(&w);
    w.means.now_ms = T0 + 9999;
    (void)look(&w);
    assert_int_equal(state_of(&w, "begin", 0), CVM_STEP_RUNNING);
    w.means.now_ms = T0 + 10000;
    (void)look(&w);
    assert_true(w.progress.is_late[0]);
    assert_int_equal(state_of(&w, "begin", 0), CVM_STEP_RETRY);
    assert_string_equal(row_of(&w, "begin", 0)->error_class, "timeout");
    end(&w);
}

static void the_deadline_ends_it_and_shortens_what_is_sent(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    w.workflow.deadline_ms = T0 + 3000;
    (void)look(&w);
    assert_int_equal(row_of(&w, "begin", 0)->due_ms, T0 + 3000);
    w.means.now_ms = T0 + 3000;
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_FAILED);
    assert_string_equal(w.workflow.error, "its deadline has passed");
    assert_int_equal(state_of(&w, "begin", 0), CVM_STEP_SKIPPED);
    end(&w);
}

static void what_may_be_missing_is_passed_over_and_what_must_not_be_takes_along(void **state)
{
    (void)state;
    struct world w = make(text_of_branch, -1);
    (void)look(&w);
    done(&w, "begin", 0);
    assert_int_equal(look(&w), 1);
    failed(&w, "words", 0, "transient");
    assert_int_equal(look(&w), 1); /* the values come without words */
    assert_int_equal(state_of(&w, "words", 0), CVM_STEP_SKIPPED);
    done(&w, "values", 0);
    assert_int_equal(look(&w), 1);
    failed(&w, "plan", 0, "transient");
    assert_int_equal(look(&w), 0); /* no report without a plan */
    assert_int_equal(state_of(&w, "report", 0), CVM_STEP_SKIPPED);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_COMPLETED);
    assert_string_equal(w.workflow.error, "3 steps were passed over");
    assert_null(w.workflow.result);
    end(&w);
}

static void a_step_may_ask_for_a_person(void **state)
{
    (void)state;
    struct world w = make(text_of_branch, -1);
    (void)look(&w);
    done(&w, "begin", 0);
    (void)look(&w);
    done(&w, "words", 0);
    (void)look(&w);
    failed(&w, "values", 0, "poison");
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_PAUSED);
    assert_string_equal(w.workflow.error, "step 'values': it broke");
    assert_int_equal(w.workflow.wake_ms, 0);
    assert_int_equal(look(&w), 0);
    assert_int_equal(order(&w, CVM_WORKFLOW_RESUME), CVM_OK);
    assert_int_equal(w.workflow.wake_ms, T0);
    assert_null(w.workflow.error);
    assert_int_equal(look(&w), 1);
    assert_int_equal(row_of(&w, "values", 0)->attempt, 2);
    assert_int_equal(row_of(&w, "values", 0)->attempt_max, 2);
    end(&w);
}

static bool refuse_all(void *state, const struct cvm_definition_step *step, int64_t *out_again_ms)
{
    assert_string_equal(step->kind->agent, "data");
    *out_again_ms = T0 + *(int64_t *)state;
    return false;
}

static void a_step_whose_agent_is_left_alone_waits_and_uses_no_attempt_up(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    int64_t pause_ms = 700;
    w.means.may_send = refuse_all;
    w.means.state = &pause_ms;
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_WAITING);
    assert_int_equal(w.workflow.wake_ms, T0 + 700);
    assert_int_equal(row_of(&w, "begin", 0)->attempt, 0);
    w.means.may_send = NULL;
    assert_int_equal(look(&w), 1);
    failed(&w, "begin", 0, "transient");
    (void)look(&w);
    w.means.may_send = refuse_all;
    w.means.now_ms = T0 + 30000;
    pause_ms = 0; /* a moment that has passed is never waited for */
    assert_int_equal(look(&w), 0);
    assert_int_equal(w.workflow.wake_ms, T0 + 30001);
    assert_int_equal(row_of(&w, "begin", 0)->attempt, 1);
    end(&w);
}

static void a_workflow_can_be_cancelled_until_it_has_ended(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 2);
    (void)look(&w);
    done(&w, "begin", 0);
    (void)look(&w);
    assert_int_equal(order(&w, CVM_WORKFLOW_CANCEL), CVM_OK);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_CANCELLED);
    assert_int_equal(state_of(&w, "begin", 0), CVM_STEP_DONE);
    assert_int_equal(state_of(&w, "values", 0), CVM_STEP_SKIPPED);
    assert_int_equal(order(&w, CVM_WORKFLOW_CANCEL), CVM_E_CONFLICT);
    assert_int_equal(order(&w, CVM_WORKFLOW_RESUME), CVM_E_CONFLICT);
    assert_int_equal(look(&w), 0);
    end(&w);
}

static void a_failed_workflow_goes_on_from_what_is_done(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 2);
    w.workflow.deadline_ms = T0 + 1000;
    (void)look(&w);
    done(&w, "begin", 0);
    (void)look(&w);
    done(&w, "values", 0);
    failed(&w, "values", 1, "poison");
    (void)look(&w);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_FAILED);
    w.means.now_ms = T0 + 5000;
    assert_int_equal(order(&w, CVM_WORKFLOW_RESUME), CVM_OK);
    assert_int_equal(w.workflow.deadline_ms, 0); /* the definition has none to give anew */
    assert_int_equal(look(&w), 1);
    assert_int_equal(state_of(&w, "values", 0), CVM_STEP_DONE);
    assert_int_equal(state_of(&w, "values", 1), CVM_STEP_RUNNING);
    assert_int_equal(row_of(&w, "values", 1)->attempt_max, 3);
    end(&w);
}

static void lost_messages_are_sent_again_and_use_no_attempt_up(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    (void)look(&w);
    recover(&w, false);
    assert_int_equal(w.progress.send_count, 0);
    assert_int_equal(w.workflow.recovery_attempts, 1);
    recover(&w, true);
    assert_int_equal(w.progress.send_count, 1);
    assert_int_equal(row_of(&w, "begin", 0)->attempt, 2);
    assert_int_equal(row_of(&w, "begin", 0)->attempt_max, 3);
    end(&w);
}

static void what_is_taken_up_too_often_is_dead(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    (void)look(&w);
    for (int i = 0; i < CVM_WORKFLOW_RECOVERIES_MAX; i++) {
        recover(&w, true);
        assert_int_equal(w.workflow.state, CVM_WORKFLOW_RUNNING);
    }
    recover(&w, true);
    assert_int_equal(w.workflow.state, CVM_WORKFLOW_DEAD);
    assert_int_equal(w.progress.send_count, 0);
    assert_int_equal(order(&w, CVM_WORKFLOW_RESUME), CVM_OK);
    assert_int_equal(w.workflow.recovery_attempts, 0);
    assert_int_equal(look(&w), 1);
    end(&w);
}

static void rows_of_another_definition_are_an_error(void **state)
{
    (void)state;
    struct world w = make(text_of_chain, 1);
    struct cvm_error err = {0};
    w.rows[2].step_no = 9;
    struct cvm_progress_rows rows = rows_of(&w);
    assert_int_equal(cvm_progress_make(w.arena, &rows, &w.progress, &err), CVM_E_CORRUPT);
    assert_non_null(strstr(err.message, "step 9"));
    end(&w);
}

/* ---- random lives ---- */

static void check(const struct world *w, const struct world *before)
{
    bool has_ended = cvm_workflow_has_ended(w->workflow.state);
    for (size_t i = 0; i < w->steps.count; i++) {
        const struct cvm_step *row = &w->rows[i];
        assert_true(row->attempt <= row->attempt_max);
        assert_true(before->rows[i].state != CVM_STEP_DONE || row->state == CVM_STEP_DONE);
        assert_true(!has_ended || row->state == CVM_STEP_DONE || row->state == CVM_STEP_FAILED ||
                    row->state == CVM_STEP_SKIPPED);
        assert_true(row->state != CVM_STEP_RUNNING || row->due_ms > 0);
        assert_true(row->attempt >= before->rows[i].attempt);
    }
    for (size_t i = 0; i < w->progress.send_count; i++) {
        const struct cvm_step *row = &w->rows[w->progress.sends[i]];
        assert_int_equal(row->state, CVM_STEP_RUNNING);
        assert_true(row->attempt > before->rows[w->progress.sends[i]].attempt);
    }
    assert_true(!has_ended || (w->workflow.wake_ms == 0 && w->workflow.finished_ms > 0));
    /* What can go on by itself has a moment at which it is looked at again. */
    bool waits = w->workflow.state == CVM_WORKFLOW_WAITING;
    assert_true(!waits || w->workflow.wake_ms > w->means.now_ms);
}

static void act_on_row(struct world *w, struct cvm_random *random)
{
    static const char *const classes[] = {"transient", "timeout", "throttled", "poison"};
    struct cvm_step *row = &w->rows[cvm_random_below(random, w->steps.count)];
    if (row->state != CVM_STEP_RUNNING) {
        return;
    }
    if (cvm_random_below(random, 3) > 0) {
        done(w, row->name, row->shard_no);
    } else {
        failed(w, row->name, row->shard_no, classes[cvm_random_below(random, 4)]);
    }
}

static void act(struct world *w, struct cvm_random *random)
{
    struct world before = *w;
    uint64_t choice = cvm_random_below(random, 40);
    w->progress.send_count = 0;
    if (choice == 0) {
        recover(w, cvm_random_below(random, 2) == 0);
    } else if (choice == 1) {
        (void)order(w, CVM_WORKFLOW_PAUSE);
    } else if (choice < 5) {
        (void)order(w, CVM_WORKFLOW_RESUME);
    } else if (choice == 5) {
        (void)order(w, CVM_WORKFLOW_CANCEL);
    } else if (choice < 12) {
        w->means.now_ms += (int64_t)cvm_random_below(random, 40000);
        (void)look(w);
    } else if (choice < 20) {
        (void)look(w);
    } else {
        act_on_row(w, random);
        before = *w;
        (void)look(w);
    }
    check(w, &before);
}

/* From wherever it is, it ends once nothing fails any more: nothing is ever stuck. */
static void let_it_end(struct world *w)
{
    for (int i = 0; i < 50 && !cvm_workflow_has_ended(w->workflow.state); i++) {
        (void)order(w, CVM_WORKFLOW_RESUME);
        (void)look(w);
        for (size_t row = 0; row < w->steps.count; row++) {
            if (w->rows[row].state == CVM_STEP_RUNNING) {
                done(w, w->rows[row].name, w->rows[row].shard_no);
            }
        }
        w->means.now_ms += 1000000;
    }
    assert_true(cvm_workflow_has_ended(w->workflow.state));
}

static void whatever_happens_the_rules_hold_and_it_can_end(void **state)
{
    (void)state;
    int ends[CVM_WORKFLOW_STATES] = {0};
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct cvm_random random;
        cvm_random_init(&random, seed);
        struct world w = make(seed % 2 == 0 ? text_of_chain : text_of_branch,
                              seed % 2 == 0 ? (int64_t)(seed % 4) : -1);
        for (int i = 0; i < 60; i++) {
            act(&w, &random);
        }
        let_it_end(&w);
        ends[w.workflow.state]++;
        end(&w);
    }
    /* The walks came through everywhere. */
    assert_true(ends[CVM_WORKFLOW_COMPLETED] > 100);
    assert_true(ends[CVM_WORKFLOW_FAILED] > 10);
    assert_true(ends[CVM_WORKFLOW_CANCELLED] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state_of_a_step_leads_where_it_should),
        cmocka_unit_test(every_event_in_every_state_of_a_workflow_leads_where_it_should),
        cmocka_unit_test(a_failure_is_repeated_when_later_may_be_better),
        cmocka_unit_test(steps_are_sent_when_what_they_need_is_done),
        cmocka_unit_test(without_shards_nothing_is_cut_and_the_rest_goes_on),
        cmocka_unit_test(a_failed_attempt_is_repeated_after_a_pause_until_none_is_left),
        cmocka_unit_test(where_nobody_waits_for_a_second_attempt_the_first_failure_ends_it),
        cmocka_unit_test(what_can_never_go_well_is_not_repeated),
        cmocka_unit_test(an_attempt_that_takes_too_long_has_failed),
        cmocka_unit_test(the_deadline_ends_it_and_shortens_what_is_sent),
        cmocka_unit_test(what_may_be_missing_is_passed_over_and_what_must_not_be_takes_along),
        cmocka_unit_test(a_step_may_ask_for_a_person),
        cmocka_unit_test(a_step_whose_agent_is_left_alone_waits_and_uses_no_attempt_up),
        cmocka_unit_test(a_workflow_can_be_cancelled_until_it_has_ended),
        cmocka_unit_test(a_failed_workflow_goes_on_from_what_is_done),
        cmocka_unit_test(lost_messages_are_sent_again_and_use_no_attempt_up),
        cmocka_unit_test(what_is_taken_up_too_often_is_dead),
        cmocka_unit_test(rows_of_another_definition_are_an_error),
        cmocka_unit_test(whatever_happens_the_rules_hold_and_it_can_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
