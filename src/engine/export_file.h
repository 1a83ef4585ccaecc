/* export_file.h - one file being handed over: written beside with its digest, renamed when it is
 * whole. For channel_files.c and recall_files.c. */
#ifndef CVM_ENGINE_EXPORT_FILE_H
#define CVM_ENGINE_EXPORT_FILE_H

#include <stdio.h>

#include "base/columns.h"
#include "base/hash.h"
#include "engine/channel_files.h"
#include "storage/export_store.h"

struct cvm_export_sink {
    struct cvm_export_file file;
    const struct cvm_channel_file *layout; /* NULL: of a recall */
    const char *path;                      /* whole; made by open */
    const char *temporary;
    FILE *stream; /* NULL: no row yet */
    bool is_renamed;
    struct cvm_digest digest;
    struct cvm_column keys;   /* uint64_t: what it hands over */
    uint64_t seen_treatments; /* tests: one row per treatment */
};

/* The sinks of one export. */
struct cvm_export_sinks {
    const struct cvm_export_request *request;
    struct cvm_arena *arena;
    struct cvm_export_sink *sinks;
    size_t count;
    size_t capacity;
};
CVM_MUST_CHECK enum cvm_status cvm_export_sinks_init(struct cvm_export_sinks *sinks,
                                                     const struct cvm_export_request *request,
                                                     struct cvm_arena *arena, size_t capacity,
                                                     struct cvm_error *err);
/* Closes; files that are not part of a finished export are removed. */
void cvm_export_sinks_finish(struct cvm_export_sinks *sinks, bool is_done);

/* One more; it makes its file with its first row. */
struct cvm_export_sink_plan {
    int64_t export;
    const char *channel;
    const char *kind;
    const char *name;      /* of the file; NULL = a new one */
    const char *extension; /* of a new one */
    const struct cvm_channel_file *layout;
};
CVM_MUST_CHECK enum cvm_status cvm_export_sink_add(struct cvm_export_sinks *sinks,
                                                   const struct cvm_export_sink_plan *plan,
                                                   struct cvm_error *err);

/* A finished row, and in front of the first one the head. */
CVM_MUST_CHECK enum cvm_status cvm_export_sink_put(struct cvm_export_sink *sink, const char *head,
                                                   const struct cvm_text *row,
                                                   struct cvm_error *err);
/* The row is this decision's: it is handed over when the sinks are committed. */
CVM_MUST_CHECK enum cvm_status cvm_export_sink_note(struct cvm_export_sink *sink,
                                                    const struct cvm_decision *decision,
                                                    struct cvm_error *err);

/* Flush, sync and rename all; note them in the store with what they handed over, in one
 * transaction; write the manifest. Finishes the sinks. `result` has its counts of what is left. */
CVM_MUST_CHECK enum cvm_status cvm_export_sinks_commit(struct cvm_export_sinks *sinks,
                                                       struct cvm_store *writer,
                                                       struct cvm_export_result *result,
                                                       struct cvm_error *err);

#endif
