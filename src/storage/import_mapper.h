/* import_mapper.h - the state of a mapper, for import_map.c, import_value.c, import_csv.c and
 * import_consent.c only. */
#ifndef CVM_STORAGE_IMPORT_MAPPER_H
#define CVM_STORAGE_IMPORT_MAPPER_H

#include "base/columns.h"
#include "base/json_reader.h"
#include "storage/import_map.h"

struct cvm_mapped_value {
    bool is_present;
    double number;         /* NUMBER, BOOLEAN, WORD, DATE */
    struct cvm_slice text; /* LABEL, TEXT */
};

/* A column of a CSV header; "a.b" becomes member b of an object a. */
struct cvm_import_csv_column {
    struct cvm_slice name;
    bool is_nested;
};

#define CVM_IMPORT_GUESSES 64

struct cvm_mapper {
    const struct cvm_import_plan *plan;
    uint64_t key_mask;
    const struct cvm_import_window *window; /* NULL = all days */
    const int32_t *first_days;              /* as in the options */
    struct cvm_json_reader *reader;
    struct cvm_arena *arena; /* of one record */
    struct cvm_import_counts *counts;

    /* the block */
    int source_number;
    const struct cvm_import_source *source;
    enum cvm_record_format format;
    struct cvm_arena *header_arena;
    struct cvm_slice header; /* what `columns` were read from */
    struct cvm_import_csv_column *columns;
    size_t column_count;
    char separator;

    /* the record; slots and paths of its source */
    const struct cvm_json_value **slots;
    bool *is_consumed;                   /* per slot: nothing of it is unknown */
    bool *is_used;                       /* per path: it gave a value */
    struct cvm_mapped_value *values;     /* per field */
    int16_t guesses[CVM_IMPORT_GUESSES]; /* slot of the i-th member of the last record */
    uint32_t topics;
    struct cvm_text attributes;
    struct cvm_text private_text;
    struct cvm_text section;
    struct cvm_column record;
};

/* ---- import_value.c ---- */

/* The first value that the path finds; NULL if there is none or it is null. */
const struct cvm_json_value *cvm_import_find(const struct cvm_mapper *mapper,
                                             const struct cvm_import_path *path);
/* Fill mapper->values from the record. */
void cvm_import_map_fields(struct cvm_mapper *mapper);
/* A whole decimal number, spaces around it allowed; nothing else. */
bool cvm_import_number(const char *text, size_t length, double *out_number);

/* ---- import_csv.c ---- */

CVM_MUST_CHECK enum cvm_status cvm_import_csv_start(struct cvm_mapper *mapper,
                                                    const struct cvm_record_block *block,
                                                    struct cvm_error *err);
/* A CSV record as an object of strings; blank fields are left out. */
CVM_MUST_CHECK enum cvm_status cvm_import_csv_read(struct cvm_mapper *mapper, const char *text,
                                                   size_t length,
                                                   const struct cvm_json_value **out_root,
                                                   struct cvm_error *err);

/* ---- import_consent.c ---- */

CVM_MUST_CHECK enum cvm_status cvm_import_map_consent(struct cvm_mapper *mapper,
                                                      struct cvm_consent *out_consent,
                                                      struct cvm_error *err);

#endif
