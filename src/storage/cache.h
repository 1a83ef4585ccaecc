/* cache.h - results that can be made again, kept where they are found faster: "memory:" in the
 * process, "redis://" for all processes.
 *
 * A cache may lose anything at any moment and never fails: what it can not give is a miss, a server
 * that is down included. An entry carries the version of what it was made from, and who asks states
 * which versions will do, so that a change is seen by the very next reader whether or not anybody
 * told the cache.
 *
 * Thread safety: one cache for all threads. With "redis://" the process must ignore SIGPIPE.
 * Time is the context's; waiting counts in real time as well.
 */
#ifndef CVM_STORAGE_CACHE_H
#define CVM_STORAGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/error.h"
#include "base/text.h"

struct cvm_cache;
struct cvm_metrics;

struct cvm_cache_options {
    const char *prefix; /* of every name on a shared server, one per store; NULL = none */
    int timeout_ms;     /* how long a server may take to answer; 0 = 100 */
};

/* "memory:" or "memory:64MB" (KB, MB, GB); "redis://[user:password@]host[:port][/db]". Nothing is
 * connected yet. CVM_E_INVALID for another URL; no message ever holds the password. */
CVM_MUST_CHECK enum cvm_status cvm_cache_open(const char *url,
                                              const struct cvm_cache_options *options,
                                              struct cvm_cache **out_cache, struct cvm_error *err);
void cvm_cache_close(struct cvm_cache *cache); /* NULL is fine; nobody may be using it */

/* Is it there? CVM_E_UNAVAILABLE, or CVM_E_DENIED when it refuses user or password: for people who
 * check their wiring, nobody else needs to know. */
CVM_MUST_CHECK enum cvm_status
cvm_cache_check(struct cvm_cache *cache, const struct cvm_context *context, struct cvm_error *err);

#define CVM_CACHE_NAME_MAX 200

/* What is asked for. */
struct cvm_cache_want {
    struct cvm_slice name; /* any bytes, 1 .. CVM_CACHE_NAME_MAX */
    uint64_t least_version;
    uint64_t most_version; /* UINT64_MAX: any newer one will do */
};

/* True: the value was there, and is in *out_value. Else *out_value is empty. */
CVM_MUST_CHECK bool cvm_cache_get(struct cvm_cache *cache, const struct cvm_context *context,
                                  const struct cvm_cache_want *want, struct cvm_text *out_value);

struct cvm_cache_entry {
    struct cvm_slice name;
    struct cvm_slice value;
    uint64_t version;
    int64_t ttl_ms; /* > 0 */
};
/* The last one put counts, whatever its version. It may be evicted, or not kept at all. */
void cvm_cache_put(struct cvm_cache *cache, const struct cvm_context *context,
                   const struct cvm_cache_entry *entry);
void cvm_cache_remove(struct cvm_cache *cache, const struct cvm_context *context,
                      struct cvm_slice name);

/* How to make a value. It must not ask the cache for the same name. */
typedef enum cvm_status (*cvm_cache_make_fn)(void *state, struct cvm_text *out_value,
                                             uint64_t *out_version, struct cvm_error *err);
struct cvm_cache_maker {
    cvm_cache_make_fn make;
    void *state;
    int64_t ttl_ms;
};
/* The value from the cache, or made and put there. Of several callers in this process who miss one
 * name at once, one makes it and the others wait for it, each until its own deadline
 * (CVM_E_TIMEOUT). When the maker fails, those who wait get its failure; only when it was its own
 * time that ran out (CVM_E_TIMEOUT), the next of them makes it. */
CVM_MUST_CHECK enum cvm_status
cvm_cache_get_or_make(struct cvm_cache *cache, const struct cvm_context *context,
                      const struct cvm_cache_want *want, const struct cvm_cache_maker *maker,
                      struct cvm_text *out_value, struct cvm_error *err);

struct cvm_cache_counts {
    uint64_t hits;
    uint64_t misses; /* all of them: nothing there, stale, out of time, errors */
    uint64_t stale;  /* misses whose entry had a version that would not do, or was out of time */
    uint64_t puts;
    uint64_t waits;     /* callers who waited for another one's making */
    uint64_t errors;    /* the server could not be asked, refused, or answered with rubbish */
    uint64_t evictions; /* in the process; a server counts its own */
    uint64_t entries;   /* in the process, as are bytes */
    uint64_t bytes;
};
struct cvm_cache_counts cvm_cache_counts_of(struct cvm_cache *cache);
/* Bring the registry up to date: cvm_cache_hits_total and so on. Before it is written out. */
void cvm_cache_publish(struct cvm_cache *cache, struct cvm_metrics *metrics);

#endif
