/* context.h - what a piece of work is lent: clock, cancel, deadline, log, metrics.
 *
 * Nothing below the command line reads the system clock or a global: time is an argument, so a run
 * can be replayed.
 */
#ifndef CVM_BASE_CONTEXT_H
#define CVM_BASE_CONTEXT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

struct cvm_log;
struct cvm_metrics;

/* The wall clock answers in milliseconds UTC; the steady one never goes back and serves durations
 * only. */
struct cvm_clock {
    int64_t (*now_ms)(void *state);
    int64_t (*steady_ns)(void *state);
    void *state;
};

extern const struct cvm_clock cvm_clock_system;

/* A clock that stands still until it is set: .state points to an int64_t of milliseconds. */
struct cvm_clock cvm_clock_fixed(int64_t *now_ms);

struct cvm_context {
    struct cvm_clock clock;
    const atomic_bool *cancelled; /* NULL = never */
    int64_t deadline_ms;          /* wall clock; 0 = none */
    struct cvm_log *log;          /* NULL = silent */
    struct cvm_metrics *metrics;  /* NULL = not counted */
};

/* CVM_OK, or CVM_E_TIMEOUT when cancelled or past the deadline. Poll once per chunk in long loops.
 */
CVM_MUST_CHECK enum cvm_status cvm_context_check(const struct cvm_context *context,
                                                 struct cvm_error *err);
int64_t cvm_context_now_ms(const struct cvm_context *context);
double cvm_context_seconds(const struct cvm_context *context); /* steady, for measuring stages */

#endif
