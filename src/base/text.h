/* text.h - growing text with a sticky failure, and small checks on text.
 *
 * A builder owns its memory (malloc), grows up to limit_bytes and remembers the first failure:
 * write straight on, check cvm_text_failed() once at the end. Contents always end in '\0'.
 */
#ifndef CVM_BASE_TEXT_H
#define CVM_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cvm_text {
    char *data; /* NULL until something was written; use cvm_text_string() to read it */
    size_t length;
    size_t capacity;
    size_t limit_bytes;
    bool failed; /* the limit was reached or memory ran out; nothing is appended any more */
};

/* limit_bytes 0 = 1 GiB */
void cvm_text_init(struct cvm_text *text, size_t limit_bytes);
void cvm_text_finish(struct cvm_text *text);
void cvm_text_clear(struct cvm_text *text); /* keeps the memory, forgets the failure */
const char *cvm_text_string(const struct cvm_text *text); /* "" when nothing was written */

void cvm_text_add(struct cvm_text *text, const char *string);
void cvm_text_add_bytes(struct cvm_text *text, const void *bytes, size_t length);
void cvm_text_add_char(struct cvm_text *text, char c);
void cvm_text_add_format(struct cvm_text *text, const char *format, ...) CVM_PRINTF(2, 3);
void cvm_text_add_int(struct cvm_text *text, int64_t value);
/* The shortest decimal that reads back to the same double: 75.99, 20, 1e+300; "nan" and "inf" as
 * such. */
void cvm_text_add_double(struct cvm_text *text, double value);
/* A decimal number and nothing else: digits with an optional sign, point and exponent, to the
 * nearest double. False for all else: "", "nan", "inf", "0x1", blanks, what no double can hold. */
CVM_MUST_CHECK bool cvm_text_to_double(const char *text, size_t length, double *out_value);
/* 12345678 -> "12,345,678", for people */
void cvm_text_add_grouped(struct cvm_text *text, int64_t value);

/* A piece of text that is not ended by '\0'. */
struct cvm_slice {
    const char *data;
    size_t length;
};

bool cvm_slice_equals(struct cvm_slice slice, const char *string);
bool cvm_utf8_is_valid(const char *data, size_t length);
/* Levenshtein, for "did you mean"; at most 64 bytes of each are looked at. */
size_t cvm_text_distance(const char *a, const char *b);
/* Whole-word search of `phrase` in `text`, blind to case (Latin, Greek, Cyrillic, Armenian), to how
 * much space there is between words, and to typographic apostrophes and hyphens. Words end where
 * letters and digits end; scripts without spaces (Han, Japanese, Thai, ...) have no ends of words.
 * Returns the byte offset or -1; *out_length (may be NULL) is that of the hit, in bytes. */
ptrdiff_t cvm_text_find_phrase(const char *text, size_t length, const char *phrase,
                               size_t *out_length);
/* Characters (not bytes) of context around a hit at `offset`, "..." only where something was cut
 * off; appended to out. Nothing is appended for an empty text or keyword. */
void cvm_text_snippet(struct cvm_text *out, const char *text, size_t length, size_t offset,
                      size_t hit_length, size_t context_chars);
/* "*" matches any run of characters: for file name patterns. */
bool cvm_text_matches_pattern(const char *text, const char *pattern);

/* "a, b or c" for people, as much of it as fits; `words` ends with NULL. */
#define CVM_WORD_LIST_SIZE 256
void cvm_word_list(const char *const *words, char out[CVM_WORD_LIST_SIZE]);

#endif
