/* plan export */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/plan_step.h"
#include "engine/channel_files.h"

struct export_job {
    struct cvm_plan_step step;
    struct cvm_work work;
    struct cvm_export_request request;
    struct cvm_withdrawn withdrawn;
    struct cvm_export_result result;
};

static enum cvm_status parse_share(struct export_job *job, const char *text, struct cvm_error *err)
{
    char *end = NULL;
    double share = strtod(text, &end);
    if (end == text || *end != '\0' || !(share > 0) || !(share < 1)) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "option '--pilot': found '%s', a share between 0 and 1 is allowed", text);
    }
    job->request.kind = CVM_EXPORT_PILOT;
    job->request.pilot_share = share;
    return CVM_OK;
}

static enum cvm_status parse_channel(struct export_job *job, const char *name,
                                     struct cvm_error *err)
{
    static const enum cvm_channel allowed[] = {CVM_CHANNEL_CALL, CVM_CHANNEL_EMAIL, CVM_CHANNEL_SMS,
                                               CVM_CHANNEL_PUSH, CVM_CHANNEL_NONE};
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (strcmp(cvm_channel_words[allowed[i]], name) == 0) {
            job->request.channel = allowed[i];
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_INVALID,
                    "option '--channel': found '%s', one of call, email, sms, push and none is "
                    "allowed",
                    name);
}

static enum cvm_status parse(struct export_job *job, const struct cvm_arguments *arguments,
                             struct cvm_error *err)
{
    const char *channel = cvm_argument(arguments, "--channel");
    const char *pilot = cvm_argument(arguments, "--pilot");
    bool is_test = cvm_argument_given(arguments, "--test");
    enum cvm_status status = CVM_OK;
    job->request.channel = CVM_CHANNEL_UNSET;
    job->request.folder = cvm_argument(arguments, "--out");
    job->request.is_again = cvm_argument_given(arguments, "--again");
    if (job->request.folder == NULL || job->request.folder[0] == '\0') {
        return CVM_FAIL(err, CVM_E_INVALID, "say where to: --out DIR");
    }
    if ((pilot != NULL) + is_test + job->request.is_again > 1) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "only one of '--pilot', '--test' and '--again' can be given");
    }
    job->request.kind = is_test ? CVM_EXPORT_TEST : CVM_EXPORT_FULL;
    if (channel != NULL) {
        status = parse_channel(job, channel, err);
    }
    return status == CVM_OK && pilot != NULL ? parse_share(job, pilot, err) : status;
}

static enum cvm_status check_released(const struct export_job *job, struct cvm_error *err)
{
    const struct cvm_run_record *run = &job->step.run;
    if (strcmp(run->plan_state, "released") == 0) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_CONFLICT, "plan '%s' is %s: only a released plan is handed over",
                 run->run_id, run->plan_state);
    bool is_ready = strcmp(run->plan_state, "approved") == 0;
    bool is_over =
        strcmp(run->plan_state, "recalled") == 0 || strcmp(run->plan_state, "closed") == 0;
    if (is_over) {
        return status;
    }
    return cvm_error_hint(err, status, "First `cvm plan %s %s`.", is_ready ? "release" : "approve",
                          run->run_id);
}

/* A test shows what would go out; nobody is contacted by it who has not agreed to be. */
static enum cvm_status export_plan(struct export_job *job, struct cvm_error *err)
{
    struct cvm_release_request request = {
        .state = CVM_DECISION_RELEASED,
        .is_handed_over = job->request.is_again,
        .channel = job->request.channel,
    };
    int64_t checked = 0;
    enum cvm_status status = CVM_OK;
    job->request.run = &job->step.run;
    job->request.who = job->step.who;
    job->request.why = job->step.why;
    if (job->request.kind != CVM_EXPORT_TEST) {
        status = cvm_plan_step_check(&job->step, &job->work, &request, NULL, &job->withdrawn,
                                     &checked, err);
        job->request.withdrawn = job->withdrawn.by_reason;
    }
    if (status != CVM_OK) {
        return status;
    }
    return cvm_export_plan(job->work.engine, job->work.store, &job->request,
                           job->step.session->arena, &job->result, err);
}

static enum cvm_status tell_json(const struct export_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_string(&document.json, "run_id", job->step.run.run_id);
    cvm_json_key_string(&document.json, "out", job->request.folder);
    cvm_json_key_string(&document.json, "manifest", job->result.manifest);
    cvm_export_result_write(&job->result, &document.json);
    cvm_withdrawn_write(&job->withdrawn, &document.json);
    return cvm_document_print(&document, job->step.session, err);
}

static void print_left(const struct export_job *job)
{
    const struct cvm_export_left *left = &job->result.left;
    const struct {
        int64_t count;
        const char *why;
    } lines[] = {
        {left->ghosts, "are in a control group"},
        {left->withdrawn, "are withdrawn"},
        {left->handed_over, "were handed over before"},
        {left->reported, "are reported already"},
        {left->later, "are for a later export"},
        {left->no_file, "are of a channel without a channels/NAME.yaml in the catalogue"},
    };
    char number[CVM_NUMBER_TEXT_SIZE];
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i].count > 0) {
            fprintf(job->step.session->out, "  %12s decisions %s\n",
                    cvm_grouped(lines[i].count, number), lines[i].why);
        }
    }
}

static enum cvm_status tell(const struct export_job *job, struct cvm_error *err)
{
    static const char *const headers[] = {"channel", ">rows", "file"};
    struct cvm_session *session = job->step.session;
    struct cvm_table table;
    char number[CVM_NUMBER_TEXT_SIZE];
    if (session->is_json) {
        return tell_json(job, err);
    }
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < job->result.file_count; i++) {
        cvm_table_add(&table, job->result.files[i].channel);
        cvm_table_add(&table, cvm_grouped(job->result.files[i].rows, number));
        cvm_table_add(&table, job->result.files[i].name);
    }
    if (job->result.file_count > 0) {
        cvm_table_print(&table, session->out);
        fprintf(session->out, "\nIn %s, with their digests in manifest.json.\n",
                job->request.folder);
    } else {
        cvm_text_finish(&table.cells);
        fprintf(session->out, "Nothing to hand over.%s\n",
                job->result.left.handed_over > 0 ? " --again writes what was handed over once more."
                                                 : "");
    }
    print_left(job);
    cvm_withdrawn_print(&job->withdrawn, session->out);
    return CVM_OK;
}

static enum cvm_status run_export(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_work_options options = {.access = CVM_DB_WRITE, .needs_engine = true};
    struct export_job job = {0};
    enum cvm_status status = cvm_session_usage(session, parse(&job, arguments, err));
    if (status == CVM_OK) {
        status = cvm_plan_step_init(&job.step, session, arguments, false, err);
    }
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &job.work, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_find(&job.step, job.work.store, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_is_plan(&job.step, err);
    }
    if (status == CVM_OK) {
        status = check_released(&job, err);
    }
    if (status == CVM_OK) {
        status = export_plan(&job, err);
    }
    cvm_work_close(&job.work);
    return status == CVM_OK ? tell(&job, err) : status;
}

static const struct cvm_option export_options[] = {
    {"--out", "DIR", "the folder for the files and manifest.json"},
    {"--channel", "C", "only this channel: call, email, sms, push, none"},
    {"--pilot", "SHARE", "only this share of the customers, 0.05 = 5 %; the others later"},
    {"--test", NULL, "only the channels' test recipients, marked as a test"},
    {"--again", NULL, "the files that were handed over before, once more"},
    {"--why", "TEXT", "goes into the audit"},
    {"--as", "NAME", "the person who does it; the audit keeps both"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_plan_export = {
    .name = "plan export",
    .arguments = "RUN|latest --out DIR",
    .summary = "Hand a released plan over: a file per channel and a manifest",
    .details =
        "What was handed over is not handed over again. Kill switches, consent and suppression\n"
        "are checked again first. The catalogue's channels/NAME.yaml says what a file holds.\n\n"
        "  cvm plan export latest --out handover --pilot 0.05\n"
        "  cvm plan export latest --out handover",
    .positional_min = 1,
    .positional_max = 1,
    .options = export_options,
    .run = run_export,
};
