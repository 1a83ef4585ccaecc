/* state_memory.c - the state of one process: a list of entries behind a lock. There are as many as
 * agents, workers and limits, so it is searched from its beginning. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "storage/state_backend.h"

#define ENTRIES_MAX 10000

enum kind { COUNTER, CLAIM, MEMBER };

struct entry {
    enum kind kind;
    int64_t expires_ms;
    int64_t number; /* total, or epoch */
    char name[CVM_STATE_NAME_MAX + 1];
    char second[CVM_STATE_NAME_MAX + 1]; /* owner, or member */
    char value[CVM_STATE_VALUE_MAX + 1];
};

struct memory_state {
    struct cvm_state base;
    pthread_mutex_t lock;
    struct cvm_column entries; /* struct entry */
    int64_t last_epoch;
};

static struct memory_state *memory_of(struct cvm_state *state)
{
    return (struct memory_state *)state;
}

/* Entries that are over make room. `second` NULL = any. */
static struct entry *find(struct memory_state *memory, enum kind kind, const char *name,
                          const char *second, int64_t now_ms)
{
    struct entry *entries = CVM_COLUMN_DATA(&memory->entries, struct entry);
    struct entry *found = NULL;
    for (size_t i = 0; i < memory->entries.count;) {
        if (entries[i].expires_ms <= now_ms) {
            entries[i] = entries[--memory->entries.count];
            continue;
        }
        bool is_it = entries[i].kind == kind && strcmp(entries[i].name, name) == 0 &&
                     (second == NULL || strcmp(entries[i].second, second) == 0);
        found = is_it ? &entries[i] : found;
        i++;
    }
    return found;
}

/* NULL when there is no room. */
static struct entry *add_entry(struct memory_state *memory, enum kind kind, const char *name,
                               struct cvm_error *err)
{
    void *slot = NULL;
    if (memory->entries.count >= ENTRIES_MAX ||
        cvm_column_extend(&memory->entries, 1, &slot, err) != CVM_OK) {
        (void)!CVM_FAIL(err, CVM_E_LIMIT, "the shared state has no room for '%s'", name);
        return NULL;
    }
    struct entry *entry = slot;
    memset(entry, 0, sizeof(*entry));
    entry->kind = kind;
    memcpy(entry->name, name, strlen(name));
    return entry;
}

static void forget(struct memory_state *memory, struct entry *entry)
{
    if (entry != NULL) {
        *entry = CVM_COLUMN_DATA(&memory->entries, struct entry)[--memory->entries.count];
    }
}

static enum cvm_status memory_check(struct cvm_state *state, const struct cvm_context *context,
                                    struct cvm_error *err)
{
    (void)state;
    (void)context;
    (void)err;
    return CVM_OK;
}

static enum cvm_status memory_add(struct cvm_state *state, const struct cvm_context *context,
                                  const struct cvm_state_addition *addition, int64_t *out_total,
                                  struct cvm_error *err)
{
    struct memory_state *memory = memory_of(state);
    int64_t now_ms = cvm_context_now_ms(context);
    enum cvm_status status = CVM_OK;
    (void)pthread_mutex_lock(&memory->lock);
    struct entry *entry = find(memory, COUNTER, addition->counter, NULL, now_ms);
    int64_t total = (entry == NULL ? 0 : entry->number) + addition->amount;
    if (total < 0 || total > addition->most) {
        total -= addition->amount;
        status = CVM_FAIL(err, CVM_E_CONFLICT, "'%s' stands at %lld", addition->counter,
                          (long long)total);
    } else if (entry == NULL) {
        entry = add_entry(memory, COUNTER, addition->counter, err);
        status = entry == NULL ? CVM_E_LIMIT : CVM_OK;
        if (entry != NULL) {
            entry->expires_ms = now_ms + addition->ttl_ms;
        }
    }
    if (entry != NULL && status == CVM_OK) {
        entry->number = total;
    }
    (void)pthread_mutex_unlock(&memory->lock);
    *out_total = total;
    return status;
}

static enum cvm_status memory_take(struct cvm_state *state, const struct cvm_context *context,
                                   const struct cvm_state_claim *claim, int64_t *out_epoch,
                                   struct cvm_error *err)
{
    struct memory_state *memory = memory_of(state);
    int64_t now_ms = cvm_context_now_ms(context);
    enum cvm_status status = CVM_OK;
    (void)pthread_mutex_lock(&memory->lock);
    struct entry *entry = find(memory, CLAIM, claim->name, NULL, now_ms);
    if (entry == NULL) {
        entry = add_entry(memory, CLAIM, claim->name, err);
        status = entry == NULL ? CVM_E_LIMIT : CVM_OK;
        if (entry != NULL) {
            memcpy(entry->second, claim->owner, strlen(claim->owner));
            entry->number = ++memory->last_epoch;
        }
    } else if (strcmp(entry->second, claim->owner) != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "'%s' is taken by '%s'", claim->name, entry->second);
    }
    if (entry != NULL && status == CVM_OK) {
        entry->expires_ms = now_ms + claim->ttl_ms;
        *out_epoch = entry->number;
    }
    (void)pthread_mutex_unlock(&memory->lock);
    return status;
}

static enum cvm_status memory_give_back(struct cvm_state *state, const struct cvm_context *context,
                                        const struct cvm_state_claim *claim, struct cvm_error *err)
{
    struct memory_state *memory = memory_of(state);
    (void)err;
    (void)pthread_mutex_lock(&memory->lock);
    forget(memory, find(memory, CLAIM, claim->name, claim->owner, cvm_context_now_ms(context)));
    (void)pthread_mutex_unlock(&memory->lock);
    return CVM_OK;
}

static enum cvm_status memory_announce(struct cvm_state *state, const struct cvm_context *context,
                                       const struct cvm_state_member *member, struct cvm_error *err)
{
    struct memory_state *memory = memory_of(state);
    int64_t now_ms = cvm_context_now_ms(context);
    (void)pthread_mutex_lock(&memory->lock);
    struct entry *entry = find(memory, MEMBER, member->group, member->member, now_ms);
    if (entry == NULL) {
        entry = add_entry(memory, MEMBER, member->group, err);
    }
    enum cvm_status status = entry == NULL ? CVM_E_LIMIT : CVM_OK;
    if (entry != NULL) {
        memcpy(entry->second, member->member, strlen(member->member) + 1);
        memcpy(entry->value, member->value, strlen(member->value) + 1);
        entry->expires_ms = now_ms + member->ttl_ms;
    }
    (void)pthread_mutex_unlock(&memory->lock);
    return status;
}

static enum cvm_status memory_leave(struct cvm_state *state, const struct cvm_context *context,
                                    const struct cvm_state_member *member, struct cvm_error *err)
{
    struct memory_state *memory = memory_of(state);
    (void)err;
    (void)pthread_mutex_lock(&memory->lock);
    forget(memory,
           find(memory, MEMBER, member->group, member->member, cvm_context_now_ms(context)));
    (void)pthread_mutex_unlock(&memory->lock);
    return CVM_OK;
}

static enum cvm_status memory_members(struct cvm_state *state, const struct cvm_context *context,
                                      const char *group, cvm_state_member_fn on_member,
                                      void *on_member_state, struct cvm_error *err)
{
    struct memory_state *memory = memory_of(state);
    int64_t now_ms = cvm_context_now_ms(context);
    enum cvm_status status = CVM_OK;
    (void)pthread_mutex_lock(&memory->lock);
    const struct entry *entries = CVM_COLUMN_DATA(&memory->entries, const struct entry);
    for (size_t i = 0; status == CVM_OK && i < memory->entries.count; i++) {
        const struct entry *entry = &entries[i];
        if (entry->kind == MEMBER && entry->expires_ms > now_ms &&
            strcmp(entry->name, group) == 0) {
            status = on_member(on_member_state, entry->second, entry->value, err);
        }
    }
    (void)pthread_mutex_unlock(&memory->lock);
    return status;
}

static enum cvm_status memory_group_age(struct cvm_state *state, const struct cvm_context *context,
                                        const char *group, int64_t *out_age_ms,
                                        struct cvm_error *err)
{
    (void)state;
    (void)context;
    (void)group;
    (void)err;
    *out_age_ms = INT64_MAX;
    return CVM_OK;
}

static void memory_close(struct cvm_state *state)
{
    struct memory_state *memory = memory_of(state);
    cvm_column_finish(&memory->entries);
    (void)pthread_mutex_destroy(&memory->lock);
    free(memory);
}

static enum cvm_status memory_open(const char *location, const struct cvm_state_options *options,
                                   struct cvm_state **out_state, struct cvm_error *err)
{
    (void)options;
    if (location[0] != '\0') {
        return CVM_FAIL(err, CVM_E_INVALID, "shared state 'memory:' is named without more");
    }
    struct memory_state *memory = calloc(1, sizeof(*memory));
    if (memory == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the shared state");
    }
    cvm_column_init(&memory->entries, sizeof(struct entry));
    (void)pthread_mutex_init(&memory->lock, NULL); /* on Linux this only fills it */
    *out_state = &memory->base;
    return CVM_OK;
}

const struct cvm_state_backend cvm_state_memory = {
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .check = memory_check,
    .add = memory_add,
    .take = memory_take,
    .give_back = memory_give_back,
    .announce = memory_announce,
    .leave = memory_leave,
    .members = memory_members,
    .group_age = memory_group_age,
};
