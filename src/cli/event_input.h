/* event_input.h - events that somebody hands over: one JSON object, or one a line. */
#ifndef CVM_CLI_EVENT_INPUT_H
#define CVM_CLI_EVENT_INPUT_H

#include "agents/event_batch.h"
#include "cli/command.h"

#define CVM_EVENTS_MAX       10000
#define CVM_EVENTS_BYTES_MAX ((size_t)16 << 20)

struct cvm_event_records {
    const char *name; /* for messages */
    char *text;       /* of all, a record a line, followed by padding */
    size_t length;
    struct cvm_event_batch *batch;
};

/* --source is there, --as-of a day? */
CVM_MUST_CHECK enum cvm_status cvm_event_arguments_check(struct cvm_session *session,
                                                         const struct cvm_arguments *arguments,
                                                         struct cvm_error *err);
/* The argument is JSON, a path, or "-" (standard input); of --source, to be looked at --as-of.
 * Everything is in the session's arena. CVM_E_INVALID names the first record that is no event of
 * the source: nothing is stored then. */
CVM_MUST_CHECK enum cvm_status cvm_event_records_read(struct cvm_session *session,
                                                      const struct cvm_catalogue *catalogue,
                                                      const struct cvm_arguments *arguments,
                                                      struct cvm_event_records *out_records,
                                                      struct cvm_error *err);
void cvm_event_records_finish(struct cvm_event_records *records); /* an empty one is fine */

/* Through the ordinary import: what is there already stays as it is. */
CVM_MUST_CHECK enum cvm_status cvm_event_records_import(struct cvm_session *session,
                                                        struct cvm_store *writer,
                                                        const struct cvm_catalogue *catalogue,
                                                        const struct cvm_event_records *records,
                                                        struct cvm_import_report *out_report,
                                                        struct cvm_error *err);

#endif
