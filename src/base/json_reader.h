/* json_reader.h - JSON in: one document to a tree, checked to the last byte.
 *
 * simdjson On-Demand does the work behind this header (json_reader.cc). UTF-8 is validated; depth,
 * size, duplicate keys and trailing bytes are errors. One reader per thread; it keeps its buffers
 * between documents.
 */
#ifndef CVM_BASE_JSON_READER_H
#define CVM_BASE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

enum cvm_json_type {
    CVM_JSON_NULL,
    CVM_JSON_BOOL,
    CVM_JSON_INT, /* number is set too */
    CVM_JSON_DOUBLE,
    CVM_JSON_STRING,
    CVM_JSON_ARRAY,
    CVM_JSON_OBJECT
};

struct cvm_json_value {
    enum cvm_json_type type;
    struct cvm_slice key; /* unescaped; empty outside an object */
    struct cvm_slice
        string;           /* CVM_JSON_STRING, unescaped; may hold a NUL byte from a \u0000 escape */
    struct cvm_slice raw; /* the value's own text in the document */
    double number;
    int64_t integer;
    bool boolean;
    size_t child_count;
    struct cvm_json_value *first_child;
    struct cvm_json_value *next; /* next member or element */
};

struct cvm_json_reader;

#define CVM_JSON_DEPTH_MAX 64
/* simdjson reads this many bytes past the end of a document */
#define CVM_JSON_PADDING 64

struct cvm_json_reader *
cvm_json_reader_create(size_t document_bytes_max); /* NULL when out of memory */
void cvm_json_reader_destroy(struct cvm_json_reader *reader);

/* Parse `text`. With is_padded, CVM_JSON_PADDING readable bytes follow the text (any content) and
 * slices point into it; without, the text is copied first and slices point into the arena. The tree
 * lives in `arena`. CVM_E_INVALID names the fault and its offset; CVM_E_LIMIT when too large or the
 * arena is full. */
CVM_MUST_CHECK enum cvm_status cvm_json_read(struct cvm_json_reader *reader,
                                             struct cvm_arena *arena, const char *text,
                                             size_t length, bool is_padded,
                                             const struct cvm_json_value **out_value,
                                             struct cvm_error *err);

/* Where in the text the last CVM_E_INVALID of this reader is, in bytes. */
size_t cvm_json_fault_offset(const struct cvm_json_reader *reader);

/* Member of an object, NULL if absent or not an object. */
const struct cvm_json_value *cvm_json_member(const struct cvm_json_value *object, const char *key);

/* Hash of a value that ignores the order of keys and white space, and nothing else: 1 and 1.0
 * differ. */
uint64_t cvm_json_hash(const struct cvm_json_value *value);

#ifdef __cplusplus
}
#endif

#endif
