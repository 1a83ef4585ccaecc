/* status.h - the closed set of outcomes: one table feeds the enum, the log name, the REST status
 * and the retry policy. A new status needs a caller that branches on it. */
#ifndef CVM_BASE_STATUS_H
#define CVM_BASE_STATUS_H

#include <stdbool.h>

/* X(symbol, name, http status, may be retried) */
#define CVM_STATUS_TABLE(X)                                                                        \
    X(OK, "ok", 200, false)                                                                        \
    X(E_INVALID, "invalid", 400, false)                                                            \
    X(E_DENIED, "denied", 403, false)                                                              \
    X(E_NOT_FOUND, "not_found", 404, false)                                                        \
    X(E_CONFLICT, "conflict", 409, false)                                                          \
    X(E_LIMIT, "limit", 429, true)                                                                 \
    X(E_CORRUPT, "corrupt", 500, false)                                                            \
    X(E_INTERNAL, "internal", 500, false)                                                          \
    X(E_UNAVAILABLE, "unavailable", 503, true)                                                     \
    X(E_TIMEOUT, "timeout", 504, true)

enum cvm_status {
#define X(symbol, name, http, retry) CVM_##symbol,
    CVM_STATUS_TABLE(X)
#undef X
};

const char *cvm_status_name(enum cvm_status status);
int cvm_status_http(enum cvm_status status);
bool cvm_status_may_retry(enum cvm_status status);

#endif
