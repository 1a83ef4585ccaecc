/* text_double.h - the shortest digits of a double; for text.c only. */
#ifndef CVM_BASE_TEXT_DOUBLE_H
#define CVM_BASE_TEXT_DOUBLE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "-d.ddde+XX" with the fewest digits that read back as `value` (finite); its length, not ended by
 * '\0'. */
size_t cvm_double_scientific(double value, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
