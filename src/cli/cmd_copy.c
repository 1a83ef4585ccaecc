/* copy: one whole store into another, on any database. */
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "cli/work.h"
#include "storage/catalogue_store.h"
#include "storage/copy.h"
#include "storage/import.h"
#include "storage/vault.h"

#define LOCK_WAIT_MS 10000
#define DIGEST_SHOWN 16

struct copy_job {
    struct cvm_session *session;
    const char *from;
    const char *to;
    const char *from_shown;
    const char *to_shown;
    const char *keys; /* of the target; NULL = as cvm.yaml says */
    bool starts_anew;
    struct cvm_store *source;
    struct cvm_store *target;
    struct cvm_copy_report report;
    int64_t keys_copied; /* -1 = none had to be */
    double seconds;
};

/* ---- both stores ---- */

/* However their names are written; a file that is not there yet is nobody's. */
static bool is_one_database(const char *a, const char *b)
{
    static const char scheme[] = "sqlite:";
    size_t length = sizeof(scheme) - 1;
    struct stat file_a;
    struct stat file_b;
    bool are_files = strncmp(a, scheme, length) == 0 && strncmp(b, scheme, length) == 0;
    return strcmp(a, b) == 0 ||
           (are_files && stat(a + length, &file_a) == 0 && stat(b + length, &file_b) == 0 &&
            file_a.st_dev == file_b.st_dev && file_a.st_ino == file_b.st_ino);
}

/* Where the keys of a store are that cvm.yaml would say `store: URL` of. */
static enum cvm_status find_keys(struct cvm_session *session, const char *url, const char **out_url,
                                 struct cvm_error *err)
{
    const struct cvm_config *config = &session->config;
    const char *folder = ".";
    const char *own = NULL;
    enum cvm_status status = CVM_OK;
    if (config->path != NULL) {
        status = cvm_path_folder(session->arena, config->path, &folder, err);
    }
    if (status == CVM_OK && config->store_url != NULL) {
        status = cvm_keys_url_default(session->arena, folder, config->store_url, &own, err);
    }
    bool is_named = config->privacy.keys_url != NULL &&
                    (own == NULL || strcmp(own, config->privacy.keys_url) != 0);
    if (status == CVM_OK && is_named) {
        *out_url = config->privacy.keys_url;
        return status;
    }
    return status == CVM_OK ? cvm_keys_url_default(session->arena, folder, url, out_url, err)
                            : status;
}

static enum cvm_status open_side(struct copy_job *job, bool is_target, struct cvm_store **out_store,
                                 struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    const char *url = is_target ? job->to : job->from;
    struct cvm_store_options options = {
        .access = is_target ? CVM_DB_WRITE : CVM_DB_READ,
        .may_create = is_target,
        .is_copy_target = is_target,
        .lock_wait_ms = LOCK_WAIT_MS,
        .clock = session->context.clock,
        .privacy = {.master_key = session->config.privacy.master_key},
    };
    enum cvm_status status = find_keys(session, url, &options.privacy.keys_url, err);
    if (is_target && job->keys != NULL) {
        options.privacy.keys_url = job->keys;
    }
    if (status == CVM_OK) {
        status = cvm_store_open(url, &options, out_store, err);
    }
    return status == CVM_OK ? status
                            : cvm_error_context(err, status, is_target ? "target" : "source");
}

/* ---- after the rows ---- */

static enum cvm_status copy_keys(struct copy_job *job, struct cvm_error *err)
{
    const char *from = cvm_store_keys_url(job->source);
    const char *to = cvm_store_keys_url(job->target);
    job->keys_copied = -1;
    if (!job->report.is_sealed || from == NULL || is_one_database(from, to)) {
        return CVM_OK;
    }
    return cvm_vault_copy(from, to, cvm_context_now_ms(&job->session->context), &job->keys_copied,
                          err);
}

static enum cvm_status rebuild(struct copy_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_import_options options;
    enum cvm_status status =
        cvm_catalogue_store_load(job->target, session->arena, 0, &catalogue, err);
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK; /* without a catalogue nothing was imported */
    }
    if (status == CVM_OK) {
        session->config.store_url = job->to; /* whose files these are */
        status = cvm_session_import_options(session, NULL, &options, err);
    }
    return status == CVM_OK
               ? cvm_import_rebuild(job->target, catalogue, &options, &session->context, err)
               : status;
}

/* Derived: the first command that needs them makes them too, so nothing here ends the copy. */
static void make_journeys(struct copy_job *job)
{
    struct cvm_error err = {0};
    if (rebuild(job, &err) != CVM_OK) {
        cvm_session_warn(job->session,
                         "packed journeys could not be made (%s); the next run makes them",
                         err.message);
    }
}

/* ---- the report ---- */

static void write_tables(struct copy_job *job, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "tables");
    for (size_t i = 0; i < job->report.table_count; i++) {
        const struct cvm_copy_table *table = &job->report.tables[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "table", table->name);
        cvm_json_key_int(json, "rows", table->source.rows);
        cvm_json_key_string(json, "digest", table->source.digest);
        cvm_json_key_int(json, "rows_copied", table->target.rows);
        cvm_json_key_string(json, "digest_copied", table->target.digest);
        cvm_json_key_bool(json, "equal", table->is_equal);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static enum cvm_status print_document(struct copy_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_string(json, "from", job->from_shown);
    cvm_json_key_string(json, "to", job->to_shown);
    write_tables(job, json);
    cvm_json_key_bool(json, "resumed", job->report.was_resumed);
    cvm_json_key_double(json, "seconds", job->seconds);
    cvm_json_key_bool(json, "verified", job->report.is_verified);
    cvm_json_key_string(json, "keys", cvm_store_keys_url(job->target));
    cvm_json_key_int(json, "keys_copied", job->keys_copied < 0 ? 0 : job->keys_copied);
    return cvm_document_print(&document, job->session, err);
}

static void print_faults(struct copy_job *job)
{
    FILE *out = job->session->out;
    for (size_t i = 0; i < job->report.table_count; i++) {
        const struct cvm_copy_table *table = &job->report.tables[i];
        if (!table->is_equal) {
            fprintf(out,
                    "Table '%s' differs: %lld rows, digest %.*s; in the copy %lld rows, digest "
                    "%.*s.\n",
                    table->name, (long long)table->source.rows, DIGEST_SHOWN, table->source.digest,
                    (long long)table->target.rows, DIGEST_SHOWN, table->target.digest);
        }
    }
    fputs("The copy is not one: nobody can use it. `cvm copy --anew` begins again.\n", out);
}

static void print_keys(struct copy_job *job)
{
    FILE *out = job->session->out;
    const char *keys = cvm_store_keys_url(job->target);
    char number[CVM_NUMBER_TEXT_SIZE];
    if (!job->report.is_sealed) {
        return;
    }
    if (keys == NULL) {
        fputs("Personal data are sealed, and no cvm.yaml says where their keys are: they were not\n"
              "copied. Take the database of keys along, and name it as privacy.keys.\n",
              out);
    } else if (job->keys_copied < 0) {
        fprintf(out, "Keys of personal data stay where they are: %s.\n", keys);
    } else {
        fprintf(out, "%s keys of personal data were copied to %s; the master key is the same.\n",
                cvm_grouped(job->keys_copied, number), keys);
    }
}

static void print_text(struct copy_job *job)
{
    FILE *out = job->session->out;
    char number[CVM_NUMBER_TEXT_SIZE];
    int64_t rows = 0;
    for (size_t i = 0; i < job->report.table_count; i++) {
        rows += job->report.tables[i].source.rows;
    }
    if (!job->report.is_verified) {
        print_faults(job);
        return;
    }
    fprintf(out, "%s rows of %zu tables%s, equal on both sides.\n", cvm_grouped(rows, number),
            job->report.table_count,
            job->report.was_resumed ? ", going on with an earlier call" : "");
    print_keys(job);
    fprintf(out, "The store is %s now: name it as `store` in cvm.yaml.\n", job->to_shown);
}

/* ---- the command ---- */

static enum cvm_status copy_stores(struct copy_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_copy_options options = {
        .who = session->who,
        .source_shown = job->from_shown,
        .starts_anew = job->starts_anew,
        .context = &session->context,
        .on_progress = cvm_session_progress,
        .progress_state = session,
    };
    enum cvm_status status =
        cvm_store_copy(job->source, job->target, &options, session->arena, &job->report, err);
    if (status != CVM_OK || !job->report.is_verified) {
        session->is_refuted = status == CVM_OK;
        return status;
    }
    status = copy_keys(job, err);
    if (status == CVM_OK) {
        make_journeys(job);
        status = cvm_copy_end(job->target, err);
    }
    return status;
}

static enum cvm_status read_job(struct copy_job *job, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    job->from = cvm_argument(arguments, "--from");
    job->to = cvm_argument(arguments, "--to");
    job->keys = cvm_argument(arguments, "--keys");
    job->starts_anew = cvm_argument_given(arguments, "--anew");
    if (job->from == NULL || job->to == NULL) {
        enum cvm_status missing = CVM_FAIL(err, CVM_E_INVALID, "option '%s' is missing",
                                           job->from == NULL ? "--from" : "--to");
        return cvm_session_usage(session, missing);
    }
    if (is_one_database(job->from, job->to)) {
        enum cvm_status same = CVM_FAIL(err, CVM_E_INVALID, "source and target are the same store");
        return cvm_session_usage(session, same);
    }
    enum cvm_status status = cvm_store_url_shown(session->arena, job->from, &job->from_shown, err);
    return status == CVM_OK ? cvm_store_url_shown(session->arena, job->to, &job->to_shown, err)
                            : status;
}

static enum cvm_status run_copy(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct copy_job job = {.session = session, .keys_copied = -1};
    double started_s = cvm_context_seconds(&session->context);
    enum cvm_status status = read_job(&job, arguments, err);
    if (status == CVM_OK) {
        status = open_side(&job, false, &job.source, err);
    }
    if (status == CVM_OK) {
        status = open_side(&job, true, &job.target, err);
    }
    if (status == CVM_OK) {
        status = copy_stores(&job, err);
    }
    cvm_session_progress_end(session);
    job.seconds = cvm_context_seconds(&session->context) - started_s;
    if (status == CVM_OK && session->is_json) {
        status = print_document(&job, err);
    } else if (status == CVM_OK) {
        print_text(&job);
    }
    cvm_store_close(job.target);
    cvm_store_close(job.source);
    return status;
}

static const struct cvm_option copy_options[] = {
    {"--from", "URL", "the store to copy"},
    {"--to", "URL", "a file that is not there, an empty database, or a copy broken off"},
    {"--keys", "URL", "database of keys of the copy (default: as cvm.yaml says)"},
    {"--anew", NULL, "empty a copy that was broken off, and begin again"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_copy = {
    .name = "copy",
    .arguments = "--from URL --to URL",
    .summary = "Copy the whole store into another one, on SQLite or PostgreSQL",
    .details =
        "All rows as of one moment, compared by digests at the end. Given again after a break,\n"
        "it goes on where it was; until it has ended, no other command opens the copy. The\n"
        "source is only read. Keys of personal data are copied where cvm.yaml looks for them\n"
        "elsewhere; the master key stays the same.\n\n"
        "  cvm copy --from sqlite:cvm.db --to postgresql://cvm@db.example/cvm",
    .options = copy_options,
    .run = run_copy,
};
