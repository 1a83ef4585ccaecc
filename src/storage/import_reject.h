/* import_reject.h - the file of rejected records, one JSON object a line, made when the first one
 * comes. Any thread may add. Inside storage/import*.c only. */
#ifndef CVM_STORAGE_IMPORT_REJECT_H
#define CVM_STORAGE_IMPORT_REJECT_H

#include <stdint.h>

#include "storage/import.h"

struct cvm_import_rejects;

/* Rejects that the input itself reports come from the reader's thread. */
struct cvm_import_rejecting {
    struct cvm_import_rejects *rejects;
    int64_t counts[CVM_SOURCES_MAX];
};

/* path NULL: rejects are counted only. NULL when out of memory. */
struct cvm_import_rejects *cvm_import_rejects_create(const char *path);
void cvm_import_rejects_destroy(struct cvm_import_rejects *rejects); /* NULL is fine */
/* Who is told of each, too, one at a time. */
void cvm_import_rejects_listen(struct cvm_import_rejects *rejects,
                               void (*on_reject)(void *state,
                                                 const struct cvm_record_reject *reject),
                               void *state);
/* Tell who listens of one that is not for the file. */
void cvm_import_rejects_tell(struct cvm_import_rejects *rejects,
                             const struct cvm_record_reject *reject);
CVM_MUST_CHECK enum cvm_status cvm_import_rejects_add(struct cvm_import_rejects *rejects,
                                                      const struct cvm_record_reject *reject,
                                                      struct cvm_error *err);
/* Everything is in the file when this returns CVM_OK; *out_is_written says whether there is one. */
CVM_MUST_CHECK enum cvm_status cvm_import_rejects_close(struct cvm_import_rejects *rejects,
                                                        bool *out_is_written,
                                                        struct cvm_error *err);

#endif
