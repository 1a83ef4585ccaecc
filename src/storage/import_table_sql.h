/* import_table_sql.h - the questions that a table of another database is asked: its columns, where
 * to cut it, the rows of a range.
 *
 * Inside storage/import_table*.c only. Names of tables and columns are the user's, so here alone
 * SQL is put together; names are quoted, values are bound.
 */
#ifndef CVM_STORAGE_IMPORT_TABLE_SQL_H
#define CVM_STORAGE_IMPORT_TABLE_SQL_H

#include "base/arena.h"
#include "base/text.h"
#include "storage/import_table.h"

/* Rows with first <= key < last, or of no key at all. */
struct cvm_table_range {
    struct cvm_db_value first; /* type NULL = from the lowest key on */
    struct cvm_db_value last;  /* type NULL = to the highest */
    bool is_after_first;       /* first < key */
    bool has_no_key;           /* rows whose key is null */
};

struct cvm_table_plan {
    const struct cvm_import_table *table;
    const char *name;  /* of the table, or "query": for messages */
    const char *from;  /* "t" AS t */
    const char *list;  /* what is selected: the key, if there is one, then the columns */
    const char *where; /* the window, "" = none; its parameters are the first */
    struct cvm_db_value days[2];
    size_t day_count;
    struct cvm_db_column *columns;
    size_t column_count;
    const struct cvm_db_column *key; /* NULL = none */
    bool has_moments;                /* so the time zone of the connection matters */
    struct cvm_table_range *ranges;
    size_t range_count;
};

/* Opens a reader; `retry` is for connecting. */
CVM_MUST_CHECK enum cvm_status cvm_table_connect(const struct cvm_table_plan *plan,
                                                 const struct cvm_retry_policy *retry,
                                                 struct cvm_db **out_db, struct cvm_error *err);

/* Everything but the ranges, then these: `count` of them, or fewer. It lives in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_table_plan_make(const struct cvm_table_input_options *options,
                                                   struct cvm_db *db, struct cvm_arena *arena,
                                                   struct cvm_table_plan *out_plan,
                                                   struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_table_plan_cut(struct cvm_table_plan *plan, struct cvm_db *db,
                                                  struct cvm_arena *arena, size_t count,
                                                  struct cvm_error *err);

/* The rows of a range in the order of the key. `sql` is for the statement and outlives the cursor.
 */
CVM_MUST_CHECK enum cvm_status cvm_table_scan(const struct cvm_table_plan *plan, struct cvm_db *db,
                                              const struct cvm_table_range *range,
                                              struct cvm_text *sql,
                                              struct cvm_db_cursor **out_cursor,
                                              struct cvm_error *err);

/* True for a column whose value is JSON already. */
bool cvm_table_is_json(enum cvm_db_column_kind kind);

#endif
