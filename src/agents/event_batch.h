/* event_batch.h - events that came in: stored together by one import, then the workflow
 * trigger_and_process accepted for each.
 *
 * Who dies anywhere in between does all of it again: the import finds events by their identity, and
 * a workflow is accepted under a key made of source, customer, identity, content and day. So an
 * event that was stored and whose workflow was not accepted gets it then, and nothing is there
 * twice.
 */
#ifndef CVM_AGENTS_EVENT_BATCH_H
#define CVM_AGENTS_EVENT_BATCH_H

#include "base/random.h"
#include "storage/import.h"
#include "workflows/flow.h"

#define CVM_EVENT_WORKFLOW "trigger_and_process"

struct cvm_event {
    int source;
    struct cvm_slice text; /* on one line */
    struct cvm_record_identity identity;
    int32_t as_of_day; /* of the question; CVM_DAY_NONE = of the day on which agents look */
    const char *why;   /* the import rejected it; NULL = it did not */
    bool may_be_kept;  /* false: it was rejected, and its text is to be forgotten */
    struct cvm_workflow workflow; /* .workflow_id NULL: not accepted */
    bool is_new;                  /* it was not accepted before */
    /* of the batch */
    size_t first; /* the same event, further up; else its own number */
    size_t next;  /* of those with the same hash */
};

struct cvm_event_batch;

/* Everything lives in the arena, which outlives it, as does the catalogue. */
CVM_MUST_CHECK enum cvm_status cvm_event_batch_create(struct cvm_arena *arena,
                                                      const struct cvm_catalogue *catalogue,
                                                      size_t record_bytes_max,
                                                      struct cvm_event_batch **out_batch,
                                                      struct cvm_error *err);
void cvm_event_batch_destroy(struct cvm_event_batch *batch); /* NULL is fine */

/* An event, one JSON object. CVM_E_INVALID says why it is none of the source; CVM_E_LIMIT: it is
 * too long, or memory is short. It is not in the batch then. */
CVM_MUST_CHECK enum cvm_status cvm_event_batch_add(struct cvm_event_batch *batch, int source,
                                                   struct cvm_slice text, int32_t as_of_day,
                                                   struct cvm_error *err);
size_t cvm_event_batch_count(const struct cvm_event_batch *batch);
/* In the order in which they were added; valid until the next is. */
struct cvm_event *cvm_event_batch_at(const struct cvm_event_batch *batch, size_t number);

/* The ordinary import, each event once; `file` for messages and rejects. Has transactions of its
 * own. work->options decide; who listens to rejects is the batch. */
CVM_MUST_CHECK enum cvm_status cvm_event_batch_import(struct cvm_event_batch *batch,
                                                      const struct cvm_import_work *work,
                                                      const char *file,
                                                      struct cvm_import_report *out_report,
                                                      struct cvm_error *err);

/* Who asks, for the workflow. */
struct cvm_event_acceptance {
    const struct cvm_definition *definition;
    const char *who;
    struct cvm_slice traceparent; /* of who sent it; "" = none */
    struct cvm_random *random;
};
/* Accept the workflow of an event that was not rejected, inside a transaction. */
CVM_MUST_CHECK enum cvm_status cvm_event_batch_accept(struct cvm_event_batch *batch, size_t number,
                                                      struct cvm_store *store,
                                                      const struct cvm_event_acceptance *how,
                                                      struct cvm_error *err);

#endif
