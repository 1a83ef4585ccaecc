/* suggest.h - "did you mean": the nearest of some names to what was typed.
 *
 * Near is a typing mistake or two, more in longer words; a name that begins with what was typed is
 * nearer than one two mistakes away; failing both, a name that holds it.
 */
#ifndef CVM_BASE_SUGGEST_H
#define CVM_BASE_SUGGEST_H

#include <stddef.h>

struct cvm_suggestion {
    const char *typed;
    const char *best; /* NULL: nothing is near */
    size_t rank;      /* of the best; less is nearer */
};

/* Ties stay with the name that was tried first. */
void cvm_suggestion_try(struct cvm_suggestion *suggestion, const char *name);

#endif
