/* text_double.h - the shortest digits of a double, and back; for text.c only. */
#ifndef CVM_BASE_TEXT_DOUBLE_H
#define CVM_BASE_TEXT_DOUBLE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "-d.ddde+XX" with the fewest digits that read back as `value` (finite); its length, not ended by
 * '\0'. */
size_t cvm_double_scientific(double value, char *text, size_t size);
/* False when the text is no decimal number, or one out of the range of a double. */
bool cvm_double_from_decimal(const char *text, size_t length, double *out_value);

#ifdef __cplusplus
}
#endif

#endif
