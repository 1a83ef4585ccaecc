/* shipped.h - the catalogue inside the program, and new stores that start with it. */
#ifndef CVM_CLI_SHIPPED_H
#define CVM_CLI_SHIPPED_H

#include "cli/command.h"
#include "cli/embedded.h"
#include "model/catalogue_read.h"

/* NULL if there is none of this name. */
const struct cvm_embedded_file *cvm_shipped_file(const char *name);

/* The shipped catalogue with its limits scaled to a base of this size, in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_shipped_catalogue(struct cvm_arena *arena, int64_t customers,
                                                     struct cvm_catalogue_files *out_files,
                                                     struct cvm_error *err);

/* Make the store, with the files as its first catalogue version. */
CVM_MUST_CHECK enum cvm_status cvm_shipped_store(struct cvm_session *session, const char *store_url,
                                                 const struct cvm_catalogue_files *files,
                                                 const char *why, int64_t *out_version,
                                                 struct cvm_error *err);

#endif
