/* purge_slice.h - the customers of a range of keys: which of their rows go, and which packed bodies
 * change by it. Inside storage/purge*.c only. */
#ifndef CVM_STORAGE_PURGE_SLICE_H
#define CVM_STORAGE_PURGE_SLICE_H

#include "storage/import_resolve.h"
#include "storage/purge.h"

struct cvm_purge_row {
    uint64_t key;
    uint64_t identity;
    int64_t source; /* the store's number */
    int64_t version;
    int64_t key_id;
    int32_t day;
    int32_t second;
    bool is_visible;
    bool is_in_force;
    bool goes;
    struct cvm_slice attributes;
    struct cvm_slice private_blob;
};

struct cvm_purge_slice {
    const struct cvm_import_view *view;
    uint64_t first_key;
    uint64_t last_key;
    struct cvm_arena *arena; /* texts of the rows */
    struct cvm_column rows;  /* struct cvm_purge_row: by customer, then source, identity, version */
    struct cvm_column ranges;         /* struct cvm_purge_range: all that goes, and nothing else */
    struct cvm_column bodies;         /* struct cvm_import_body: to be written anew, or removed */
    struct cvm_column events;         /* struct cvm_import_pack_event, of the bodies */
    int64_t records[CVM_SOURCES_MAX]; /* that go, by number of the limit */
    int64_t row_counts[CVM_SOURCES_MAX];
    int64_t customers; /* of whom something goes */
};

/* Keys whose rows under the limit of their source go together; `exact`: one customer, of whom other
 * rows go, or not all of those. */
struct cvm_purge_range {
    uint64_t first_key;
    uint64_t last_key;
    bool is_exact;
};

CVM_MUST_CHECK enum cvm_status cvm_purge_slice_init(struct cvm_purge_slice *slice,
                                                    struct cvm_error *err);
void cvm_purge_slice_finish(struct cvm_purge_slice *slice);

/* Read the rows between the keys, mark what goes, count it. limits_json: as sql/purge.sql wants
 * them. */
CVM_MUST_CHECK enum cvm_status cvm_purge_slice_read(struct cvm_purge_slice *slice,
                                                    const struct cvm_purge_limits *limits,
                                                    const char *limits_json, struct cvm_error *err);
/* Fill bodies and events: periods that lose an event which was in force. */
CVM_MUST_CHECK enum cvm_status cvm_purge_slice_pack(struct cvm_purge_slice *slice,
                                                    struct cvm_error *err);

#endif
