/* treatment_text.h - what a sentence of a person says of a treatment: limit, priority, cost,
 * channel, purpose, class.
 *
 * A number counts only with its keyword ("limit 10", "at most 20 per day", "priority 2", "costs
 * 0.50", "0.50 pounds per contact"): "for 3 months" and "5 GB" mean nothing here. Channel and
 * purpose are known by words; what is negated ("no email") or stands in quotes is not taken. Of
 * several candidates one is taken, and both lists say so. Nothing is guessed: what no word names
 * stays open.
 */
#ifndef CVM_CLI_TREATMENT_TEXT_H
#define CVM_CLI_TREATMENT_TEXT_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "model/catalogue.h"

#define CVM_TREATMENT_TEXT_MAX 2000 /* bytes */

struct cvm_treatment_text {
    const char *max_per_day; /* a number as written, maybe no good one; NULL = not named */
    bool is_unlimited;       /* "no limit" */
    const char *priority;
    const char *cost;
    enum cvm_channel channel; /* CVM_CHANNEL_UNSET = not named */
    enum cvm_purpose purpose;
    bool is_retention;       /* a word of keeping customers is in it */
    const char *description; /* the text without limit, priority and cost */
    size_t own_words;        /* in the description, but for small words and names of channels */
    struct cvm_text taken;   /* a line each: "limit 10: at most 10 a day" */
    struct cvm_text not_taken;
};

/* Numbers, descriptions live in `arena`. CVM_E_INVALID: empty, too long, or no UTF-8. The caller
 * finishes it. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_text_read(struct cvm_arena *arena, const char *text,
                                                       struct cvm_treatment_text *out_text,
                                                       struct cvm_error *err);
void cvm_treatment_text_finish(struct cvm_treatment_text *text);

#endif
