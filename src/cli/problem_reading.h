/* problem_reading.h - values.csv while it is being read, in the order of the file: problem_values.c
 * adds records, problem_columns.c makes the ordered columns of them. For those two only. */
#ifndef CVM_CLI_PROBLEM_READING_H
#define CVM_CLI_PROBLEM_READING_H

#include "cli/problem_values.h"

#define CVM_CLASS_SLOTS 16384 /* a power of 2, above CVM_PROBLEM_CLASSES_MAX */

enum cvm_values_role {
    COLUMN_ID,
    COLUMN_SEGMENT,
    COLUMN_HIGH_VALUE,
    COLUMN_AMOUNT,
    COLUMN_GROUP,
    COLUMN_DIMENSION, /* "seg:..." */
    COLUMN_TREATMENT
};
struct cvm_values_column {
    const char *name;
    enum cvm_values_role role;
    size_t treatment;
};

/* Who is inside of a row: a field that equals a text, or the high value flag. */
struct cvm_values_condition {
    size_t row;
    size_t column;
    const char *text;
    size_t length;
    bool is_high_value;
};

struct cvm_group_hash {
    uint64_t a, b; /* both 0: in no group */
};

struct cvm_values_reader {
    const struct cvm_problem_file *file;
    struct cvm_arena *header;
    struct cvm_arena *record; /* reset with each */
    uint64_t key_mask;
    char separator;
    struct cvm_values_column *columns; /* NULL until the header is read */
    size_t column_count;
    struct cvm_values_condition conditions[CVM_PROBLEM_ROWS_MAX];
    size_t condition_count;
    int64_t line; /* of the record being read */
    size_t count;
    /* one element per record, in the order of the file */
    struct cvm_column numbers; /* treatment_count doubles each, NaN = not eligible */
    struct cvm_column texts;   /* ids, each ended by '\0' */
    struct cvm_column text_at; /* uint64_t */
    struct cvm_column lines;   /* uint32_t, saturated */
    struct cvm_column amounts;
    struct cvm_column classes; /* uint16_t, in the order of their first customers */
    struct cvm_column groups;  /* struct cvm_group_hash */
    bool has_amounts, has_group_column, has_groups;
    double amount_max;
    size_t class_count;
    uint64_t class_rows[CVM_PROBLEM_CLASSES_MAX][CVM_PROBLEM_ROWS_MAX / 64];
    uint16_t class_slots[CVM_CLASS_SLOTS]; /* class + 1 */
};

#endif
