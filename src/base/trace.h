/* trace.h - W3C trace contexts: "00-<trace>-<span>-01". A piece of work keeps the trace of whoever
 * asked for it and has a span of its own.
 */
#ifndef CVM_BASE_TRACE_H
#define CVM_BASE_TRACE_H

#include <stdbool.h>

#include "base/random.h"
#include "base/text.h"

#define CVM_TRACEPARENT_LENGTH 55
#define CVM_TRACEPARENT_SIZE   (CVM_TRACEPARENT_LENGTH + 1)
#define CVM_TRACE_ID_SIZE      33 /* 32 hex digits and '\0' */

/* Is it one that others would take? Version 00, ids in small hex digits, neither all zero. */
bool cvm_traceparent_is_valid(struct cvm_slice text);
/* A span of the parent's trace; of a new trace when the parent is none. Returns text. */
const char *cvm_traceparent_child(struct cvm_slice parent, struct cvm_random *random,
                                  char text[CVM_TRACEPARENT_SIZE]);
/* The 32 digits that name the trace of a valid traceparent. Returns text. */
const char *cvm_trace_id(const char *traceparent, char text[CVM_TRACE_ID_SIZE]);

#endif
