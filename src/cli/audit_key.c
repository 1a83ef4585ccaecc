#include "cli/audit_key.h"

#include "base/yaml.h"
#include "storage/audit_chain.h"
#include "storage/history.h"

enum cvm_status cvm_audit_key_read(const struct cvm_session *session,
                                   struct cvm_signing_key *out_key, bool *out_has_key,
                                   struct cvm_error *err)
{
    *out_has_key = false;
    if (session->config.audit_key == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_signing_key_read(session->config.audit_key, out_key, err);
    *out_has_key = status == CVM_OK;
    return status == CVM_E_NOT_FOUND ? CVM_OK : status;
}

/* What decides, not what this machine has: threads, memory and logs may differ from one to another.
 */
static void describe_config(const struct cvm_config *config, struct cvm_text *text)
{
    cvm_text_add(text, "time_zone: ");
    cvm_yaml_add_scalar(text, config->time_zone);
    cvm_text_add(text, "\ncurrency: ");
    cvm_yaml_add_scalar(text, config->currency);
    cvm_text_add_format(text, "\nrelease: %s\napproval: %s\nkeep_runs: %lld\nrealtime_share: ",
                        config->release, config->approval, (long long)config->keep_runs);
    cvm_text_add_double(text, config->realtime_share);
    cvm_text_add_format(text, "\nimport: {record_bytes_max: %lld}\n",
                        (long long)config->record_bytes_max);
}

/* Without a cvm.yaml the settings are nobody's. */
static enum cvm_status note_config(struct cvm_session *session, struct cvm_store *store,
                                   struct cvm_error *err)
{
    struct cvm_text text;
    if (session->config.path == NULL) {
        return CVM_OK;
    }
    cvm_text_init(&text, 0);
    describe_config(&session->config, &text);
    enum cvm_status status =
        text.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the configuration")
                    : cvm_config_note(store, session->who, cvm_text_string(&text), err);
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status seal(struct cvm_session *session, struct cvm_store *store,
                            struct cvm_error *err)
{
    struct cvm_signing_key key;
    struct cvm_audit_seal sealed;
    bool has_key = false;
    enum cvm_status status = cvm_audit_key_read(session, &key, &has_key, err);
    if (status == CVM_OK) {
        status = cvm_audit_seal(store, has_key ? &key : NULL, &sealed, err);
    }
    cvm_signing_key_clear(&key);
    return status;
}

/* What the command did stands, whatever becomes of this: the next one makes up for it. */
void cvm_session_seal(void *state, struct cvm_store *store)
{
    struct cvm_session *session = state;
    struct cvm_error err = {0};
    if (note_config(session, store, &err) != CVM_OK) {
        cvm_session_warn(session, "the configuration could not be noted: %s", err.message);
    }
    if (seal(session, store, &err) != CVM_OK) {
        cvm_session_warn(session, "the audit log could not be sealed: %s", err.message);
    }
}
