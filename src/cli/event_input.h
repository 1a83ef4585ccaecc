/* event_input.h - events that somebody hands over: one JSON object, or one a line. */
#ifndef CVM_CLI_EVENT_INPUT_H
#define CVM_CLI_EVENT_INPUT_H

#include "cli/command.h"
#include "storage/import.h"

#define CVM_EVENTS_MAX       10000
#define CVM_EVENTS_BYTES_MAX ((size_t)16 << 20)

struct cvm_event_record {
    struct cvm_slice text; /* on one line */
    struct cvm_record_identity identity;
};
struct cvm_event_records {
    const char *name; /* for messages */
    int source;       /* in the catalogue */
    char *text;       /* of all, a record a line, followed by padding */
    size_t length;
    struct cvm_event_record *items;
    size_t count;
};

/* `what` is JSON, a path, or "-" (standard input). Everything is in the session's arena.
 * CVM_E_INVALID names the first record that is no event of the source: nothing is stored then. */
CVM_MUST_CHECK enum cvm_status cvm_event_records_read(struct cvm_session *session,
                                                      const struct cvm_catalogue *catalogue,
                                                      const char *source, const char *what,
                                                      struct cvm_event_records *out_records,
                                                      struct cvm_error *err);

/* Through the ordinary import: what is there already stays as it is. */
CVM_MUST_CHECK enum cvm_status
cvm_event_records_import(struct cvm_session *session, struct cvm_store *writer,
                         const struct cvm_catalogue *catalogue, struct cvm_event_records *records,
                         struct cvm_import_report *out_report, struct cvm_error *err);

#endif
