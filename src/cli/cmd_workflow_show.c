/* workflow show: what happened to a workflow, from the store alone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/evaluation_text.h"
#include "storage/step_store.h"
#include "storage/workflow_store.h"

struct show_job {
    struct cvm_session *session;
    bool has_shards; /* each of its own */
    struct cvm_workflow workflow;
    struct cvm_steps steps;
    struct cvm_document document;
    struct cvm_table table;
    int64_t failures;
};

static int64_t took_ms(const struct cvm_step *step)
{
    int64_t from_ms = step->started_ms != 0 ? step->started_ms : step->queued_ms;
    return from_ms != 0 && step->finished_ms >= from_ms ? step->finished_ms - from_ms : -1;
}

static const char *format_moment(int64_t ms, char text[CVM_MOMENT_TEXT_SIZE])
{
    return ms == 0 ? "-" : cvm_moment_format(ms, text);
}

/* ---- JSON ---- */

static void write_workflow(struct cvm_json_writer *json, const struct cvm_workflow *w)
{
    cvm_json_key_string(json, "workflow_id", w->workflow_id);
    cvm_json_key_string(json, "workflow", w->name);
    cvm_json_key_string(json, "definition", w->definition);
    cvm_json_key_string(json, "state", cvm_workflow_state_name(w->state));
    cvm_json_key_string(json, "key", w->idempotency_key);
    cvm_json_key_string(json, "run_id", w->run_id);
    cvm_json_key_raw(json, "input", w->input);
    if (w->shards < 0) {
        cvm_json_key(json, "shards");
        cvm_json_null(json);
    } else {
        cvm_json_key_int(json, "shards", w->shards);
    }
    cvm_json_key_int(json, "priority", w->priority);
    cvm_json_key_int(json, "epoch", w->epoch);
    cvm_json_key_int(json, "recovery_attempts", w->recovery_attempts);
    cvm_json_key_moment(json, "created_at", w->created_ms);
    cvm_json_key_moment(json, "started_at", w->started_ms);
    cvm_json_key_moment(json, "finished_at", w->finished_ms);
    cvm_json_key_moment(json, "deadline", w->deadline_ms);
    cvm_json_key_moment(json, "wake_at", w->wake_ms);
    cvm_json_key_string(json, "who", w->who);
    cvm_json_key_string(json, "error", w->error);
    cvm_json_key_raw(json, "result", w->result);
}

static void write_step(struct cvm_json_writer *json, const struct cvm_step *step)
{
    int64_t ms = took_ms(step);
    cvm_json_object(json);
    cvm_json_key_string(json, "step", step->name);
    cvm_json_key_int(json, "shard", step->shard_no);
    cvm_json_key_string(json, "state", cvm_step_state_name(step->state));
    cvm_json_key_int(json, "attempt", step->attempt);
    cvm_json_key_int(json, "attempts_allowed", step->attempt_max);
    cvm_json_key_int(json, "epoch", step->epoch);
    cvm_json_key_string(json, "worker", step->worker);
    cvm_json_key_moment(json, "queued_at", step->queued_ms);
    cvm_json_key_moment(json, "started_at", step->started_ms);
    cvm_json_key_moment(json, "finished_at", step->finished_ms);
    cvm_json_key_moment(json, "due_at", step->due_ms);
    cvm_json_key(json, "seconds");
    if (ms < 0) {
        cvm_json_null(json);
    } else {
        cvm_json_double(json, (double)ms / 1000);
    }
    cvm_json_key_int(json, "customers", step->customers);
    cvm_json_key_string(json, "error_class", step->error_class);
    cvm_json_key_string(json, "error", step->error);
    cvm_json_key_raw(json, "output", step->output);
    cvm_json_object_end(json);
}

static const char *name_of(const struct show_job *job, int64_t step_no)
{
    for (size_t i = 0; i < job->steps.count; i++) {
        if (job->steps.items[i].step_no == step_no) {
            return job->steps.items[i].name;
        }
    }
    return "";
}

static enum cvm_status write_failure(void *state, const struct cvm_step_failure *failure,
                                     struct cvm_error *err)
{
    struct show_job *job = state;
    struct cvm_json_writer *json = &job->document.json;
    (void)err;
    cvm_json_object(json);
    cvm_json_key_string(json, "step", name_of(job, failure->step_no));
    cvm_json_key_int(json, "shard", failure->shard_no);
    cvm_json_key_int(json, "attempt", failure->attempt);
    cvm_json_key_int(json, "epoch", failure->epoch);
    cvm_json_key_string(json, "worker", failure->worker);
    cvm_json_key_string(json, "error_class", failure->error_class);
    cvm_json_key_string(json, "error", failure->error);
    cvm_json_key_moment(json, "started_at", failure->started_ms);
    cvm_json_key_moment(json, "failed_at", failure->failed_ms);
    cvm_json_object_end(json);
    return CVM_OK;
}

static enum cvm_status show_json(struct show_job *job, struct cvm_store *store,
                                 struct cvm_error *err)
{
    struct cvm_json_writer *json = &job->document.json;
    cvm_document_init(&job->document);
    write_workflow(json, &job->workflow);
    cvm_json_key_array(json, "steps");
    for (size_t i = 0; i < job->steps.count; i++) {
        write_step(json, &job->steps.items[i]);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "failures");
    enum cvm_status status =
        cvm_step_failure_list(store, job->workflow.workflow_id, write_failure, job, err);
    cvm_json_array_end(json);
    if (status != CVM_OK) {
        cvm_document_finish(&job->document);
        return status;
    }
    return cvm_document_print(&job->document, job->session, err);
}

/* ---- for people ---- */

static void print_head(struct show_job *job)
{
    const struct cvm_workflow *w = &job->workflow;
    FILE *out = job->session->out;
    char moment[CVM_MOMENT_TEXT_SIZE];
    char span[CVM_NUMBER_TEXT_SIZE];
    int64_t end_ms =
        w->finished_ms != 0 ? w->finished_ms : cvm_context_now_ms(&job->session->context);
    fprintf(out, "%s, %s", w->workflow_id, cvm_workflow_state_name(w->state));
    fprintf(out, w->error == NULL ? "\n" : ": %s\n", w->error == NULL ? "" : w->error);
    fprintf(out, "accepted %s by %s, %s %s", cvm_moment_format(w->created_ms, moment), w->who,
            w->finished_ms != 0 ? "ended after" : "open for",
            cvm_span(end_ms - w->created_ms, span));
    if (w->deadline_ms != 0 && w->finished_ms == 0) {
        fprintf(out, ", deadline %s", cvm_moment_format(w->deadline_ms, moment));
    }
    fprintf(out, "\nepoch %" PRId64 ", taken up %" PRId64 " time%s without news", w->epoch,
            w->recovery_attempts, w->recovery_attempts == 1 ? "" : "s");
    fprintf(out, w->run_id == NULL ? "\n\n" : ", run %s\n\n", w->run_id == NULL ? "" : w->run_id);
}

/* Shards of one step together. */
struct group {
    const char *name;
    size_t rows;
    size_t in_state[CVM_STEP_STATES];
    int64_t attempt;
    int64_t epoch;
    int64_t queued_ms;
    int64_t finished_ms;
    int64_t longest_ms;
    int64_t customers;
};

static void add_row(struct group *group, const struct cvm_step *step)
{
    int64_t ms = took_ms(step);
    group->name = step->name;
    group->rows++;
    group->in_state[step->state]++;
    group->attempt = step->attempt > group->attempt ? step->attempt : group->attempt;
    group->epoch = step->epoch > group->epoch ? step->epoch : group->epoch;
    if (step->queued_ms != 0 && (group->queued_ms == 0 || step->queued_ms < group->queued_ms)) {
        group->queued_ms = step->queued_ms;
    }
    group->finished_ms =
        step->finished_ms > group->finished_ms ? step->finished_ms : group->finished_ms;
    group->longest_ms = ms > group->longest_ms ? ms : group->longest_ms;
    group->customers += step->customers;
}

/* "done", or "7 done, 2 running" */
static void describe_states(const struct group *group, char text[96])
{
    size_t used = 0;
    text[0] = '\0';
    for (int s = 0; s < CVM_STEP_STATES; s++) {
        if (group->in_state[s] > 0) {
            int added =
                group->rows == 1
                    ? snprintf(text, 96, "%s", cvm_step_state_name((enum cvm_step_state)s))
                    : snprintf(text + used, 96 - used, "%s%zu %s", used == 0 ? "" : ", ",
                               group->in_state[s], cvm_step_state_name((enum cvm_step_state)s));
            used = used + (size_t)added < 96 ? used + (size_t)added : used;
        }
    }
}

static void print_group(struct show_job *job, const struct group *group)
{
    char states[96];
    char moment[CVM_MOMENT_TEXT_SIZE];
    char span[CVM_NUMBER_TEXT_SIZE];
    bool is_at_work = group->in_state[CVM_STEP_RUNNING] > 0 || group->in_state[CVM_STEP_RETRY] > 0;
    describe_states(group, states);
    cvm_table_add(&job->table, group->name);
    cvm_table_add(&job->table, states);
    cvm_table_add_format(&job->table, "%" PRId64, group->attempt);
    cvm_table_add_format(&job->table, "%" PRId64, group->epoch);
    cvm_table_add(&job->table, format_moment(group->queued_ms, moment));
    cvm_table_add(&job->table,
                  cvm_span(is_at_work || group->finished_ms == 0 || group->queued_ms == 0
                               ? -1
                               : group->finished_ms - group->queued_ms,
                           span));
    cvm_table_add(&job->table, cvm_span(group->longest_ms, span));
    cvm_table_add_format(&job->table, "%" PRId64, group->customers);
}

static void print_steps(struct show_job *job)
{
    static const char *const headers[] = {"step", "state",   ">attempt", ">epoch",
                                          "sent", ">in all", ">longest", ">customers"};
    struct group group = {.longest_ms = -1};
    cvm_table_init(&job->table, headers, sizeof(headers) / sizeof(headers[0]));
    job->table.has_colour = job->session->has_colour;
    for (size_t i = 0; i < job->steps.count; i++) {
        const struct cvm_step *step = &job->steps.items[i];
        bool is_last = i + 1 == job->steps.count || job->has_shards ||
                       job->steps.items[i + 1].step_no != step->step_no;
        add_row(&group, step);
        if (is_last) {
            char name[80];
            (void)snprintf(name, sizeof(name), "%s/%" PRId64, step->name, step->shard_no);
            group.name = job->has_shards ? name : step->name;
            print_group(job, &group);
            group = (struct group){.longest_ms = -1};
        }
    }
    cvm_table_print(&job->table, job->session->out);
}

static enum cvm_status print_failure(void *state, const struct cvm_step_failure *failure,
                                     struct cvm_error *err)
{
    struct show_job *job = state;
    char moment[CVM_MOMENT_TEXT_SIZE];
    (void)err;
    fprintf(job->session->out, "%s%s  %s/%" PRId64 ", attempt %" PRId64 ", %s: %s\n",
            job->failures == 0 ? "\nfailed attempts\n" : "",
            cvm_moment_format(failure->failed_ms, moment), name_of(job, failure->step_no),
            failure->shard_no, failure->attempt, failure->error_class, failure->error);
    job->failures++;
    return CVM_OK;
}

static enum cvm_status show_text(struct show_job *job, struct cvm_store *store,
                                 struct cvm_error *err)
{
    print_head(job);
    if (job->steps.count == 0) {
        fputs("No agent has looked at it yet.\n", job->session->out);
    } else {
        print_steps(job);
    }
    for (size_t i = 0; i < job->steps.count; i++) {
        const char *output = job->steps.items[i].output;
        enum cvm_status status =
            output == NULL ? CVM_OK : cvm_evaluation_print(job->session, output, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    return cvm_step_failure_list(store, job->workflow.workflow_id, print_failure, job, err);
}

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct show_job job = {
        .session = session,
        .has_shards = cvm_argument_given(arguments, "--shards"),
    };
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(cvm_store_db(store), err); /* one moment of it */
    }
    if (status == CVM_OK) {
        status =
            cvm_workflow_find(store, session->arena, arguments->positional[0], &job.workflow, err);
    }
    if (status == CVM_OK) {
        status = cvm_step_list(store, session->arena, job.workflow.workflow_id, &job.steps, err);
    }
    if (status == CVM_OK) {
        status = session->is_json ? show_json(&job, store, err) : show_text(&job, store, err);
    }
    cvm_store_close(store);
    return status;
}

static const struct cvm_option show_options[] = {
    {"--shards", NULL, "each shard of a step on a line of its own"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_workflow_show = {
    .name = "workflow show",
    .arguments = "WORKFLOW",
    .summary = "What happened to a workflow: steps, attempts, durations, errors",
    .details = "From the store alone. WORKFLOW is an id, the beginning of one, the run that it\n"
               "makes, or 'latest'.\n\n"
               "  cvm workflow show latest\n"
               "  cvm workflow show batch-3f9a --shards",
    .positional_min = 1,
    .positional_max = 1,
    .options = show_options,
    .run = run_show,
};
