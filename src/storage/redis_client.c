/* A Redis server from one process: a few connections, time-outs, and a breaker.
 *
 * A server that is away must cost nothing: calls have short time-outs, and after a failure nobody
 * asks for a pause that doubles up to half a minute; then one caller tries.
 *
 * Commands are arrays of arguments, never formats. A connection that failed once is thrown away:
 * its next reply might be the one to an earlier command.
 */
#include "storage/redis_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/url.h"

#define CONNECTIONS_MAX    8
#define TIMEOUT_DEFAULT_MS 100
#define PAUSE_FIRST_NS     INT64_C(100000000)
#define PAUSE_MAX_NS       INT64_C(30000000000)
#define PORT_DEFAULT       6379
#define URL_BYTES_MAX      2048

struct connection {
    pthread_mutex_t lock;
    redisContext *redis; /* NULL = none */
};

struct cvm_redis {
    char *text; /* holds what follows */
    const char *host;
    const char *user;     /* "" = none */
    const char *password; /* "" = none */
    int port;
    int database;
    int timeout_ms;
    _Atomic int64_t asks_again_ns; /* 0 = the server is there */
    _Atomic uint32_t failures;     /* in a row */
    atomic_size_t turn;
    struct connection connections[CONNECTIONS_MAX];
};

void cvm_redis_add(struct cvm_redis_command *command, const char *data, size_t length)
{
    command->arguments[command->count] = data;
    command->lengths[command->count] = length;
    command->count++;
}

void cvm_redis_add_word(struct cvm_redis_command *command, const char *word)
{
    cvm_redis_add(command, word, strlen(word));
}

/* ---- the breaker ---- */

enum pass { REFUSED, ORDINARY, PROBE };

static int64_t steady_ns(const struct cvm_context *context)
{
    return context->clock.steady_ns(context->clock.state);
}

/* One caller tries when the pause is over; the others go on without. */
static enum pass may_ask(struct cvm_redis *redis, const struct cvm_context *context)
{
    int64_t until = atomic_load_explicit(&redis->asks_again_ns, memory_order_relaxed);
    if (until == 0) {
        return ORDINARY;
    }
    int64_t now = steady_ns(context);
    if (now < until) {
        return REFUSED;
    }
    /* Meanwhile, for longer than a try takes: connect, introduce itself twice, ask. */
    int64_t try_ns = INT64_C(8000000) * redis->timeout_ms;
    return atomic_compare_exchange_strong(&redis->asks_again_ns, &until, now + try_ns) ? PROBE
                                                                                       : REFUSED;
}

static void note_success(struct cvm_redis *redis, const struct cvm_context *context)
{
    if (atomic_load_explicit(&redis->asks_again_ns, memory_order_relaxed) != 0) {
        atomic_store(&redis->failures, 0);
        atomic_store(&redis->asks_again_ns, 0);
        CVM_LOG(context->log, CVM_LOG_INFO, "redis_available", CVM_TEXT("host", redis->host),
                CVM_INT("port", redis->port));
    }
}

/* Callers who failed together count once. */
static void note_failure(struct cvm_redis *redis, const struct cvm_context *context, enum pass pass,
                         const struct cvm_error *err)
{
    int64_t until = atomic_load(&redis->asks_again_ns);
    if (pass == ORDINARY && until != 0) {
        return;
    }
    uint32_t failures = atomic_fetch_add(&redis->failures, 1);
    int64_t now = steady_ns(context);
    int64_t pause = PAUSE_FIRST_NS << (failures < 9 ? failures : 9);
    pause = pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS;
    /* Up to a fifth more: processes that failed together do not come back together. */
    uint64_t spread = cvm_hash_mix((uint64_t)now, (uint64_t)(uintptr_t)redis + failures);
    pause += (int64_t)(spread % (uint64_t)(pause / 5));
    atomic_store(&redis->asks_again_ns, now + pause > 0 ? now + pause : 1);
    CVM_LOG(context->log, failures == 0 ? CVM_LOG_WARN : CVM_LOG_INFO, "redis_unavailable",
            CVM_TEXT("host", redis->host), CVM_INT("port", redis->port),
            CVM_TEXT("reason", err->message), CVM_INT("pause_ms", pause / 1000000));
}

/* ---- connections ---- */

static void disconnect(struct connection *connection)
{
    if (connection->redis != NULL) {
        redisFree(connection->redis);
        connection->redis = NULL;
    }
}

static enum cvm_status fail_away(const struct cvm_redis *redis, const char *reason,
                                 struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "redis at %s:%d: %s", redis->host, redis->port, reason);
}

static const char *reason_of(const redisContext *context, int code)
{
    if (context == NULL) {
        return "no memory for a connection";
    }
    bool is_late = context->err == REDIS_ERR_IO && (code == EAGAIN || code == EWOULDBLOCK);
    return is_late ? "no answer in time" : context->errstr;
}

static struct timeval milliseconds(int count)
{
    return (struct timeval){count / 1000, (count % 1000) * 1000};
}

/* A command whose answer must be "OK". Its own words, not the server's: those might repeat what it
 * was sent. */
static enum cvm_status introduce(const struct cvm_redis *redis, redisContext *context,
                                 struct cvm_redis_command *command, const char *refusal,
                                 struct cvm_error *err)
{
    redisReply *reply =
        redisCommandArgv(context, command->count, command->arguments, command->lengths);
    if (reply == NULL) {
        return fail_away(redis, reason_of(context, errno), err);
    }
    bool is_good = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return is_good ? CVM_OK
                   : CVM_FAIL(err, CVM_E_DENIED, "redis at %s:%d %s", redis->host, redis->port,
                              refusal);
}

static enum cvm_status log_in(const struct cvm_redis *redis, redisContext *context,
                              struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (redis->password[0] != '\0') {
        struct cvm_redis_command auth = {0};
        cvm_redis_add_word(&auth, "AUTH");
        if (redis->user[0] != '\0') {
            cvm_redis_add_word(&auth, redis->user);
        }
        cvm_redis_add_word(&auth, redis->password);
        status = introduce(redis, context, &auth, "refuses the user or the password", err);
    }
    if (status == CVM_OK && redis->database != 0) {
        struct cvm_redis_command select = {0};
        char number[16];
        (void)snprintf(number, sizeof(number), "%d", redis->database);
        cvm_redis_add_word(&select, "SELECT");
        cvm_redis_add_word(&select, number);
        status = introduce(redis, context, &select, "refuses the database of the URL", err);
    }
    return status;
}

static enum cvm_status connect_to(const struct cvm_redis *redis, struct connection *connection,
                                  struct cvm_error *err)
{
    redisContext *context =
        redisConnectWithTimeout(redis->host, redis->port, milliseconds(redis->timeout_ms));
    enum cvm_status status = CVM_OK;
    if (context == NULL || context->err != 0) {
        status = fail_away(redis, reason_of(context, errno), err);
    } else if (redisSetTimeout(context, milliseconds(redis->timeout_ms)) != REDIS_OK) {
        status = fail_away(redis, "no time-out can be set", err);
    } else {
        status = log_in(redis, context, err);
    }
    if (status != CVM_OK) {
        if (context != NULL) {
            redisFree(context);
        }
        return status;
    }
    connection->redis = context;
    return CVM_OK;
}

/* A free one, or the next one when all are busy; locked. */
static struct connection *borrow(struct cvm_redis *redis)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (pthread_mutex_trylock(&redis->connections[i].lock) == 0) {
            return &redis->connections[i];
        }
    }
    size_t turn = atomic_fetch_add_explicit(&redis->turn, 1, memory_order_relaxed);
    struct connection *connection = &redis->connections[turn % CONNECTIONS_MAX];
    (void)pthread_mutex_lock(&connection->lock);
    return connection;
}

/* A connection that stood idle may have been closed by the server: then once more on a new one. A
 * late answer is not waited for twice. */
static enum cvm_status send_to(const struct cvm_redis *redis, struct connection *connection,
                               const struct cvm_redis_command *command, redisReply **out_reply,
                               struct cvm_error *err)
{
    bool is_new = connection->redis == NULL;
    enum cvm_status status = is_new ? connect_to(redis, connection, err) : CVM_OK;
    while (status == CVM_OK) {
        errno = 0;
        /* The library takes arrays that are not const and leaves them as they are. */
        redisReply *reply =
            redisCommandArgv(connection->redis, command->count,
                             (const char **)(uintptr_t)command->arguments, command->lengths);
        int code = errno;
        if (reply != NULL) {
            *out_reply = reply;
            return CVM_OK;
        }
        bool may_repeat =
            !is_new &&
            (connection->redis->err == REDIS_ERR_EOF ||
             (connection->redis->err == REDIS_ERR_IO && code != EAGAIN && code != EWOULDBLOCK));
        if (!may_repeat) {
            status = fail_away(redis, reason_of(connection->redis, code), err);
        }
        disconnect(connection);
        is_new = true;
        if (status == CVM_OK) {
            status = connect_to(redis, connection, err);
        }
    }
    return status;
}

enum cvm_status cvm_redis_ask(struct cvm_redis *redis, const struct cvm_context *context,
                              const struct cvm_redis_command *command, redisReply **out_reply)
{
    struct cvm_error err = {0};
    enum pass pass = may_ask(redis, context);
    if (pass == REFUSED) {
        return CVM_E_UNAVAILABLE;
    }
    struct connection *connection = borrow(redis);
    bool is_late = pass == ORDINARY && /* it failed while this caller stood in line */
                   atomic_load_explicit(&redis->asks_again_ns, memory_order_relaxed) != 0;
    enum cvm_status status =
        is_late ? CVM_E_UNAVAILABLE : send_to(redis, connection, command, out_reply, &err);
    (void)pthread_mutex_unlock(&connection->lock);
    if (status == CVM_OK) {
        note_success(redis, context);
    } else if (!is_late) {
        note_failure(redis, context, pass, &err);
    }
    return status;
}

enum cvm_status cvm_redis_check(struct cvm_redis *redis, const struct cvm_context *context,
                                struct cvm_error *err)
{
    struct cvm_redis_command ping = {0};
    redisReply *reply = NULL;
    struct connection *connection = borrow(redis);
    cvm_redis_add_word(&ping, "PING");
    enum cvm_status status = send_to(redis, connection, &ping, &reply, err);
    (void)pthread_mutex_unlock(&connection->lock);
    if (status != CVM_OK) {
        return status;
    }
    bool is_good = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (!is_good) { /* it wants a password and the URL has none, or is still loading */
        return CVM_FAIL(err, CVM_E_DENIED, "redis at %s:%d refuses to be asked", redis->host,
                        redis->port);
    }
    note_success(redis, context);
    return CVM_OK;
}

/* ---- opening ---- */

/* "user:password" or ":password" */
static bool parse_login(struct cvm_redis *redis, char *login)
{
    char *colon = strchr(login, ':');
    if (colon == NULL) {
        return false;
    }
    *colon = '\0';
    redis->user = login;
    redis->password = colon + 1;
    return colon[1] != '\0' && cvm_url_decode(login) && cvm_url_decode(colon + 1);
}

/* "host", "host:port", "[::1]:port" */
static bool parse_address(struct cvm_redis *redis, char *address)
{
    char *port = NULL;
    if (address[0] == '[') {
        char *end = strchr(address, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0')) {
            return false;
        }
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        address++;
    } else {
        char *colon = strchr(address, ':');
        port = colon == NULL ? NULL : colon + 1;
        if (colon != NULL) {
            *colon = '\0';
        }
    }
    redis->host = address;
    redis->port = port == NULL ? PORT_DEFAULT : cvm_url_number(port, 65535);
    return address[0] != '\0' && redis->port > 0;
}

static bool parse_url(struct cvm_redis *redis, char *text)
{
    if (strncmp(text, "//", 2) != 0) {
        return false;
    }
    char *address = text + 2;
    char *slash = strchr(address, '/');
    if (slash != NULL) {
        *slash = '\0';
        redis->database = slash[1] == '\0' ? 0 : cvm_url_number(slash + 1, 65535);
    }
    char *at = strrchr(address, '@');
    bool is_good = redis->database >= 0;
    if (at != NULL) {
        *at = '\0';
        is_good = is_good && parse_login(redis, address);
        address = at + 1;
    }
    return is_good && parse_address(redis, address);
}

void cvm_redis_close(struct cvm_redis *redis)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        disconnect(&redis->connections[i]);
        (void)pthread_mutex_destroy(&redis->connections[i].lock);
    }
    free(redis->text);
    free(redis);
}

enum cvm_status cvm_redis_open(const char *location, int timeout_ms, struct cvm_redis **out_redis,
                               struct cvm_error *err)
{
    if (strlen(location) > URL_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "a URL 'redis:' is too long");
    }
    struct cvm_redis *redis = calloc(1, sizeof(*redis));
    char *text = strdup(location);
    if (redis == NULL || text == NULL) {
        free(redis);
        free(text);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a server");
    }
    redis->text = text;
    redis->user = "";
    redis->password = "";
    redis->timeout_ms = timeout_ms > 0 ? timeout_ms : TIMEOUT_DEFAULT_MS;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        (void)pthread_mutex_init(&redis->connections[i].lock,
                                 NULL); /* on Linux this only fills it */
    }
    if (!parse_url(redis, text)) { /* not shown: it may hold a password */
        cvm_redis_close(redis);
        enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "a URL 'redis:' is malformed");
        return cvm_error_hint(err, status,
                              "redis://[user:password@]host[:port][/database] is allowed; write "
                              "':' '/' '@' and '%%' of a password as %%3A %%2F %%40 and %%25.");
    }
    *out_redis = redis;
    return CVM_OK;
}
