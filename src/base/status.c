#include "base/status.h"

#include <stddef.h>

static const struct {
    const char *name;
    int http;
    bool may_retry;
} statuses[] = {
#define X(symbol, name, http, retry) [CVM_##symbol] = {name, http, retry},
    CVM_STATUS_TABLE(X)
#undef X
};

static bool is_known(enum cvm_status status)
{
    return (size_t)status < sizeof(statuses) / sizeof(statuses[0]);
}

const char *cvm_status_name(enum cvm_status status)
{
    return is_known(status) ? statuses[status].name : "internal";
}

int cvm_status_http(enum cvm_status status)
{
    return is_known(status) ? statuses[status].http : 500;
}

bool cvm_status_may_retry(enum cvm_status status)
{
    return is_known(status) && statuses[status].may_retry;
}
