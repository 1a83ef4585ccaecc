#include "base/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TRACE_AT     3
#define TRACE_DIGITS 32
#define SPAN_AT      36
#define SPAN_DIGITS  16

static bool is_id(const char *text, size_t length)
{
    size_t zeros = 0;
    for (size_t i = 0; i < length; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (!is_digit && (text[i] < 'a' || text[i] > 'f')) {
            return false;
        }
        zeros += text[i] == '0' ? 1 : 0;
    }
    return zeros < length;
}

bool cvm_traceparent_is_valid(struct cvm_slice text)
{
    return text.length == CVM_TRACEPARENT_LENGTH && memcmp(text.data, "00-", TRACE_AT) == 0 &&
           is_id(text.data + TRACE_AT, TRACE_DIGITS) && text.data[SPAN_AT - 1] == '-' &&
           is_id(text.data + SPAN_AT, SPAN_DIGITS) && text.data[SPAN_AT + SPAN_DIGITS] == '-';
}

static uint64_t some(struct cvm_random *random)
{
    uint64_t number = cvm_random_u64(random);
    return number == 0 ? 1 : number;
}

const char *cvm_traceparent_child(struct cvm_slice parent, struct cvm_random *random,
                                  char text[CVM_TRACEPARENT_SIZE])
{
    char trace[TRACE_DIGITS + 1];
    uint64_t span = some(random);
    const char *flags = "01";
    if (cvm_traceparent_is_valid(parent)) {
        memcpy(trace, parent.data + TRACE_AT, TRACE_DIGITS);
        trace[TRACE_DIGITS] = '\0';
        flags = parent.data + SPAN_AT + SPAN_DIGITS + 1;
    } else {
        uint64_t high = some(random);
        uint64_t low = some(random);
        (void)snprintf(trace, sizeof(trace), "%016" PRIx64 "%016" PRIx64, high, low);
    }
    (void)snprintf(text, CVM_TRACEPARENT_SIZE, "00-%s-%016" PRIx64 "-%.2s", trace, span, flags);
    return text;
}

const char *cvm_trace_id(const char *traceparent, char text[CVM_TRACE_ID_SIZE])
{
    (void)snprintf(text, CVM_TRACE_ID_SIZE, "%.32s", traceparent + TRACE_AT);
    return text;
}
