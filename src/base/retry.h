/* retry.h - how often, and how soon, what failed is tried again.
 *
 * Full jitter: the pause before repetition n (from 0) is drawn from U(0, min(cap, base * 2^n)), so
 * that those who lost the same server do not all come back at once. A budget, where there is one,
 * keeps repetitions a small share of all requests: a server in trouble gets no storm on top.
 *
 * Clock, randomness and sleep are arguments: a test replays them. One struct cvm_retry per piece of
 * work and thread; a budget may be shared by threads.
 */
#ifndef CVM_BASE_RETRY_H
#define CVM_BASE_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"
#include "base/random.h"

/* A zero is the default. */
struct cvm_retry_policy {
    int64_t base_ms;  /* 100 */
    int64_t cap_ms;   /* 30,000 */
    int64_t attempts; /* in all, the first one too: 8 */
    int64_t limit_ms; /* no attempt begins later than this after the start: none */
};

struct cvm_retry_budget {
    atomic_llong thousandths; /* of repetitions that are left */
    int64_t most;
    int64_t per_request;
};
/* Each request earns `share` of a repetition (0.1 = one of ten), up to `burst` of them, with which
 * it starts. */
void cvm_retry_budget_init(struct cvm_retry_budget *budget, double share, int64_t burst);
void cvm_retry_budget_request(struct cvm_retry_budget *budget);
/* True when a repetition is left; it is used up. */
bool cvm_retry_budget_take(struct cvm_retry_budget *budget);

struct cvm_retry_means {
    struct cvm_clock clock; /* the steady one is read */
    void (*sleep)(void *state, int64_t pause_ms);
    void *sleep_state;
    uint64_t seed;
    const atomic_bool *cancelled;    /* NULL = never; no repetition once it is set */
    struct cvm_retry_budget *budget; /* NULL = none */
};
/* The system's clock and sleep, and a seed that differs between processes and calls. */
struct cvm_retry_means cvm_retry_means_system(void);

struct cvm_retry {
    struct cvm_retry_policy policy; /* with the defaults filled in */
    struct cvm_retry_means means;
    struct cvm_random random;
    int64_t started_ns;
    int64_t failures;
};
void cvm_retry_start(struct cvm_retry *retry, const struct cvm_retry_policy *policy,
                     const struct cvm_retry_means *means);
/* After a failure that is worth repeating: pauses and says true, or false when it is time to give
 * up. */
bool cvm_retry_again(struct cvm_retry *retry);
/* The work got on since the last failure: attempts and limit count from here. */
void cvm_retry_progress(struct cvm_retry *retry);

/* The pause before repetition n, from 0. */
int64_t cvm_retry_pause_ms(const struct cvm_retry_policy *policy, int64_t n,
                           struct cvm_random *random);

#endif
