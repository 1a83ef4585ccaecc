#include "base/breaker.h"

#include <assert.h>
#include <string.h>

static const char *const names[CVM_BREAKER_STATES] = {
    [CVM_BREAKER_CLOSED] = "closed",
    [CVM_BREAKER_OPEN] = "open",
    [CVM_BREAKER_HALF_OPEN] = "half_open",
    [CVM_BREAKER_FORCED_OPEN] = "forced_open",
    [CVM_BREAKER_FORCED_CLOSED] = "forced_closed",
};

const char *cvm_breaker_state_name(enum cvm_breaker_state state)
{
    return names[state];
}

static void set_default(int64_t *number, int64_t otherwise)
{
    *number = *number == 0 ? otherwise : *number;
}

void cvm_breaker_init(struct cvm_breaker *breaker, const struct cvm_breaker_options *options,
                      uint64_t seed)
{
    *breaker = (struct cvm_breaker){.options = *options, .state = CVM_BREAKER_CLOSED};
    struct cvm_breaker_options *mine = &breaker->options;
    set_default(&mine->window_ms, 10000);
    set_default(&mine->calls_min, 20);
    set_default(&mine->open_ms, 1000);
    set_default(&mine->open_ms_max, 60000);
    set_default(&mine->probes, 3);
    set_default(&mine->successes, 5);
    set_default(&mine->calls_max, INT64_MAX);
    mine->failure_share = mine->failure_share == 0 ? 0.5 : mine->failure_share;
    mine->slow_share = mine->slow_share == 0 ? 0.8 : mine->slow_share;
    cvm_random_init(&breaker->random, seed);
}

static void forget_calls(struct cvm_breaker *breaker)
{
    memset(breaker->buckets, 0, sizeof(breaker->buckets));
}

/* A fifth more or less, so that callers do not come back at once. */
static void open_up(struct cvm_breaker *breaker, int64_t now_ms)
{
    int64_t open_ms = breaker->options.open_ms;
    for (int64_t i = 0; i < breaker->opened && open_ms < breaker->options.open_ms_max; i++) {
        open_ms *= 2;
    }
    open_ms = open_ms < breaker->options.open_ms_max ? open_ms : breaker->options.open_ms_max;
    double jitter = 0.8 + 0.4 * cvm_random_unit(&breaker->random);
    breaker->state = CVM_BREAKER_OPEN;
    breaker->until_ms = now_ms + (int64_t)((double)open_ms * jitter) + 1;
    breaker->opened++;
}

static void close_down(struct cvm_breaker *breaker)
{
    breaker->state = CVM_BREAKER_CLOSED;
    breaker->opened = 0;
    breaker->in_flight = 0;
    forget_calls(breaker);
}

static void half_open(struct cvm_breaker *breaker, int64_t now_ms)
{
    breaker->state = CVM_BREAKER_HALF_OPEN;
    breaker->successes = 0;
    breaker->in_flight = 0;
    breaker->until_ms = now_ms + breaker->options.open_ms_max;
}

bool cvm_breaker_ask(struct cvm_breaker *breaker, int64_t now_ms, int64_t *out_again_ms)
{
    const struct cvm_breaker_options *options = &breaker->options;
    if (breaker->state == CVM_BREAKER_OPEN && now_ms >= breaker->until_ms) {
        half_open(breaker, now_ms);
    }
    /* Those who had the probes may be dead. */
    if (breaker->state == CVM_BREAKER_HALF_OPEN && now_ms >= breaker->until_ms) {
        half_open(breaker, now_ms);
    }
    bool is_let = false;
    switch (breaker->state) {
    case CVM_BREAKER_CLOSED:
        is_let = breaker->in_flight < options->calls_max;
        break;
    case CVM_BREAKER_HALF_OPEN:
        is_let = breaker->in_flight < options->probes;
        break;
    case CVM_BREAKER_FORCED_CLOSED:
        is_let = true;
        break;
    case CVM_BREAKER_OPEN:
    case CVM_BREAKER_FORCED_OPEN:
    default:
        break;
    }
    breaker->in_flight += is_let;
    if (!is_let) {
        *out_again_ms =
            breaker->state == CVM_BREAKER_OPEN ? breaker->until_ms : now_ms + options->open_ms;
    }
    return is_let;
}

/* ---- what came of it ---- */

static int64_t bucket_number(const struct cvm_breaker *breaker, int64_t now_ms)
{
    int64_t bucket_ms = breaker->options.window_ms / CVM_BREAKER_BUCKETS;
    return now_ms / (bucket_ms < 1 ? 1 : bucket_ms);
}

static void count(struct cvm_breaker *breaker, int64_t now_ms, enum cvm_call_outcome outcome)
{
    int64_t number = bucket_number(breaker, now_ms);
    struct cvm_breaker_bucket *bucket = &breaker->buckets[(uint64_t)number % CVM_BREAKER_BUCKETS];
    if (bucket->number != number) {
        *bucket = (struct cvm_breaker_bucket){.number = number};
    }
    bucket->calls++;
    bucket->failures += outcome == CVM_CALL_FAILED;
    bucket->slow += outcome == CVM_CALL_SLOW;
}

static bool is_unwell(const struct cvm_breaker *breaker, int64_t now_ms)
{
    int64_t newest = bucket_number(breaker, now_ms);
    int64_t calls = 0;
    int64_t failures = 0;
    int64_t slow = 0;
    for (int i = 0; i < CVM_BREAKER_BUCKETS; i++) {
        const struct cvm_breaker_bucket *bucket = &breaker->buckets[i];
        if (bucket->number > newest - CVM_BREAKER_BUCKETS && bucket->number <= newest) {
            calls += bucket->calls;
            failures += bucket->failures;
            slow += bucket->slow;
        }
    }
    return calls >= breaker->options.calls_min &&
           ((double)failures >= breaker->options.failure_share * (double)calls ||
            (double)slow >= breaker->options.slow_share * (double)calls);
}

static void end_probe(struct cvm_breaker *breaker, int64_t now_ms, enum cvm_call_outcome outcome)
{
    if (outcome == CVM_CALL_FAILED) {
        open_up(breaker, now_ms);
        return;
    }
    breaker->successes += outcome == CVM_CALL_GOOD;
    if (outcome == CVM_CALL_SLOW) {
        breaker->successes = 0;
    }
    breaker->until_ms = now_ms + breaker->options.open_ms_max;
    if (breaker->successes >= breaker->options.successes) {
        close_down(breaker);
    }
}

void cvm_breaker_done(struct cvm_breaker *breaker, int64_t now_ms, enum cvm_call_outcome outcome)
{
    /* One that began before the state changed ends after it: there is none of it to count down. */
    breaker->in_flight -= breaker->in_flight > 0;
    switch (breaker->state) {
    case CVM_BREAKER_CLOSED:
        if (outcome != CVM_CALL_IGNORED) {
            count(breaker, now_ms, outcome);
        }
        if (outcome != CVM_CALL_IGNORED && is_unwell(breaker, now_ms)) {
            open_up(breaker, now_ms);
        }
        break;
    case CVM_BREAKER_HALF_OPEN:
        if (outcome != CVM_CALL_IGNORED) {
            end_probe(breaker, now_ms, outcome);
        }
        break;
    case CVM_BREAKER_OPEN:
    case CVM_BREAKER_FORCED_OPEN:
    case CVM_BREAKER_FORCED_CLOSED:
    default:
        break; /* late, or not wanted */
    }
}

void cvm_breaker_force(struct cvm_breaker *breaker, enum cvm_breaker_state state)
{
    assert(state == CVM_BREAKER_CLOSED || state == CVM_BREAKER_FORCED_OPEN ||
           state == CVM_BREAKER_FORCED_CLOSED);
    close_down(breaker);
    breaker->state = state;
}
