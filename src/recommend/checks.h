/* checks.h - every check that a treatment has to pass, one by one: for the question how many
 * customers each of them excludes, alone and together with others.
 *
 * The verdict itself stops at the first that fails (action_value.h).
 */
#ifndef CVM_RECOMMEND_CHECKS_H
#define CVM_RECOMMEND_CHECKS_H

#include "recommend/action_value.h"

/* One that refuses everybody, consent, suppressions, limits, clauses of three rules. */
#define CVM_CHECKS_MAX  (2 + CVM_SUPPRESSIONS_MAX + CVM_POLICY_RULES_MAX + 3 * CVM_RULE_CLAUSES_MAX)
#define CVM_CHECK_STRIP 256

struct cvm_check {
    enum cvm_reason reason;
    const char *name;         /* of the suppression or limit; NULL */
    const char *display_name; /* the same for people; NULL */
    const char *rule;         /* text of what must hold, or of the suppression; NULL */
};

/* Fills at most CVM_CHECKS_MAX; returns how many. */
size_t cvm_recommend_checks(const struct cvm_recommender *recommender, size_t treatment,
                            struct cvm_check *out_checks);

/* Of customers [from, from + count), at most CVM_CHECK_STRIP: fails[c * CVM_CHECK_STRIP + i] is 1
 * where check c refuses customer i, and values[i] and margins[i] are what the treatment would be
 * worth if nothing did. A limit on a channel refuses where no other channel is left. */
struct cvm_check_results {
    unsigned char *fails;
    float *values;
    float *margins;
    unsigned char *segments; /* of the customers; NULL = not wanted */
};
void cvm_recommend_check_strip(const struct cvm_recommender *recommender,
                               const struct cvm_chunk *chunk, size_t from, size_t count,
                               size_t treatment, const struct cvm_check_results *out_results);

#endif
