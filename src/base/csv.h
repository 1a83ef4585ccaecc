/* csv.h - RFC 4180 records from memory, one at a time, in place.
 *
 * Quotes, doubled quotes, CRLF or LF, an optional byte-order mark; the separator is , ; or tab
 * (found from the header).
 */
#ifndef CVM_BASE_CSV_H
#define CVM_BASE_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

/* The separator that the header line uses most outside quotes; ',' if none. */
char cvm_csv_separator(const char *header, size_t length);

/* Length of the first record of data[0..length) including its line end, or 0 if no whole record is
 * there (when is_last, the rest counts as a record). Newlines inside quotes do not end it. */
size_t cvm_csv_record_length(const char *data, size_t length, bool is_last);

/* Split one record into fields (in the arena; unquoted fields point into `record`). CVM_E_INVALID
 * on a stray quote, a NUL byte, or invalid UTF-8; CVM_E_LIMIT when the arena is full. */
CVM_MUST_CHECK enum cvm_status cvm_csv_split(struct cvm_arena *arena, const char *record,
                                             size_t length, char separator,
                                             struct cvm_slice **out_fields, size_t *out_count,
                                             struct cvm_error *err);

/* Append a field, quoted where needed. */
void cvm_csv_add_field(struct cvm_text *out, const char *field, size_t length, char separator);

#endif
