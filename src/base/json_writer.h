/* json_writer.h - JSON out, into a text builder: commas, escapes and nesting are its business.
 *
 * Calls must nest; the key comes before its value. Failures stick in the text builder. NaN and
 * infinity become null. Invalid UTF-8 is written as U+FFFD.
 */
#ifndef CVM_BASE_JSON_WRITER_H
#define CVM_BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct cvm_json_writer {
    struct cvm_text *out;
    int depth;
    bool after_key;
    bool needs_comma[64];
    bool pretty; /* two spaces per level */
};

void cvm_json_init(struct cvm_json_writer *writer, struct cvm_text *out, bool pretty);
void cvm_json_object(struct cvm_json_writer *writer);
void cvm_json_object_end(struct cvm_json_writer *writer);
void cvm_json_array(struct cvm_json_writer *writer);
void cvm_json_array_end(struct cvm_json_writer *writer);
void cvm_json_key(struct cvm_json_writer *writer, const char *key);
void cvm_json_string(struct cvm_json_writer *writer, const char *value); /* NULL becomes null */
void cvm_json_string_n(struct cvm_json_writer *writer, const char *value, size_t length);
void cvm_json_int(struct cvm_json_writer *writer, int64_t value);
void cvm_json_double(struct cvm_json_writer *writer, double value);
void cvm_json_micro(struct cvm_json_writer *writer,
                    int64_t micro); /* millionths as decimal major units, exact */
void cvm_json_bool(struct cvm_json_writer *writer, bool value);
void cvm_json_null(struct cvm_json_writer *writer);
void cvm_json_raw(struct cvm_json_writer *writer, const char *json,
                  size_t length); /* trusted JSON text */

/* key and value at once */
void cvm_json_key_string(struct cvm_json_writer *writer, const char *key, const char *value);
void cvm_json_key_int(struct cvm_json_writer *writer, const char *key, int64_t value);
/* Numbers of things start at 1: 0 is null. */
void cvm_json_key_number(struct cvm_json_writer *writer, const char *key, int64_t number);
void cvm_json_key_double(struct cvm_json_writer *writer, const char *key, double value);
void cvm_json_key_bool(struct cvm_json_writer *writer, const char *key, bool value);

#endif
