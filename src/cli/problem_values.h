/* problem_values.h - the customers of `cvm allocate`: values.csv in one pass to columns in
 * ascending order of key, which is that of the store: 63 bits of XXH3 of the id.
 *
 * What is in memory is the columns and one window of the file, whatever its size.
 */
#ifndef CVM_CLI_PROBLEM_VALUES_H
#define CVM_CLI_PROBLEM_VALUES_H

#include "base/columns.h"
#include "cli/command.h"
#include "cli/problem_file.h"

struct cvm_problem_values {
    size_t customer_count;
    struct cvm_buffer values;  /* float, in the problem's blocks */
    struct cvm_buffer exact;   /* double, in the same */
    struct cvm_buffer keys;    /* uint64_t */
    struct cvm_buffer amounts; /* double; empty: the file has none */
    struct cvm_buffer classes; /* uint16_t; empty: no row looks at segments or high value */
    size_t class_count;
    /* Per class, which rows its customers are inside of: a bit per row. */
    uint64_t class_rows[CVM_PROBLEM_CLASSES_MAX][CVM_PROBLEM_ROWS_MAX / 64];
    struct cvm_buffer groups; /* uint32_t; empty: nobody is in one */
    size_t group_count;
    double amount_max;
    struct cvm_column texts;
    struct cvm_buffer ids;   /* const char *, into texts */
    struct cvm_buffer by_id; /* uint32_t: customers in byte order of id */
};

/* A window of the file at a time. */
struct cvm_values_reader;
/* key_bits 0 = 63; tests make collisions with fewer. NULL when out of memory. */
struct cvm_values_reader *cvm_values_reader_create(const struct cvm_problem_file *file,
                                                   int key_bits);
void cvm_values_reader_destroy(struct cvm_values_reader *reader);
/* Takes whole records; *out_used bytes are done, the rest belongs before the next window. */
CVM_MUST_CHECK enum cvm_status cvm_values_reader_add(struct cvm_values_reader *reader,
                                                     const char *data, size_t length, bool is_last,
                                                     size_t *out_used, struct cvm_error *err);
/* After the last window. *out_values is filled also on failure: finish it in any case. */
CVM_MUST_CHECK enum cvm_status cvm_values_reader_end(struct cvm_values_reader *reader,
                                                     struct cvm_problem_values *out_values,
                                                     struct cvm_error *err);

/* All of file->values_path, with progress; *out_values as above. */
CVM_MUST_CHECK enum cvm_status cvm_problem_values_read(struct cvm_session *session,
                                                       const struct cvm_problem_file *file,
                                                       struct cvm_problem_values *out_values,
                                                       struct cvm_error *err);
void cvm_problem_values_finish(struct cvm_problem_values *values); /* a zeroed one is fine */

static inline bool cvm_problem_class_is_in(const struct cvm_problem_values *values, size_t number,
                                           size_t row)
{
    return (values->class_rows[number][row / 64] >> row % 64 & 1) != 0;
}

#endif
