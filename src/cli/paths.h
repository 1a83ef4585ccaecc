/* paths.h - file names put together; all in the arena. */
#ifndef CVM_CLI_PATHS_H
#define CVM_CLI_PATHS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

/* folder/name; `name` alone when it is absolute or the folder is "" or NULL. */
CVM_MUST_CHECK enum cvm_status cvm_path_join(struct cvm_arena *arena, const char *folder,
                                             const char *name, const char **out_path,
                                             struct cvm_error *err);
/* The folder that a file stands in: "a/b" of "a/b/c", "." of "c". */
CVM_MUST_CHECK enum cvm_status cvm_path_folder(struct cvm_arena *arena, const char *path,
                                               const char **out_folder, struct cvm_error *err);
/* The folder of an SQLite store; "." for any other. */
CVM_MUST_CHECK enum cvm_status cvm_store_folder(struct cvm_arena *arena, const char *store_url,
                                                const char **out_folder, struct cvm_error *err);
/* An SQLite store's file made relative to `folder` (the folder of cvm.yaml); others as they are. */
CVM_MUST_CHECK enum cvm_status cvm_store_url_join(struct cvm_arena *arena, const char *folder,
                                                  const char *store_url, const char **out_url,
                                                  struct cvm_error *err);

/* Where keys go that nothing else is said of: NULL (beside an SQLite store), else a file in
 * `folder`, so that they are not in the store's own database. */
CVM_MUST_CHECK enum cvm_status cvm_keys_url_default(struct cvm_arena *arena, const char *folder,
                                                    const char *store_url, const char **out_url,
                                                    struct cvm_error *err);
/* The URL for people to read: *** stands for a password. */
CVM_MUST_CHECK enum cvm_status cvm_store_url_shown(struct cvm_arena *arena, const char *store_url,
                                                   const char **out_shown, struct cvm_error *err);
/* Whether the store is a server's: then no file lies beside it. */
bool cvm_store_is_server(const char *store_url);

/* Where short-lived files go: $TMPDIR, or /tmp. */
const char *cvm_temporary_folder(void);

#endif
