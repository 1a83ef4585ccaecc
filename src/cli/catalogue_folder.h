/* catalogue_folder.h - the catalogue's files on disk, and how a change of them becomes the next
 * version in the store.
 */
#ifndef CVM_CLI_CATALOGUE_FOLDER_H
#define CVM_CLI_CATALOGUE_FOLDER_H

#include "cli/command.h"
#include "model/catalogue_read.h"

/* The *.yaml files of the folder and its folders, in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_folder_read(struct cvm_arena *arena,
                                                         const char *folder,
                                                         struct cvm_catalogue_files *out_files,
                                                         struct cvm_error *err);
/* Write the files below the folder, which is made. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_folder_write(struct cvm_arena *arena,
                                                          const char *folder,
                                                          const struct cvm_catalogue_files *files,
                                                          struct cvm_error *err);

bool cvm_catalogue_files_equal(const struct cvm_catalogue_files *a,
                               const struct cvm_catalogue_files *b);
/* The files with `file` added or in place of the one of its name. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_files_put(struct cvm_arena *arena,
                                                       const struct cvm_catalogue_files *files,
                                                       const struct cvm_catalogue_file *file,
                                                       struct cvm_catalogue_files *out_files,
                                                       struct cvm_error *err);

struct cvm_catalogue_update {
    const struct cvm_catalogue *catalogue; /* what is in force now */
    int64_t version;
    int64_t version_before; /* 0 = there was none */
    const struct cvm_catalogue_change *changes;
    size_t change_count;
};
/* Check the files as a catalogue, and store them as the next version unless they are the ones in
 * force (then version == version_before). `root` stands before file names in messages. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_store_update(struct cvm_session *session,
                                                          struct cvm_store *store,
                                                          const struct cvm_catalogue_files *files,
                                                          const char *root, const char *why,
                                                          struct cvm_catalogue_update *out_update,
                                                          struct cvm_error *err);

/* "  treatments/x.yaml: cost: 0.10 -> 0.25"; at most `lines_max` of them, 0 = all. */
void cvm_catalogue_changes_print(FILE *out, const struct cvm_catalogue_change *changes,
                                 size_t count, size_t lines_max);
/* An array of {path, before, after}. */
void cvm_catalogue_changes_write(struct cvm_json_writer *json,
                                 const struct cvm_catalogue_change *changes, size_t count);

#endif
