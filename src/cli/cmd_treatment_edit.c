/* treatment add, update, remove, enable, disable: by people, shown back before it is stored. */
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/treatment_draft.h"
#include "cli/treatment_report.h"
#include "cli/work.h"

struct edit_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_store *store;
    struct cvm_catalogue_edit edit;
    const struct cvm_catalogue *catalogue; /* in force before */
    struct cvm_treatment_draft draft;
    const struct cvm_catalogue *after;     /* as it is to be */
    struct cvm_treatment treatment;        /* as it is to be, or as it was when it is removed */
    const struct cvm_catalogue_file *file; /* of it; NULL when it is removed */
    const struct cvm_catalogue_change *changes;
    size_t change_count;
    int64_t version; /* 0 = nothing is stored */
};

static enum cvm_status open_job(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct edit_job *out_job, struct cvm_error *err)
{
    struct edit_job job = {.session = session, .arguments = arguments};
    cvm_treatment_draft_init(&job.draft, session->arena);
    enum cvm_status status = cvm_session_store(session, CVM_DB_WRITE, &job.store, err);
    if (status == CVM_OK) {
        status = cvm_session_catalogue(session, job.store, &job.catalogue, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_begin(session, job.store, &job.edit, err);
    }
    if (status != CVM_OK) {
        cvm_treatment_draft_finish(&job.draft);
        cvm_store_close(job.store);
        return status;
    }
    *out_job = job;
    return CVM_OK;
}

static void close_job(struct edit_job *job)
{
    cvm_treatment_draft_finish(&job->draft);
    cvm_store_close(job->store);
}

static enum cvm_status now_text(struct edit_job *job, const char **out_text, struct cvm_error *err)
{
    char moment[CVM_MOMENT_TEXT_SIZE];
    const char *text = cvm_arena_string(
        job->session->arena, cvm_moment_format(cvm_context_now_ms(&job->session->context), moment));
    if (text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment");
    }
    *out_text = text;
    return CVM_OK;
}

/* ---- shown back ---- */

static bool is_usable(const struct cvm_treatment *treatment)
{
    return treatment->channel != CVM_CHANNEL_UNSET && treatment->purpose != CVM_PURPOSE_UNSET;
}

static void print_words(const struct edit_job *job)
{
    FILE *out = job->session->out;
    const struct cvm_treatment *treatment = &job->treatment;
    char number[CVM_NUMBER_TEXT_SIZE];
    fprintf(out, "%s: %s\n", treatment->id, treatment->display_name);
    if (strcmp(treatment->description, treatment->display_name) != 0) {
        fprintf(out, "  %s\n", treatment->description);
    }
    fprintf(out, "  %s, %s, %s; %s%s, %.3f per contact, priority %lld%s\n",
            treatment->channel == CVM_CHANNEL_UNSET ? "no channel"
                                                    : cvm_channel_words[treatment->channel],
            treatment->purpose == CVM_PURPOSE_UNSET ? "no purpose"
                                                    : cvm_purpose_words[treatment->purpose],
            cvm_treatment_class_words[treatment->class],
            treatment->max_per_day < 0 ? "no limit" : "at most ",
            treatment->max_per_day < 0 ? "" : cvm_grouped(treatment->max_per_day, number),
            cvm_micro_to_double(treatment->cost_micro), (long long)treatment->priority,
            treatment->enabled ? "" : "; disabled");
    cvm_lines_print(out, "  taken      ", &job->draft.told);
    cvm_lines_print(out, "  not taken  ", &job->draft.not_taken);
    cvm_lines_print(out, "  filled in  ", &job->draft.notes);
    if (!is_usable(treatment)) {
        bool lacks_channel = treatment->channel == CVM_CHANNEL_UNSET;
        bool lacks_purpose = treatment->purpose == CVM_PURPOSE_UNSET;
        bool lacks_both = lacks_channel && lacks_purpose;
        fprintf(out,
                "  Not usable for contact: it has no %s%s%s. Set it:\n"
                "    cvm treatment update %s '{%s%s%s}'\n",
                lacks_channel ? "channel" : "", lacks_both ? " and no " : "",
                lacks_purpose ? "purpose" : "", treatment->id,
                lacks_channel ? "\"channel\": \"email\"" : "", lacks_both ? ", " : "",
                lacks_purpose ? "\"purpose\": \"marketing\"" : "");
    }
}

static void print_yaml(const struct edit_job *job)
{
    const struct cvm_catalogue_file *file = job->file;
    struct cvm_text lines;
    if (file == NULL) {
        return;
    }
    cvm_text_init(&lines, 0);
    cvm_text_add_bytes(&lines, file->text, file->length);
    fprintf(job->session->out, "\n%s\n", file->name);
    cvm_lines_print(job->session->out, "  ", &lines);
    fputc('\n', job->session->out);
    cvm_text_finish(&lines);
}

static enum cvm_status print_document(const struct edit_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    bool is_dry = cvm_argument_given(job->arguments, "--dry-run");
    bool is_known = job->file != NULL;
    cvm_document_init(&document);
    cvm_json_key_int(json, "catalogue_version",
                     job->version > 0 ? job->version : job->edit.version);
    cvm_json_key_bool(json, "changed", job->version > 0 && job->version != job->edit.version);
    cvm_json_key_bool(json, "dry_run", is_dry);
    cvm_json_key_object(json, "treatment");
    cvm_treatment_json_write(is_known ? job->after : job->catalogue, &job->treatment, json);
    cvm_treatment_details_write(&job->treatment, json);
    cvm_json_object_end(json);
    cvm_json_key_bool(json, "usable", is_known && is_usable(&job->treatment));
    cvm_json_key_lines(json, "taken", &job->draft.told);
    cvm_json_key_lines(json, "not_taken", &job->draft.not_taken);
    cvm_json_key_lines(json, "filled_in", &job->draft.notes);
    cvm_json_key(json, "yaml");
    if (is_known) {
        cvm_json_string_n(json, job->file->text, job->file->length);
    } else {
        cvm_json_null(json);
    }
    cvm_json_key(json, "changes");
    cvm_catalogue_changes_write(json, job->changes, job->change_count);
    return cvm_document_print(&document, job->session, err);
}

/* ---- show, ask, store ---- */

static enum cvm_status store(struct edit_job *job, const char *why, struct cvm_error *err)
{
    struct cvm_catalogue_update update;
    enum cvm_status status = cvm_catalogue_edit_store(&job->edit, why, &update, err);
    if (status == CVM_OK) {
        job->version = update.version;
    }
    return status;
}

/* The end of every command here. `is_whole`: show the file, else only what changes. */
static enum cvm_status finish_job(struct edit_job *job, const char *why, bool is_whole,
                                  struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    bool is_dry = cvm_argument_given(job->arguments, "--dry-run");
    enum cvm_status status = cvm_catalogue_diff(session->arena, &job->edit.before, &job->edit.files,
                                                &job->changes, &job->change_count, err);
    if (status == CVM_OK && !session->is_json) {
        print_words(job);
        if (is_whole) {
            print_yaml(job);
        } else {
            cvm_catalogue_changes_print(session->out, job->changes, job->change_count, 0);
        }
    }
    bool is_wanted =
        status == CVM_OK && !is_dry &&
        (cvm_argument_given(job->arguments, "--yes") || cvm_session_ask(session, "Store this?"));
    if (is_wanted) {
        status = store(job, why, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        return print_document(job, err);
    }
    if (!is_wanted) {
        fputs("Nothing was stored.\n", session->out);
    } else if (job->version == job->edit.version) {
        fprintf(session->out, "Nothing changed: catalogue version %lld says so already.\n",
                (long long)job->version);
    } else {
        fprintf(session->out, "Catalogue version %lld is in force.\n", (long long)job->version);
    }
    return CVM_OK;
}

/* The draft, checked, as the file that it becomes. */
static enum cvm_status put_draft(struct edit_job *job, bool is_new, struct cvm_error *err)
{
    const char *now = NULL;
    char name[96];
    enum cvm_status status =
        cvm_treatment_draft_read(&job->draft, &job->edit, &job->after, &job->treatment, err);
    if (status == CVM_OK) {
        status = now_text(job, &now, err);
    }
    if (status == CVM_OK && is_new) {
        job->treatment.created_at = now;
    } else if (status == CVM_OK) {
        job->treatment.updated_at = now;
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_put_treatment(&job->edit, job->after, &job->treatment, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_check(&job->edit, &job->after, err);
    }
    if (status == CVM_OK) {
        (void)snprintf(name, sizeof(name), "treatments/%s.yaml", job->treatment.id);
        job->file = cvm_catalogue_edit_file(&job->edit, name);
    }
    return status;
}

#define COMMON_OPTIONS                                                                             \
    {"--dry-run", NULL, "show it and store nothing"}, {"--yes", NULL, "do not ask"},               \
    {                                                                                              \
        NULL, NULL, NULL                                                                           \
    }

/* ---- add ---- */

static enum cvm_status add(struct edit_job *job, struct cvm_error *err)
{
    const char *words = job->arguments->positional[0];
    struct cvm_treatment_draft *draft = &job->draft;
    enum cvm_status status = cvm_treatment_draft_take(draft, job->catalogue, words, false, err);
    if (status == CVM_OK) {
        status = cvm_treatment_draft_name(draft, job->catalogue, words,
                                          cvm_argument_given(job->arguments, "--again"), err);
    }
    if (status == CVM_OK) {
        status = cvm_treatment_draft_set_flag(draft, "custom", true, err);
    }
    if (status == CVM_OK) {
        status = cvm_treatment_draft_fill(draft, job->catalogue, err);
    }
    if (status == CVM_OK) {
        status = put_draft(job, true, err);
    }
    return status == CVM_OK ? finish_job(job, "cvm treatment add", true, err) : status;
}

static enum cvm_status run_add(struct cvm_session *session, const struct cvm_arguments *arguments,
                               struct cvm_error *err)
{
    struct edit_job job;
    enum cvm_status status = open_job(session, arguments, &job, err);
    if (status == CVM_OK) {
        status = add(&job, err);
        close_job(&job);
    }
    return status;
}

static const struct cvm_option add_options[] = {
    {"--again", NULL, "add the same words once more, as another treatment"},
    COMMON_OPTIONS,
};

const struct cvm_command cvm_command_treatment_add = {
    .name = "treatment add",
    .arguments = "TEXT|JSON|FILE",
    .summary = "Add a treatment from a sentence, JSON or a file",
    .details =
        "Of a sentence count: a limit per day ('limit 10', 'at most 20 per day'), a priority\n"
        "('priority 2'), a cost per contact ('costs 0.50'), the channel (call, email, sms, push)\n"
        "and the purpose (marketing, service, billing, or words for it). What is negated or in\n"
        "quotes is not taken. JSON and YAML have the keys of the catalogue's treatment files.\n"
        "The treatment is shown before it is stored; on a terminal you are asked. What nobody\n"
        "said is filled in and told. Without channel and purpose it can not be used yet.\n\n"
        "  cvm treatment add 'Send gamers a discount by sms, limit 10 and priority 2'\n"
        "  cvm treatment add '{\"description\": \"Fibre offer\", \"channel\": \"email\",\n"
        "                      \"purpose\": \"marketing\", \"max_per_day\": 5}' --dry-run",
    .positional_min = 1,
    .positional_max = 1,
    .options = add_options,
    .run = run_add,
};

/* ---- update ---- */

static enum cvm_status find_named(struct edit_job *job, struct cvm_error *err)
{
    const char *id = job->arguments->positional[0];
    int found = CVM_INDEX_NONE;
    char name[96];
    enum cvm_status status = cvm_find_treatment(job->catalogue, id, &found, err);
    if (status == CVM_OK && found == CVM_INDEX_NONE) {
        status = CVM_FAIL(err, CVM_E_DENIED, "'%s' is doing nothing: it is always there", id);
    }
    if (status != CVM_OK) {
        return status;
    }
    job->treatment = job->catalogue->treatments[found];
    job->after = job->catalogue;
    (void)snprintf(name, sizeof(name), "treatments/%s.yaml", id);
    job->file = cvm_catalogue_edit_file(&job->edit, name);
    return job->file != NULL
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_INTERNAL, "treatment '%s' has no file of its own", id);
}

static enum cvm_status update(struct edit_job *job, struct cvm_error *err)
{
    struct cvm_treatment_draft *draft = &job->draft;
    const char *words = job->arguments->positional[1];
    enum cvm_status status = find_named(job, err);
    if (status == CVM_OK) {
        status = cvm_treatment_draft_begin(draft, job->file, err);
    }
    if (status == CVM_OK) {
        draft->change_count = 0;
        status = cvm_treatment_draft_take(draft, job->catalogue, words, true, err);
    }
    if (status == CVM_OK && draft->change_count == 0) {
        status = CVM_FAIL(err, CVM_E_INVALID, "nothing in '%.80s' names a change", words);
        status = cvm_error_hint(err, status,
                                "Say for example 'limit 20, priority 1', or JSON: "
                                "'{\"max_per_day\": 20}'.");
    }
    if (status == CVM_OK) {
        status = put_draft(job, false, err);
    }
    return status == CVM_OK ? finish_job(job, "cvm treatment update", false, err) : status;
}

static enum cvm_status run_update(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct edit_job job;
    enum cvm_status status = open_job(session, arguments, &job, err);
    if (status == CVM_OK) {
        status = update(&job, err);
        close_job(&job);
    }
    return status;
}

static const struct cvm_option edit_options[] = {COMMON_OPTIONS};

const struct cvm_command cvm_command_treatment_update = {
    .name = "treatment update",
    .arguments = "ID TEXT|JSON|FILE",
    .summary = "Change what is named of a treatment, and nothing else",
    .details = "Id, creation and everything that is not named stay. A text with words of its own\n"
               "becomes the description too.\n\n"
               "  cvm treatment update retention_sms 'limit 500'\n"
               "  cvm treatment update retention_sms '{\"cost\": 0.02, \"max_per_day\": null}'",
    .positional_min = 2,
    .positional_max = 2,
    .options = edit_options,
    .run = run_update,
};

/* ---- remove ---- */

static enum cvm_status remove_named(struct edit_job *job, struct cvm_error *err)
{
    const struct cvm_treatment *treatment = &job->treatment;
    enum cvm_status status = find_named(job, err);
    if (status == CVM_OK && !treatment->custom) {
        status = CVM_FAIL(err, CVM_E_DENIED, "treatment '%s' is shipped and is not removed",
                          treatment->id);
        return cvm_error_hint(err, status, "Disable it: `cvm treatment disable %s`.",
                              treatment->id);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_remove(&job->edit, job->file->name, err);
    }
    if (status == CVM_OK) {
        job->file = NULL;
        status = cvm_catalogue_edit_check(&job->edit, &job->after, err);
    }
    return status == CVM_OK ? finish_job(job, "cvm treatment remove", false, err) : status;
}

static enum cvm_status run_remove(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct edit_job job;
    enum cvm_status status = open_job(session, arguments, &job, err);
    if (status == CVM_OK) {
        status = remove_named(&job, err);
        close_job(&job);
    }
    return status;
}

const struct cvm_command cvm_command_treatment_remove = {
    .name = "treatment remove",
    .arguments = "ID",
    .summary = "Remove a treatment that a person added",
    .details = "Shipped treatments are disabled, not removed. Decisions of the past keep their\n"
               "treatment: older versions of the catalogue stay in the store.\n\n"
               "  cvm treatment remove custom_send_gamers_a_discou_1a2b3c4d",
    .positional_min = 1,
    .positional_max = 1,
    .options = edit_options,
    .run = run_remove,
};

/* ---- enable, disable ---- */

/* Only the one line is touched: comments of the file stay. */
static enum cvm_status put_enabled(struct edit_job *job, bool is_enabled, struct cvm_error *err)
{
    const struct cvm_catalogue_file *file = job->file;
    const char *at = file->text;
    bool is_found = false;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    while (*at != '\0') {
        size_t length = strcspn(at, "\n");
        bool is_line = strncmp(at, "enabled:", 8) == 0;
        if (is_line) {
            cvm_text_add_format(&text, "enabled: %s", is_enabled ? "true" : "false");
        } else {
            cvm_text_add_bytes(&text, at, length);
        }
        cvm_text_add(&text, "\n");
        is_found |= is_line;
        at += length + (at[length] == '\n' ? 1 : 0);
    }
    if (!is_found) {
        cvm_text_add_format(&text, "enabled: %s\n", is_enabled ? "true" : "false");
    }
    enum cvm_status status = text.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment")
                                 : cvm_catalogue_edit_put(&job->edit, file->name,
                                                          cvm_text_string(&text), text.length, err);
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status set_enabled(struct edit_job *job, bool is_enabled, struct cvm_error *err)
{
    enum cvm_status status = find_named(job, err);
    if (status == CVM_OK) {
        status = put_enabled(job, is_enabled, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_check(&job->edit, &job->after, err);
    }
    if (status == CVM_OK) {
        job->file = cvm_catalogue_edit_file(&job->edit, job->file->name);
        job->treatment.enabled = is_enabled;
        status = finish_job(job, is_enabled ? "cvm treatment enable" : "cvm treatment disable",
                            false, err);
    }
    return status;
}

static enum cvm_status run_enable(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct edit_job job;
    enum cvm_status status = open_job(session, arguments, &job, err);
    if (status == CVM_OK) {
        status = set_enabled(&job, true, err);
        close_job(&job);
    }
    return status;
}

static enum cvm_status run_disable(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct edit_job job;
    enum cvm_status status = open_job(session, arguments, &job, err);
    if (status == CVM_OK) {
        status = set_enabled(&job, false, err);
        close_job(&job);
    }
    return status;
}

const struct cvm_command cvm_command_treatment_enable = {
    .name = "treatment enable",
    .arguments = "ID",
    .summary = "Let a treatment be given again",
    .details = "  cvm treatment enable retention_email",
    .positional_min = 1,
    .positional_max = 1,
    .options = edit_options,
    .run = run_enable,
};

const struct cvm_command cvm_command_treatment_disable = {
    .name = "treatment disable",
    .arguments = "ID",
    .summary = "Give a treatment to nobody from now on",
    .details = "No run and no `cvm decide` gives it any more; what was decided stays. To stop\n"
               "what is already released, see `cvm stop`.\n\n"
               "  cvm treatment disable retention_email",
    .positional_min = 1,
    .positional_max = 1,
    .options = edit_options,
    .run = run_disable,
};
