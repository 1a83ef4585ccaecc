/* cron_fuzz.c - any text read as a cron expression: refused, or its moments go up by whole minutes.
 */
#include "fuzz.h"

#include <string.h>

#include "base/cron.h"

#define START_MS INT64_C(1710000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cvm_zone *zone;
    struct cvm_cron cron;
    struct cvm_error err = {.message = ""};
    char text[256] = "";
    REQUIRE(zone != NULL || cvm_zone_open("UTC", &zone, NULL) == CVM_OK);
    if (size >= sizeof(text)) {
        return 0;
    }
    memcpy(text, data, size);
    if (cvm_cron_parse(text, &cron, &err) != CVM_OK) {
        REQUIRE(err.message[0] != '\0');
        return 0;
    }
    int64_t at_ms = START_MS;
    for (int i = 0; i < 5; i++) {
        int64_t next_ms = cvm_cron_next(&cron, zone, at_ms);
        REQUIRE(next_ms > at_ms && next_ms % 60000 == 0);
        at_ms = next_ms;
    }
    return 0;
}
