/* history.h - what changed, version by version: one shape for catalogue, configuration and
 * customers. */
#ifndef CVM_CLI_HISTORY_H
#define CVM_CLI_HISTORY_H

#include "cli/document.h"
#include "model/catalogue_read.h"

struct cvm_history_entry {
    const char *what; /* "catalogue", "attributes of customer_register" */
    int64_t version;
    int64_t batch; /* 0 = none */
    int64_t at_ms;
    const char *who;
    const char *why;
    bool is_retracted; /* its batch was taken back */
    const struct cvm_catalogue_change *changes;
    size_t change_count;
};

/* Written as they come, newest first. */
struct cvm_history_writer {
    struct cvm_session *session;
    struct cvm_document document; /* with --json */
    int64_t count;
    int64_t limit;
};
void cvm_history_write(struct cvm_history_writer *writer, const struct cvm_history_entry *entry);

/* Attributes, permissions and corrected events of one customer, of batches below *before (0 = from
 * the newest). What one batch brought is told whole, also beyond the limit; *before is then the
 * last batch that was told, 0 when there is nothing older. */
CVM_MUST_CHECK enum cvm_status cvm_history_customer(struct cvm_history_writer *writer,
                                                    struct cvm_store *store,
                                                    const char *customer_id, int64_t *before,
                                                    struct cvm_error *err);

#endif
