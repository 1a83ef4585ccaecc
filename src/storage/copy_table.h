/* copy_table.h - the tables that a copy of a store moves, and their rows as bytes. For copy.c and
 * its test. */
#ifndef CVM_STORAGE_COPY_TABLE_H
#define CVM_STORAGE_COPY_TABLE_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/text.h"
#include "storage/db.h"

struct cvm_copy_name {
    const char *name;
    /* Small, and no work on a store ends without a change of one of these: their rows tell one
     * moment of it from another. */
    bool tells_moment;
};

/* In the order of the copy: what is referred to comes first. A table of a new migration stands here
 * or below; tests/storage/copy_test.c sees to it. */
#define CVM_COPY_TABLES_MAX 64
extern const struct cvm_copy_name cvm_copy_moved[]; /* ends with NULL */
/* Tables that a store keeps for itself, and derived ones. */
extern const char *const cvm_copy_left[]; /* ends with NULL */

/* One table with the statements over all its columns, in the order of their names: the same on
 * every database. */
struct cvm_copy_plan {
    const char *name;
    bool tells_moment;
    bool
        goes_by_customer; /* the key, a hash, begins with the customer's: it tells how far one is */
    size_t key_column;    /* that it stands in */
    size_t column_count;
    const char *const *columns;
    const char *scan;   /* all rows in key order */
    const char *insert; /* one row */
    const char *clear;
};
/* In the arena; out_plans has room for CVM_COPY_TABLES_MAX. */
CVM_MUST_CHECK enum cvm_status cvm_copy_plan_all(struct cvm_db *db, struct cvm_arena *arena,
                                                 struct cvm_copy_plan *out_plans, size_t *out_count,
                                                 struct cvm_error *err);
bool cvm_copy_plan_equals(const struct cvm_copy_plan *a, const struct cvm_copy_plan *b);

/* A digest over rows, the same for equal rows of any database. */
struct cvm_copy_digest {
    struct cvm_digest digest;
    struct cvm_text row;
    int64_t rows;
};
void cvm_copy_digest_init(struct cvm_copy_digest *digest);
CVM_MUST_CHECK enum cvm_status cvm_copy_digest_add(struct cvm_copy_digest *digest,
                                                   const struct cvm_db_value *columns,
                                                   size_t column_count, struct cvm_error *err);
void cvm_copy_digest_finish(struct cvm_copy_digest *digest, char text[CVM_DIGEST_TEXT_SIZE]);

#endif
