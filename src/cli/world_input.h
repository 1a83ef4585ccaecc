/* world_input.h - a generated base as records for the import, without files in between. */
#ifndef CVM_CLI_WORLD_INPUT_H
#define CVM_CLI_WORLD_INPUT_H

#include <stdio.h>

#include "model/catalogue.h"
#include "storage/import.h"
#include "world/world.h"

struct cvm_world_input_options {
    struct cvm_world_options world;
    const struct cvm_catalogue *catalogue; /* must have the sources of the telecom mapping */
    const struct cvm_context *context;
    FILE *truth; /* borrowed; gets the truth of each customer; NULL = not wanted */
};

struct cvm_world_input;
CVM_MUST_CHECK enum cvm_status cvm_world_input_create(const struct cvm_world_input_options *options,
                                                      struct cvm_world_input **out_input,
                                                      struct cvm_error *err);
void cvm_world_input_destroy(struct cvm_world_input *input);
struct cvm_record_input *cvm_world_input_records(struct cvm_world_input *input);

/* The base as files FOLDER/<source>.ndjson (made), and the truth. */
CVM_MUST_CHECK enum cvm_status
cvm_world_write_files(const struct cvm_world_input_options *options, const char *folder,
                      void (*on_progress)(void *, const char *, double, int64_t),
                      void *progress_state, int64_t *out_records, struct cvm_error *err);

#endif
