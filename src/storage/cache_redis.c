/* cache_redis.c - a cache that all processes share, on a Redis server (redis_client.h).
 *
 * A value stands behind a head with its version, its end and a checksum over its name too, so that
 * what somebody else wrote, or half a value, is no value.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "storage/cache_backend.h"
#include "storage/redis_client.h"

#define PREFIX_MAX 64

struct redis_cache {
    struct cvm_cache base;
    struct cvm_redis *redis;
    char prefix[PREFIX_MAX + 1];
    size_t prefix_length;
};

/* In front of each value; little-endian. */
struct head {
    char magic[8];
    uint64_t version;
    uint64_t expires_ms;
    uint64_t check;
};
static const char magic[8] = {'c', 'v', 'm', 'c', 'a', 'c', 'h', '1'};

static struct redis_cache *redis_of(struct cvm_cache *cache)
{
    return (struct redis_cache *)cache;
}

static enum cvm_status redis_check(struct cvm_cache *cache, const struct cvm_context *context,
                                   struct cvm_error *err)
{
    return cvm_redis_check(redis_of(cache)->redis, context, err);
}

/* ---- entries ---- */

struct key {
    char data[PREFIX_MAX + CVM_CACHE_NAME_MAX];
    size_t length;
};

static struct key key_of(const struct redis_cache *redis, struct cvm_slice name)
{
    struct key key;
    memcpy(key.data, redis->prefix, redis->prefix_length);
    memcpy(key.data + redis->prefix_length, name.data, name.length);
    key.length = redis->prefix_length + name.length;
    return key;
}

static struct head make_head(const struct key *key, struct cvm_cache_head from,
                             struct cvm_slice value)
{
    struct head head;
    uint64_t seed = cvm_hash_mix(cvm_hash_mix(from.version, (uint64_t)from.expires_ms),
                                 cvm_hash(key->data, key->length));
    memcpy(head.magic, magic, sizeof(magic));
    head.version = htole64(from.version);
    head.expires_ms = htole64((uint64_t)from.expires_ms);
    head.check = htole64(cvm_hash_seeded(value.data, value.length, seed));
    return head;
}

/* False: nobody's value, or a damaged one. */
static bool read_value(const struct key *key, const redisReply *reply,
                       struct cvm_cache_head *out_head, struct cvm_text *out_value)
{
    struct head head;
    if (reply->len < sizeof(head)) {
        return false;
    }
    memcpy(&head, reply->str, sizeof(head));
    struct cvm_cache_head found = {le64toh(head.version), (int64_t)le64toh(head.expires_ms)};
    struct cvm_slice value = {reply->str + sizeof(head), reply->len - sizeof(head)};
    struct head wanted = make_head(key, found, value);
    if (memcmp(&head, &wanted, sizeof(head)) != 0) {
        return false;
    }
    cvm_text_add_bytes(out_value, value.data, value.length);
    *out_head = found;
    return !out_value->failed;
}

static enum cvm_status redis_get(struct cvm_cache *cache, const struct cvm_context *context,
                                 struct cvm_slice name, struct cvm_cache_head *out_head,
                                 struct cvm_text *out_value)
{
    struct redis_cache *redis = redis_of(cache);
    struct key key = key_of(redis, name);
    struct cvm_redis_command get = {0};
    redisReply *reply = NULL;
    cvm_redis_add_word(&get, "GET");
    cvm_redis_add(&get, key.data, key.length);
    enum cvm_status status = cvm_redis_ask(redis->redis, context, &get, &reply);
    if (status != CVM_OK) {
        return status;
    }
    if (reply->type == REDIS_REPLY_NIL) {
        status = CVM_E_NOT_FOUND;
    } else if (reply->type != REDIS_REPLY_STRING || !read_value(&key, reply, out_head, out_value)) {
        status = CVM_E_CORRUPT;
    }
    freeReplyObject(reply);
    return status;
}

static enum cvm_status redis_put(struct cvm_cache *cache, const struct cvm_context *context,
                                 const struct cvm_cache_entry *entry)
{
    struct redis_cache *redis = redis_of(cache);
    struct key key = key_of(redis, entry->name);
    struct cvm_cache_head from = {entry->version, cvm_context_now_ms(context) + entry->ttl_ms};
    struct head head = make_head(&key, from, entry->value);
    struct cvm_redis_command set = {0};
    char ttl[24];
    struct cvm_text value;
    redisReply *reply = NULL;
    cvm_text_init(&value, 0);
    cvm_text_add_bytes(&value, &head, sizeof(head));
    cvm_text_add_bytes(&value, entry->value.data, entry->value.length);
    (void)snprintf(ttl, sizeof(ttl), "%lld", (long long)entry->ttl_ms);
    cvm_redis_add_word(&set, "SET");
    cvm_redis_add(&set, key.data, key.length);
    cvm_redis_add(&set, cvm_text_string(&value), value.length);
    cvm_redis_add_word(&set, "PX");
    cvm_redis_add_word(&set, ttl);
    enum cvm_status status =
        value.failed ? CVM_E_LIMIT : cvm_redis_ask(redis->redis, context, &set, &reply);
    cvm_text_finish(&value);
    if (status == CVM_OK) { /* an error: it is full, read-only, or wants a password */
        status = reply->type == REDIS_REPLY_STATUS ? CVM_OK : CVM_E_LIMIT;
        freeReplyObject(reply);
    }
    return status;
}

static enum cvm_status redis_remove(struct cvm_cache *cache, const struct cvm_context *context,
                                    struct cvm_slice name)
{
    struct redis_cache *redis = redis_of(cache);
    struct key key = key_of(redis, name);
    struct cvm_redis_command del = {0};
    redisReply *reply = NULL;
    cvm_redis_add_word(&del, "DEL");
    cvm_redis_add(&del, key.data, key.length);
    enum cvm_status status = cvm_redis_ask(redis->redis, context, &del, &reply);
    if (status == CVM_OK) {
        status = reply->type == REDIS_REPLY_INTEGER ? CVM_OK : CVM_E_UNAVAILABLE;
        freeReplyObject(reply);
    }
    return status;
}

static void redis_count(struct cvm_cache *cache, struct cvm_cache_counts *counts)
{
    (void)cache; /* the server counts for all who use it */
    (void)counts;
}

/* ---- opening ---- */

static void redis_close(struct cvm_cache *cache)
{
    cvm_redis_close(redis_of(cache)->redis);
    free(cache);
}

static enum cvm_status redis_open(const char *location, const struct cvm_cache_options *options,
                                  struct cvm_cache **out_cache, struct cvm_error *err)
{
    const char *prefix = options->prefix == NULL ? "" : options->prefix;
    if (strlen(prefix) > PREFIX_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the prefix of the cache is too long");
    }
    struct redis_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a cache");
    }
    cache->prefix_length = strlen(prefix);
    memcpy(cache->prefix, prefix, cache->prefix_length + 1);
    enum cvm_status status = cvm_redis_open(location, options->timeout_ms, &cache->redis, err);
    if (status != CVM_OK) {
        free(cache);
        return status;
    }
    *out_cache = &cache->base;
    return CVM_OK;
}

const struct cvm_cache_backend cvm_cache_redis = {
    .scheme = "redis",
    .open = redis_open,
    .close = redis_close,
    .check = redis_check,
    .get = redis_get,
    .put = redis_put,
    .remove = redis_remove,
    .count = redis_count,
};
