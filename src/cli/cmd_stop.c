/* stop list, stop add, stop lift: kill switches */
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/plan_step.h"
#include "storage/stops.h"

/* ---- list ---- */

struct list_job {
    struct cvm_session *session;
    struct cvm_document document;
    struct cvm_table table;
    int64_t count;
};

static enum cvm_status list_stop(void *state, const struct cvm_stop *stop, struct cvm_error *err)
{
    struct list_job *job = state;
    struct cvm_json_writer *json = &job->document.json;
    char moment[CVM_MOMENT_TEXT_SIZE];
    (void)err;
    job->count++;
    cvm_json_object(json);
    cvm_json_key_string(json, "kind", stop->kind);
    cvm_json_key_string(json, "id", stop->id);
    cvm_json_key_moment(json, "at", stop->at_ms);
    cvm_json_key_string(json, "who", stop->who);
    cvm_json_key_string(json, "why", stop->why);
    cvm_json_object_end(json);
    cvm_table_add(&job->table, stop->kind);
    cvm_table_add(&job->table, stop->id);
    cvm_table_add(&job->table, cvm_moment_format(stop->at_ms, moment));
    cvm_table_add(&job->table, stop->who);
    cvm_table_add(&job->table, stop->why);
    return CVM_OK;
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {"stopped", "", "since", "by", "why"};
    struct list_job job = {.session = session};
    struct cvm_store *store = NULL;
    (void)arguments;
    cvm_document_init(&job.document);
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&job.document.json, "stops");
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_stop_list(store, list_stop, &job, err);
    }
    cvm_store_close(store);
    cvm_json_array_end(&job.document.json);
    if (status == CVM_OK && job.count == 0 && !session->is_json) {
        fputs("Nothing is stopped.\n", session->out);
        cvm_document_finish(&job.document);
        cvm_text_finish(&job.table.cells);
        return CVM_OK;
    }
    return cvm_document_or_table(&job.document, &job.table, session, status, err);
}

const struct cvm_command cvm_command_stop_list = {
    .name = "stop list",
    .arguments = "",
    .summary = "Treatments and channels that are stopped",
    .details = "  cvm stop list",
    .run = run_list,
};

/* ---- add, lift ---- */

static enum cvm_status check_channel(const char *name, struct cvm_error *err)
{
    for (unsigned c = 0; c < CVM_CHANNEL_COUNT; c++) {
        if (strcmp(cvm_channel_words[c], name) == 0) {
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_NOT_FOUND,
                    "there is no channel '%s'; there are call, email, sms and push", name);
}

/* What is lifted may have left the catalogue since. */
static enum cvm_status check_object(struct cvm_session *session, struct cvm_store *store,
                                    const struct cvm_stop *stop, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = NULL;
    int treatment = CVM_INDEX_NONE;
    if (strcmp(stop->kind, "channel") == 0) {
        return check_channel(stop->id, err);
    }
    enum cvm_status status = cvm_session_catalogue(session, store, &catalogue, err);
    if (status == CVM_OK) {
        status = cvm_find_treatment(catalogue, stop->id, &treatment, err);
    }
    if (status == CVM_OK && treatment == CVM_INDEX_NONE) {
        status = CVM_FAIL(err, CVM_E_INVALID, "'%s' is giving nothing, which can not be stopped",
                          stop->id);
    }
    return status;
}

struct changing {
    struct cvm_store *store;
    const struct cvm_stop *stop;
    bool is_adding;
};

static enum cvm_status change_once(void *state, struct cvm_error *err)
{
    const struct changing *c = state;
    return c->is_adding ? cvm_stop_add(c->store, c->stop, err)
                        : cvm_stop_lift(c->store, c->stop, err);
}

static enum cvm_status change(struct cvm_session *session, const struct cvm_stop *stop,
                              bool is_adding, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(session, CVM_DB_WRITE, &store, err);
    if (status == CVM_OK && is_adding) {
        status = check_object(session, store, stop, err);
    }
    if (status == CVM_OK) {
        struct changing changing = {store, stop, is_adding};
        status = cvm_db_transact(cvm_store_db(store), change_once, &changing, err);
    }
    cvm_store_close(store);
    return status;
}

static enum cvm_status tell(struct cvm_session *session, const struct cvm_stop *stop,
                            bool is_adding, struct cvm_error *err)
{
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "kind", stop->kind);
        cvm_json_key_string(&document.json, "id", stop->id);
        cvm_json_key_bool(&document.json, "stopped", is_adding);
        cvm_json_key_string(&document.json, "who", stop->who);
        cvm_json_key_string(&document.json, "why", stop->why);
        return cvm_document_print(&document, session, err);
    }
    if (is_adding) {
        fprintf(session->out,
                "The %s %s is stopped: no run gives it, no release and no export hands it over.\n",
                stop->kind, stop->id);
    } else {
        fprintf(session->out, "The %s %s is no longer stopped.\n", stop->kind, stop->id);
    }
    if (is_adding && !session->is_quiet) {
        fprintf(session->out,
                "What was handed over before is out: `cvm plan recall RUN --why TEXT --out DIR`.\n"
                "\nNext:\n  cvm stop list\n  cvm stop lift %s %s --why TEXT\n",
                stop->kind, stop->id);
    }
    return CVM_OK;
}

static enum cvm_status run_change(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, bool is_adding,
                                  struct cvm_error *err)
{
    struct cvm_plan_step step;
    enum cvm_status status = cvm_plan_step_init(&step, session, arguments, true, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_stop stop = {
        .kind = arguments->positional[0],
        .id = arguments->positional[1],
        .who = step.who,
        .why = step.why,
    };
    if (strcmp(stop.kind, "treatment") != 0 && strcmp(stop.kind, "channel") != 0) {
        return cvm_session_usage(session, CVM_FAIL(err, CVM_E_INVALID,
                                                   "found '%s', 'treatment' or 'channel' is "
                                                   "allowed",
                                                   stop.kind));
    }
    status = change(session, &stop, is_adding, err);
    return status == CVM_OK ? tell(session, &stop, is_adding, err) : status;
}

static enum cvm_status run_add(struct cvm_session *session, const struct cvm_arguments *arguments,
                               struct cvm_error *err)
{
    return run_change(session, arguments, true, err);
}

static enum cvm_status run_lift(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    return run_change(session, arguments, false, err);
}

static const struct cvm_option stop_options[] = {
    {"--why", "TEXT", "goes into the audit"},
    {"--as", "NAME", "the person who does it; the audit keeps both"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_stop_add = {
    .name = "stop add",
    .arguments = "treatment ID|channel NAME --why TEXT",
    .summary = "Kill switch: stop a treatment or a channel at once",
    .details = "Runs, decisions, releases and exports leave it out from now on.\n\n"
               "  cvm stop add channel sms --why \"the gateway sends twice\"",
    .positional_min = 2,
    .positional_max = 2,
    .options = stop_options,
    .run = run_add,
};

const struct cvm_command cvm_command_stop_lift = {
    .name = "stop lift",
    .arguments = "treatment ID|channel NAME --why TEXT",
    .summary = "Lift a kill switch",
    .details = "  cvm stop lift channel sms --why \"the gateway is repaired\"",
    .positional_min = 2,
    .positional_max = 2,
    .options = stop_options,
    .run = run_lift,
};
