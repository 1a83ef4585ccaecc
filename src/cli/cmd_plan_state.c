/* plan approve, hold, release, recall, close */
#include <string.h>

#include "cli/commands.h"
#include "cli/plan_step.h"
#include "engine/channel_files.h"
#include "engine/withdrawal.h"
#include "storage/audit.h"

#define OPTION_AS                                                                                  \
    {                                                                                              \
        "--as", "NAME", "the person who does it; the audit keeps both"                             \
    }
#define OPTION_WHY                                                                                 \
    {                                                                                              \
        "--why", "TEXT", "goes into the audit"                                                     \
    }

/* ---- telling what was done ---- */

static void open_document(const struct cvm_plan_step *step, const char *state,
                          struct cvm_document *document)
{
    cvm_document_init(document);
    cvm_json_key_string(&document->json, "run_id", step->run.run_id);
    cvm_json_key_string(&document->json, "plan_state", state);
    cvm_json_key_string(&document->json, "plan_state_before", step->run.plan_state);
    cvm_json_key_string(&document->json, "who", step->who);
    cvm_json_key_string(&document->json, "why", step->why);
}

static enum cvm_status tell(const struct cvm_plan_step *step, const char *state, const char *next,
                            struct cvm_error *err)
{
    struct cvm_session *session = step->session;
    if (session->is_json) {
        struct cvm_document document;
        open_document(step, state, &document);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "Plan %s is %s; it was %s.\n", step->run.run_id, state,
            step->run.plan_state);
    if (next != NULL && !session->is_quiet) {
        fprintf(session->out, "\nNext:\n  cvm plan %s %s\n", next, step->run.run_id);
    }
    return CVM_OK;
}

/* ---- steps that only change the state ---- */

typedef enum cvm_status (*step_fn)(struct cvm_plan_step *step, struct cvm_error *err);

static enum cvm_status move(struct cvm_plan_step *step, const char *state, step_fn check,
                            struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(step->session, CVM_DB_WRITE, &store, err);
    if (status == CVM_OK) {
        status = cvm_plan_step_find(step, store, err);
    }
    if (status == CVM_OK && check != NULL) {
        status = check(step, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_begin(cvm_store_db(store), err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_set(step, store, state, step->why, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(cvm_store_db(store), err);
    }
    if (store != NULL) {
        cvm_db_rollback(cvm_store_db(store));
    }
    cvm_store_close(store);
    return status;
}

static enum cvm_status check_second_person(struct cvm_plan_step *step, struct cvm_error *err)
{
    const char *creator = step->run.created_by == NULL ? "" : step->run.created_by;
    bool is_open =
        strcmp(step->run.plan_state, "draft") == 0 || strcmp(step->run.plan_state, "held") == 0;
    if (!is_open || strcmp(step->session->config.approval, "second_person") != 0 ||
        creator[0] == '\0' || strcmp(cvm_plan_person(creator), cvm_plan_person(step->who)) != 0) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_DENIED,
                 "run '%s' was made by %s, and who makes a plan does not approve "
                 "it",
                 step->run.run_id, creator);
    return cvm_error_hint(
        err, status,
        "A second person approves: --as NAME says who; 'approval: same_person' in "
        "cvm.yaml lifts this.");
}

static enum cvm_status run_approve(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_plan_step step;
    enum cvm_status status = cvm_plan_step_init(&step, session, arguments, false, err);
    if (status == CVM_OK) {
        status = move(&step, "approved", check_second_person, err);
    }
    return status == CVM_OK ? tell(&step, "approved", "release", err) : status;
}

static const struct cvm_option step_options[] = {
    OPTION_WHY,
    OPTION_AS,
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_plan_approve = {
    .name = "plan approve",
    .arguments = "RUN|latest",
    .summary = "Let a draft or a held plan go",
    .details = "With `release: manual` a second person approves: not the one who made the run,\n"
               "unless cvm.yaml says `approval: same_person`.\n\n"
               "  cvm plan approve latest --as ANNA --why \"looked at the differences\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = step_options,
    .run = run_approve,
};

static enum cvm_status run_hold(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_plan_step step;
    const char *state = cvm_argument_given(arguments, "--lift") ? "draft" : "held";
    enum cvm_status status = cvm_plan_step_init(&step, session, arguments, true, err);
    if (status == CVM_OK) {
        status = move(&step, state, NULL, err);
    }
    return status == CVM_OK ? tell(&step, state, "approve", err) : status;
}

static const struct cvm_option hold_options[] = {
    OPTION_WHY,
    OPTION_AS,
    {"--lift", NULL, "make a held or approved plan a draft again"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_plan_hold = {
    .name = "plan hold",
    .arguments = "RUN|latest --why TEXT",
    .summary = "Keep a plan from being released until somebody has looked",
    .details =
        "A draft or an approved plan. Rules of release.yaml hold plans by themselves; `cvm plan\n"
        "show` says why.\n\n"
        "  cvm plan hold latest --why \"the price list changes tomorrow\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = hold_options,
    .run = run_hold,
};

static enum cvm_status check_plan(struct cvm_plan_step *step, struct cvm_error *err)
{
    return cvm_plan_step_is_plan(step, err);
}

static enum cvm_status run_close(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct cvm_plan_step step;
    enum cvm_status status = cvm_plan_step_init(&step, session, arguments, false, err);
    if (status == CVM_OK) {
        status = move(&step, "closed", check_plan, err);
    }
    return status == CVM_OK ? tell(&step, "closed", NULL, err) : status;
}

const struct cvm_command cvm_command_plan_close = {
    .name = "plan close",
    .arguments = "RUN|latest",
    .summary = "End a released plan: nothing more is handed over",
    .details = "  cvm plan close latest --why \"all outcomes are in\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = step_options,
    .run = run_close,
};

/* ---- release ---- */

static enum cvm_status check_approved(const struct cvm_plan_step *step, struct cvm_error *err)
{
    if (strcmp(step->run.plan_state, "approved") == 0) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_CONFLICT, "plan '%s' is %s and can not become released",
                 step->run.run_id, step->run.plan_state);
    bool is_open =
        strcmp(step->run.plan_state, "draft") == 0 || strcmp(step->run.plan_state, "held") == 0;
    return is_open ? cvm_error_hint(err, status,
                                    "Approve it first: `cvm plan approve %s`; `cvm plan show` says "
                                    "what it holds.",
                                    step->run.run_id)
                   : status;
}

static enum cvm_status tell_release(const struct cvm_plan_step *step,
                                    const struct cvm_withdrawn *withdrawn, int64_t checked,
                                    struct cvm_error *err)
{
    struct cvm_session *session = step->session;
    char numbers[2][CVM_NUMBER_TEXT_SIZE];
    if (session->is_json) {
        struct cvm_document document;
        open_document(step, "released", &document);
        cvm_json_key_int(&document.json, "checked", checked);
        cvm_json_key_int(&document.json, "released", checked - withdrawn->count);
        cvm_withdrawn_write(withdrawn, &document.json);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "Plan %s is released: %s of %s decisions.\n", step->run.run_id,
            cvm_grouped(checked - withdrawn->count, numbers[0]), cvm_grouped(checked, numbers[1]));
    cvm_withdrawn_print(withdrawn, session->out);
    if (!session->is_quiet) {
        fprintf(session->out, "\nNext:\n  cvm plan export %s --out FOLDER\n", step->run.run_id);
    }
    return CVM_OK;
}

static enum cvm_status run_release(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_work_options options = {.access = CVM_DB_WRITE, .needs_engine = true};
    struct cvm_release_request request = {.state = CVM_DECISION_DECIDED,
                                          .channel = CVM_CHANNEL_UNSET};
    struct cvm_withdrawn withdrawn = {0};
    struct cvm_plan_step step;
    struct cvm_work work = {0};
    int64_t checked = 0;
    enum cvm_status status = cvm_plan_step_init(&step, session, arguments, false, err);
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &work, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_find(&step, work.store, err);
    }
    if (status == CVM_OK) {
        status = check_approved(&step, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_check(&step, &work, &request, "released", &withdrawn, &checked, err);
    }
    cvm_work_close(&work);
    return status == CVM_OK ? tell_release(&step, &withdrawn, checked, err) : status;
}

const struct cvm_command cvm_command_plan_release = {
    .name = "plan release",
    .arguments = "RUN|latest",
    .summary = "Release an approved plan: its decisions may be handed over",
    .details =
        "Kill switches, consent and suppression are checked again, as they stand now; what fails\n"
        "is withdrawn and gives its capacity back.\n\n"
        "  cvm plan release latest",
    .positional_min = 1,
    .positional_max = 1,
    .options = step_options,
    .run = run_release,
};

/* ---- recall ---- */

struct recall_job {
    struct cvm_plan_step step;
    struct cvm_store *store;
    const struct cvm_catalogue *catalogue;
    struct cvm_withdrawal withdrawal;
    const char *folder; /* --out, or NULL */
    int64_t withdrawn;
    int64_t handed_over;
    struct cvm_export_result files;
};

static enum cvm_status take_back(void *state, const struct cvm_decision *decision,
                                 struct cvm_error *err)
{
    struct recall_job *job = state;
    bool is_open =
        decision->state == CVM_DECISION_DECIDED || decision->state == CVM_DECISION_RELEASED;
    if (!is_open || decision->ghost) {
        return CVM_OK;
    }
    job->withdrawn++;
    return cvm_withdrawal_add(&job->withdrawal, decision, err);
}

/* The decisions follow their plan: they read as withdrawn once it is recalled. */
static enum cvm_status recall(struct recall_job *job, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->store);
    job->withdrawal = (struct cvm_withdrawal){
        .writer = job->store,
        .reader = job->store,
        .arena = job->step.session->arena,
        .in_force = job->catalogue,
        .day = job->step.run.as_of_day,
    };
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_decision_scan(job->store, job->step.run.run_id, take_back, job, err);
    }
    if (status == CVM_OK) {
        status = cvm_withdrawal_end(&job->withdrawal, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_set(&job->step, job->store, "recalled", job->step.why, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

static enum cvm_status count_handed_over(void *state, const struct cvm_decision *decision,
                                         struct cvm_error *err)
{
    struct recall_job *job = state;
    (void)decision;
    (void)err;
    job->handed_over++;
    return CVM_OK;
}

/* First the plan is recalled, whatever becomes of the files: they can be made again. */
static enum cvm_status recall_with_files(struct recall_job *job, struct cvm_error *err)
{
    struct cvm_plan_step *step = &job->step;
    bool is_done = strcmp(step->run.plan_state, "recalled") == 0 && job->folder != NULL;
    enum cvm_status status = is_done ? CVM_OK : recall(job, err);
    if (status == CVM_OK) {
        status = cvm_decision_scan_handed_over(job->store, step->run.run_id, count_handed_over, job,
                                               err);
    }
    if (status != CVM_OK || job->folder == NULL) {
        return status;
    }
    struct cvm_export_request request = {
        .run = &step->run,
        .folder = job->folder,
        .kind = CVM_EXPORT_RECALL,
        .channel = CVM_CHANNEL_UNSET,
        .who = step->who,
        .why = step->why,
    };
    status = cvm_export_recall(job->store, &request, step->session->arena, &job->files, err);
    return status == CVM_OK
               ? CVM_OK
               : cvm_error_context(err, status, "the plan is recalled, but not its files");
}

static enum cvm_status tell_recall(const struct recall_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->step.session;
    const char *run_id = job->step.run.run_id;
    char number[CVM_NUMBER_TEXT_SIZE];
    if (session->is_json) {
        struct cvm_document document;
        open_document(&job->step, "recalled", &document);
        cvm_json_key_int(&document.json, "withdrawn", job->withdrawn);
        cvm_json_key_int(&document.json, "handed_over", job->handed_over);
        cvm_export_result_write(&job->files, &document.json);
        cvm_json_key_string(&document.json, "manifest", job->files.manifest);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "Plan %s is recalled: %s decisions withdrawn, their capacity returned.\n",
            run_id, cvm_grouped(job->withdrawn, number));
    for (size_t i = 0; i < job->files.file_count; i++) {
        fprintf(session->out, "  %12s rows  %s/%s\n", cvm_grouped(job->files.files[i].rows, number),
                job->folder, job->files.files[i].name);
    }
    if (job->handed_over > 0 && job->folder == NULL) {
        fprintf(session->out,
                "\n%s of them were handed over to channels. The files that take them back:\n"
                "  cvm plan recall %s --why TEXT --out FOLDER\n",
                cvm_grouped(job->handed_over, number), run_id);
    }
    return CVM_OK;
}

static enum cvm_status run_recall(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct recall_job job = {.folder = cvm_argument(arguments, "--out")};
    enum cvm_status status = cvm_plan_step_init(&job.step, session, arguments, true, err);
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_WRITE, &job.store, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_catalogue(session, job.store, &job.catalogue, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_find(&job.step, job.store, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_is_plan(&job.step, err);
    }
    if (status == CVM_OK) {
        status = recall_with_files(&job, err);
    }
    cvm_store_close(job.store);
    return status == CVM_OK ? tell_recall(&job, err) : status;
}

static const struct cvm_option recall_options[] = {
    OPTION_WHY,
    OPTION_AS,
    {"--out", "DIR", "write the files that take back what was handed over"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_plan_recall = {
    .name = "plan recall",
    .arguments = "RUN|latest --why TEXT",
    .summary = "Take a plan back: what is not yet sent is withdrawn",
    .details =
        "Capacity is returned at once. With --out there is a file per channel of what was handed\n"
        "over and not yet reported (decision_id, customer_id, treatment, file), also later.\n\n"
        "  cvm plan recall latest --why \"wrong price in the offer\" --out recall",
    .positional_min = 1,
    .positional_max = 1,
    .options = recall_options,
    .run = run_recall,
};
