/* control.h - who is left untreated, so that what treatments change can be measured: a universal
 * control group, which gets no marketing and never changes, and a holdout per action.
 *
 * A customer belongs to the universal group because the store says so (storage/control_store.h);
 * to a holdout because of a hash of action and key, so nothing is stored and all treatments of an
 * action hold out the same customers. What is withheld from a customer takes part in the choice
 * all the same: where it would have been the best, it becomes the decision of a ghost.
 */
#ifndef CVM_ENGINE_CONTROL_H
#define CVM_ENGINE_CONTROL_H

#include "base/arena.h"
#include "base/columns.h"
#include "model/catalogue.h"
#include "model/chunk.h"
#include "storage/store.h"

#define CVM_ARM_TREATED   "treated"
#define CVM_ARM_UNIVERSAL "universal_control"

struct cvm_control_groups {
    const struct cvm_catalogue *catalogue;
    double universal_share;               /* 0: nobody is a member */
    uint64_t marketing;                   /* bit per treatment that the universal group withholds */
    uint64_t held_out;                    /* bit per treatment with a holdout */
    uint64_t seeds[CVM_TREATMENTS_MAX];   /* of the treatment's action */
    const char *arms[CVM_TREATMENTS_MAX]; /* "holdout:<action>" */
    struct cvm_column members;            /* uint64_t, ascending */
};

struct cvm_control_options {
    int64_t customers; /* in the store; counting them up to least_customers is enough */
    bool is_forced;    /* a treatment was asked for: holdouts do not count */
    bool is_enrolled;  /* the store has a universal group, or gets one now */
};

/* Texts live in the arena. The members are empty. */
CVM_MUST_CHECK enum cvm_status cvm_control_groups_init(struct cvm_control_groups *groups,
                                                       const struct cvm_catalogue *catalogue,
                                                       const struct cvm_control_options *options,
                                                       struct cvm_arena *arena,
                                                       struct cvm_error *err);
void cvm_control_groups_finish(struct cvm_control_groups *groups);
static inline bool cvm_control_is_on(const struct cvm_control_groups *groups)
{
    return groups->universal_share > 0 || groups->held_out != 0;
}

/* Treatments that are withheld from this customer, a bit each. */
uint64_t cvm_control_withheld(const struct cvm_control_groups *groups, bool is_member,
                              uint64_t key);
/* Keys in ascending order beside the members, which ascend too. */
struct cvm_control_walk {
    const uint64_t *members;
    size_t count;
    size_t at;
};
static inline struct cvm_control_walk
cvm_control_walk_members(const struct cvm_control_groups *groups)
{
    return (struct cvm_control_walk){CVM_COLUMN_DATA(&groups->members, const uint64_t),
                                     groups->members.count, 0};
}
static inline bool cvm_control_walk_has(struct cvm_control_walk *walk, uint64_t key)
{
    while (walk->at < walk->count && walk->members[walk->at] < key) {
        walk->at++;
    }
    return walk->at < walk->count && walk->members[walk->at] == key;
}
/* The arm that withholds a treatment from a customer. */
const char *cvm_control_arm(const struct cvm_control_groups *groups, bool is_member,
                            size_t treatment);
/* Of being in that arm, or, where nothing is withheld, of being in none that withholds it. */
double cvm_control_probability(const struct cvm_control_groups *groups, size_t treatment,
                               bool is_withheld, bool is_member);

/* ---- strata ---- */

/* Every stratum has a number below cvm_control_stratum_count(), at most 65535. */
size_t cvm_control_stratum_count(const struct cvm_catalogue *catalogue);
/* Of each customer of the chunk: its value segment and its values of the strata features. */
void cvm_control_strata_of(const struct cvm_catalogue *catalogue, const struct cvm_chunk *chunk,
                           const unsigned char *segments, uint16_t *out_strata);
/* "contract last_sentiment=negative". Appends. */
void cvm_control_stratum_name(const struct cvm_catalogue *catalogue, size_t stratum,
                              struct cvm_text *out);

/* The order in which customers of a stratum become members. */
uint64_t cvm_control_rank(uint64_t key);

#endif
