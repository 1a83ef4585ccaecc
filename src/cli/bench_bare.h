/* bench_bare.h - what the store is measured beside: the client library of its database, with
 * nothing between. One of these per process and thread.
 */
#ifndef CVM_CLI_BENCH_BARE_H
#define CVM_CLI_BENCH_BARE_H

#include "cli/bench.h"
#include "storage/customers.h"
#include "storage/db.h"

/* Of `event`, in the order of the table. */
#define CVM_BARE_COLUMNS 11

struct cvm_bare {
    const struct cvm_bare_kind *kind;
};

struct cvm_bare_kind {
    /* Beside the store: in its database, or in a file in `folder`. */
    enum cvm_status (*open)(const char *store_url, const char *folder, struct cvm_bare **out_bare,
                            struct cvm_error *err);
    void (*close)(struct cvm_bare *bare);
    /* An empty table `bare` with the columns of `event`, with its key or without. */
    enum cvm_status (*make_table)(struct cvm_bare *bare, bool has_key, struct cvm_error *err);
    /* Rows of CVM_BARE_COLUMNS values in one transaction; *out_seconds without what can be prepared
     * before. */
    enum cvm_status (*load)(struct cvm_bare *bare, const struct cvm_db_value *rows,
                            size_t row_count, double *out_seconds, struct cvm_error *err);
    /* The packed journey of one customer: the question that the store asks. */
    enum cvm_status (*read)(struct cvm_bare *bare, const struct cvm_packed_range *range,
                            size_t *out_bytes, struct cvm_error *err);
};
extern const struct cvm_bare_kind cvm_bare_sqlite;
extern const struct cvm_bare_kind cvm_bare_postgres; /* where libpq was there when it was built */

/* The kind of the store's database. CVM_E_INVALID: it was built without. */
CVM_MUST_CHECK enum cvm_status cvm_bare_open(const char *store_url, const char *folder,
                                             struct cvm_bare **out_bare, struct cvm_error *err);
void cvm_bare_close(struct cvm_bare *bare); /* NULL is fine */

/* Load the store's event rows once more, in their order and 50,000 to a transaction: once into a
 * table with the same key, once into one without. Adds stages and rows to the sample. */
CVM_MUST_CHECK enum cvm_status cvm_bench_bare_load(struct cvm_bench *bench,
                                                   struct cvm_bench_sample *sample,
                                                   struct cvm_error *err);

#endif
