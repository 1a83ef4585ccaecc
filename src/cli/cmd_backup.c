/* backup, restore: a store in a file, copied while it is in use, and put back */
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "storage/audit.h"
#include "storage/backup.h"
#include "storage/customers.h"
#include "storage/erase.h"

static int64_t size_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

/* ---- backup ---- */

struct backup_job {
    struct cvm_session *session;
    const char *path;
    const char *keys_path; /* NULL = they stay where they are */
    const char *keys_url;  /* NULL = the store has none */
};

/* The database of keys, if the store has one. */
static enum cvm_status find_keys(struct backup_job *job, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK && cvm_store_keys_url(store) != NULL) {
        job->keys_url = cvm_arena_string(job->session->arena, cvm_store_keys_url(store));
        status = job->keys_url == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a URL") : CVM_OK;
    }
    cvm_store_close(store);
    if (status == CVM_OK && job->keys_path != NULL && job->keys_url == NULL) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND,
                          "personal data are in the clear here: there are no keys to copy");
    }
    return status;
}

static enum cvm_status warn_of_one_place(const struct backup_job *job, struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    const char *store_folder = NULL;
    const char *keys_folder = NULL;
    enum cvm_status status = cvm_path_folder(arena, job->path, &store_folder, err);
    if (status == CVM_OK) {
        status = cvm_path_folder(arena, job->keys_path, &keys_folder, err);
    }
    if (status == CVM_OK && strcmp(store_folder, keys_folder) == 0) {
        cvm_session_warn(job->session,
                         "keys and store are copied into one folder: whoever has both reads what "
                         "was erased since");
    }
    return status;
}

/* The store first: keys that are newer than it open all of it. */
static enum cvm_status copy(const struct backup_job *job, struct cvm_error *err)
{
    enum cvm_status status = cvm_backup_make(job->session->config.store_url, job->path, err);
    if (status == CVM_OK && job->keys_path != NULL) {
        status = warn_of_one_place(job, err);
        status = status == CVM_OK ? cvm_backup_make(job->keys_url, job->keys_path, err) : status;
        return status == CVM_OK
                   ? CVM_OK
                   : cvm_error_context(err, status, "the store is copied, its keys not");
    }
    return status;
}

static enum cvm_status report_backup(const struct backup_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "backup", job->path);
        cvm_json_key_int(&document.json, "bytes", size_of(job->path));
        cvm_json_key_string(&document.json, "keys", job->keys_path);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "%s: %.1f MB, checked.\n", job->path, (double)size_of(job->path) / 1e6);
    if (job->keys_path != NULL) {
        fprintf(session->out, "%s: keys; keep few copies, and not for long.\n", job->keys_path);
    } else if (job->keys_url != NULL) {
        fputs("The keys of personal data are not in it: see cvm help backup.\n", session->out);
    }
    return CVM_OK;
}

static enum cvm_status run_backup(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct backup_job job = {
        .session = session,
        .path = arguments->positional[0],
        .keys_path = cvm_argument(arguments, "--keys"),
    };
    enum cvm_status status = find_keys(&job, err);
    if (status == CVM_OK) {
        status = copy(&job, err);
    }
    return status == CVM_OK ? report_backup(&job, err) : status;
}

static const struct cvm_option backup_options[] = {
    {"--keys", "FILE", "copy the keys of personal data too, there; on other media"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_backup = {
    .name = "backup",
    .arguments = "FILE",
    .summary = "Copy the store to a file while it is in use",
    .details =
        "The store as of one moment, checked, readable by its owner alone. Packed journeys are\n"
        "not in it: they are derived. The keys of personal data are not in it either, so that an\n"
        "erasure reaches it; keep them apart (--keys), in few copies and for a short time. A\n"
        "server has its own tools: docs/concepts/backup.md.\n\n"
        "  cvm backup /backup/cvm-$(date +%F).db\n"
        "  cvm backup /backup/cvm-$(date +%F).db --keys /other/cvm-keys-$(date +%F).db",
    .positional_min = 1,
    .positional_max = 1,
    .options = backup_options,
    .run = run_backup,
};

/* ---- restore ---- */

struct restore_job {
    struct cvm_session *session;
    const char *backup;
    const char *why;
    struct cvm_restored restored;
    int64_t last_batch;
    int64_t customers;
    size_t erased_and_back;
    bool knows_erased; /* the keys were at hand */
};

static enum cvm_status add_audit(const struct restore_job *job, struct cvm_store *store,
                                 struct cvm_error *err)
{
    char after[80];
    (void)!snprintf(after, sizeof(after), "{\"last_batch\":%lld,\"schema\":%d}",
                    (long long)job->last_batch, job->restored.schema_to);
    struct cvm_audit_row row = {
        .who = job->session->who,
        .action = "restore",
        .object = "store",
        .why = job->why,
        .after = after,
    };
    struct cvm_db *db = cvm_store_db(store);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_audit_add(store, &row, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

/* Without the keys nobody knows who was erased since; that is told, and no reason to fail. */
static void count_erased(struct restore_job *job, struct cvm_store *store)
{
    const char *const *ids = NULL;
    struct cvm_error ignored;
    job->knows_erased =
        cvm_store_seals(store) && cvm_erased_and_back(store, job->session->arena, &ids,
                                                      &job->erased_and_back, &ignored) == CVM_OK;
}

static enum cvm_status look_around(struct restore_job *job, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_WRITE, &store, err);
    if (status == CVM_OK) {
        status = cvm_batch_last(store, &job->last_batch, err);
    }
    if (status == CVM_OK) {
        status = cvm_customer_count(store, &job->customers, err);
    }
    if (status == CVM_OK) {
        status = add_audit(job, store, err);
    }
    if (status == CVM_OK) {
        count_erased(job, store);
    }
    cvm_store_close(store);
    return status == CVM_OK ? CVM_OK : cvm_error_context(err, status, "restored");
}

static enum cvm_status report_restored(const struct restore_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    const struct cvm_restored *restored = &job->restored;
    const char *kept = restored->kept[0] == '\0' ? NULL : restored->kept;
    char number[CVM_NUMBER_TEXT_SIZE];
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "backup", job->backup);
        cvm_json_key_int(&document.json, "last_batch", job->last_batch);
        cvm_json_key_int(&document.json, "customers", job->customers);
        cvm_json_key_int(&document.json, "schema_from", restored->schema_from);
        cvm_json_key_int(&document.json, "schema_to", restored->schema_to);
        cvm_json_key_string(&document.json, "kept", kept);
        cvm_json_key(&document.json, "erased_and_back");
        if (job->knows_erased) {
            cvm_json_int(&document.json, (int64_t)job->erased_and_back);
        } else {
            cvm_json_null(&document.json);
        }
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "Restored up to batch %lld: %s customers.\n", (long long)job->last_batch,
            cvm_grouped(job->customers, number));
    if (kept != NULL) {
        fprintf(session->out, "The store that was there is %s.\n", kept);
    }
    if (!job->knows_erased) {
        fputs("The keys were not at hand: nobody knows which erased customers are back.\n",
              session->out);
    } else if (job->erased_and_back > 0) {
        fprintf(session->out,
                "%zu customers that were erased since are back. Erase them again:\n"
                "  cvm customer erase --restored --reason TEXT\n",
                job->erased_and_back);
    }
    return CVM_OK;
}

static enum cvm_status run_restore(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    const char *reason = cvm_argument(arguments, "--reason");
    struct restore_job job = {
        .session = session,
        .backup = arguments->positional[0],
        .why = reason == NULL ? "" : reason,
    };
    if (session->config.store_url == NULL) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no cvm.yaml here and no --store was given");
        return cvm_error_hint(err, status, "Bring cvm.yaml back first, or name it: --config.");
    }
    struct cvm_restoring restoring = {
        .url = session->config.store_url,
        .backup = job.backup,
        .may_replace = cvm_argument_given(arguments, "--replace"),
        .clock = session->context.clock,
    };
    enum cvm_status status = cvm_backup_restore(&restoring, &job.restored, err);
    if (status == CVM_OK) {
        status = look_around(&job, err);
    }
    return status == CVM_OK ? report_restored(&job, err) : status;
}

static const struct cvm_option restore_options[] = {
    {"--replace", NULL, "there may be a store: it is moved aside, not deleted"},
    {"--reason", "TEXT", "why, for the audit"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_restore = {
    .name = "restore",
    .arguments = "FILE",
    .summary = "Put a backup in the place of the store",
    .details =
        "The backup is checked, copied, and brought to this program's schema; the log and the\n"
        "journeys of the store before it go, since they would not fit. Nobody may have the store\n"
        "open. What came after the backup is not in it: import those files again, contacts first.\n"
        "Customers that were erased since are back, and counted.\n\n"
        "  cvm restore /backup/cvm-2024-03-20.db --replace --reason \"disk failed\"\n"
        "  cvm customer erase --restored --reason \"backup of 2024-03-20 restored\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = restore_options,
    .run = run_restore,
};
