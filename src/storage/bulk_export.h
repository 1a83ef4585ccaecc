/* bulk_export.h - all customers, decisions or audit rows of a store, one by one.
 *
 * Rows come in the order of a key that no later change moves, each with its cursor: the walk can go
 * on after it at any time. A walk sees one moment of the store; what it holds is one row, whatever
 * the number of rows. What is sealed is not opened.
 */
#ifndef CVM_STORAGE_BULK_EXPORT_H
#define CVM_STORAGE_BULK_EXPORT_H

#include "storage/row_members.h"
#include "storage/store.h"

enum cvm_bulk_kind {
    CVM_BULK_CUSTOMERS, /* by key; since when: of the import that brought the customer */
    CVM_BULK_DECISIONS, /* by run, then key; since when: the day that the run is as of */
    CVM_BULK_AUDIT,     /* as they were written; since when: of the change */
};

/* Days are those of runs, moments all others; both ends included, `until_ms` excluded. */
struct cvm_bulk_request {
    enum cvm_bulk_kind kind;
    const char *run_id; /* decisions: only of this run; NULL = of all */
    int32_t first_day, last_day;
    int64_t since_ms, until_ms;
    const char *after; /* a cursor; NULL = from the start */
};

#define CVM_BULK_CURSOR_SIZE 64

/* Which members the rows of a kind have. */
const struct cvm_member *cvm_bulk_members(enum cvm_bulk_kind kind);

/* CVM_E_INVALID when `after` is no cursor of this kind. Opens the snapshot: the store must be a
 * reader's, and not in a transaction. `request` must live as long as the walk. */
struct cvm_bulk_walk;
CVM_MUST_CHECK enum cvm_status cvm_bulk_open(struct cvm_store *store,
                                             const struct cvm_bulk_request *request,
                                             struct cvm_bulk_walk **out_walk,
                                             struct cvm_error *err);
/* The columns of the next row, as the members have them, until the next call; NULL at the end. */
CVM_MUST_CHECK enum cvm_status cvm_bulk_next(struct cvm_bulk_walk *walk,
                                             const struct cvm_db_value **out_columns,
                                             struct cvm_error *err);
/* Of the row that was given last. */
const char *cvm_bulk_cursor(const struct cvm_bulk_walk *walk, char cursor[CVM_BULK_CURSOR_SIZE]);
void cvm_bulk_close(struct cvm_bulk_walk *walk); /* NULL is fine */

#endif
