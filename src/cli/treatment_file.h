/* treatment_file.h - treatments as the proof of concept wrote them, to treatments of the catalogue.
 *
 * Forms: a configuration with the sections `treatments` and `constraints` (YAML or JSON), or a file
 * of one treatment with an `id` (JSON). A known id keeps channel, purpose and class of the
 * catalogue; limits, costs, priority, names and whether it is enabled come from the file.
 */
#ifndef CVM_CLI_TREATMENT_FILE_H
#define CVM_CLI_TREATMENT_FILE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "model/catalogue.h"

struct cvm_treatment_file {
    struct cvm_treatment *treatments; /* as they are to be from now on */
    bool *is_new;
    size_t count;
    struct cvm_text warnings; /* a line each */
    struct cvm_text not_used; /* sections and keys that mean nothing here, a line each */
};

/* Errors: CVM_E_NOT_FOUND no such file; CVM_E_INVALID with a place for what is not YAML, a missing
 * section ("there is no section 'constraints'") or a wrong value. The caller finishes the file. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_file_read(struct cvm_arena *arena,
                                                       const struct cvm_catalogue *catalogue,
                                                       const char *path,
                                                       struct cvm_treatment_file *out_file,
                                                       struct cvm_error *err);
void cvm_treatment_file_finish(struct cvm_treatment_file *file);

#endif
