/* import_file.h - files and folders as an input of records: JSON arrays, {"data": [...]}, NDJSON,
 * CSV, in blocks, whatever their size. Inside storage/import*.c only. */
#ifndef CVM_STORAGE_IMPORT_FILE_H
#define CVM_STORAGE_IMPORT_FILE_H

#include "storage/import.h"

struct cvm_file_input;

struct cvm_file_input_options {
    const char *const *paths; /* files and folders */
    size_t path_count;
    const char *mapping; /* NULL = any */
    const char *source;  /* takes every file, whatever its name; NULL = by name */
    size_t block_bytes;
    size_t record_bytes_max;
    size_t block_count; /* blocks in flight */
};

/* Lists and matches the files; CVM_E_NOT_FOUND when there is none to read at all. The options'
 * paths must outlive the input. */
CVM_MUST_CHECK enum cvm_status cvm_file_input_open(const struct cvm_catalogue *catalogue,
                                                   const struct cvm_file_input_options *options,
                                                   struct cvm_file_input **out_input,
                                                   struct cvm_error *err);
void cvm_file_input_close(struct cvm_file_input *input); /* NULL is fine */
struct cvm_record_input *cvm_file_input_records(struct cvm_file_input *input);
/* After the last block: lists of texts, copied into the arena. */
CVM_MUST_CHECK enum cvm_status cvm_file_input_report(const struct cvm_file_input *input,
                                                     struct cvm_arena *arena,
                                                     struct cvm_import_report *report,
                                                     struct cvm_error *err);

/* The next record of a block, without its line end; empty for a blank line. *at moves on to
 * block->length. */
struct cvm_slice cvm_record_block_next(const struct cvm_record_block *block, size_t *at);

#endif
