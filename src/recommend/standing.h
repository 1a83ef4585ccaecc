/* standing.h - what holds for a customer whatever the treatment: which contacts are consented,
 * which treatments a suppression withholds, which the contact policy does not allow now.
 *
 * For files of recommend/ only. Worked out once per strip of customers, because one suppression or
 * limit governs many treatments. Inbound decisions ask no contact policy: the customer came to us.
 */
#ifndef CVM_RECOMMEND_STANDING_H
#define CVM_RECOMMEND_STANDING_H

#include "recommend/action_value.h"

#define CVM_STRIP_SIZE 256

struct cvm_standing_rules {
    const struct cvm_catalogue *catalogue;
    enum cvm_direction direction;
    int32_t as_of_day;
    uint16_t stopped;                        /* contact bits of stopped channels */
    uint64_t withheld[CVM_SUPPRESSIONS_MAX]; /* by each suppression: bit per treatment */
    uint16_t closes[CVM_POLICY_RULES_MAX];   /* contact bits of a limit on a channel; else 0 */
    size_t limit_count;                      /* 0 inbound */
};

/* Customers [from, from + count) of a chunk. */
struct cvm_standing {
    size_t from;
    size_t count;
    bool has_record[CVM_STRIP_SIZE];
    uint16_t consented[CVM_STRIP_SIZE]; /* contact bits, without stopped channels */
    uint16_t open[CVM_STRIP_SIZE];      /* and within the limits of each channel */
    uint64_t suppressed[CVM_STRIP_SIZE];
    uint64_t limited[CVM_STRIP_SIZE];
};

void cvm_standing_rules_init(struct cvm_standing_rules *rules,
                             const struct cvm_catalogue *catalogue,
                             const struct cvm_recommend_options *options);
void cvm_standing_fill(const struct cvm_standing_rules *rules, const struct cvm_chunk *chunk,
                       size_t from, size_t count, struct cvm_standing *out_standing);

/* A chunk's columns as a rule wants them, from its customer `from` on. */
struct cvm_rule_rows cvm_chunk_rows(const struct cvm_chunk *chunk, size_t from, int32_t as_of_day);

#endif
