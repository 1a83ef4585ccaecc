/* envelope_fuzz.c - any bytes read as a message: nothing outside them is touched, and what is read
 * encodes to the same bytes. The check is mended first, so that the rest is reached too. */
#include "fuzz.h"

#include <string.h>

#include "base/hash.h"
#include "model/envelope.h"

#define AT_CHECK 16
#define AT_ID    24

static void mend_check(unsigned char *bytes, size_t size)
{
    uint64_t words[2];
    memcpy(words, bytes, sizeof(words));
    uint64_t check = cvm_hash_seeded(bytes + AT_ID, size - AT_ID, cvm_hash_mix(words[0], words[1]));
    memcpy(bytes + AT_CHECK, &check, sizeof(check));
}

static void read_message(const unsigned char *bytes, size_t size)
{
    struct cvm_envelope envelope;
    struct cvm_error err = {.message = ""};
    enum cvm_status status = cvm_envelope_decode(bytes, size, &envelope, &err);
    REQUIRE((status == CVM_OK) == (err.message[0] == '\0'));
    REQUIRE(status == CVM_OK || status == CVM_E_CORRUPT || status == CVM_E_INVALID ||
            status == CVM_E_LIMIT);
    if (status == CVM_OK) {
        unsigned char *again = malloc(size);
        REQUIRE(again != NULL && cvm_envelope_bytes(&envelope) == size);
        cvm_envelope_encode(&envelope, again);
        REQUIRE(memcmp(again, bytes, size) == 0);
        free(again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes = calloc(1, size + (size == 0)); /* exact: reading past the end is seen */
    REQUIRE(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    read_message(bytes, size);
    if (size > AT_ID) {
        mend_check(bytes, size);
        read_message(bytes, size);
    }
    free(bytes);
    return 0;
}
