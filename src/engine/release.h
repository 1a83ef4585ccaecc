/* release.h - decisions are checked again before they leave the house: kill switches, consent and
 * suppression as they stand now, not as they stood when the plan was made.
 *
 * One scan over the customers with decisions; what fails is withdrawn and gives its capacity back.
 */
#ifndef CVM_ENGINE_RELEASE_H
#define CVM_ENGINE_RELEASE_H

#include "base/columns.h"
#include "engine/engine.h"
#include "model/reason.h"
#include "storage/plan_store.h"

struct cvm_release_request {
    const char *run_id;
    int32_t as_of_day;             /* of the run */
    int32_t check_day;             /* features and validity as of this day: cvm_release_day() */
    enum cvm_decision_state state; /* decisions in this state: decided before the release, released
                                      before an export */
    bool is_handed_over;           /* look at those that were handed over, not at the others */
    enum cvm_channel channel;      /* CVM_CHANNEL_UNSET = all */
};

struct cvm_release_failure {
    uint64_t key;
    enum cvm_reason reason;
};
struct cvm_release_check {
    struct cvm_column failures; /* struct cvm_release_failure, ascending key */
    int64_t by_reason[CVM_REASON_COUNT];
    int64_t checked;
};
void cvm_release_check_init(struct cvm_release_check *check);
void cvm_release_check_finish(struct cvm_release_check *check);

/* The channel that a decision goes to. Where it does not say (stores of an older version), it is
 * the treatment's own. CVM_CHANNEL_UNSET if neither knows. */
enum cvm_channel cvm_release_channel(const struct cvm_catalogue *catalogue,
                                     const struct cvm_decision *decision);

/* The newest day that the data knows, not after today and not before the run's own. */
CVM_MUST_CHECK enum cvm_status cvm_release_day(struct cvm_store *store, int32_t as_of_day,
                                               int32_t today, int32_t *out_day,
                                               struct cvm_error *err);

/* Reads only. The engine's catalogue is the one in force: a treatment that it no longer has or
 * allows fails too. Ghosts are not looked at, they are never handed over. */
CVM_MUST_CHECK enum cvm_status cvm_release_check(struct cvm_engine *engine,
                                                 const struct cvm_release_request *request,
                                                 struct cvm_release_check *out_check,
                                                 struct cvm_error *err);

/* Withdraw what failed and return its capacity; inside the caller's transaction. `on_withdrawn`
 * (or NULL) is told each, with its reason in decision->reason. */
CVM_MUST_CHECK enum cvm_status cvm_release_withdraw(struct cvm_engine *engine,
                                                    struct cvm_store *writer,
                                                    const struct cvm_release_request *request,
                                                    const struct cvm_release_check *check,
                                                    cvm_decision_fn on_withdrawn, void *state,
                                                    struct cvm_error *err);

#endif
