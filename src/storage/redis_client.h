/* redis_client.h - a Redis server as one process sees it: a few connections, time-outs, a breaker.
 *
 * For cache_redis.c and state_redis.c. Nothing on the server may be relied on: what it does not
 * answer in time is as good as not there, and after a failure nobody is kept waiting for a while.
 *
 * Thread safety: one for all threads. The process must ignore SIGPIPE.
 */
#ifndef CVM_STORAGE_REDIS_CLIENT_H
#define CVM_STORAGE_REDIS_CLIENT_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "base/context.h"
#include "base/error.h"

struct cvm_redis;

/* The part of "redis://[user:password@]host[:port][/db]" behind the scheme. Nothing is connected
 * yet. timeout_ms 0 = 100. CVM_E_INVALID for another URL; no message ever holds the password. */
CVM_MUST_CHECK enum cvm_status cvm_redis_open(const char *location, int timeout_ms,
                                              struct cvm_redis **out_redis, struct cvm_error *err);
void cvm_redis_close(struct cvm_redis *redis);

/* Is it there? CVM_E_UNAVAILABLE, or CVM_E_DENIED when it refuses user or password. Asks whatever
 * the breaker says. */
CVM_MUST_CHECK enum cvm_status
cvm_redis_check(struct cvm_redis *redis, const struct cvm_context *context, struct cvm_error *err);

#define CVM_REDIS_ARGUMENTS_MAX 12
/* Borrows what is added. */
struct cvm_redis_command {
    int count;
    const char *arguments[CVM_REDIS_ARGUMENTS_MAX];
    size_t lengths[CVM_REDIS_ARGUMENTS_MAX];
};
void cvm_redis_add(struct cvm_redis_command *command, const char *data, size_t length);
void cvm_redis_add_word(struct cvm_redis_command *command, const char *word);

/* CVM_OK: the reply, which may be an error of the server, is the caller's to free. Else
 * CVM_E_UNAVAILABLE, and the log says why. */
CVM_MUST_CHECK enum cvm_status cvm_redis_ask(struct cvm_redis *redis,
                                             const struct cvm_context *context,
                                             const struct cvm_redis_command *command,
                                             redisReply **out_reply);

#endif
