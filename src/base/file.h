/* file.h - whole small files, atomic replacement, and listings of folders. */
#ifndef CVM_BASE_FILE_H
#define CVM_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"

bool cvm_file_exists(const char *path);
bool cvm_file_is_folder(const char *path);

/* The whole file, ended by '\0' (not counted); CVM_E_NOT_FOUND, CVM_E_LIMIT above bytes_max. */
CVM_MUST_CHECK enum cvm_status cvm_file_read(struct cvm_arena *arena, const char *path,
                                             size_t bytes_max, char **out_data, size_t *out_length,
                                             struct cvm_error *err);
/* Write beside it, fsync, rename over it: a reader sees the old or the new file, never half of one.
 * A link stays one, and so does a device or pipe: it is written to, never replaced or removed. */
CVM_MUST_CHECK enum cvm_status cvm_file_write(const char *path, const char *data, size_t length,
                                              struct cvm_error *err);

/* The same for what is written piece by piece: the file is there once it is committed. */
struct cvm_file_out;
CVM_MUST_CHECK enum cvm_status cvm_file_out_open(const char *path, struct cvm_file_out **out_file,
                                                 struct cvm_error *err);
FILE *cvm_file_out_stream(struct cvm_file_out *file);
CVM_MUST_CHECK enum cvm_status cvm_file_out_commit(struct cvm_file_out *file,
                                                   struct cvm_error *err);
/* Without a commit nothing has changed. NULL is accepted. */
void cvm_file_out_close(struct cvm_file_out *file);

/* What was made or renamed in the folder of `path` is on the disk then; false with errno. */
CVM_MUST_CHECK bool cvm_file_sync_folder(const char *path);

/* Like mkdir -p. */
CVM_MUST_CHECK enum cvm_status cvm_folder_create(const char *path, struct cvm_error *err);

struct cvm_file_list {
    char **paths; /* relative to the folder, sorted by bytes; in the arena */
    size_t count;
};
/* Regular files below `folder`, depth levels deep (0 = only its own); hidden files are skipped. */
CVM_MUST_CHECK enum cvm_status cvm_folder_list(struct cvm_arena *arena, const char *folder,
                                               int depth, struct cvm_file_list *out_list,
                                               struct cvm_error *err);

#endif
