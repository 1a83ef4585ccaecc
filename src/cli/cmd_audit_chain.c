/* The audit log as a chain: seal it, check it, and the key that signs it. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/signing.h"
#include "cli/audit_key.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "storage/audit_chain.h"

/* ---- seal ---- */

static enum cvm_status report_seal(struct cvm_session *session, const struct cvm_audit_seal *seal,
                                   struct cvm_error *err)
{
    char number[CVM_NUMBER_TEXT_SIZE];
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_int(&document.json, "sealed", seal->sealed);
        cvm_json_key_int(&document.json, "rows", seal->rows);
        cvm_json_key_int(&document.json, "checkpoints", seal->checkpoints);
        cvm_json_key_bool(&document.json, "signed", seal->is_signed);
        cvm_json_key_string(&document.json, "head", seal->head);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "%s rows in the chain, ", cvm_grouped(seal->rows, number));
    fprintf(session->out, "%s of them sealed now, %s.\nhead %s\n",
            cvm_grouped(seal->sealed, number), seal->is_signed ? "signed" : "not signed",
            seal->head);
    return CVM_OK;
}

static enum cvm_status run_seal(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_signing_key key;
    struct cvm_audit_seal seal;
    bool has_key = false;
    (void)arguments;
    enum cvm_status status = cvm_audit_key_read(session, &key, &has_key, err);
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_WRITE, &store, err);
    }
    if (status == CVM_OK) {
        status = cvm_audit_seal(store, has_key ? &key : NULL, &seal, err);
    }
    cvm_signing_key_clear(&key);
    cvm_store_close(store);
    return status == CVM_OK ? report_seal(session, &seal, err) : status;
}

const struct cvm_command cvm_command_audit_seal = {
    .name = "audit seal",
    .arguments = "",
    .summary = "Add what is new to the chain of the audit log and sign it",
    .details = "Every command that writes does this when it ends; a program that writes by other\n"
               "ways leaves rows that are not sealed yet. The head is worth keeping elsewhere:\n"
               "`cvm audit verify --expect HASH` then tells that nothing was cut off since.\n\n"
               "  cvm audit seal",
    .run = run_seal,
};

/* ---- key ---- */

static enum cvm_status run_key(struct cvm_session *session, const struct cvm_arguments *arguments,
                               struct cvm_error *err)
{
    const char *path = session->config.audit_key;
    struct cvm_signing_key key;
    bool is_new = false;
    char text[CVM_PUBLIC_KEY_TEXT_SIZE];
    (void)arguments;
    if (path == NULL) {
        enum cvm_status none = CVM_FAIL(err, CVM_E_NOT_FOUND,
                                        "there is no cvm.yaml here that says where the key stands");
        return cvm_error_hint(err, none, "Name it: --config DIR/cvm.yaml.");
    }
    enum cvm_status status = cvm_signing_key_read(path, &key, err);
    if (status == CVM_E_NOT_FOUND) {
        is_new = true;
        status = cvm_signing_key_create(path, &key, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_public_key_format(&key.public_key, text);
    cvm_signing_key_clear(&key);
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "key_file", path);
        cvm_json_key_string(&document.json, "public_key", text);
        cvm_json_key_bool(&document.json, "created", is_new);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "%s\n", text);
    return CVM_OK;
}

const struct cvm_command cvm_command_audit_key = {
    .name = "audit key",
    .arguments = "",
    .summary = "Print the public key of the audit log, and make the key if there is none",
    .details =
        "The key file is the one that `audit: key:` of cvm.yaml names (audit.key), readable\n"
        "by its owner alone. Keep the public key where nobody who may change the store\n"
        "can change it too.\n\n"
        "  cvm audit key > audit.pub",
    .run = run_key,
};

/* ---- verify ---- */

struct verify_job {
    struct cvm_session *session;
    struct cvm_audit_check check;
    const char *key_source; /* NULL = the key was taken from the checkpoints */
    struct cvm_audit_verdict verdict;
    double seconds;
};

/* The key file's own public half is better than none: it stands outside the store. */
static enum cvm_status find_keys(struct verify_job *job, const char *path, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_signing_key key;
    struct cvm_public_key *keys = NULL;
    size_t count = 0;
    bool has_key = false;
    enum cvm_status status = CVM_OK;
    if (path != NULL) {
        status = cvm_public_keys_read(session->arena, path, &keys, &count, err);
        job->key_source = path;
    } else {
        status = cvm_audit_key_read(session, &key, &has_key, err);
        keys = status == CVM_OK && has_key ? CVM_NEW(session->arena, struct cvm_public_key) : NULL;
        if (keys != NULL) {
            *keys = key.public_key;
            count = 1;
            job->key_source = session->config.audit_key;
        }
        cvm_signing_key_clear(&key);
    }
    job->check.keys = keys;
    job->check.key_count = status == CVM_OK ? count : 0;
    return status;
}

static enum cvm_status check_hash(const char *text, struct cvm_error *err)
{
    if (text != NULL && (strlen(text) != CVM_DIGEST_TEXT_SIZE - 1 ||
                         strspn(text, "0123456789abcdef") != CVM_DIGEST_TEXT_SIZE - 1)) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "--expect: found '%s', a hash of %d hex digits is expected", text,
                        CVM_DIGEST_TEXT_SIZE - 1);
    }
    return CVM_OK;
}

static enum cvm_status verify(struct verify_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_store *store = NULL;
    enum cvm_status status =
        cvm_pool_create((size_t)session->config.threads, &job->check.pool, err);
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_READ, &store, err);
    }
    double started = cvm_context_seconds(&session->context);
    if (status == CVM_OK) {
        status = cvm_audit_verify(store, &job->check, &job->verdict, err);
    }
    job->seconds = cvm_context_seconds(&session->context) - started;
    cvm_store_close(store);
    cvm_pool_destroy(job->check.pool);
    return status;
}

static double rows_per_second(const struct verify_job *job)
{
    return job->seconds > 0 ? (double)job->verdict.rows / job->seconds : 0;
}

static enum cvm_status report_json(const struct verify_job *job, struct cvm_error *err)
{
    const struct cvm_audit_verdict *verdict = &job->verdict;
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_bool(json, "intact", verdict->fault == CVM_AUDIT_INTACT);
    cvm_json_key_int(json, "rows", verdict->rows);
    cvm_json_key_int(json, "signed_rows", verdict->signed_rows);
    cvm_json_key_int(json, "unsealed", verdict->unsealed);
    cvm_json_key_int(json, "erased", verdict->erased);
    cvm_json_key_int(json, "checkpoints", verdict->checkpoints);
    cvm_json_key_string(json, "key", job->key_source);
    cvm_json_key_string(json, "head", verdict->head);
    cvm_json_key(json, "fault");
    if (verdict->fault == CVM_AUDIT_INTACT) {
        cvm_json_null(json);
    } else {
        const struct {
            const char *name;
            int64_t value;
        } places[] = {{"audit_id", verdict->audit_id},
                      {"position", verdict->position},
                      {"checkpoint", verdict->checkpoint}};
        cvm_json_object(json);
        cvm_json_key_string(json, "kind", cvm_audit_fault_name(verdict->fault));
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            cvm_json_key(json, places[i].name);
            if (places[i].value == 0) {
                cvm_json_null(json);
            } else {
                cvm_json_int(json, places[i].value);
            }
        }
        cvm_json_key_string(json, "what", verdict->what);
        cvm_json_object_end(json);
    }
    cvm_json_key_double(json, "seconds", job->seconds);
    cvm_json_key_double(json, "rows_per_second", rows_per_second(job));
    return cvm_document_print(&document, job->session, err);
}

static void report_signatures(const struct verify_job *job)
{
    const struct cvm_audit_verdict *verdict = &job->verdict;
    FILE *out = job->session->out;
    char number[CVM_NUMBER_TEXT_SIZE];
    if (verdict->checkpoints == 0) {
        fprintf(out, "No row is signed: `cvm audit key` makes a key.\n");
        return;
    }
    fprintf(out, "%s of them are signed, ", cvm_grouped(verdict->signed_rows, number));
    fprintf(out, "%s checkpoints, ", cvm_grouped(verdict->checkpoints, number));
    if (job->key_source != NULL) {
        fprintf(out, "checked with %s.\n", job->key_source);
    } else {
        fprintf(out, "checked only with the key that stands in the store itself: name yours with "
                     "--public-key.\n");
    }
}

static enum cvm_status report_text(const struct verify_job *job)
{
    const struct cvm_audit_verdict *verdict = &job->verdict;
    FILE *out = job->session->out;
    char number[CVM_NUMBER_TEXT_SIZE];
    if (verdict->fault != CVM_AUDIT_INTACT) {
        fprintf(out, "ALTERED: %s.\n", verdict->what);
        fprintf(out, "%s rows before it are as they were sealed.\n",
                cvm_grouped(verdict->rows, number));
        return CVM_OK;
    }
    fprintf(out, "The audit log is as it was sealed: %s rows", cvm_grouped(verdict->rows, number));
    fprintf(out, " (%s rows/s).\n", cvm_grouped((int64_t)rows_per_second(job), number));
    report_signatures(job);
    if (verdict->erased > 0) {
        fprintf(out, "The values of %s rows were erased, as later rows say.\n",
                cvm_grouped(verdict->erased, number));
    }
    if (verdict->unsealed > 0) {
        fprintf(out, "%s rows are not sealed yet: `cvm audit seal`.\n",
                cvm_grouped(verdict->unsealed, number));
    }
    fprintf(out, "head %s\n", verdict->head);
    return CVM_OK;
}

static enum cvm_status run_verify(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct verify_job job = {
        .session = session,
        .check = {.expected = cvm_argument(arguments, "--expect"),
                  .context = &session->context,
                  .on_progress = cvm_session_progress,
                  .progress_state = session},
    };
    enum cvm_status status = cvm_session_usage(session, check_hash(job.check.expected, err));
    if (status == CVM_OK) {
        status = find_keys(&job, cvm_argument(arguments, "--public-key"), err);
    }
    if (status == CVM_OK) {
        status = verify(&job, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_session_progress_end(session);
    session->is_refuted = job.verdict.fault != CVM_AUDIT_INTACT;
    return session->is_json ? report_json(&job, err) : report_text(&job);
}

static const struct cvm_option verify_options[] = {
    {"--public-key", "FILE", "the keys that may have signed (default: that of the key file)"},
    {"--expect", "HASH", "a head of the chain, kept elsewhere, that must still be in it"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_audit_verify = {
    .name = "audit verify",
    .arguments = "",
    .summary = "Check that no row of the audit log was altered, removed or put in",
    .details = "Reads the whole chain, computes every hash anew, checks the signatures, and names\n"
               "the first row that is not what was sealed (exit 1).\n\n"
               "  cvm audit verify --public-key audit.pub",
    .options = verify_options,
    .run = run_verify,
};
