#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"

/* Migrating would make a store that is missing; only `cvm init` does. */
static enum cvm_status check_store(struct cvm_session *session, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    cvm_store_close(store);
    return status == CVM_E_CONFLICT ? CVM_OK : status; /* of another version */
}

static enum cvm_status run_migrate(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    int from = 0;
    int to = 0;
    (void)arguments;
    enum cvm_status status = check_store(session, err);
    if (status == CVM_OK) {
        status = cvm_store_migrate(session->config.store_url, cvm_context_now_ms(&session->context),
                                   &from, &to, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        struct cvm_document document;
        const char *shown = NULL;
        status = cvm_store_url_shown(session->arena, session->config.store_url, &shown, err);
        if (status != CVM_OK) {
            return status;
        }
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "store", shown);
        cvm_json_key_int(&document.json, "from", from);
        cvm_json_key_int(&document.json, "to", to);
        return cvm_document_print(&document, session, err);
    }
    if (from == to) {
        fprintf(session->out, "The store is up to date: schema %d.\n", to);
    } else {
        fprintf(session->out, "Schema %d -> %d.\n", from, to);
    }
    return CVM_OK;
}

const struct cvm_command cvm_command_migrate = {
    .name = "migrate",
    .arguments = "",
    .summary = "Bring the store's schema up to date",
    .details = "After an update of cvm. Migrations are numbered and run once each, in order, in a\n"
               "transaction.\n\n"
               "  cvm migrate",
    .run = run_migrate,
};
