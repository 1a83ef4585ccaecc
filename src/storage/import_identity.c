#include <string.h>

#include "storage/import.h"
#include "storage/import_map.h"

enum cvm_status cvm_import_identify(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                                    int source, struct cvm_slice text,
                                    struct cvm_record_identity *out_identity, struct cvm_error *err)
{
    const struct cvm_import_plan *plan = NULL;
    const struct cvm_import_record *record = NULL;
    struct cvm_mapper_options options = {.record_bytes_max = text.length, .key_bits = 63};
    struct cvm_record_block block = {
        .source = source, .first_record = 1, .format = CVM_RECORDS_NDJSON};
    char *padded = cvm_arena_alloc(arena, text.length + CVM_JSON_PADDING, 1);
    enum cvm_status status = padded == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record")
                                            : cvm_import_plan_make(arena, catalogue, &plan, err);
    if (status != CVM_OK) {
        return status;
    }
    memcpy(padded, text.data, text.length);
    struct cvm_mapper *mapper = cvm_mapper_create(plan, &options);
    if (mapper == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record");
    }
    status = cvm_mapper_start(mapper, &block, err);
    if (status == CVM_OK) {
        status = cvm_mapper_map(mapper, padded, text.length, 0, 1, &record, err);
    }
    if (status == CVM_OK) {
        const char *id = cvm_arena_string(arena, cvm_import_record_id(record));
        if (id == NULL) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record");
        } else {
            *out_identity = (struct cvm_record_identity){
                .customer_id = id,
                .customer_hash = record->key,
                .identity = record->identity,
                .content = record->content,
            };
        }
    }
    cvm_mapper_destroy(mapper);
    return status;
}
