/* import_record.h - a mapped record as one run of bytes: what the import sorts, spills and merges.
 *
 * Inside storage/import*.c only. The head is followed by its cells (or, for consent, by a struct
 * cvm_consent), the customer id with a '\0', the attributes with a '\0', and the private JSON.
 * Every record is a multiple of 8 bytes long and begins at one.
 */
#ifndef CVM_STORAGE_IMPORT_RECORD_H
#define CVM_STORAGE_IMPORT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "model/catalogue.h"
#include "model/packed.h"

struct cvm_import_record {
    uint32_t length; /* of head and body */
    uint32_t file;   /* number of the file in this import */
    uint64_t key;    /* that the customer id hashes to; a collision is resolved on merging */
    uint64_t identity;
    uint64_t content;
    int64_t record; /* number in the file, from 1 */
    int32_t day;    /* of an event; of the update for attributes and consent, CVM_DAY_NONE if not
                       given */
    int32_t second;
    uint32_t topics;
    uint32_t attributes_length;
    uint32_t private_length;
    uint16_t id_length;
    uint16_t cell_count;
    uint8_t source;
    uint8_t kind;    /* enum cvm_source_kind */
    bool is_counted; /* identity is the hash of the record: equal ones of one file are numbered */
    uint8_t padding[5];
};

static inline const struct cvm_packed_cell *
cvm_import_record_cells(const struct cvm_import_record *record)
{
    return (const struct cvm_packed_cell *)(record + 1);
}

static inline const struct cvm_consent *
cvm_import_record_consent(const struct cvm_import_record *record)
{
    return (const struct cvm_consent *)(record + 1);
}

/* kind == CVM_SOURCE_CONSENT has a struct cvm_consent where the others have cells. */
static inline const char *cvm_import_record_id(const struct cvm_import_record *record)
{
    size_t cells = record->cell_count * sizeof(struct cvm_packed_cell);
    return (const char *)(record + 1) +
           (record->kind == CVM_SOURCE_CONSENT ? sizeof(struct cvm_consent) : cells);
}

static inline const char *cvm_import_record_attributes(const struct cvm_import_record *record)
{
    return cvm_import_record_id(record) + record->id_length + 1;
}

static inline const char *cvm_import_record_private(const struct cvm_import_record *record)
{
    return cvm_import_record_attributes(record) + record->attributes_length + 1;
}

#endif
