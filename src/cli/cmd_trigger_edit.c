/* trigger add, remove, enable, disable: by people, shown back before it is stored. */
#include <string.h>

#include "base/date.h"
#include "base/yaml.h"
#include "cli/catalogue_edit.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/trigger_report.h"

struct edit_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_store *store;
    struct cvm_catalogue_edit edit;
    const struct cvm_catalogue *catalogue; /* in force before */
    const struct cvm_catalogue *after;     /* as it is to be */
    const char *name;
    char file[96];
    struct cvm_catalogue_update update; /* version 0 = nothing is stored */
};

static enum cvm_status fail_usage(struct edit_job *job, enum cvm_status status)
{
    return cvm_session_usage(job->session, status);
}

/* ---- shown back ---- */

/* As it is to be, or as it was when it is removed. */
static const struct cvm_trigger *trigger_of(const struct edit_job *job)
{
    int found = cvm_catalogue_trigger(job->after, job->name);
    return found != CVM_INDEX_NONE
               ? &job->after->triggers[found]
               : &job->catalogue->triggers[cvm_catalogue_trigger(job->catalogue, job->name)];
}

static enum cvm_status print_document(const struct edit_job *job, bool is_dry,
                                      struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_int(json, "catalogue_version",
                     job->update.version > 0 ? job->update.version : job->edit.version);
    cvm_json_key_bool(json, "changed",
                      job->update.version > 0 && job->update.version != job->edit.version);
    cvm_json_key_bool(json, "dry_run", is_dry);
    cvm_json_key_object(json, "trigger");
    cvm_trigger_json_write(trigger_of(job), json);
    cvm_json_object_end(json);
    cvm_json_key(json, "changes");
    cvm_catalogue_changes_write(json, job->update.changes, job->update.change_count);
    return cvm_document_print(&document, job->session, err);
}

/* ---- show, ask, store ---- */

static enum cvm_status finish_job(struct edit_job *job, const char *why, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    bool is_dry = cvm_argument_given(job->arguments, "--dry-run");
    enum cvm_status status = cvm_catalogue_edit_check(&job->edit, &job->after, err);
    if (status != CVM_OK) {
        return status;
    }
    if (!session->is_json) {
        cvm_trigger_print(session->out, trigger_of(job));
    }
    bool is_wanted = !is_dry && (cvm_argument_given(job->arguments, "--yes") ||
                                 cvm_session_ask(session, "Store this?"));
    if (is_wanted) {
        status = cvm_catalogue_edit_store(&job->edit, why, &job->update, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        return print_document(job, is_dry, err);
    }
    if (!is_wanted) {
        fputs("Nothing was stored.\n", session->out);
    } else if (job->update.version == job->edit.version) {
        fprintf(session->out, "Nothing changed: catalogue version %lld says so already.\n",
                (long long)job->update.version);
    } else {
        fprintf(session->out, "Catalogue version %lld is in force.\n",
                (long long)job->update.version);
    }
    return CVM_OK;
}

typedef enum cvm_status (*edit_fn)(struct edit_job *job, struct cvm_error *err);

static enum cvm_status run_edit(struct cvm_session *session, const struct cvm_arguments *arguments,
                                edit_fn edit, const char *why, struct cvm_error *err)
{
    struct edit_job job = {
        .session = session, .arguments = arguments, .name = arguments->positional[0]};
    (void)snprintf(job.file, sizeof(job.file), "triggers/%.64s.yaml", job.name);
    enum cvm_status status = cvm_session_store(session, CVM_DB_WRITE, &job.store, err);
    if (status == CVM_OK) {
        status = cvm_session_catalogue(session, job.store, &job.catalogue, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_begin(session, job.store, &job.edit, err);
    }
    if (status == CVM_OK) {
        status = edit(&job, err);
    }
    if (status == CVM_OK) {
        status = finish_job(&job, why, err);
    }
    cvm_store_close(job.store);
    return status;
}

#define COMMON_OPTIONS                                                                             \
    {"--dry-run", NULL, "show it and store nothing"}, {"--yes", NULL, "do not ask"},               \
    {                                                                                              \
        NULL, NULL, NULL                                                                           \
    }

/* ---- add ---- */

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return text[0] >= 'a' && text[0] <= 'z' && text[length] == '\0' && length <= 64;
}

static bool is_blank(const char *text)
{
    return text == NULL || text[strspn(text, " \t\r\n")] == '\0';
}

static enum cvm_status check_new(struct edit_job *job, struct cvm_error *err)
{
    if (!is_name(job->name)) {
        return fail_usage(job, CVM_FAIL(err, CVM_E_INVALID,
                                        "'%.80s' is no name: it begins with a letter and has at "
                                        "most 64 of a-z 0-9 _",
                                        job->name));
    }
    if (is_blank(cvm_argument(job->arguments, "--description"))) {
        enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID,
                                          "a trigger needs --description: whom it looks for, for "
                                          "people");
        return fail_usage(job, status);
    }
    if (is_blank(cvm_argument(job->arguments, "--when"))) {
        enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "a trigger needs --when: its rule");
        (void)cvm_error_hint(err, status, "For example --when \"churn_score > 0.3\".");
        return fail_usage(job, status);
    }
    if (cvm_catalogue_trigger(job->catalogue, job->name) == CVM_INDEX_NONE) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_CONFLICT, "there is a trigger '%s' already", job->name);
    return cvm_error_hint(err, status, "`cvm trigger show %s` shows it.", job->name);
}

static void write_key(struct cvm_text *out, const char *key, const char *value)
{
    if (!is_blank(value)) {
        cvm_text_add_format(out, "%s: ", key);
        cvm_yaml_add_scalar(out, value);
        cvm_text_add_char(out, '\n');
    }
}

static enum cvm_status add(struct edit_job *job, struct cvm_error *err)
{
    char now[CVM_MOMENT_TEXT_SIZE];
    struct cvm_text text;
    enum cvm_status status = check_new(job, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&text, 0);
    write_key(&text, "trigger", job->name);
    write_key(&text, "display_name", cvm_argument(job->arguments, "--display-name"));
    write_key(&text, "description", cvm_argument(job->arguments, "--description"));
    cvm_text_add(&text, "custom: true\n");
    write_key(&text, "when", cvm_argument(job->arguments, "--when"));
    write_key(&text, "created_at",
              cvm_moment_format(cvm_context_now_ms(&job->session->context), now));
    status = text.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a trigger")
                         : cvm_catalogue_edit_put(&job->edit, job->file, cvm_text_string(&text),
                                                  text.length, err);
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status run_add(struct cvm_session *session, const struct cvm_arguments *arguments,
                               struct cvm_error *err)
{
    return run_edit(session, arguments, add, "cvm trigger add", err);
}

static const struct cvm_option add_options[] = {
    {"--when", "RULE", "whom it looks for, as a rule over features and events"},
    {"--description", "TEXT", "the same for people"},
    {"--display-name", "TEXT", "its name for people (default: NAME)"},
    COMMON_OPTIONS,
};

const struct cvm_command cvm_command_trigger_add = {
    .name = "trigger add",
    .arguments = "NAME",
    .summary = "Look for customers by a rule of your own",
    .details =
        "The rule is checked, shown back and stored as the next version of the catalogue.\n"
        "Words in calls and chats are looked for with mentions(); they are found in the journeys\n"
        "once these are built anew, which the next command that needs them does.\n\n"
        "  cvm trigger add gamers --description 'Speaks of games or lag' \\\n"
        "      --when \"count(call_transcripts, mentions('gaming', 'lag')) > 0\"\n"
        "  cvm trigger add worried --description 'Some risk, and unhappy' \\\n"
        "      --when 'churn_score > 0.3 && satisfaction <= 3' --dry-run",
    .positional_min = 1,
    .positional_max = 1,
    .options = add_options,
    .run = run_add,
};

/* ---- remove ---- */

static enum cvm_status find_named(struct edit_job *job, const struct cvm_trigger **out_trigger,
                                  struct cvm_error *err)
{
    int found = CVM_INDEX_NONE;
    enum cvm_status status = cvm_find_trigger(job->catalogue, job->name, &found, err);
    if (status == CVM_OK) {
        *out_trigger = &job->catalogue->triggers[found];
    }
    return status;
}

static enum cvm_status remove_named(struct edit_job *job, struct cvm_error *err)
{
    const struct cvm_trigger *trigger = NULL;
    enum cvm_status status = find_named(job, &trigger, err);
    if (status == CVM_OK && !trigger->custom) {
        status = CVM_FAIL(err, CVM_E_DENIED, "trigger '%s' is shipped and is not removed",
                          trigger->name);
        return cvm_error_hint(err, status, "Disable it: `cvm trigger disable %s`.", trigger->name);
    }
    return status == CVM_OK ? cvm_catalogue_edit_remove(&job->edit, job->file, err) : status;
}

static enum cvm_status run_remove(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_edit(session, arguments, remove_named, "cvm trigger remove", err);
}

static const struct cvm_option edit_options[] = {COMMON_OPTIONS};

const struct cvm_command cvm_command_trigger_remove = {
    .name = "trigger remove",
    .arguments = "NAME",
    .summary = "Remove a trigger that a person added",
    .details = "Shipped triggers are disabled, not removed.\n\n"
               "  cvm trigger remove gamers",
    .positional_min = 1,
    .positional_max = 1,
    .options = edit_options,
    .run = run_remove,
};

/* ---- enable, disable ---- */

/* Only the one line is touched: comments of the file stay. */
static void write_enabled(const struct cvm_catalogue_file *file, bool is_enabled,
                          struct cvm_text *out)
{
    const char *line = is_enabled ? "enabled: true" : "enabled: false";
    const char *end = file->text + file->length;
    bool is_found = false;
    for (const char *at = file->text; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop == NULL ? end : stop) - at);
        bool is_line = length >= 8 && strncmp(at, "enabled:", 8) == 0;
        if (is_line) {
            cvm_text_add(out, line);
        } else {
            cvm_text_add_bytes(out, at, length);
        }
        cvm_text_add_char(out, '\n');
        is_found = is_found || is_line;
        at += length + (stop == NULL ? 0 : 1);
    }
    if (!is_found) {
        cvm_text_add_format(out, "%s\n", line);
    }
}

static enum cvm_status set_enabled(struct edit_job *job, bool is_enabled, struct cvm_error *err)
{
    const struct cvm_trigger *trigger = NULL;
    struct cvm_text text;
    enum cvm_status status = find_named(job, &trigger, err);
    if (status != CVM_OK || trigger->enabled == is_enabled) {
        return status;
    }
    const struct cvm_catalogue_file *file = cvm_catalogue_edit_file(&job->edit, job->file);
    if (file == NULL) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "trigger '%s' has no file of its own", job->name);
    }
    cvm_text_init(&text, 0);
    write_enabled(file, is_enabled, &text);
    status = text.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a trigger")
                         : cvm_catalogue_edit_put(&job->edit, job->file, cvm_text_string(&text),
                                                  text.length, err);
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status enable(struct edit_job *job, struct cvm_error *err)
{
    return set_enabled(job, true, err);
}

static enum cvm_status disable(struct edit_job *job, struct cvm_error *err)
{
    return set_enabled(job, false, err);
}

static enum cvm_status run_enable(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_edit(session, arguments, enable, "cvm trigger enable", err);
}

static enum cvm_status run_disable(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_edit(session, arguments, disable, "cvm trigger disable", err);
}

const struct cvm_command cvm_command_trigger_enable = {
    .name = "trigger enable",
    .arguments = "NAME",
    .summary = "Let runs take a trigger again",
    .details = "  cvm trigger enable roaming_issues",
    .positional_min = 1,
    .positional_max = 1,
    .options = edit_options,
    .run = run_enable,
};

const struct cvm_command cvm_command_trigger_disable = {
    .name = "trigger disable",
    .arguments = "NAME",
    .summary = "No run takes the trigger from now on",
    .details = "  cvm trigger disable roaming_issues",
    .positional_min = 1,
    .positional_max = 1,
    .options = edit_options,
    .run = run_disable,
};
