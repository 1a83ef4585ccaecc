/* state_redis.c - the state that all processes share, on a Redis server (redis_client.h).
 *
 * What must not be interrupted is a script that runs on the server, by the server's clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/redis_client.h"
#include "storage/state_backend.h"

#define PREFIX_MAX 64
#define KEY_MAX    (PREFIX_MAX + CVM_STATE_NAME_MAX + 8)

struct redis_state {
    struct cvm_state base;
    struct cvm_redis *redis;
    char prefix[PREFIX_MAX + 1];
};

/* counter; amount, most, ttl. */
static const char add_script[] =
    "local total = tonumber(redis.call('GET', KEYS[1]) or '0') + tonumber(ARGV[1])\n"
    "if total < 0 or total > tonumber(ARGV[2]) then return {0, total - tonumber(ARGV[1])} end\n"
    "redis.call('INCRBY', KEYS[1], ARGV[1])\n"
    "if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end\n"
    "return {1, total}";

/* claim, its epochs; owner, ttl. */
static const char take_script[] =
    "local owner = redis.call('HGET', KEYS[1], 'owner')\n"
    "if owner and owner ~= ARGV[1] then return {0, 0} end\n"
    "if not owner then\n"
    "  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', redis.call('INCR', KEYS[2]))\n"
    "end\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "return {1, tonumber(redis.call('HGET', KEYS[1], 'epoch'))}";

/* claim; owner. */
static const char give_back_script[] =
    "if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('DEL', KEYS[1]) end\n"
    "return {1, 0}";

/* group; member, value, ttl. The group goes when its last member has been silent for long. The
 * field without a name says since when it has been there. */
static const char announce_script[] =
    "local now = redis.call('TIME')\n"
    "local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)\n"
    "local until_ms = now_ms + tonumber(ARGV[3])\n"
    "redis.call('HSETNX', KEYS[1], '', string.format('%d', now_ms))\n"
    "redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', until_ms) .. ARGV[2])\n"
    "if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then\n"
    "  redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "end\n"
    "return {1, 0}";

/* group. Those that are over are removed on the way. */
static const char members_script[] =
    "local now = redis.call('TIME')\n"
    "local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)\n"
    "local all = redis.call('HGETALL', KEYS[1])\n"
    "local found = {}\n"
    "for i = 1, #all, 2 do\n"
    "  local until_ms, value = string.match(all[i + 1], '^(%d+) (.*)$')\n"
    "  if until_ms and tonumber(until_ms) > now_ms then\n"
    "    found[#found + 1] = all[i]\n"
    "    found[#found + 1] = value\n"
    "  elseif all[i] ~= '' then redis.call('HDEL', KEYS[1], all[i]) end\n"
    "end\n"
    "return found";

/* group. */
static const char age_script[] =
    "local since_ms = redis.call('HGET', KEYS[1], '')\n"
    "if not since_ms then return {1, 0} end\n"
    "local now = redis.call('TIME')\n"
    "return {1, now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(since_ms)}";

static struct redis_state *redis_of(struct cvm_state *state)
{
    return (struct redis_state *)state;
}

struct key {
    char text[KEY_MAX + 1];
};

static struct key key_of(const struct redis_state *redis, const char *kind, const char *name)
{
    struct key key;
    (void)snprintf(key.text, sizeof(key.text), "%s%s:%s", redis->prefix, kind, name);
    return key;
}

struct number {
    char text[24];
};

static struct number number_of(int64_t value)
{
    struct number number;
    (void)snprintf(number.text, sizeof(number.text), "%lld", (long long)value);
    return number;
}

/* What a script is called with: key_count of `words` are keys. */
struct call {
    const char *script;
    size_t key_count;
    const char *words[5];
    size_t word_count;
};

static enum cvm_status run(struct redis_state *redis, const struct cvm_context *context,
                           const struct call *call, redisReply **out_reply, struct cvm_error *err)
{
    struct cvm_redis_command command = {0};
    struct number keys = number_of((int64_t)call->key_count);
    cvm_redis_add_word(&command, "EVAL");
    cvm_redis_add_word(&command, call->script);
    cvm_redis_add_word(&command, keys.text);
    for (size_t i = 0; i < call->word_count; i++) {
        cvm_redis_add_word(&command, call->words[i]);
    }
    enum cvm_status status = cvm_redis_ask(redis->redis, context, &command, out_reply);
    if (status != CVM_OK) {
        return CVM_FAIL(err, status, "the shared state is away");
    }
    if ((*out_reply)->type == REDIS_REPLY_ARRAY) {
        return CVM_OK;
    }
    /* It is full, read-only, does not run scripts, or has something else under this name. */
    bool is_full = (*out_reply)->str != NULL && strncmp((*out_reply)->str, "OOM", 3) == 0;
    status = CVM_FAIL(err, is_full ? CVM_E_LIMIT : CVM_E_UNAVAILABLE, "the shared state says: %s",
                      (*out_reply)->type == REDIS_REPLY_ERROR ? (*out_reply)->str : "nothing");
    freeReplyObject(*out_reply);
    return status;
}

/* {1 or 0, a number}. */
static enum cvm_status run_for_number(struct redis_state *redis, const struct cvm_context *context,
                                      const struct call *call, bool *out_done, int64_t *out_number,
                                      struct cvm_error *err)
{
    redisReply *reply = NULL;
    enum cvm_status status = run(redis, context, call, &reply, err);
    if (status != CVM_OK) {
        return status;
    }
    bool is_right = reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_INTEGER &&
                    reply->element[1]->type == REDIS_REPLY_INTEGER;
    *out_done = is_right && reply->element[0]->integer == 1;
    *out_number = is_right ? reply->element[1]->integer : 0;
    freeReplyObject(reply);
    return is_right ? CVM_OK
                    : CVM_FAIL(err, CVM_E_UNAVAILABLE, "the shared state answers otherwise");
}

static enum cvm_status redis_check(struct cvm_state *state, const struct cvm_context *context,
                                   struct cvm_error *err)
{
    return cvm_redis_check(redis_of(state)->redis, context, err);
}

static enum cvm_status redis_add(struct cvm_state *state, const struct cvm_context *context,
                                 const struct cvm_state_addition *addition, int64_t *out_total,
                                 struct cvm_error *err)
{
    struct redis_state *redis = redis_of(state);
    struct key key = key_of(redis, "counter", addition->counter);
    struct number amount = number_of(addition->amount);
    struct number most = number_of(addition->most);
    struct number ttl = number_of(addition->ttl_ms);
    struct call call = {add_script, 1, {key.text, amount.text, most.text, ttl.text}, 4};
    bool is_added = false;
    enum cvm_status status = run_for_number(redis, context, &call, &is_added, out_total, err);
    return status != CVM_OK || is_added ? status
                                        : CVM_FAIL(err, CVM_E_CONFLICT, "'%s' stands at %lld",
                                                   addition->counter, (long long)*out_total);
}

static enum cvm_status redis_take(struct cvm_state *state, const struct cvm_context *context,
                                  const struct cvm_state_claim *claim, int64_t *out_epoch,
                                  struct cvm_error *err)
{
    struct redis_state *redis = redis_of(state);
    struct key key = key_of(redis, "claim", claim->name);
    struct key epochs = key_of(redis, "epochs", claim->name);
    struct number ttl = number_of(claim->ttl_ms);
    struct call call = {take_script, 2, {key.text, epochs.text, claim->owner, ttl.text}, 4};
    bool is_taken = false;
    enum cvm_status status = run_for_number(redis, context, &call, &is_taken, out_epoch, err);
    return status != CVM_OK || is_taken
               ? status
               : CVM_FAIL(err, CVM_E_CONFLICT, "'%s' is taken by another", claim->name);
}

static enum cvm_status redis_give_back(struct cvm_state *state, const struct cvm_context *context,
                                       const struct cvm_state_claim *claim, struct cvm_error *err)
{
    struct redis_state *redis = redis_of(state);
    struct key key = key_of(redis, "claim", claim->name);
    struct call call = {give_back_script, 1, {key.text, claim->owner}, 2};
    bool is_done = false;
    int64_t none = 0;
    return run_for_number(redis, context, &call, &is_done, &none, err);
}

static enum cvm_status redis_announce(struct cvm_state *state, const struct cvm_context *context,
                                      const struct cvm_state_member *member, struct cvm_error *err)
{
    struct redis_state *redis = redis_of(state);
    struct key key = key_of(redis, "group", member->group);
    struct number ttl = number_of(member->ttl_ms);
    struct call call = {announce_script, 1, {key.text, member->member, member->value, ttl.text}, 4};
    bool is_done = false;
    int64_t none = 0;
    return run_for_number(redis, context, &call, &is_done, &none, err);
}

static enum cvm_status redis_leave(struct cvm_state *state, const struct cvm_context *context,
                                   const struct cvm_state_member *member, struct cvm_error *err)
{
    struct redis_state *redis = redis_of(state);
    struct key key = key_of(redis, "group", member->group);
    struct cvm_redis_command command = {0};
    redisReply *reply = NULL;
    cvm_redis_add_word(&command, "HDEL");
    cvm_redis_add_word(&command, key.text);
    cvm_redis_add_word(&command, member->member);
    enum cvm_status status = cvm_redis_ask(redis->redis, context, &command, &reply);
    if (status == CVM_OK) {
        status = reply->type == REDIS_REPLY_INTEGER ? CVM_OK : CVM_E_UNAVAILABLE;
        freeReplyObject(reply);
    }
    return status == CVM_OK ? CVM_OK : CVM_FAIL(err, status, "the shared state is away");
}

static enum cvm_status redis_members(struct cvm_state *state, const struct cvm_context *context,
                                     const char *group, cvm_state_member_fn on_member,
                                     void *on_member_state, struct cvm_error *err)
{
    struct redis_state *redis = redis_of(state);
    struct key key = key_of(redis, "group", group);
    struct call call = {members_script, 1, {key.text}, 1};
    redisReply *reply = NULL;
    enum cvm_status status = run(redis, context, &call, &reply, err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; status == CVM_OK && i + 1 < reply->elements; i += 2) {
        const redisReply *member = reply->element[i];
        const redisReply *value = reply->element[i + 1];
        if (member->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING) {
            status = on_member(on_member_state, member->str, value->str, err);
        }
    }
    freeReplyObject(reply);
    return status;
}

static enum cvm_status redis_group_age(struct cvm_state *state, const struct cvm_context *context,
                                       const char *group, int64_t *out_age_ms,
                                       struct cvm_error *err)
{
    struct redis_state *redis = redis_of(state);
    struct key key = key_of(redis, "group", group);
    struct call call = {age_script, 1, {key.text}, 1};
    bool is_done = false;
    return run_for_number(redis, context, &call, &is_done, out_age_ms, err);
}

static void redis_close(struct cvm_state *state)
{
    cvm_redis_close(redis_of(state)->redis);
    free(state);
}

static enum cvm_status redis_open(const char *location, const struct cvm_state_options *options,
                                  struct cvm_state **out_state, struct cvm_error *err)
{
    const char *prefix = options->prefix == NULL ? "" : options->prefix;
    if (strlen(prefix) > PREFIX_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the prefix of the shared state is too long");
    }
    struct redis_state *state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the shared state");
    }
    memcpy(state->prefix, prefix, strlen(prefix) + 1);
    enum cvm_status status = cvm_redis_open(location, options->timeout_ms, &state->redis, err);
    if (status != CVM_OK) {
        free(state);
        return status;
    }
    *out_state = &state->base;
    return CVM_OK;
}

const struct cvm_state_backend cvm_state_redis = {
    .scheme = "redis",
    .open = redis_open,
    .close = redis_close,
    .check = redis_check,
    .add = redis_add,
    .take = redis_take,
    .give_back = redis_give_back,
    .announce = redis_announce,
    .leave = redis_leave,
    .members = redis_members,
    .group_age = redis_group_age,
};
