/* outcome_tally.h - what became of the decisions of some days, counted by treatment: how far they
 * are, what was reported, what still waits for its outcome and until when, and what the outcomes
 * say beside what was expected.
 *
 * Counts and sums, no inference: what a treatment is worth against doing nothing is the report's
 * (engine/report.h), which compares control groups with intervals.
 */
#ifndef CVM_ENGINE_OUTCOME_TALLY_H
#define CVM_ENGINE_OUTCOME_TALLY_H

#include "base/arena.h"
#include "base/context.h"
#include "base/json_writer.h"
#include "model/catalogue.h"
#include "model/outcome.h"
#include "storage/store.h"

/* Decisions whose outcome window was reported as ended. */
struct cvm_tally_ended {
    int64_t count;
    int64_t churned;
    double expected; /* of them, by the probabilities that they were decided with */
};

struct cvm_tally {
    const char *treatment;                      /* NULL = all of them */
    int64_t decisions;                          /* that were to be carried out */
    int64_t controls;                           /* withheld: ghosts */
    int64_t by_state[CVM_DECISION_STATE_COUNT]; /* of the decisions, not of controls */
    int64_t contacts;                           /* decisions with one */
    struct {
        int64_t count; /* decisions of which it was reported */
        int64_t late;
        double minutes;
    } outcomes[CVM_OUTCOME_STATE_COUNT];
    /* As of the day: released and nothing was heard; contacted, and an answer still counts; the
     * outcome window is open. And windows that are over, of which nobody said how. */
    int64_t wait_for_contact, wait_for_answer, wait_for_end, overdue;
    int32_t answer_until, end_until; /* the last day of them; CVM_DAY_NONE = none waits */
    double value;                    /* expected of all decisions, in major units */
    double value_contacted;          /* of those with a contact */
    double value_lost;               /* of those that reach nobody any more */
    int64_t spent_micro;             /* costs of contacts that were made */
    struct cvm_tally_ended treated, control;
};

struct cvm_tally_request {
    const struct cvm_catalogue *catalogue; /* in force; a run of another has its own */
    int32_t as_of_day;
    int64_t days;       /* decisions as of the last `days` dates up to as_of_day */
    const char *run_id; /* of this run alone, whatever its day; NULL = of all */
};
struct cvm_tallies {
    int64_t runs;
    struct cvm_tally all;
    struct cvm_tally *treatments; /* in the arena, most decisions first */
    size_t count;
};
/* Reads one moment of a store that is open for reading. CVM_E_TIMEOUT as the context says. */
CVM_MUST_CHECK enum cvm_status
cvm_outcome_tally(struct cvm_store *reader, const struct cvm_context *context,
                  const struct cvm_tally_request *request, struct cvm_arena *arena,
                  struct cvm_tallies *out_tallies, struct cvm_error *err);
/* Members of an open object; at most `most` treatments, how many are left out is said. */
void cvm_outcome_tally_write(const struct cvm_tallies *tallies, size_t most,
                             struct cvm_json_writer *json);

#endif
