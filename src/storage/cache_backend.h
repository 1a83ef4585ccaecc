/* cache_backend.h - the contract of whoever keeps a cache's entries.
 *
 * Included by cache.c and the files named cache_<back end>.c, by nobody else. To add one: fill one
 * struct cvm_cache_backend, list it in cache.c, and make tests/storage/cache_test.c pass against
 * it. cache.c has checked names and arguments, judges versions and time, and counts.
 */
#ifndef CVM_STORAGE_CACHE_BACKEND_H
#define CVM_STORAGE_CACHE_BACKEND_H

#include "storage/cache.h"

struct cvm_cache_head {
    uint64_t version;
    int64_t expires_ms; /* by the clock of who put it */
};

struct cvm_cache_backend {
    const char *scheme; /* the part of the URL before ':' */

    /* `location` is the rest of the URL. On success *out_cache embeds a struct cvm_cache as its
     * first member; cache.c fills it. */
    enum cvm_status (*open)(const char *location, const struct cvm_cache_options *options,
                            struct cvm_cache **out_cache, struct cvm_error *err);
    void (*close)(struct cvm_cache *cache);
    enum cvm_status (*check)(struct cvm_cache *cache, const struct cvm_context *context,
                             struct cvm_error *err);

    /* CVM_OK: *out_head and *out_value are filled. CVM_E_NOT_FOUND: it has none. Anything else
     * counts as an error. */
    enum cvm_status (*get)(struct cvm_cache *cache, const struct cvm_context *context,
                           struct cvm_slice name, struct cvm_cache_head *out_head,
                           struct cvm_text *out_value);
    enum cvm_status (*put)(struct cvm_cache *cache, const struct cvm_context *context,
                           const struct cvm_cache_entry *entry);
    enum cvm_status (*remove)(struct cvm_cache *cache, const struct cvm_context *context,
                              struct cvm_slice name);
    /* evictions, entries and bytes; the rest is cache.c's. */
    void (*count)(struct cvm_cache *cache, struct cvm_cache_counts *counts);
};

/* Base of every cache. */
struct cvm_cache_guard; /* counters and the makings under way: cache.c */
struct cvm_cache {
    const struct cvm_cache_backend *backend;
    struct cvm_cache_guard *guard;
};

extern const struct cvm_cache_backend cvm_cache_memory;
extern const struct cvm_cache_backend cvm_cache_redis;

#endif
