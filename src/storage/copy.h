/* copy.h - one whole store into another one, on the same kind of database or another: the rows of
 * every table in key order, and digests over both at the end.
 *
 * The source is read as of one moment. How far a copy is stands in the target (table store_copy),
 * in the transaction of the rows, so that a copy that was broken off goes on. Until cvm_copy_end()
 * nobody else can open the target.
 *
 * Packed journeys are not copied: they are made from the rows (cvm_import_rebuild). Nor are keys of
 * personal data, which stand in a database of their own (cvm_vault_copy).
 */
#ifndef CVM_STORAGE_COPY_H
#define CVM_STORAGE_COPY_H

#include "base/arena.h"
#include "base/hash.h"
#include "storage/store.h"

struct cvm_copy_options {
    const char *who;
    const char *source_shown; /* the source's URL without a password */
    bool starts_anew;         /* a copy that was broken off is emptied first */
    const struct cvm_context *context;
    /* fraction of the table in `stage`, -1 = unknown; rows of it so far */
    void (*on_progress)(void *state, const char *stage, double fraction, int64_t rows);
    void *progress_state;
};

struct cvm_copy_side {
    int64_t rows;
    char digest[CVM_DIGEST_TEXT_SIZE];
};
struct cvm_copy_table {
    const char *name;
    struct cvm_copy_side source;
    struct cvm_copy_side target;
    bool is_equal;
};
struct cvm_copy_report {
    struct cvm_copy_table *tables;
    size_t table_count;
    bool was_resumed;
    bool is_verified; /* every table is equal on both sides */
    bool is_sealed;   /* personal data under keys of a vault */
};

/* Copy what is missing, then compare. The source is open for reading, the target as one of a copy;
 * the report lives in the arena. CVM_E_CONFLICT when the target holds anything but a copy of this
 * source, as it is now, that was broken off; `starts_anew` then only takes the half copy away,
 * never another store. */
CVM_MUST_CHECK enum cvm_status cvm_store_copy(struct cvm_store *source, struct cvm_store *target,
                                              const struct cvm_copy_options *options,
                                              struct cvm_arena *arena,
                                              struct cvm_copy_report *out_report,
                                              struct cvm_error *err);

/* From here the target is a store like any other. */
CVM_MUST_CHECK enum cvm_status cvm_copy_end(struct cvm_store *target, struct cvm_error *err);

#endif
