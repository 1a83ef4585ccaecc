/* json_fuzz.c - the reader takes any bytes; what it accepts, the writer can write and the reader
 * reads to the same hash. */
#include "fuzz.h"

#include <string.h>

#include "base/json_reader.h"
#include "base/json_writer.h"

#define ARENA_BYTES    ((size_t)64 << 20)
#define DOCUMENT_BYTES ((size_t)1 << 20)

static void write_tree(struct cvm_json_writer *writer, const struct cvm_json_value *value)
{
    char key[256];
    switch (value->type) {
    case CVM_JSON_NULL:
        cvm_json_null(writer);
        break;
    case CVM_JSON_BOOL:
        cvm_json_bool(writer, value->boolean);
        break;
    case CVM_JSON_INT:
    case CVM_JSON_DOUBLE:
        cvm_json_raw(writer, value->raw.data, value->raw.length);
        break;
    case CVM_JSON_STRING:
        cvm_json_string_n(writer, value->string.data, value->string.length);
        break;
    case CVM_JSON_ARRAY:
        cvm_json_array(writer);
        for (const struct cvm_json_value *c = value->first_child; c != NULL; c = c->next) {
            write_tree(writer, c);
        }
        cvm_json_array_end(writer);
        break;
    case CVM_JSON_OBJECT:
        cvm_json_object(writer);
        for (const struct cvm_json_value *m = value->first_child; m != NULL; m = m->next) {
            size_t length = m->key.length < sizeof(key) ? m->key.length : sizeof(key) - 1;
            memcpy(key, m->key.data, length);
            key[length] = '\0';
            cvm_json_key(writer, key);
            write_tree(writer, m);
        }
        cvm_json_object_end(writer);
        break;
    }
}

/* Every piece lies inside the document; true when all keys survive as C strings. */
static bool check_tree(const struct cvm_json_value *value, const char *begin, const char *end)
{
    bool is_plain = true;
    size_t count = 0;
    REQUIRE(value->raw.length > 0);
    REQUIRE(value->raw.data >= begin && value->raw.data + value->raw.length <= end);
    REQUIRE(value->type == CVM_JSON_ARRAY || value->type == CVM_JSON_OBJECT ||
            value->child_count == 0);
    for (const struct cvm_json_value *c = value->first_child; c != NULL; c = c->next) {
        bool is_member = value->type == CVM_JSON_OBJECT;
        REQUIRE(is_member || c->key.length == 0);
        is_plain = is_plain && c->key.length < 255 &&
                   (c->key.length == 0 || memchr(c->key.data, '\0', c->key.length) == NULL);
        is_plain =
            check_tree(c, value->raw.data + 1, value->raw.data + value->raw.length - 1) && is_plain;
        count++;
    }
    REQUIRE(count == value->child_count);
    return is_plain;
}

static void check_round_trip(struct cvm_json_reader *reader, struct cvm_arena *arena,
                             const struct cvm_json_value *value)
{
    for (int pretty = 0; pretty < 2; pretty++) {
        struct cvm_text text;
        struct cvm_json_writer writer;
        struct cvm_error err;
        const struct cvm_json_value *again = NULL;
        cvm_text_init(&text, 0);
        cvm_json_init(&writer, &text, pretty == 1);
        write_tree(&writer, value);
        REQUIRE(!text.failed);
        REQUIRE(cvm_json_read(reader, arena, text.data, text.length, false, &again, &err) ==
                CVM_OK);
        REQUIRE(cvm_json_hash(again) == cvm_json_hash(value));
        cvm_text_finish(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cvm_arena *arena;
    static struct cvm_json_reader *reader;
    if (arena == NULL) {
        arena = cvm_arena_create(ARENA_BYTES);
        reader = cvm_json_reader_create(DOCUMENT_BYTES * 16);
        REQUIRE(arena != NULL && reader != NULL);
    }
    if (size > DOCUMENT_BYTES) {
        return 0;
    }
    cvm_arena_reset(arena);
    /* The padding holds what does most harm: a second copy of the input's own bytes. */
    char *padded = malloc(size + CVM_JSON_PADDING);
    REQUIRE(padded != NULL);
    for (size_t i = 0; i < size + CVM_JSON_PADDING; i++) {
        padded[i] = size == 0 ? ']' : (char)data[i < size ? i : size - 1];
    }
    const struct cvm_json_value *value = NULL;
    const struct cvm_json_value *copied = NULL;
    struct cvm_error err = {.message = ""};
    enum cvm_status status = cvm_json_read(reader, arena, padded, size, true, &value, &err);
    REQUIRE(status == CVM_OK || (status == CVM_E_INVALID && err.message[0] != '\0'));
    REQUIRE(cvm_json_read(reader, arena, (const char *)data, size, false, &copied, &err) == status);
    if (status == CVM_OK) {
        bool is_plain = check_tree(value, padded, padded + size);
        REQUIRE(cvm_json_hash(value) == cvm_json_hash(copied));
        if (is_plain) {
            check_round_trip(reader, arena, value);
        }
    }
    free(padded);
    return 0;
}
