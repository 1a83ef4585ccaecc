#include "base/context.h"

#include <stddef.h>
#include <time.h>

static int64_t system_now_ms(void *state)
{
    (void)state;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for a clock that Linux always has */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_steady_ns(void *state)
{
    (void)state;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const struct cvm_clock cvm_clock_system = {
    .now_ms = system_now_ms,
    .steady_ns = system_steady_ns,
};

static int64_t fixed_now_ms(void *state)
{
    return *(const int64_t *)state;
}

static int64_t fixed_steady_ns(void *state)
{
    int64_t ns = 0;
    return __builtin_mul_overflow(*(const int64_t *)state, 1000000, &ns) ? INT64_MAX : ns;
}

struct cvm_clock cvm_clock_fixed(int64_t *now_ms)
{
    return (struct cvm_clock){
        .now_ms = fixed_now_ms, .steady_ns = fixed_steady_ns, .state = now_ms};
}

enum cvm_status cvm_context_check(const struct cvm_context *context, struct cvm_error *err)
{
    if (context->cancelled != NULL &&
        atomic_load_explicit(context->cancelled, memory_order_relaxed)) {
        return CVM_FAIL(err, CVM_E_TIMEOUT, "cancelled");
    }
    if (context->deadline_ms != 0 && cvm_context_now_ms(context) >= context->deadline_ms) {
        return CVM_FAIL(err, CVM_E_TIMEOUT, "the deadline has passed");
    }
    return CVM_OK;
}

int64_t cvm_context_now_ms(const struct cvm_context *context)
{
    return context->clock.now_ms(context->clock.state);
}

double cvm_context_seconds(const struct cvm_context *context)
{
    return (double)context->clock.steady_ns(context->clock.state) / 1e9;
}
