/* breaker.h - a circuit breaker: a dependency that fails is left alone for a while, then tried by a
 * few calls before everybody comes back.
 *
 * One per caller and dependency. Closed, it counts the calls of the last window; when enough of
 * them failed, or were slow, it opens and refuses, longer each time it opens again. Then it is half
 * open: a few calls at once are let through, some successes in a row close it, one failure opens
 * it. The caller's own mistakes (a bad request, a lease that was lost) are no failures:
 * CVM_CALL_IGNORED.
 *
 * Pure: time (steady milliseconds) and randomness are arguments. Not thread safe.
 */
#ifndef CVM_BASE_BREAKER_H
#define CVM_BASE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

#define CVM_BREAKER_BUCKETS 10

enum cvm_breaker_state {
    CVM_BREAKER_CLOSED,
    CVM_BREAKER_OPEN,
    CVM_BREAKER_HALF_OPEN,
    CVM_BREAKER_FORCED_OPEN, /* by an operator, until it is let go */
    CVM_BREAKER_FORCED_CLOSED,
    CVM_BREAKER_STATES,
};
const char *cvm_breaker_state_name(enum cvm_breaker_state state);

/* A zero is the default. */
struct cvm_breaker_options {
    int64_t window_ms;    /* 10,000 */
    int64_t calls_min;    /* in the window, before anything is concluded: 20 */
    double failure_share; /* 0.5 */
    double slow_share;    /* 0.8 */
    int64_t open_ms;      /* the first time; twice as long each time it opens again: 1,000 */
    int64_t open_ms_max;  /* 60,000 */
    int64_t probes;       /* at once, half open: 3 */
    int64_t successes;    /* in a row, to close: 5 */
    int64_t calls_max;    /* at once, closed: no limit */
};

struct cvm_breaker_bucket {
    int64_t number; /* of its time */
    int64_t calls;
    int64_t failures;
    int64_t slow;
};

struct cvm_breaker {
    struct cvm_breaker_options options; /* with the defaults filled in */
    enum cvm_breaker_state state;
    struct cvm_breaker_bucket buckets[CVM_BREAKER_BUCKETS];
    struct cvm_random random;
    int64_t until_ms;  /* open: when it is tried; half open: when probes without an answer are
                          forgotten */
    int64_t opened;    /* times in a row */
    int64_t successes; /* in a row, half open */
    int64_t in_flight;
};

void cvm_breaker_init(struct cvm_breaker *breaker, const struct cvm_breaker_options *options,
                      uint64_t seed);

/* May a call begin? Then cvm_breaker_done() follows. Else *out_again_ms is when to ask again. */
bool cvm_breaker_ask(struct cvm_breaker *breaker, int64_t now_ms, int64_t *out_again_ms);

enum cvm_call_outcome {
    CVM_CALL_GOOD,
    CVM_CALL_SLOW, /* good, but it took too long to be healthy */
    CVM_CALL_FAILED,
    CVM_CALL_IGNORED, /* it says nothing of the dependency */
};
void cvm_breaker_done(struct cvm_breaker *breaker, int64_t now_ms, enum cvm_call_outcome outcome);

/* FORCED_OPEN or FORCED_CLOSED; CLOSED lets it go, with nothing counted. */
void cvm_breaker_force(struct cvm_breaker *breaker, enum cvm_breaker_state state);

#endif
