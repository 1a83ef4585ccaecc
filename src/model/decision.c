#include "model/decision.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY_DIGITS 16

static const char *const names[] = {
#define X(symbol, name) name,
    CVM_DECISION_STATE_TABLE(X)
#undef X
};

const char *cvm_decision_state_name(enum cvm_decision_state state)
{
    assert((int)state >= 0 && state < CVM_DECISION_STATE_COUNT);
    return names[state];
}

const char *cvm_decision_id(const char *run_id, uint64_t customer_key,
                            char id[CVM_DECISION_ID_SIZE])
{
    (void)snprintf(id, CVM_DECISION_ID_SIZE, "%.*s.%016" PRIx64,
                   CVM_DECISION_ID_SIZE - KEY_DIGITS - 2, run_id, customer_key);
    return id;
}

static bool parse_key(const char *digits, uint64_t *out_key)
{
    uint64_t key = 0;
    for (size_t i = 0; i < KEY_DIGITS; i++) {
        char c = digits[i];
        if (c >= '0' && c <= '9') {
            key = key << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            key = key << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false; /* also the end of a short text */
        }
    }
    *out_key = key;
    return digits[KEY_DIGITS] == '\0';
}

bool cvm_decision_id_parse(const char *id, char *out_run_id, uint64_t *out_customer_key)
{
    const char *dot = strrchr(id, '.');
    uint64_t key = 0;
    if (dot == NULL || dot == id || strlen(id) >= CVM_DECISION_ID_SIZE ||
        !parse_key(dot + 1, &key)) {
        return false;
    }
    (void)snprintf(out_run_id, CVM_DECISION_ID_SIZE, "%.*s", (int)(dot - id), id);
    *out_customer_key = key;
    return true;
}
