#include "base/retry.h"

#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "base/hash.h"

#define BASE_MS_DEFAULT  100
#define CAP_MS_DEFAULT   30000
#define ATTEMPTS_DEFAULT 8
#define DOUBLINGS_MAX    40 /* beyond it every cap is reached */
#define THOUSAND         1000

/* ---- the budget ---- */

void cvm_retry_budget_init(struct cvm_retry_budget *budget, double share, int64_t burst)
{
    budget->most = burst * THOUSAND;
    budget->per_request = (int64_t)(share * THOUSAND);
    atomic_init(&budget->thousandths, budget->most);
}

void cvm_retry_budget_request(struct cvm_retry_budget *budget)
{
    long long left = atomic_load(&budget->thousandths);
    long long more = 0;
    do {
        more = left + budget->per_request < budget->most ? left + budget->per_request
                                                         : (long long)budget->most;
    } while (!atomic_compare_exchange_weak(&budget->thousandths, &left, more));
}

bool cvm_retry_budget_take(struct cvm_retry_budget *budget)
{
    long long left = atomic_load(&budget->thousandths);
    do {
        if (left < THOUSAND) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&budget->thousandths, &left, left - THOUSAND));
    return true;
}

/* ---- pauses ---- */

static void system_sleep(void *state, int64_t pause_ms)
{
    (void)state;
    (void)poll(NULL, 0, (int)pause_ms); /* a signal ends it early, which is meant */
}

struct cvm_retry_means cvm_retry_means_system(void)
{
    uint64_t now = (uint64_t)cvm_clock_system.steady_ns(NULL);
    return (struct cvm_retry_means){
        .clock = cvm_clock_system,
        .sleep = system_sleep,
        .seed = cvm_hash_mix(now, (uint64_t)getpid()),
    };
}

static struct cvm_retry_policy with_defaults(const struct cvm_retry_policy *policy)
{
    struct cvm_retry_policy filled = *policy;
    filled.base_ms = filled.base_ms == 0 ? BASE_MS_DEFAULT : filled.base_ms;
    filled.cap_ms = filled.cap_ms == 0 ? CAP_MS_DEFAULT : filled.cap_ms;
    filled.attempts = filled.attempts == 0 ? ATTEMPTS_DEFAULT : filled.attempts;
    return filled;
}

int64_t cvm_retry_pause_ms(const struct cvm_retry_policy *policy, int64_t n,
                           struct cvm_random *random)
{
    struct cvm_retry_policy filled = with_defaults(policy);
    int64_t most = filled.base_ms < filled.cap_ms ? filled.base_ms : filled.cap_ms;
    for (int64_t i = 0; i < n && i < DOUBLINGS_MAX && most < filled.cap_ms; i++) {
        most = most > filled.cap_ms / 2 ? filled.cap_ms : most * 2;
    }
    return (int64_t)cvm_random_below(random, (uint64_t)most + 1);
}

static int64_t elapsed_ms(const struct cvm_retry *retry)
{
    const struct cvm_clock *clock = &retry->means.clock;
    return (clock->steady_ns(clock->state) - retry->started_ns) / 1000000;
}

void cvm_retry_start(struct cvm_retry *retry, const struct cvm_retry_policy *policy,
                     const struct cvm_retry_means *means)
{
    *retry = (struct cvm_retry){.policy = with_defaults(policy), .means = *means};
    cvm_random_init(&retry->random, means->seed);
    cvm_retry_progress(retry);
}

void cvm_retry_progress(struct cvm_retry *retry)
{
    const struct cvm_clock *clock = &retry->means.clock;
    retry->started_ns = clock->steady_ns(clock->state);
    retry->failures = 0;
}

static bool is_cancelled(const struct cvm_retry *retry)
{
    return retry->means.cancelled != NULL && atomic_load(retry->means.cancelled);
}

bool cvm_retry_again(struct cvm_retry *retry)
{
    int64_t n = retry->failures++;
    int64_t left_ms = retry->policy.limit_ms - elapsed_ms(retry);
    bool is_over = retry->failures >= retry->policy.attempts ||
                   (retry->policy.limit_ms > 0 && left_ms <= 0) || is_cancelled(retry);
    /* What is over already takes nothing from the budget. */
    if (is_over || (retry->means.budget != NULL && !cvm_retry_budget_take(retry->means.budget))) {
        return false;
    }
    int64_t pause_ms = cvm_retry_pause_ms(&retry->policy, n, &retry->random);
    if (retry->policy.limit_ms > 0 && pause_ms > left_ms) {
        pause_ms = left_ms; /* one last time */
    }
    retry->means.sleep(retry->means.sleep_state, pause_ms);
    return !is_cancelled(retry);
}
