#include "cli/commands.h"
#include "cli/document.h"

static enum cvm_status run_migrate(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    int from = 0;
    int to = 0;
    (void)arguments;
    if (session->config.store_url == NULL) {
        struct cvm_store *store = NULL;
        return cvm_session_store(session, CVM_DB_READ, &store, err); /* says what is missing */
    }
    enum cvm_status status = cvm_store_migrate(
        session->config.store_url, cvm_context_now_ms(&session->context), &from, &to, err);
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "store", session->config.store_url);
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
               "transaction.",
    .run = run_migrate,
};
