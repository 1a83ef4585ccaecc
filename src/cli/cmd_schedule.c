/* schedule list */
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/workflow_definitions.h"
#include "workflows/schedule.h"

struct list_job {
    struct cvm_session *session;
    struct cvm_document document;
    struct cvm_table table;
    struct cvm_schedule_fire last; /* .schedule NULL = none */
};

static enum cvm_status keep_fire(void *state, const struct cvm_schedule_fire *fire,
                                 struct cvm_error *err)
{
    struct list_job *job = state;
    struct cvm_arena *arena = job->session->arena;
    job->last = *fire;
    job->last.outcome = cvm_arena_string(arena, fire->outcome);
    job->last.workflow_id =
        fire->workflow_id == NULL ? "" : cvm_arena_string(arena, fire->workflow_id);
    job->last.why = fire->why == NULL ? "" : cvm_arena_string(arena, fire->why);
    bool has_room =
        job->last.outcome != NULL && job->last.workflow_id != NULL && job->last.why != NULL;
    return has_room ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for schedules");
}

static void add_schedule(struct list_job *job, const struct cvm_schedule *schedule)
{
    struct cvm_json_writer *json = &job->document.json;
    const struct cvm_schedule_fire *last = &job->last;
    char next[CVM_MOMENT_TEXT_SIZE];
    char when[CVM_MOMENT_TEXT_SIZE];
    bool has_last = last->schedule != NULL;
    int64_t next_ms =
        cvm_cron_next(&schedule->cron, schedule->zone, cvm_context_now_ms(&job->session->context));
    cvm_json_object(json);
    cvm_json_key_string(json, "schedule", schedule->name);
    cvm_json_key_string(json, "workflow", schedule->workflow);
    cvm_json_key_string(json, "at", schedule->at);
    cvm_json_key_string(json, "zone", schedule->zone_name);
    cvm_json_key_moment(json, "next", next_ms);
    cvm_json_key_moment(json, "last", has_last ? last->fire_ms : 0);
    cvm_json_key_string(json, "outcome", has_last ? last->outcome : NULL);
    cvm_json_key_string(json, "workflow_id",
                        has_last && last->workflow_id[0] != '\0' ? last->workflow_id : NULL);
    cvm_json_key_string(json, "why", has_last && last->why[0] != '\0' ? last->why : NULL);
    cvm_json_object_end(json);
    cvm_table_add(&job->table, schedule->name);
    cvm_table_add(&job->table, schedule->workflow);
    cvm_table_add_format(&job->table, "%s %s", schedule->at, schedule->zone_name);
    cvm_table_add(&job->table, cvm_moment_format(next_ms, next));
    cvm_table_add(&job->table, has_last ? cvm_moment_format(last->fire_ms, when) : "-");
    cvm_table_add_format(&job->table, "%s%s%s", has_last ? last->outcome : "-",
                         has_last && last->why[0] != '\0' ? ": " : "", has_last ? last->why : "");
}

static enum cvm_status list(struct list_job *job, const struct cvm_schedules *schedules,
                            struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    for (size_t i = 0; status == CVM_OK && i < schedules->count; i++) {
        const struct cvm_schedule *schedule = &schedules->items[i];
        const struct cvm_definition *definition = NULL;
        job->last = (struct cvm_schedule_fire){.schedule = NULL};
        /* One that starts nothing is found out now, not at night. */
        status = cvm_session_definition(job->session, schedule->workflow, &definition, err);
        if (status == CVM_OK) {
            status = cvm_schedule_fire_list(store, schedule->name, 1, keep_fire, job, err);
        }
        if (status == CVM_OK) {
            add_schedule(job, schedule);
        } else {
            (void)cvm_error_context(err, status, "schedule '%s'", schedule->name);
        }
    }
    cvm_store_close(store);
    return status;
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {"schedule", "workflow", "at", "next", "last", "outcome"};
    struct list_job job = {.session = session};
    struct cvm_schedules schedules = {NULL, 0};
    (void)arguments;
    enum cvm_status status = cvm_schedules_read(session->arena, session->config.schedule,
                                                session->config.time_zone, &schedules, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&job.document);
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&job.document.json, "schedules");
    status = list(&job, &schedules, err);
    cvm_json_array_end(&job.document.json);
    cvm_schedules_finish(&schedules);
    return cvm_document_or_table(&job.document, &job.table, session, status, err);
}

const struct cvm_command cvm_command_schedule_list = {
    .name = "schedule list",
    .arguments = "",
    .summary = "Workflows that start by the clock: when next, and what came of the last time",
    .details = "They stand in cvm.yaml:\n\n"
               "  schedule:\n"
               "    nightly:\n"
               "      workflow: batch\n"
               "      at: \"0 2 * * *\"\n"
               "      input: {request: {as_of: $day}}\n"
               "      stale_after: 36h\n\n"
               "  cvm schedule list",
    .run = run_list,
};
