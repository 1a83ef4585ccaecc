#include <string.h>

#include "base/date.h"
#include "base/file.h"
#include "base/suggest.h"
#include "base/yaml.h"
#include "cli/catalogue_folder.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/import_report.h"
#include "cli/paths.h"
#include "cli/work.h"
#include "storage/catalogue_store.h"

#define CHANGES_SHOWN 20

struct import_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    int64_t threads;
    struct cvm_store *store;
    const struct cvm_catalogue *catalogue;
    const char *mapping; /* name, or NULL */
    struct cvm_import_window window;
    struct cvm_import_table table; /* url NULL: files */
    struct cvm_pool *pool;
    struct cvm_import_report report;
};

/* ---- --mapping FILE: the catalogue gets it first ---- */

static enum cvm_status read_mapping(struct import_job *job, const char *path,
                                    struct cvm_catalogue_file *out_file, struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    const struct cvm_yaml_node *root = NULL;
    char *text = NULL;
    size_t length = 0;
    struct cvm_text name;
    enum cvm_status status = cvm_file_read(arena, path, CVM_YAML_BYTES_MAX, &text, &length, err);
    if (status == CVM_OK) {
        status = cvm_yaml_read(arena, path, text, length, &root, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_yaml_node *mapping = cvm_yaml_member(root, "mapping");
    if (mapping == NULL || mapping->type != CVM_YAML_SCALAR) {
        status = CVM_FAIL(err, CVM_E_INVALID, "'%s' is no mapping: key 'mapping' is missing", path);
        return cvm_error_where(err, status, "%s:1", path);
    }
    cvm_text_init(&name, 0);
    cvm_text_add_format(&name, "mappings/%s.yaml", mapping->text);
    *out_file = (struct cvm_catalogue_file){
        .name = cvm_arena_string(arena, cvm_text_string(&name)),
        .text = text,
        .length = length,
    };
    cvm_text_finish(&name);
    job->mapping = mapping->text;
    return out_file->name == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a mapping") : CVM_OK;
}

static void show_update(struct cvm_session *session, const struct cvm_catalogue_update *update)
{
    if (update->version == update->version_before || session->is_quiet) {
        return;
    }
    FILE *out = session->is_json ? session->err : session->out;
    cvm_catalogue_changes_print(out, update->changes, update->change_count, CHANGES_SHOWN);
    fprintf(out, "Catalogue version %lld is in force.\n\n", (long long)update->version);
}

static enum cvm_status add_mapping(struct import_job *job, const char *path, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_catalogue_files files = {0};
    struct cvm_catalogue_file file = {0};
    struct cvm_catalogue_update update;
    int64_t version = 0;
    enum cvm_status status = read_mapping(job, path, &file, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_store_files(job->store, session->arena, 0, &files, &version, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_files_put(session->arena, &files, &file, &files, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_store_update(session, job->store, &files, "", "cvm import --mapping",
                                            &update, err);
    }
    const char *folder = session->config.catalogue_folder;
    if (status == CVM_OK && folder != NULL && cvm_file_is_folder(folder)) {
        struct cvm_catalogue_files one = {.files = &file, .count = 1};
        status = cvm_catalogue_folder_write(session->arena, folder, &one, err);
    }
    if (status == CVM_OK) {
        show_update(session, &update);
    }
    return status;
}

static bool has_mapping(const struct cvm_catalogue *catalogue, const char *name)
{
    for (size_t i = 0; i < catalogue->source_count; i++) {
        if (strcmp(catalogue->sources[i].mapping, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum cvm_status choose_mapping(struct import_job *job, struct cvm_error *err)
{
    const char *wanted = cvm_argument(job->arguments, "--mapping");
    bool is_file = wanted != NULL &&
                   (strchr(wanted, '/') != NULL || cvm_text_matches_pattern(wanted, "*.yaml"));
    enum cvm_status status = is_file ? add_mapping(job, wanted, err) : CVM_OK;
    job->mapping = is_file ? job->mapping : wanted;
    if (status == CVM_OK) {
        status = cvm_session_catalogue(job->session, job->store, &job->catalogue, err);
    }
    if (status == CVM_OK && job->mapping != NULL && !has_mapping(job->catalogue, job->mapping)) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the catalogue has no mapping '%s'", job->mapping);
        return cvm_error_hint(err, status, "Name its file to add it: --mapping FILE.yaml.");
    }
    return status;
}

/* ---- from where ---- */

static enum cvm_status refuse(struct import_job *job, const char *message, struct cvm_error *err)
{
    return cvm_session_usage(job->session, CVM_FAIL(err, CVM_E_INVALID, "%s", message));
}

static enum cvm_status parse_origin(struct import_job *job, struct cvm_error *err)
{
    const struct cvm_arguments *arguments = job->arguments;
    bool has_paths = arguments->positional_count > 0;
    job->table = (struct cvm_import_table){
        .url = cvm_argument(arguments, "--from"),
        .table = cvm_argument(arguments, "--table"),
        .query = cvm_argument(arguments, "--query"),
        .key = cvm_argument(arguments, "--key"),
        .source = cvm_argument(arguments, "--source"),
        .time_zone = job->session->config.time_zone,
        .readers = (size_t)job->session->config.import_readers,
        .retry = job->session->config.retry,
    };
    const struct cvm_import_table *table = &job->table;
    if (table->url == NULL) {
        if (table->table != NULL || table->query != NULL || table->key != NULL) {
            return refuse(job, "options '--table', '--query' and '--key' go with '--from URL'",
                          err);
        }
        return has_paths ? CVM_OK
                         : refuse(job, "name files or folders, or a database: --from URL", err);
    }
    if (has_paths) {
        return refuse(job, "files and a database are imported one after the other", err);
    }
    if ((table->table == NULL) == (table->query == NULL)) {
        return refuse(job, "option '--from' needs one of '--table NAME' and '--query SQL'", err);
    }
    return table->source != NULL
               ? CVM_OK
               : refuse(job, "option '--from' needs '--source NAME': what its rows are", err);
}

static enum cvm_status parse_window(struct import_job *job, struct cvm_error *err)
{
    struct cvm_import_window *window = &job->window;
    *window = (struct cvm_import_window){CVM_DAY_NONE, CVM_DAY_NONE};
    enum cvm_status status = cvm_argument_day(job->arguments, "--since", &window->since_day, err);
    if (status == CVM_OK) {
        status = cvm_argument_day(job->arguments, "--until", &window->until_day, err);
    }
    if (status == CVM_OK && window->until_day != CVM_DAY_NONE &&
        window->since_day > window->until_day) {
        status = CVM_FAIL(err, CVM_E_INVALID,
                          "options '--since' and '--until': the window ends before it begins");
    }
    return cvm_session_usage(job->session, status);
}

static enum cvm_status check_source(const struct import_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    const char *name = job->table.source;
    struct cvm_suggestion suggestion = {.typed = name};
    if (name == NULL || cvm_catalogue_source(catalogue, name) >= 0) {
        return CVM_OK;
    }
    for (size_t s = 0; s < catalogue->source_count; s++) {
        cvm_suggestion_try(&suggestion, catalogue->sources[s].name);
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_NOT_FOUND, "the catalogue has no source '%s'", name);
    return suggestion.best == NULL
               ? cvm_error_hint(err, status, "Sources stand in the catalogue's mappings.")
               : cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
}

/* ---- import ---- */

static enum cvm_status import_records(struct import_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_import_options options;
    enum cvm_status status = cvm_session_import_options(
        session, cvm_argument(job->arguments, "--rejects"), &options, err);
    options.allows_erased = cvm_argument_given(job->arguments, "--allow-erased");
    options.window = &job->window;
    if (status == CVM_OK) {
        status = cvm_pool_create((size_t)job->threads, &job->pool, err);
    }
    if (status == CVM_OK) {
        struct cvm_import_work work = {job->store, job->catalogue, &options, job->pool,
                                       &session->context};
        struct cvm_import_paths paths = {job->arguments->positional,
                                         job->arguments->positional_count, job->mapping,
                                         job->table.source};
        status = job->table.url == NULL
                     ? cvm_import_files(&work, &paths, session->arena, &job->report, err)
                     : cvm_import_rows(&work, &job->table, session->arena, &job->report, err);
    }
    return status;
}

/* Files that nobody takes are a remark beside others, and a mistake alone. */
static enum cvm_status check_report(const struct import_job *job, struct cvm_error *err)
{
    const struct cvm_import_report *report = &job->report;
    if (report->read > 0 || report->failed_file_count > 0 || report->skipped_file_count == 0) {
        return CVM_OK;
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "no source takes a file named like '%s'",
                                      report->skipped_files[0]);
    return cvm_error_hint(err, status,
                          "Sources say in the mapping which files are theirs; --mapping NAME "
                          "gives a single file to that mapping.");
}

static enum cvm_status run_import(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct import_job job = {.session = session, .arguments = arguments};
    enum cvm_status status =
        cvm_session_usage(session, cvm_session_threads(session, arguments, &job.threads, err));
    if (status == CVM_OK) {
        status = parse_origin(&job, err);
    }
    if (status == CVM_OK) {
        status = parse_window(&job, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_WRITE, &job.store, err);
    }
    if (status == CVM_OK) {
        status = choose_mapping(&job, err);
    }
    if (status == CVM_OK) {
        status = check_source(&job, err);
    }
    if (status == CVM_OK) {
        status = import_records(&job, err);
    }
    if (status == CVM_OK) {
        status = check_report(&job, err);
    }
    if (status == CVM_OK) {
        status = cvm_import_report_print(session, job.catalogue, &job.report, err);
    }
    cvm_pool_destroy(job.pool);
    cvm_store_close(job.store);
    return status;
}

static const struct cvm_option import_options[] = {
    {"--mapping", "NAME|FILE", "only sources of this mapping; a FILE is added to the catalogue"},
    {"--from", "URL", "rows of a database: sqlite:FILE or postgresql://USER@HOST/DATABASE"},
    {"--table", "NAME", "of this table there (schema.name)"},
    {"--query", "SQL", "or what this SELECT gives"},
    {"--key", "COLUMN", "a number or text with an index: its ranges are read at once"},
    {"--source", "NAME", "the source whose records these are (files: whatever their names)"},
    {"--since", "D", "pass over records before this day"},
    {"--until", "D", "pass over records after this day"},
    {"--rejects", "FILE", "where rejected records go (default: beside the store)"},
    {"--allow-erased", NULL, "take records of customers that were erased (default: rejected)"},
    {"--threads", "N", "threads (default: as configured; 0 = one per core)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_import = {
    .name = "import",
    .arguments = "[PATH...]",
    .summary = "Read files, folders or tables of a database into the store",
    .details = "JSON arrays, {\"data\": []}, NDJSON (one record a line) and CSV. A record that is\n"
               "there already is stored once, a changed one becomes a new version, one that can\n"
               "not be mapped goes to the rejects file with file, number and reason (exit 3).\n\n"
               "  cvm import data/\n"
               "  cvm import billing_data.json usage_data.ndjson\n"
               "  cvm import customers.csv --mapping telco_churn\n"
               "  cvm import --from postgresql://reader@dwh/sales --table crm.tickets --key id \\\n"
               "      --source customer_service --since 2024-03-01",
    .positional_min = 0,
    .positional_max = 100000,
    .options = import_options,
    .run = run_import,
};
