/* household.h - limits per household: within one run and with the contacts before it, at most so
 * many contacts of all its members.
 *
 * Collected while the base is scanned. A run leaves the choice in a household to the solver, which
 * takes the best candidates at the prices: for the first limit, and where no control group
 * withholds a candidate. Everywhere else the limits are applied before anything is allocated: of
 * each household the customers whose best governed contact is worth most stay, up to what the limit
 * leaves; the others' governed treatments are refused (CVM_REASON_HOUSEHOLD). A function of values
 * and keys only. Memory: 32 bytes per customer whose household is known.
 */
#ifndef CVM_ENGINE_HOUSEHOLD_H
#define CVM_ENGINE_HOUSEHOLD_H

#include "base/columns.h"
#include "engine/engine.h"
#include "engine/pending.h"
#include "engine/values.h"

#define CVM_HOUSEHOLD_ABSENT UINT32_MAX

struct cvm_household_member {
    double household;
    uint64_t key;
    uint32_t shard; /* CVM_HOUSEHOLD_ABSENT: its contacts count, it is not decided now */
    uint32_t customer;
    uint16_t contacts[CVM_HOUSEHOLD_LIMITS_MAX]; /* by limit */
};

/* One column per worker; they may be filled side by side. */
void cvm_household_init(struct cvm_column *members);
bool cvm_household_is_on(const struct cvm_catalogue *catalogue);

/* The chunk's customers with a household; they are customers `first`... of the shard. */
CVM_MUST_CHECK enum cvm_status cvm_household_add(struct cvm_column *members,
                                                 const struct cvm_catalogue *catalogue,
                                                 const struct cvm_chunk *chunk, size_t shard,
                                                 size_t first, struct cvm_error *err);

/* Move what another worker collected. */
CVM_MUST_CHECK enum cvm_status cvm_household_join(struct cvm_column *members,
                                                  const struct cvm_column *more,
                                                  struct cvm_error *err);

/* Has anybody a contact that a limit governs? Else the rest of the households does not matter. */
bool cvm_household_has_candidates(const struct cvm_column *members,
                                  const struct cvm_catalogue *catalogue, int forced_treatment,
                                  struct cvm_shard_values *shards);

/* Of customers of the same households that were not looked at: only their contacts count. For who
 * decides for a few: they are those that the last run of the whole base saw there; before there was
 * one the whole base is gone through. `window.needed` is set here. `pending` is the engine's, holds
 * what concerns the customers looked at, and gets what concerns the others; NULL = it has all. */
CVM_MUST_CHECK enum cvm_status cvm_household_add_others(struct cvm_column *members,
                                                        struct cvm_engine *engine,
                                                        struct cvm_feature_window window,
                                                        struct cvm_pending *pending,
                                                        struct cvm_error *err);

/* Keep who lives where, for cvm_household_add_others(): everybody's members, sorted by
 * cvm_household_apply(). Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_household_store(const struct cvm_column *members,
                                                   struct cvm_store *store, struct cvm_error *err);

/* Refuses in the shards' values. Sorts the members. */
void cvm_household_apply(struct cvm_column *members, const struct cvm_catalogue *catalogue,
                         int forced_treatment, struct cvm_shard_values *shards);

/* The treatments that the limit governs, a bit each. */
uint64_t cvm_household_governed(const struct cvm_catalogue *catalogue,
                                const struct cvm_household_limit *limit);

/* For a run: households in which the solver has to choose are numbered from 0 in the shards'
 * columns, with what the first limit leaves them; in the others refuses as cvm_household_apply()
 * does. A ghost takes the place in its household that it would have had, so where something is
 * withheld from a candidate the choice goes by value, with the withheld ones in it. Sorts the
 * members. */
struct cvm_household_problem {
    const struct cvm_catalogue *catalogue;
    int forced_treatment;
    struct cvm_shard_values *shards;
    const size_t *first;      /* customer that each shard begins with */
    const uint64_t *withheld; /* per customer, a bit per treatment; NULL = nothing */
};
/* Returns how many were numbered. */
uint32_t cvm_household_number(struct cvm_column *members,
                              const struct cvm_household_problem *problem);

/* After the solve: who got nothing because the household's other members did is told so. The value
 * stays. `prices` are by constraint, `plan` has a treatment per customer. */
void cvm_household_tell(const struct cvm_column *members,
                        const struct cvm_household_problem *problem, const unsigned char *plan,
                        const double *prices);

#endif
