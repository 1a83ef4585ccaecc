/* cache_memory.c - a cache in the process: bounded bytes, and scans do not wash out what is asked
 * for.
 *
 * S3-FIFO (Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023): a
 * newcomer waits in a small queue of a tenth of the room. At its end, who was asked for meanwhile
 * moves to the main queue; who was not is forgotten but for a ghost, a fingerprint, and goes
 * straight to the main queue when it comes back. The main queue gives who was asked for another
 * round. bench/cache_policies.py has the measurement that chose it.
 *
 * Both queues are rings of contiguous bytes, entry after entry, so that the bound is exact, nothing
 * is allocated after the start and memory can not fragment. Shards by hash, one lock each.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/hash.h"
#include "storage/cache_backend.h"

#define BYTES_DEFAULT ((size_t)64 << 20)
#define BYTES_MIN     ((size_t)64 << 10)
#define BYTES_MAX     ((size_t)1 << 38) /* places of entries have 32 bits */
#define SHARDS_MAX    16
#define SHARD_BYTES   ((size_t)1 << 20) /* at least, where there are several */
#define SLOT_BYTES    128               /* one slot of the index for so many bytes */
#define SMALL_SHARE   10
#define ASKED_MAX     3
#define GHOST_WAYS    4
#define NO_SLOT       SIZE_MAX

enum entry_state { ENTRY_PAD, ENTRY_LIVE, ENTRY_DEAD };

/* Name and value stand behind it. Of a pad only the first two members are there. */
struct entry {
    uint32_t bytes; /* to the next entry */
    uint8_t state;
    uint8_t asked; /* 0 .. ASKED_MAX, since it came into its queue */
    uint8_t name_length;
    uint32_t value_length;
    uint64_t hash;
    struct cvm_cache_head head;
};

/* Positions only grow; where they stand in memory is their rest by `size`. */
struct ring {
    unsigned char *bytes;
    size_t size;
    uint64_t first; /* oldest entry */
    uint64_t next;  /* behind the newest */
};

struct slot {
    uint32_t tag; /* low bits of the hash; its rest by the count of slots is where it belongs */
    uint32_t at;  /* of the entry, in units of 8 bytes from the shard's first; 0 = empty */
};

struct ghost {
    uint32_t tag;
    uint32_t when; /* in evictions from the small queue */
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    unsigned char *bytes;
    struct ring small;
    struct ring main;
    struct slot *slots;
    size_t slot_count; /* a power of two */
    struct ghost *ghosts;
    size_t ghost_count; /* a power of two */
    uint32_t ghost_time;
    int64_t now_ms; /* of the call at hand */
    size_t entry_bytes_max;
    size_t entries;
    size_t main_entries;
    size_t live_bytes;
    uint64_t evictions;
};

struct memory_cache {
    struct cvm_cache base;
    struct cvm_buffer buffer;
    size_t shard_count; /* a power of two */
    struct shard shards[];
};

/* ---- entries ---- */

static char *name_of(struct entry *entry)
{
    return (char *)(entry + 1);
}

static char *value_of(struct entry *entry)
{
    return name_of(entry) + entry->name_length;
}

static size_t entry_bytes(size_t name_length, size_t value_length)
{
    return (sizeof(struct entry) + name_length + value_length + 7) & ~(size_t)7;
}

static struct entry *entry_at(const struct shard *shard, uint32_t at)
{
    return (struct entry *)(void *)(shard->bytes + (size_t)at * 8);
}

static uint32_t place_of(const struct shard *shard, const struct entry *entry)
{
    return (uint32_t)((size_t)((const unsigned char *)entry - shard->bytes) / 8);
}

/* ---- index: open addressing, and gaps are closed at once ---- */

static size_t find_slot(const struct shard *shard, uint64_t hash, struct cvm_slice name)
{
    size_t mask = shard->slot_count - 1;
    uint32_t tag = (uint32_t)hash;
    for (size_t s = tag & mask; shard->slots[s].at != 0; s = (s + 1) & mask) {
        if (shard->slots[s].tag == tag) {
            struct entry *entry = entry_at(shard, shard->slots[s].at);
            if (entry->hash == hash && entry->name_length == name.length &&
                memcmp(name_of(entry), name.data, name.length) == 0) {
                return s;
            }
        }
    }
    return NO_SLOT;
}

static size_t slot_of(const struct shard *shard, const struct entry *entry)
{
    size_t mask = shard->slot_count - 1;
    uint32_t at = place_of(shard, entry);
    size_t s = (uint32_t)entry->hash & mask;
    while (shard->slots[s].at != at) {
        assert(shard->slots[s].at != 0);
        s = (s + 1) & mask;
    }
    return s;
}

static void index_add(struct shard *shard, const struct entry *entry)
{
    size_t mask = shard->slot_count - 1;
    uint32_t tag = (uint32_t)entry->hash;
    size_t s = tag & mask;
    while (shard->slots[s].at != 0) {
        s = (s + 1) & mask;
    }
    shard->slots[s] = (struct slot){tag, place_of(shard, entry)};
}

static void index_remove(struct shard *shard, size_t gap)
{
    size_t mask = shard->slot_count - 1;
    for (size_t s = (gap + 1) & mask; shard->slots[s].at != 0; s = (s + 1) & mask) {
        size_t home = shard->slots[s].tag & mask;
        /* It may move into the gap unless it belongs behind it. */
        if (((s - home) & mask) >= ((s - gap) & mask)) {
            shard->slots[gap] = shard->slots[s];
            gap = s;
        }
    }
    shard->slots[gap] = (struct slot){0, 0};
}

/* ---- ghosts ---- */

static struct ghost *ghost_set(const struct shard *shard, uint64_t hash)
{
    return shard->ghosts + ((hash >> 32) & (shard->ghost_count / GHOST_WAYS - 1)) * GHOST_WAYS;
}

static void ghost_add(struct shard *shard, uint64_t hash)
{
    struct ghost *set = ghost_set(shard, hash);
    struct ghost *oldest = set;
    shard->ghost_time++;
    for (size_t i = 1; i < GHOST_WAYS; i++) {
        bool is_older = shard->ghost_time - set[i].when > shard->ghost_time - oldest->when;
        oldest = is_older ? &set[i] : oldest;
    }
    *oldest = (struct ghost){(uint32_t)hash, shard->ghost_time};
}

/* Not longer ago than as many newcomers as the main queue has entries. */
static bool was_here_lately(const struct shard *shard, uint64_t hash)
{
    const struct ghost *set = ghost_set(shard, hash);
    bool was = false;
    for (size_t i = 0; i < GHOST_WAYS; i++) {
        was |= set[i].when != 0 && set[i].tag == (uint32_t)hash &&
               shard->ghost_time - set[i].when <= shard->main_entries;
    }
    return was;
}

/* ---- queues ---- */

static bool is_in_main(const struct shard *shard, const struct entry *entry)
{
    return (const unsigned char *)entry >= shard->main.bytes;
}

static struct entry *oldest_of(const struct ring *ring)
{
    return (struct entry *)(void *)(ring->bytes + ring->first % ring->size);
}

/* Bytes up to the end of the memory that an entry of this size can not use. */
static size_t pad_before(const struct ring *ring, size_t bytes)
{
    size_t left = ring->size - ring->next % ring->size;
    return left < bytes ? left : 0;
}

static bool has_room(const struct ring *ring, size_t bytes)
{
    return pad_before(ring, bytes) + bytes <= ring->size - (size_t)(ring->next - ring->first);
}

/* There is room. */
static struct entry *take_room(struct ring *ring, size_t bytes)
{
    size_t pad = pad_before(ring, bytes);
    if (pad > 0) {
        struct entry *filler = (struct entry *)(void *)(ring->bytes + ring->next % ring->size);
        filler->bytes = (uint32_t)pad;
        filler->state = ENTRY_PAD;
        ring->next += pad;
    }
    struct entry *entry = (struct entry *)(void *)(ring->bytes + ring->next % ring->size);
    ring->next += bytes;
    return entry;
}

/* What it takes stays taken until the queue comes to its end. */
static void kill_entry(struct shard *shard, struct entry *entry)
{
    index_remove(shard, slot_of(shard, entry));
    entry->state = ENTRY_DEAD;
    shard->entries--;
    shard->main_entries -= is_in_main(shard, entry) ? 1 : 0;
    shard->live_bytes -= entry->bytes;
}

static void evict(struct shard *shard, struct entry *entry)
{
    kill_entry(shard, entry);
    shard->evictions++;
}

static bool is_over(const struct shard *shard, const struct entry *entry)
{
    return entry->head.expires_ms <= shard->now_ms;
}

/* The oldest of the main queue leaves, or begins another round. */
static void turn_main(struct shard *shard)
{
    struct ring *ring = &shard->main;
    struct entry *entry = oldest_of(ring);
    size_t bytes = entry->bytes;
    bool stays = entry->state == ENTRY_LIVE && entry->asked > 0 && !is_over(shard, entry);
    if (entry->state == ENTRY_LIVE && !stays) {
        evict(shard, entry);
    }
    ring->first += bytes;
    if (!stays) {
        return;
    }
    size_t slot = slot_of(shard, entry);
    if (!has_room(ring, bytes)) { /* at the end of the memory, once a round at most */
        evict(shard, entry);
        return;
    }
    /* The new place may overlap the old one. A pad does not: it is written only where the old
     * place lies before it. */
    struct entry *moved = take_room(ring, bytes);
    memmove(moved, entry, bytes);
    moved->asked--;
    shard->slots[slot].at = place_of(shard, moved);
}

static void make_room_in_main(struct shard *shard, size_t bytes)
{
    while (!has_room(&shard->main, bytes)) {
        turn_main(shard);
    }
}

/* The oldest of the small queue moves to the main one or leaves. As long as the main one has room
 * to spare nobody leaves. */
static void turn_small(struct shard *shard)
{
    struct ring *ring = &shard->small;
    struct entry *entry = oldest_of(ring);
    size_t bytes = entry->bytes;
    if (entry->state == ENTRY_LIVE) {
        bool moves = !is_over(shard, entry) && (entry->asked > 0 || has_room(&shard->main, bytes));
        if (moves) {
            make_room_in_main(shard, bytes);
            size_t slot = slot_of(shard, entry);
            struct entry *moved = take_room(&shard->main, bytes);
            memcpy(moved, entry, bytes);
            moved->asked = 0;
            shard->slots[slot].at = place_of(shard, moved);
            shard->main_entries++;
        } else {
            ghost_add(shard, entry->hash);
            evict(shard, entry);
        }
    }
    ring->first += bytes;
}

static void make_room(struct shard *shard, bool is_main, size_t bytes)
{
    /* The index stays loose enough for short searches. */
    while (shard->entries >= shard->slot_count / 8 * 7) {
        if (shard->small.first != shard->small.next &&
            shard->main_entries * 10 < shard->entries * 9) {
            turn_small(shard);
        } else {
            turn_main(shard);
        }
    }
    if (is_main) {
        make_room_in_main(shard, bytes);
    }
    while (!is_main && !has_room(&shard->small, bytes)) {
        turn_small(shard);
    }
}

/* ---- the cache ---- */

static struct shard *lock_shard(struct cvm_cache *cache, const struct cvm_context *context,
                                struct cvm_slice name, uint64_t *out_hash)
{
    struct memory_cache *memory = (struct memory_cache *)cache;
    uint64_t hash = cvm_hash(name.data, name.length);
    struct shard *shard = &memory->shards[(hash >> 56) & (memory->shard_count - 1)];
    int64_t now_ms = cvm_context_now_ms(context);
    (void)pthread_mutex_lock(&shard->lock);
    shard->now_ms = now_ms;
    *out_hash = hash;
    return shard;
}

static void unlock(struct shard *shard)
{
    (void)pthread_mutex_unlock(&shard->lock);
}

static enum cvm_status memory_get(struct cvm_cache *cache, const struct cvm_context *context,
                                  struct cvm_slice name, struct cvm_cache_head *out_head,
                                  struct cvm_text *out_value)
{
    uint64_t hash = 0;
    struct shard *shard = lock_shard(cache, context, name, &hash);
    enum cvm_status status = CVM_E_NOT_FOUND;
    size_t slot = find_slot(shard, hash, name);
    if (slot != NO_SLOT) {
        struct entry *entry = entry_at(shard, shard->slots[slot].at);
        entry->asked = entry->asked < ASKED_MAX ? entry->asked + 1 : ASKED_MAX;
        *out_head = entry->head;
        cvm_text_add_bytes(out_value, value_of(entry), entry->value_length);
        status = out_value->failed ? CVM_E_LIMIT : CVM_OK;
    }
    unlock(shard);
    return status;
}

static void fill(struct entry *entry, const struct cvm_cache_entry *from, uint64_t hash,
                 int64_t expires_ms)
{
    entry->state = ENTRY_LIVE;
    entry->name_length = (uint8_t)from->name.length;
    entry->value_length = (uint32_t)from->value.length;
    entry->hash = hash;
    entry->head = (struct cvm_cache_head){from->version, expires_ms};
    memcpy(name_of(entry), from->name.data, from->name.length);
    if (from->value.length > 0) {
        memcpy(value_of(entry), from->value.data, from->value.length);
    }
}

/* The name has no entry. */
static void insert(struct shard *shard, const struct cvm_cache_entry *from, uint64_t hash,
                   bool is_main)
{
    size_t bytes = entry_bytes(from->name.length, from->value.length);
    make_room(shard, is_main, bytes);
    struct entry *entry = take_room(is_main ? &shard->main : &shard->small, bytes);
    entry->bytes = (uint32_t)bytes;
    entry->asked = 0;
    fill(entry, from, hash, shard->now_ms + from->ttl_ms);
    index_add(shard, entry);
    shard->entries++;
    shard->main_entries += is_main ? 1 : 0;
    shard->live_bytes += bytes;
}

static enum cvm_status memory_put(struct cvm_cache *cache, const struct cvm_context *context,
                                  const struct cvm_cache_entry *from)
{
    uint64_t hash = 0;
    struct shard *shard = lock_shard(cache, context, from->name, &hash);
    bool is_too_big = from->value.length > shard->entry_bytes_max ||
                      entry_bytes(from->name.length, from->value.length) > shard->entry_bytes_max;
    size_t slot = find_slot(shard, hash, from->name);
    bool was_in_main = false;
    bool is_done = is_too_big;
    if (slot != NO_SLOT) {
        struct entry *entry = entry_at(shard, shard->slots[slot].at);
        was_in_main = is_in_main(shard, entry);
        if (!is_too_big && entry_bytes(from->name.length, from->value.length) <= entry->bytes) {
            fill(entry, from, hash, shard->now_ms + from->ttl_ms);
            is_done = true;
        } else {
            kill_entry(shard, entry);
        }
    }
    if (!is_done) {
        insert(shard, from, hash, was_in_main || was_here_lately(shard, hash));
    }
    unlock(shard);
    return is_too_big ? CVM_E_LIMIT : CVM_OK;
}

static enum cvm_status memory_remove(struct cvm_cache *cache, const struct cvm_context *context,
                                     struct cvm_slice name)
{
    uint64_t hash = 0;
    struct shard *shard = lock_shard(cache, context, name, &hash);
    size_t slot = find_slot(shard, hash, name);
    if (slot != NO_SLOT) {
        struct entry *entry = entry_at(shard, shard->slots[slot].at);
        memset(name_of(entry), 0, (size_t)entry->name_length + entry->value_length);
        kill_entry(shard, entry);
    }
    unlock(shard);
    return CVM_OK;
}

static enum cvm_status memory_check(struct cvm_cache *cache, const struct cvm_context *context,
                                    struct cvm_error *err)
{
    (void)cache;
    (void)context;
    (void)err;
    return CVM_OK;
}

static void memory_count(struct cvm_cache *cache, struct cvm_cache_counts *counts)
{
    struct memory_cache *memory = (struct memory_cache *)cache;
    for (size_t i = 0; i < memory->shard_count; i++) {
        struct shard *shard = &memory->shards[i];
        (void)pthread_mutex_lock(&shard->lock);
        counts->evictions += shard->evictions;
        counts->entries += shard->entries;
        counts->bytes += shard->live_bytes;
        unlock(shard);
    }
}

/* ---- opening ---- */

/* "" or "64MB". */
static enum cvm_status parse_bytes(const char *text, size_t *out_bytes, struct cvm_error *err)
{
    static const struct unit {
        const char *name;
        int shift;
    } units[] = {{"KB", 10}, {"MB", 20}, {"GB", 30}};
    char *end = NULL;
    if (text[0] == '\0') {
        *out_bytes = BYTES_DEFAULT;
        return CVM_OK;
    }
    unsigned long long number = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    for (size_t i = 0; end != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0 && number >= 1 &&
            number <= (BYTES_MAX >> units[i].shift) && number << units[i].shift >= BYTES_MIN) {
            *out_bytes = (size_t)number << units[i].shift;
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_INVALID,
                    "cache 'memory:%s': a size from 64KB to 256GB is allowed, such as memory:64MB",
                    text);
}

static size_t power_of_two(size_t at_least)
{
    size_t power = 1;
    while (power < at_least) {
        power *= 2;
    }
    return power;
}

static void shard_init(struct shard *shard, unsigned char *bytes, size_t size)
{
    (void)pthread_mutex_init(&shard->lock, NULL); /* on Linux this only fills it */
    shard->slot_count = power_of_two(size / SLOT_BYTES);
    shard->ghost_count = shard->slot_count / 2;
    shard->slots = (struct slot *)(void *)bytes;
    shard->ghosts = (struct ghost *)(void *)(shard->slots + shard->slot_count);
    size_t tables = (size_t)((unsigned char *)(shard->ghosts + shard->ghost_count) - bytes);
    shard->bytes = bytes; /* the tables come first, so no entry stands at 0 */
    shard->small.bytes = bytes + tables;
    shard->small.size = ((size - tables) / SMALL_SHARE) & ~(size_t)7;
    shard->main.bytes = shard->small.bytes + shard->small.size;
    shard->main.size = (size - tables - shard->small.size) & ~(size_t)7;
    /* With half of the queue it fits wherever the memory ends. */
    shard->entry_bytes_max = shard->small.size / 2;
}

static enum cvm_status memory_open(const char *location, const struct cvm_cache_options *options,
                                   struct cvm_cache **out_cache, struct cvm_error *err)
{
    size_t bytes = 0;
    (void)options; /* no name leaves the process */
    enum cvm_status status = parse_bytes(location, &bytes, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t shard_count = power_of_two(bytes / SHARD_BYTES + 1) / 2;
    shard_count = shard_count < 1 ? 1 : shard_count > SHARDS_MAX ? SHARDS_MAX : shard_count;
    size_t struct_bytes = sizeof(struct memory_cache) + shard_count * sizeof(struct shard);
    struct memory_cache *memory = aligned_alloc(64, (struct_bytes + 63) & ~(size_t)63);
    if (memory == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a cache");
    }
    memset(memory, 0, struct_bytes);
    status = cvm_buffer_reserve(&memory->buffer, bytes, err);
    if (status != CVM_OK) {
        free(memory);
        return status;
    }
    memory->shard_count = shard_count;
    size_t each = (bytes / shard_count) & ~(size_t)63;
    for (size_t i = 0; i < shard_count; i++) {
        shard_init(&memory->shards[i], (unsigned char *)memory->buffer.data + i * each, each);
    }
    *out_cache = &memory->base;
    return CVM_OK;
}

static void memory_close(struct cvm_cache *cache)
{
    struct memory_cache *memory = (struct memory_cache *)cache;
    for (size_t i = 0; i < memory->shard_count; i++) {
        (void)pthread_mutex_destroy(&memory->shards[i].lock);
    }
    cvm_buffer_finish(&memory->buffer);
    free(memory);
}

const struct cvm_cache_backend cvm_cache_memory = {
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .check = memory_check,
    .get = memory_get,
    .put = memory_put,
    .remove = memory_remove,
    .count = memory_count,
};
