/* catalogue_edit.h - a command that changes some files of the catalogue in force: begin, put or
 * remove files, check, store as the next version; the folder is left saying the same.
 *
 * A file that somebody has edited in the folder and not applied is not overwritten: the command
 * fails before anything is stored.
 */
#ifndef CVM_CLI_CATALOGUE_EDIT_H
#define CVM_CLI_CATALOGUE_EDIT_H

#include "cli/catalogue_folder.h"

struct cvm_catalogue_edit {
    struct cvm_session *session;
    struct cvm_store *store; /* opened for writing by the caller */
    int64_t version;         /* in force before */
    struct cvm_catalogue_files before;
    struct cvm_catalogue_files files;   /* as they are to be */
    struct cvm_catalogue_files changed; /* those that were put */
    struct cvm_catalogue_files removed;
};

CVM_MUST_CHECK enum cvm_status cvm_catalogue_edit_begin(struct cvm_session *session,
                                                        struct cvm_store *store,
                                                        struct cvm_catalogue_edit *out_edit,
                                                        struct cvm_error *err);
/* The text is copied. `name` is relative to the folder: "treatments/x.yaml". */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_edit_put(struct cvm_catalogue_edit *edit,
                                                      const char *name, const char *text,
                                                      size_t length, struct cvm_error *err);
/* CVM_E_NOT_FOUND when there is no such file. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_edit_remove(struct cvm_catalogue_edit *edit,
                                                         const char *name, struct cvm_error *err);
/* The file in the edited catalogue, NULL when there is none. */
const struct cvm_catalogue_file *cvm_catalogue_edit_file(const struct cvm_catalogue_edit *edit,
                                                         const char *name);
/* treatments/ID.yaml as cvm_treatment_write() says it. */
CVM_MUST_CHECK enum cvm_status
cvm_catalogue_edit_put_treatment(struct cvm_catalogue_edit *edit,
                                 const struct cvm_catalogue *catalogue,
                                 const struct cvm_treatment *treatment, struct cvm_error *err);

/* The edited files as a catalogue, checked as a whole. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_edit_check(const struct cvm_catalogue_edit *edit,
                                                        const struct cvm_catalogue **out_catalogue,
                                                        struct cvm_error *err);
/* Store the next version, audited with `why`, then bring the folder to it. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_edit_store(struct cvm_catalogue_edit *edit,
                                                        const char *why,
                                                        struct cvm_catalogue_update *out_update,
                                                        struct cvm_error *err);

#endif
