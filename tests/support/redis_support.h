/* redis_support.h - a Redis server of the test's own, on a free port and in a temporary folder. */
#ifndef CVM_TESTS_REDIS_SUPPORT_H
#define CVM_TESTS_REDIS_SUPPORT_H

#include <stdbool.h>

struct redis_server {
    int process; /* 0 = not running */
    int port;    /* kept over a stop, so that it can be started again */
    char folder[64];
};

/* False: there is no redis-server on this machine. `options` are further arguments, ended by NULL;
 * NULL = none. Dies with the test. */
bool redis_start(struct redis_server *server, const char *const *options);
void redis_stop(struct redis_server *server); /* kills it; its folder goes too */
void redis_pause(struct redis_server *server, bool is_paused);
/* An inline command without an answer that anybody looks at, such as "FLUSHALL". */
void redis_tell(const struct redis_server *server, const char *command);

/* A port of this machine that answers whatever it is asked with these words, `count` times, and
 * then closes. */
struct redis_babbler;
struct redis_babbler *redis_babbler_start(const char *words, int count, int *out_port);
/* How many connections it was asked for. */
int redis_babbler_stop(struct redis_babbler *babbler);

#endif
