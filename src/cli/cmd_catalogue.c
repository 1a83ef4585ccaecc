/* Versions of the catalogue: apply the folder, look at what is in force, write it out, compare. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/file.h"
#include "cli/catalogue_edit.h"
#include "cli/catalogue_folder.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "storage/audit.h"
#include "storage/catalogue_store.h"

#define CHANGES_SHOWN 100

/* ---- the folder against the version in force ---- */

static enum cvm_status find_folder(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, const char **out_folder,
                                   struct cvm_error *err)
{
    const char *folder = arguments->positional_count > 0 ? arguments->positional[0]
                                                         : session->config.catalogue_folder;
    if (folder == NULL) {
        return cvm_session_usage(
            session, CVM_FAIL(err, CVM_E_INVALID,
                              "there is no cvm.yaml that names the catalogue folder: name it"));
    }
    *out_folder = folder;
    return CVM_OK;
}

static enum cvm_status report_update(struct cvm_session *session, const char *folder,
                                     const struct cvm_catalogue_update *update,
                                     struct cvm_error *err)
{
    bool is_new = update->version != update->version_before;
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "folder", folder);
        cvm_json_key_int(&document.json, "version", update->version);
        cvm_json_key_string(&document.json, "digest", update->catalogue->digest);
        cvm_json_key_bool(&document.json, "changed", is_new);
        cvm_json_key(&document.json, "changes");
        cvm_catalogue_changes_write(&document.json, update->changes, update->change_count);
        return cvm_document_print(&document, session, err);
    }
    if (!is_new) {
        fprintf(session->out, "Nothing changed: catalogue version %lld is %s.\n",
                (long long)update->version, folder);
        return CVM_OK;
    }
    cvm_catalogue_changes_print(session->out, update->changes, update->change_count, CHANGES_SHOWN);
    if (update->change_count == 0) {
        fputs("Only comments or layout changed.\n", session->out);
    }
    fprintf(session->out, "Catalogue version %lld is in force (%zu changes).\n",
            (long long)update->version, update->change_count);
    return CVM_OK;
}

static enum cvm_status run_apply(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_catalogue_files files;
    struct cvm_catalogue_update update;
    const char *folder = NULL;
    enum cvm_status status = find_folder(session, arguments, &folder, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_folder_read(session->arena, folder, &files, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_WRITE, &store, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_catalogue_store_update(session, store, &files, folder, "cvm apply", &update, err);
    }
    if (status == CVM_OK) {
        status = report_update(session, folder, &update, err);
    }
    cvm_store_close(store);
    return status;
}

const struct cvm_command cvm_command_apply = {
    .name = "apply",
    .arguments = "[DIR]",
    .summary = "Make the catalogue folder the next version, after showing the difference",
    .details = "Reads the folder (default: the one in cvm.yaml), checks it as a whole, shows what\n"
               "changed key by key, and stores it as the next version, audited.\n\n"
               "  cvm apply",
    .positional_max = 1,
    .run = run_apply,
};

/* ---- diff ---- */

/* One side of a comparison: a version of the catalogue, or a folder. */
struct side {
    const char *folder; /* NULL = a version */
    int64_t version;    /* 0 = the one in force */
    struct cvm_catalogue_files files;
    char name[80];
};

/* Digits are a version; "./3" is the folder of that name. */
static enum cvm_status parse_side(struct cvm_session *session, const char *text, struct side *side,
                                  struct cvm_error *err)
{
    bool is_version = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    if (!is_version) {
        side->folder = text;
        return CVM_OK;
    }
    side->version = strtoll(text, NULL, 10);
    return side->version > 0 && side->version < INT64_MAX
               ? CVM_OK
               : cvm_session_usage(
                     session,
                     CVM_FAIL(err, CVM_E_INVALID, "found version %s, versions begin with 1", text));
}

/* Without words the folder against what is in force; one version against what is in force. */
static enum cvm_status parse_sides(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct side *before,
                                   struct side *after, struct cvm_error *err)
{
    const char *const *words = arguments->positional;
    if (arguments->positional_count == 0) {
        return find_folder(session, arguments, &after->folder, err);
    }
    if (arguments->positional_count == 2) {
        enum cvm_status status = parse_side(session, words[0], before, err);
        return status == CVM_OK ? parse_side(session, words[1], after, err) : status;
    }
    enum cvm_status status = parse_side(session, words[0], after, err);
    if (status == CVM_OK && after->folder == NULL) {
        before->version = after->version;
        after->version = 0;
    }
    return status;
}

static enum cvm_status read_side(struct cvm_session *session, struct cvm_store *store,
                                 struct side *side, struct cvm_error *err)
{
    const struct cvm_catalogue *checked = NULL;
    enum cvm_status status = CVM_OK;
    if (side->folder == NULL) {
        status = cvm_catalogue_store_files(store, session->arena, side->version, &side->files,
                                           &side->version, err);
        if (status == CVM_E_NOT_FOUND && side->version > 0) {
            (void)cvm_error_hint(err, status, "`cvm history catalogue` lists the versions.");
        }
        (void)!snprintf(side->name, sizeof(side->name), "version %lld", (long long)side->version);
        return status;
    }
    status = cvm_catalogue_folder_read(session->arena, side->folder, &side->files, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_read(session->arena, &side->files, side->folder, &checked, err);
    }
    (void)!snprintf(side->name, sizeof(side->name), "folder %s", side->folder);
    return status;
}

static enum cvm_status report_diff(struct cvm_session *session, const struct side *before,
                                   const struct side *after,
                                   const struct cvm_catalogue_change *changes, size_t count,
                                   struct cvm_error *err)
{
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "folder", after->folder);
        cvm_json_key_string(&document.json, "from", before->name);
        cvm_json_key_string(&document.json, "to", after->name);
        cvm_json_key(&document.json, "changes");
        cvm_catalogue_changes_write(&document.json, changes, count);
        return cvm_document_print(&document, session, err);
    }
    cvm_catalogue_changes_print(session->out, changes, count, 0);
    if (count == 0 && after->folder != NULL && before->folder == NULL) {
        fprintf(session->out, "The folder %s says what is in force.\n", after->folder);
    } else if (count == 0) {
        fprintf(session->out, "No difference between %s and %s.\n", before->name, after->name);
    }
    return CVM_OK;
}

static enum cvm_status run_diff(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct side before = {0};
    struct side after = {0};
    const struct cvm_catalogue_change *changes = NULL;
    size_t count = 0;
    enum cvm_status status = parse_sides(session, arguments, &before, &after, err);
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_READ, &store, err);
    }
    if (status == CVM_OK) {
        status = read_side(session, store, &after, err);
    }
    if (status == CVM_OK) {
        status = read_side(session, store, &before, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_catalogue_diff(session->arena, &before.files, &after.files, &changes, &count, err);
    }
    if (status == CVM_OK) {
        status = report_diff(session, &before, &after, changes, count, err);
    }
    cvm_store_close(store);
    return status;
}

const struct cvm_command cvm_command_catalogue_diff = {
    .name = "catalogue diff",
    .arguments = "[DIR|VERSION] [DIR|VERSION]",
    .summary = "Show what `cvm apply` would change, or what differs between two versions",
    .details = "Without a word the folder against what is in force; a version against what is in\n"
               "force; or two versions or folders. `cvm diff` is the same.\n\n"
               "  cvm catalogue diff\n"
               "  cvm catalogue diff 1 2",
    .positional_max = 2,
    .run = run_diff,
};

const struct cvm_command cvm_command_diff = {
    .name = "diff",
    .arguments = "[DIR|VERSION] [DIR|VERSION]",
    .summary = "What differs between two versions of the catalogue: `catalogue diff`",
    .details = "  cvm diff 1 2",
    .positional_max = 2,
    .run = run_diff,
};

/* ---- rollback ---- */

/* The files of the older version, put in place of those in force. */
static enum cvm_status put_back(struct cvm_catalogue_edit *edit,
                                const struct cvm_catalogue_files *wanted, struct cvm_error *err)
{
    const struct cvm_catalogue_files before = edit->before;
    enum cvm_status status = CVM_OK;
    for (size_t f = 0; status == CVM_OK && f < wanted->count; f++) {
        const struct cvm_catalogue_file *file = &wanted->files[f];
        const struct cvm_catalogue_file *now = cvm_catalogue_edit_file(edit, file->name);
        bool is_same = now != NULL && now->length == file->length &&
                       memcmp(now->text, file->text, file->length) == 0;
        if (!is_same) {
            status = cvm_catalogue_edit_put(edit, file->name, file->text, file->length, err);
        }
    }
    for (size_t f = 0; status == CVM_OK && f < before.count; f++) {
        bool is_wanted = false;
        for (size_t w = 0; !is_wanted && w < wanted->count; w++) {
            is_wanted = strcmp(wanted->files[w].name, before.files[f].name) == 0;
        }
        if (!is_wanted) {
            status = cvm_catalogue_edit_remove(edit, before.files[f].name, err);
        }
    }
    return status;
}

struct rollback_job {
    struct cvm_session *session;
    int64_t to;
    const char *reason;
    bool is_dry;
    struct cvm_catalogue_edit edit;
    const struct cvm_catalogue_change *changes;
    size_t change_count;
    int64_t version; /* in force afterwards */
};

static enum cvm_status compare_rollback(struct rollback_job *job, struct cvm_store *store,
                                        struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    struct side wanted = {.version = job->to};
    enum cvm_status status = cvm_catalogue_edit_begin(job->session, store, &job->edit, err);
    if (status == CVM_OK) {
        status = read_side(job->session, store, &wanted, err);
    }
    if (status == CVM_OK) {
        status = put_back(&job->edit, &wanted.files, err);
    }
    if (status == CVM_OK) {
        job->version = job->edit.version;
        status = cvm_catalogue_diff(arena, &job->edit.before, &job->edit.files, &job->changes,
                                    &job->change_count, err);
    }
    return status;
}

static enum cvm_status store_rollback(struct rollback_job *job, struct cvm_error *err)
{
    struct cvm_catalogue_update update;
    struct cvm_text why;
    cvm_text_init(&why, 0);
    cvm_text_add_format(&why, "back to version %lld", (long long)job->to);
    if (job->reason != NULL) {
        cvm_text_add_format(&why, ": %s", job->reason);
    }
    enum cvm_status status =
        why.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the reason")
                   : cvm_catalogue_edit_store(&job->edit, cvm_text_string(&why), &update, err);
    cvm_text_finish(&why);
    if (status == CVM_OK) {
        job->version = update.version;
    }
    return status;
}

static enum cvm_status report_rollback(const struct rollback_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    bool is_new = job->version != job->edit.version;
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_int(&document.json, "to", job->to);
        cvm_json_key_int(&document.json, "version", job->version);
        cvm_json_key_bool(&document.json, "changed", is_new);
        cvm_json_key_bool(&document.json, "dry_run", job->is_dry);
        cvm_json_key(&document.json, "changes");
        cvm_catalogue_changes_write(&document.json, job->changes, job->change_count);
        return cvm_document_print(&document, session, err);
    }
    cvm_catalogue_changes_print(session->out, job->changes, job->change_count, CHANGES_SHOWN);
    if (job->is_dry) {
        fprintf(session->out,
                "Version %lld stays in force: without --dry-run these %zu changes "
                "would be the next one.\n",
                (long long)job->version, job->change_count);
    } else if (!is_new) {
        fprintf(session->out, "Nothing changed: version %lld says what version %lld says.\n",
                (long long)job->version, (long long)job->to);
    } else {
        fprintf(session->out,
                "Catalogue version %lld is in force, with the content of version "
                "%lld (%zu changes).\n",
                (long long)job->version, (long long)job->to, job->change_count);
    }
    return CVM_OK;
}

static enum cvm_status run_rollback(struct cvm_session *session,
                                    const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct rollback_job job = {.session = session,
                               .reason = cvm_argument(arguments, "--reason"),
                               .is_dry = cvm_argument_given(arguments, "--dry-run")};
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_argument_int(arguments, "--to", 1, INT64_MAX, &job.to, err);
    if (status == CVM_OK && job.to == 0) {
        status = CVM_FAIL(err, CVM_E_INVALID, "--to VERSION is missing");
        status = cvm_error_hint(err, status, "`cvm history catalogue` lists the versions.");
    }
    if (status != CVM_OK) {
        return cvm_session_usage(session, status);
    }
    status = cvm_session_store(session, job.is_dry ? CVM_DB_READ : CVM_DB_WRITE, &store, err);
    if (status == CVM_OK) {
        status = compare_rollback(&job, store, err);
    }
    bool is_same = job.edit.changed.count == 0 && job.edit.removed.count == 0;
    if (status == CVM_OK && !job.is_dry && !is_same) {
        status = store_rollback(&job, err);
    }
    if (status == CVM_OK) {
        status = report_rollback(&job, err);
    }
    cvm_store_close(store);
    return status;
}

static const struct cvm_option rollback_options[] = {
    {"--to", "VERSION", "the version whose content is to be in force again"},
    {"--reason", "TEXT", "why, for the history and the audit"},
    {"--dry-run", NULL, "only show the difference"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_rollback = {
    .name = "rollback",
    .arguments = "",
    .summary = "Put the content of an older catalogue version in force, as a new version",
    .details =
        "Nothing is deleted: the next version says what the older one said, audited, and the\n"
        "folder follows. Data is taken back by `cvm batch retract`.\n\n"
        "  cvm rollback --to 1 --dry-run\n"
        "  cvm rollback --to 1 --reason \"wrong prices\"",
    .options = rollback_options,
    .run = run_rollback,
};

/* ---- export ---- */

static enum cvm_status check_free(struct cvm_session *session, const char *folder,
                                  const struct cvm_catalogue_files *files, struct cvm_error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        const char *path = NULL;
        enum cvm_status status =
            cvm_path_join(session->arena, folder, files->files[i].name, &path, err);
        if (status == CVM_OK && cvm_file_exists(path)) {
            status = CVM_FAIL(err, CVM_E_CONFLICT, "'%s' is already there", path);
        }
        if (status != CVM_OK) {
            return status;
        }
    }
    return CVM_OK;
}

static enum cvm_status run_export(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    const char *folder = arguments->positional[0];
    struct cvm_store *store = NULL;
    struct cvm_catalogue_files files;
    int64_t wanted = 0;
    int64_t version = 0;
    enum cvm_status status = cvm_session_usage(
        session, cvm_argument_int(arguments, "--version", 1, INT64_MAX, &wanted, err));
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_READ, &store, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_store_files(store, session->arena, wanted, &files, &version, err);
    }
    if (status == CVM_OK) {
        status = check_free(session, folder, &files, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_folder_write(session->arena, folder, &files, err);
    }
    cvm_store_close(store);
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "folder", folder);
        cvm_json_key_int(&document.json, "version", version);
        cvm_json_key_int(&document.json, "files", (int64_t)files.count);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "Catalogue version %lld: %zu files written to %s.\n", (long long)version,
            files.count, folder);
    return CVM_OK;
}

static const struct cvm_option export_options[] = {
    {"--version", "N", "an older version (default: the one in force)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_catalogue_export = {
    .name = "catalogue export",
    .arguments = "DIR",
    .summary = "Write a version of the catalogue out as files",
    .details = "Existing files are not overwritten.\n\n"
               "  cvm catalogue export backup --version 1",
    .positional_min = 1,
    .positional_max = 1,
    .options = export_options,
    .run = run_export,
};

/* ---- show ---- */

/* Who made the version, and when: its audit row. */
struct author {
    const char *object; /* "version 3" */
    struct cvm_arena *arena;
    const char *who;
    const char *why;
    int64_t at_ms;
};

static enum cvm_status note_author(void *state, const struct cvm_audit_row *row,
                                   struct cvm_error *err)
{
    struct author *author = state;
    (void)err;
    if (author->who == NULL && strcmp(row->action, "catalogue") == 0 &&
        strcmp(row->object, author->object) == 0) {
        author->who = cvm_arena_string(author->arena, row->who);
        author->why = cvm_arena_string(author->arena, row->why);
        author->at_ms = row->at_ms;
    }
    return CVM_OK;
}

#define AUDIT_ROWS_SEARCHED 10000

struct count {
    const char *name;
    size_t count;
};
#define COUNTS_MAX 12
static size_t counts_of(const struct cvm_catalogue *catalogue, struct count counts[COUNTS_MAX])
{
    const struct count found[] = {
        {"sources", catalogue->source_count},
        {"attributes", catalogue->attribute_count},
        {"topics", catalogue->topic_count},
        {"features", catalogue->feature_count}, /* with the aggregates of rules */
        {"insights", catalogue->insight_count},
        {"segments", catalogue->segment_count},
        {"treatments", catalogue->treatment_count},
        {"constraints", catalogue->constraint_count},
        {"summary_lines", catalogue->summary_line_count},
        {"suppressions", catalogue->suppression_count},
        {"contact_limits", catalogue->policy.rule_count},
        {"triggers", catalogue->trigger_count},
    };
    memcpy(counts, found, sizeof(found));
    return sizeof(found) / sizeof(found[0]);
}

static enum cvm_status report_show(struct cvm_session *session,
                                   const struct cvm_catalogue *catalogue,
                                   const struct author *author, struct cvm_error *err)
{
    struct count counts[COUNTS_MAX];
    size_t count = counts_of(catalogue, counts);
    if (session->is_json) {
        struct cvm_document document;
        struct cvm_json_writer *json = &document.json;
        cvm_document_init(&document);
        cvm_json_key_int(json, "version", catalogue->version);
        cvm_json_key_string(json, "digest", catalogue->digest);
        cvm_json_key_string(json, "author", author->who);
        cvm_json_key_string(json, "why", author->why);
        cvm_json_key_moment(json, "created_at", author->at_ms);
        cvm_json_key_object(json, "counts");
        for (size_t i = 0; i < count; i++) {
            cvm_json_key_int(json, counts[i].name, (int64_t)counts[i].count);
        }
        cvm_json_object_end(json);
        cvm_json_key_int(json, "history_days", catalogue->history_days);
        return cvm_document_print(&document, session, err);
    }
    char moment[CVM_MOMENT_TEXT_SIZE];
    fprintf(session->out, "Catalogue version %lld, digest %.16s\n", (long long)catalogue->version,
            catalogue->digest);
    if (author->who != NULL) {
        fprintf(session->out, "made by %s at %s (%s)\n\n", author->who,
                cvm_moment_format(author->at_ms, moment), author->why);
    }
    for (size_t i = 0; i < count; i++) {
        fprintf(session->out, "  %5zu %s\n", counts[i].count, counts[i].name);
    }
    return CVM_OK;
}

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    const struct cvm_catalogue *catalogue = NULL;
    char object[48];
    struct author author = {.object = object, .arena = session->arena};
    (void)arguments;
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_session_catalogue(session, store, &catalogue, err);
    }
    if (status == CVM_OK) {
        (void)snprintf(object, sizeof(object), "version %lld", (long long)catalogue->version);
        status = cvm_audit_list(store, 0, AUDIT_ROWS_SEARCHED, note_author, &author, err);
    }
    if (status == CVM_OK) {
        status = report_show(session, catalogue, &author, err);
    }
    cvm_store_close(store);
    return status;
}

const struct cvm_command cvm_command_catalogue_show = {
    .name = "catalogue show",
    .arguments = "",
    .summary = "Say which catalogue version is in force and what it holds",
    .details = "  cvm catalogue show",
    .run = run_show,
};
