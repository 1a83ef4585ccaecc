/* summary.h - a journey in words: one or two sentences, and the insights whose thresholds are
 * crossed.
 *
 * Pure: takes one customer's feature values. Texts come from the catalogue's sentences, "{feature}"
 * replaced by its value (words as words, "unknown" when missing, at most two decimals).
 */
#ifndef CVM_JOURNEY_SUMMARY_H
#define CVM_JOURNEY_SUMMARY_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "model/catalogue.h"

/* Feature f of the customer is features[f * stride]. */
struct cvm_feature_values {
    const double *features;
    size_t stride;
    int32_t today; /* the as-of day */
};

void cvm_feature_format(const struct cvm_catalogue *catalogue, size_t feature, double value,
                        struct cvm_text *out);

/* "{name}" in a sentence: `lookup` appends the value of `name` (false = no such name, the braces
 * stay). */
typedef bool (*cvm_sentence_fn)(const void *state, struct cvm_slice name, struct cvm_text *out);
void cvm_sentence_write(const char *sentence, cvm_sentence_fn lookup, const void *state,
                        struct cvm_text *out);

void cvm_journey_summary(const struct cvm_catalogue *catalogue, struct cvm_feature_values values,
                         struct cvm_text *out);

struct cvm_journey_insight {
    const struct cvm_insight *insight;
    const char *sentence;
};
/* In catalogue order, into `arena`. */
CVM_MUST_CHECK enum cvm_status cvm_journey_insights(const struct cvm_catalogue *catalogue,
                                                    struct cvm_feature_values values,
                                                    struct cvm_arena *arena,
                                                    struct cvm_journey_insight **out_insights,
                                                    size_t *out_count, struct cvm_error *err);

#endif
