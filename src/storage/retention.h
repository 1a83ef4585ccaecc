/* retention.h - what purges have removed so far, for whoever would look for it. */
#ifndef CVM_STORAGE_RETENTION_H
#define CVM_STORAGE_RETENTION_H

#include "model/catalogue.h"
#include "storage/store.h"

struct cvm_retention {
    int64_t purges;         /* 0 = there was none */
    int32_t as_of_day;      /* the latest day that one counted from; CVM_DAY_NONE */
    bool is_unfinished;     /* the newest one was cut off, or is on its way */
    int64_t finished_at_ms; /* of the newest one; 0 = it is not */
    /* By source of the catalogue: events of earlier days are gone; CVM_DAY_NONE = none are. */
    int32_t gone_before[CVM_SOURCES_MAX];
};
CVM_MUST_CHECK enum cvm_status cvm_retention_read(struct cvm_store *store,
                                                  const struct cvm_catalogue *catalogue,
                                                  struct cvm_retention *out_retention,
                                                  struct cvm_error *err);

/* Events of this source before this day are refused: what a purge has removed, or would remove at
 * once, does not come back. CVM_DAY_NONE = all are welcome. */
int32_t cvm_retention_first_day(const struct cvm_retention *retention,
                                const struct cvm_catalogue *catalogue, size_t source);

/* A feature that would look at days that are gone. */
struct cvm_missing_data {
    const struct cvm_feature *feature;
    const struct cvm_source *source;
    int32_t first_day;   /* that it would look at */
    int32_t gone_before; /* the first day that is there */
};
/* For features as of a day; since_day: where the history begins, CVM_DAY_NONE = as the catalogue
 * says. False when all is there. */
bool cvm_retention_misses(const struct cvm_retention *retention,
                          const struct cvm_catalogue *catalogue, int32_t as_of_day,
                          int32_t since_day, struct cvm_missing_data *out_missing);

#endif
