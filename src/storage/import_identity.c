#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "storage/import.h"
#include "storage/import_map.h"

#define PLAN_BYTES_MAX ((size_t)64 << 20)

struct cvm_identifier {
    struct cvm_arena *arena; /* of the plan */
    struct cvm_mapper *mapper;
    int source; /* of the record before; -1 = none yet */
    size_t record_bytes_max;
    struct cvm_buffer padded;
};

enum cvm_status cvm_identifier_create(const struct cvm_catalogue *catalogue,
                                      size_t record_bytes_max,
                                      struct cvm_identifier **out_identifier, struct cvm_error *err)
{
    const struct cvm_import_plan *plan = NULL;
    struct cvm_mapper_options options = {.record_bytes_max = record_bytes_max, .key_bits = 63};
    struct cvm_identifier *identifier = calloc(1, sizeof(*identifier));
    if (identifier == NULL || (identifier->arena = cvm_arena_create(PLAN_BYTES_MAX)) == NULL) {
        free(identifier);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read records");
    }
    identifier->source = -1;
    identifier->record_bytes_max = record_bytes_max;
    enum cvm_status status = cvm_import_plan_make(identifier->arena, catalogue, &plan, err);
    if (status == CVM_OK) {
        identifier->mapper = cvm_mapper_create(plan, &options);
        status = identifier->mapper != NULL
                     ? CVM_OK
                     : CVM_FAIL(err, CVM_E_LIMIT, "no memory to read records");
    }
    if (status != CVM_OK) {
        cvm_identifier_destroy(identifier);
        return status;
    }
    *out_identifier = identifier;
    return CVM_OK;
}

void cvm_identifier_destroy(struct cvm_identifier *identifier)
{
    if (identifier != NULL) {
        cvm_mapper_destroy(identifier->mapper);
        cvm_buffer_finish(&identifier->padded);
        cvm_arena_destroy(identifier->arena);
        free(identifier);
    }
}

static enum cvm_status start(struct cvm_identifier *identifier, int source, struct cvm_error *err)
{
    struct cvm_record_block block = {
        .source = source, .first_record = 1, .format = CVM_RECORDS_NDJSON};
    enum cvm_status status = cvm_mapper_start(identifier->mapper, &block, err);
    identifier->source = status == CVM_OK ? source : -1;
    return status;
}

enum cvm_status cvm_import_identify(struct cvm_identifier *identifier, struct cvm_arena *arena,
                                    int source, struct cvm_slice text,
                                    struct cvm_record_identity *out_identity, struct cvm_error *err)
{
    const struct cvm_import_record *record = NULL;
    if (text.length > identifier->record_bytes_max) {
        return CVM_FAIL(err, CVM_E_INVALID, "the record is longer than %zu bytes",
                        identifier->record_bytes_max);
    }
    enum cvm_status status =
        cvm_buffer_reserve(&identifier->padded, text.length + CVM_JSON_PADDING, err);
    if (status == CVM_OK && identifier->source != source) {
        status = start(identifier, source, err);
    }
    if (status == CVM_OK) {
        memcpy(identifier->padded.data, text.data, text.length);
        status = cvm_mapper_map(identifier->mapper, identifier->padded.data, text.length, 0, 1,
                                &record, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    const char *id = cvm_arena_string(arena, cvm_import_record_id(record));
    if (id == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record");
    }
    *out_identity = (struct cvm_record_identity){
        .customer_id = id,
        .customer_hash = record->key,
        .identity = record->identity,
        .content = record->content,
    };
    return CVM_OK;
}
