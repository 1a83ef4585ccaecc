#include <string.h>

#include "base/file.h"
#include "base/signing.h"
#include "base/yaml.h"
#include "cli/catalogue_folder.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "cli/shipped.h"
#include "storage/vault.h"

#define DEFAULT_CUSTOMERS 100000
#define CUSTOMERS_MAX     INT64_C(10000000000)

static const char default_store[] = "sqlite:cvm.db";
static const char master_key_file[] = "cvm-master.key"; /* as in the template of cvm.yaml */

struct init_job {
    struct cvm_session *session;
    const char *folder;
    int64_t customers;
    const char *config_path;
    const char *catalogue_folder;
    const char *store_url;
    const char *shown_url; /* without a password */
    struct cvm_catalogue_files files;
    int64_t version;
};

static enum cvm_status parse(struct init_job *job, const struct cvm_arguments *arguments,
                             struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    job->folder = arguments->positional_count > 0 ? arguments->positional[0] : ".";
    job->customers = DEFAULT_CUSTOMERS;
    job->store_url = job->session->config.store_url;
    enum cvm_status status =
        cvm_argument_int(arguments, "--customers", 1, CUSTOMERS_MAX, &job->customers, err);
    if (status != CVM_OK) {
        return cvm_session_usage(job->session, status);
    }
    if (job->store_url == NULL) {
        status = cvm_store_url_join(arena, job->folder, default_store, &job->store_url, err);
    }
    if (status == CVM_OK) {
        status = cvm_store_url_shown(arena, job->store_url, &job->shown_url, err);
    }
    if (status == CVM_OK) {
        status = cvm_path_join(arena, job->folder, "cvm.yaml", &job->config_path, err);
    }
    if (status == CVM_OK) {
        status = cvm_path_join(arena, job->folder, "catalogue", &job->catalogue_folder, err);
    }
    return status;
}

/* The database of a server is there, and holds no store yet. */
static enum cvm_status check_server(const struct init_job *job, struct cvm_error *err)
{
    const struct cvm_db_options db_options = {.access = CVM_DB_READ};
    const struct cvm_store_options options = {.access = CVM_DB_READ,
                                              .clock = job->session->context.clock};
    struct cvm_db *db = NULL;
    struct cvm_store *store = NULL;
    struct cvm_error opening = {0};
    if (!cvm_store_is_server(job->store_url)) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_db_open(job->store_url, &db_options, &db, err);
    cvm_db_close(db);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_store_open(job->store_url, &options, &store, &opening);
    cvm_store_close(store);
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    if (status != CVM_OK) {
        if (err != NULL) {
            *err = opening;
        }
        return status;
    }
    status = CVM_FAIL(err, CVM_E_CONFLICT, "already there: the store %s", job->shown_url);
    return cvm_error_hint(err, status, "Name another database, or a schema of it.");
}

/* Nothing that is there is touched: the first files in the way are named. */
static enum cvm_status check_free(const struct init_job *job, struct cvm_error *err)
{
    const char *store_file = strncmp(job->store_url, "sqlite:", 7) == 0 ? job->store_url + 7 : "";
    const char *const paths[] = {job->config_path, job->catalogue_folder, store_file};
    const char *found[3];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (paths[i][0] != '\0' && cvm_file_exists(paths[i])) {
            found[count++] = paths[i];
        }
    }
    if (count == 0) {
        return check_server(job, err);
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_CONFLICT, "already there: '%s'%s%s%s%s%s%s", found[0],
                 count > 1 ? ", '" : "", count > 1 ? found[1] : "", count > 1 ? "'" : "",
                 count > 2 ? ", '" : "", count > 2 ? found[2] : "", count > 2 ? "'" : "");
    return cvm_error_hint(err, status, "Choose another folder: cvm init DIR.");
}

/* A master key that is there already goes on being one: it is never overwritten. */
static enum cvm_status make_master_key(const struct init_job *job, struct cvm_error *err)
{
    struct cvm_store_privacy *privacy = &job->session->config.privacy;
    enum cvm_status status =
        cvm_path_join(job->session->arena, job->folder, master_key_file, &privacy->master_key, err);
    if (status == CVM_OK) {
        status = cvm_keys_url_default(job->session->arena, job->folder, job->store_url,
                                      &privacy->keys_url, err);
    }
    return status == CVM_OK && !cvm_file_exists(privacy->master_key)
               ? cvm_master_key_create(privacy->master_key, err)
               : status;
}

/* The template, with another store where one was named. */
static enum cvm_status write_config(const struct init_job *job, struct cvm_error *err)
{
    const struct cvm_embedded_file *template = cvm_shipped_file("cvm.yaml");
    struct cvm_text text;
    if (template == NULL) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "the program holds no cvm.yaml");
    }
    const char *place = strstr(template->bytes, default_store);
    cvm_text_init(&text, 0);
    if (place == NULL || job->session->config.store_url == NULL) {
        cvm_text_add(&text, template->bytes);
    } else {
        cvm_text_add_bytes(&text, template->bytes, (size_t)(place - template->bytes));
        cvm_yaml_add_scalar(&text, job->store_url);
        cvm_text_add(&text, place + strlen(default_store));
    }
    enum cvm_status status = text.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for cvm.yaml")
                                 : cvm_file_write(job->config_path, text.data, text.length, err);
    cvm_text_finish(&text);
    return status;
}

/* A key that is there already goes on signing. */
static enum cvm_status make_key(struct init_job *job, struct cvm_error *err)
{
    struct cvm_config *config = &job->session->config;
    struct cvm_signing_key key;
    enum cvm_status status = cvm_path_join(job->session->arena, job->folder, CVM_AUDIT_KEY_FILE,
                                           &config->audit_key, err);
    if (status == CVM_OK && !cvm_file_exists(config->audit_key)) {
        status = cvm_signing_key_create(config->audit_key, &key, err);
        cvm_signing_key_clear(&key);
    }
    return status;
}

/* A store that was opened by the session is sealed when it is closed. The template of cvm.yaml may
 * be in force only once it is written: this names the store, and nothing else. */
static void seal_store(const struct init_job *job)
{
    struct cvm_session *session = job->session;
    struct cvm_config before = session->config;
    struct cvm_store *store = NULL;
    session->config.store_url = job->store_url;
    if (cvm_session_store(session, CVM_DB_WRITE, &store, NULL) == CVM_OK) {
        cvm_store_close(store);
    }
    session->config = before;
}

static enum cvm_status report(const struct init_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "config", job->config_path);
        cvm_json_key_string(&document.json, "catalogue", job->catalogue_folder);
        cvm_json_key_string(&document.json, "store", job->shown_url);
        cvm_json_key_string(&document.json, "audit_key", session->config.audit_key);
        cvm_json_key_int(&document.json, "customers", job->customers);
        cvm_json_key_int(&document.json, "catalogue_version", job->version);
        return cvm_document_print(&document, session, err);
    }
    char number[CVM_NUMBER_TEXT_SIZE];
    fprintf(session->out, "Made %s, the catalogue in %s/ (%zu files) and the store %s.\n",
            job->config_path, job->catalogue_folder, job->files.count, job->shown_url);
    fprintf(session->out, "Capacities are those of a base of %s customers.\n",
            cvm_grouped(job->customers, number));
    if (!session->is_quiet) {
        bool is_here = strcmp(job->folder, ".") == 0;
        fprintf(session->out, "\nNext:\n");
        if (!is_here) {
            fprintf(session->out, "  cd %s\n", job->folder);
        }
        fprintf(session->out,
                "  cvm import FILE...                 your data\n"
                "  cvm generate --customers %-9lld or an example base\n"
                "  cvm run                            the decisions\n",
                (long long)job->customers);
    }
    return CVM_OK;
}

static enum cvm_status run_init(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct init_job job = {.session = session};
    enum cvm_status status = parse(&job, arguments, err);
    if (status == CVM_OK) {
        status = check_free(&job, err);
    }
    if (status == CVM_OK) {
        status = cvm_shipped_catalogue(session->arena, job.customers, &job.files, err);
    }
    if (status == CVM_OK) {
        status = cvm_folder_create(job.folder, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_folder_write(session->arena, job.catalogue_folder, &job.files, err);
    }
    if (status == CVM_OK) {
        status = make_master_key(&job, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_shipped_store(session, job.store_url, &job.files, "cvm init", &job.version, err);
    }
    if (status == CVM_OK) {
        status = make_key(&job, err);
    }
    if (status == CVM_OK) {
        seal_store(&job);
    }
    if (status == CVM_OK) { /* last: its presence says that the folder is complete */
        status = write_config(&job, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    return report(&job, err);
}

static const struct cvm_option init_options[] = {
    {"--customers", "N", "size of the base that capacities are scaled to (default 100000)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_init = {
    .name = "init",
    .arguments = "[DIR]",
    .summary = "Make cvm.yaml, the catalogue folder and an empty store",
    .details = "Writes DIR/cvm.yaml (wiring), DIR/catalogue (sources, features, treatments,\n"
               "limits), DIR/cvm-master.key (opens personal data, which are kept sealed: guard\n"
               "it), DIR/audit.key (signs the audit log) and the store, and makes the catalogue\n"
               "version 1. Nothing that is there already is overwritten.\n\n"
               "  cvm init my-base --customers 10000\n"
               "  cvm init my-base --store postgresql://cvm@db.example/cvm",
    .positional_max = 1,
    .options = init_options,
    .run = run_init,
};
