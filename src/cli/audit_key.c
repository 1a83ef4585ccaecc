#include "cli/audit_key.h"

#include "base/log.h"
#include "storage/audit_chain.h"

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

void cvm_session_seal(struct cvm_session *session)
{
    struct cvm_store_options options = {.access = CVM_DB_WRITE, .clock = session->context.clock};
    struct cvm_store *store = NULL;
    struct cvm_error err = {0};
    if (!session->has_written || session->config.store_url == NULL) {
        return;
    }
    /* Whoever writes now seals when it ends: nobody waits for it here. */
    if (cvm_store_open(session->config.store_url, &options, &store, &err) != CVM_OK) {
        CVM_LOG(session->context.log, CVM_LOG_DEBUG, "audit_left_unsealed",
                CVM_TEXT("reason", err.message));
        return;
    }
    if (seal(session, store, &err) != CVM_OK) {
        cvm_session_warn(session, "the audit log could not be sealed: %s", err.message);
    }
    cvm_store_close(store);
}
