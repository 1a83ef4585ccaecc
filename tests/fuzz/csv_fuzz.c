/* csv_fuzz.c - any bytes cut into records and fields; what splits can be written and splits to the
 * same fields. */
#include "fuzz.h"

#include <string.h>

#include "base/csv.h"

#define ARENA_BYTES ((size_t)64 << 20)

static void check_round_trip(struct cvm_arena *arena, const struct cvm_slice *fields, size_t count,
                             char separator)
{
    struct cvm_text text;
    struct cvm_slice *again = NULL;
    size_t again_count = 0;
    struct cvm_error err;
    cvm_text_init(&text, 0);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            cvm_text_add_char(&text, separator);
        }
        cvm_csv_add_field(&text, fields[i].data, fields[i].length, separator);
    }
    cvm_text_add_char(&text, '\n');
    REQUIRE(!text.failed);
    REQUIRE(cvm_csv_record_length(text.data, text.length, false) == text.length);
    REQUIRE(cvm_csv_split(arena, text.data, text.length, separator, &again, &again_count, &err) ==
            CVM_OK);
    REQUIRE(again_count == count);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(again[i].length == fields[i].length);
        REQUIRE(fields[i].length == 0 ||
                memcmp(again[i].data, fields[i].data, fields[i].length) == 0);
    }
    cvm_text_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cvm_arena *arena;
    arena = arena == NULL ? cvm_arena_create(ARENA_BYTES) : arena;
    REQUIRE(arena != NULL);
    char *text = malloc(size == 0 ? 1 : size); /* exact: reading past the end is seen */
    REQUIRE(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    char separator = cvm_csv_separator(text, size);
    REQUIRE(separator == ',' || separator == ';' || separator == '\t');
    for (size_t at = 0; at < size;) {
        size_t length = cvm_csv_record_length(text + at, size - at, true);
        struct cvm_slice *fields = NULL;
        size_t count = 0;
        struct cvm_error err = {.message = ""};
        REQUIRE(length > 0 && length <= size - at);
        cvm_arena_reset(arena);
        enum cvm_status status =
            cvm_csv_split(arena, text + at, length, separator, &fields, &count, &err);
        REQUIRE(status == CVM_OK || (status == CVM_E_INVALID && err.message[0] != '\0'));
        if (status == CVM_OK) {
            check_round_trip(arena, fields, count, separator);
        }
        at += length;
    }
    free(text);
    return 0;
}
