/* history.h - versions of what the store keeps: who made them, when and why. Nothing here is ever
 * deleted: going back makes a new version. */
#ifndef CVM_STORAGE_HISTORY_H
#define CVM_STORAGE_HISTORY_H

#include "base/arena.h"
#include "model/consent.h"
#include "storage/store.h"

struct cvm_version {
    int64_t version;
    int64_t at_ms;
    const char *who;
    const char *why;  /* "" if nothing is said */
    const char *body; /* of a configuration: YAML; else NULL */
};
typedef enum cvm_status (*cvm_version_fn)(void *state, const struct cvm_version *version,
                                          struct cvm_error *err);

/* Newest first, at most count_max, those below `before` (0 = from the newest). */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_versions(struct cvm_store *store, int64_t before,
                                                      int64_t count_max, cvm_version_fn on_version,
                                                      void *state, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_config_versions(struct cvm_store *store, int64_t before,
                                                   int64_t count_max, cvm_version_fn on_version,
                                                   void *state, struct cvm_error *err);

/* Make `body` the next version of the configuration unless it is the newest; audited, in a
 * transaction of its own. */
CVM_MUST_CHECK enum cvm_status cvm_config_note(struct cvm_store *store, const char *who,
                                               const char *body, struct cvm_error *err);

/* ---- one customer ---- */

/* How a version came, and whether its batch was taken back. */
struct cvm_version_origin {
    const char *source;
    int64_t version;
    int64_t batch;
    int64_t at_ms;
    const char *who;
    bool is_retracted;
};

struct cvm_record_version {
    struct cvm_version_origin origin;
    int32_t day; /* CVM_DAY_NONE for undated attributes */
    uint64_t identity;
    const char *attributes;    /* JSON */
    const void *private_bytes; /* to be compared only; NULL = none */
    size_t private_length;
};
typedef enum cvm_status (*cvm_record_version_fn)(void *state,
                                                 const struct cvm_record_version *version,
                                                 struct cvm_error *err);
/* Versions of one record stand together, ascending. */
CVM_MUST_CHECK enum cvm_status cvm_record_versions(struct cvm_store *store, uint64_t key,
                                                   cvm_record_version_fn on_version, void *state,
                                                   struct cvm_error *err);

struct cvm_consent_version {
    struct cvm_version_origin origin;
    struct cvm_consent consent;
};
typedef enum cvm_status (*cvm_consent_version_fn)(void *state,
                                                  const struct cvm_consent_version *version,
                                                  struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_consent_versions(struct cvm_store *store, uint64_t key,
                                                    cvm_consent_version_fn on_version, void *state,
                                                    struct cvm_error *err);

#endif
