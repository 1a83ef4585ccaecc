/* import_table.h - rows of a database that is not ours as an input of records.
 *
 * Inside storage/import*.c only. Several producers, each with a connection of its own, read ranges
 * of the key into blocks of NDJSON; a bounded queue hands them to whoever calls next(). Memory is
 * the blocks of the queue and one per producer.
 */
#ifndef CVM_STORAGE_IMPORT_TABLE_H
#define CVM_STORAGE_IMPORT_TABLE_H

#include "storage/import.h"

struct cvm_table_input;

struct cvm_table_input_options {
    const struct cvm_import_table *table;
    const struct cvm_catalogue *catalogue;
    const struct cvm_import_window *window; /* NULL = all days */
    size_t block_bytes;
    size_t record_bytes_max;
    size_t block_count;
    const struct cvm_context *context;
};

/* Connects, looks at the columns, cuts the ranges and starts reading. All of the options outlives
 * the input. */
CVM_MUST_CHECK enum cvm_status cvm_table_input_open(const struct cvm_table_input_options *options,
                                                    struct cvm_table_input **out_input,
                                                    struct cvm_error *err);
void cvm_table_input_close(struct cvm_table_input *input); /* NULL is fine */
struct cvm_record_input *cvm_table_input_records(struct cvm_table_input *input);

#endif
