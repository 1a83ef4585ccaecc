/* purge.h - removing events that are older than their source keeps them (keep_days).
 *
 * As of day D a source that keeps n days loses the records whose version in force is of a day
 * before D - n + 1, with all their versions; undated records, permissions, and what was decided
 * stay. Customers go by in the order of their keys, a few hundred at a time: each range is a
 * transaction of its own, packed journeys follow it, and what a call leaves undone the next one
 * does.
 */
#ifndef CVM_STORAGE_PURGE_H
#define CVM_STORAGE_PURGE_H

#include "base/context.h"
#include "model/catalogue.h"
#include "storage/store.h"

struct cvm_purge_limit {
    const char *name;   /* of the source, as the catalogue has it */
    int64_t source;     /* the store's number */
    int32_t before_day; /* its events of earlier days go */
    int64_t records;    /* gone */
    int64_t rows;       /* the same with their older versions */
};
struct cvm_purge_limits {
    struct cvm_purge_limit limits[CVM_SOURCES_MAX]; /* by number of the source */
    size_t count;
};

struct cvm_purge_options {
    int32_t as_of_day;
    bool is_dry; /* count only; the store may be open for reading */
    const char *who;
    const char *why;
    const struct cvm_context *context;
    /* Asked after each transaction: false ends the call with is_done false. NULL = go on. */
    bool (*may_go_on)(void *state);
    void *may_go_on_state;
    void (*on_progress)(void *state, const char *stage, double fraction, int64_t records);
    void *progress_state;
};

struct cvm_purge_report {
    int64_t purge; /* its number; 0 when no source of the store has a limit, or in a dry run */
    bool is_done;
    struct cvm_purge_limits limits; /* with what is gone since the purge began */
    int64_t customers;              /* of whom this call removed something */
    bool has_stale_journeys;        /* they were not current before: they wait to be built anew */
};

/* Begins a purge, or goes on with the one that was cut off, if it had the same limits (else that
 * one is ended where it is). Both its beginning and its end are audit rows. */
CVM_MUST_CHECK enum cvm_status cvm_purge(struct cvm_store *store,
                                         const struct cvm_catalogue *catalogue,
                                         const struct cvm_purge_options *options,
                                         struct cvm_purge_report *out_report,
                                         struct cvm_error *err);

#endif
