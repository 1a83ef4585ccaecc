/* outcome.h - reports of what became of decisions: read, checked, stored, learned from, and
 * followed up: capacity given back, contacts into the journey, opt-outs into consent.
 *
 * Idempotent: each (decision, state) counts once, in any order, from any file. Crash safe: reports
 * are applied in transactions under an outcome import that stays unfinished until their contacts
 * and opt-outs have gone through cvm_import_records(); the next import of any file does what is
 * left.
 */
#ifndef CVM_ENGINE_OUTCOME_H
#define CVM_ENGINE_OUTCOME_H

#include "base/json_writer.h"
#include "model/outcome.h"
#include "storage/import.h"
#include "storage/ledger.h"
#include "storage/record_reader.h"

struct cvm_outcome_report {
    int64_t import; /* 0 = nothing was new */
    int64_t read, applied, duplicate, late, rejected;
    int64_t by_state[CVM_OUTCOME_STATE_COUNT]; /* applied */
    int64_t returned[CVM_CONSTRAINTS_MAX];     /* ledger amounts, by constraint in force */
    int64_t contacts;                          /* new in the journeys */
    int64_t opt_outs;                          /* customers whose permissions changed */
    const char *rejects_path;                  /* NULL if nothing was rejected */
    const char **failed_files;
    size_t failed_file_count;
};

/* Records {decision_id, state, date or time, minutes?, reason?, customer_id?}. The options' `who`,
 * `rejects_path` and `today` (later reports are refused) count. Texts live in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_outcome_import(const struct cvm_import_work *work,
                                                  const char *const *paths, size_t path_count,
                                                  struct cvm_arena *arena,
                                                  struct cvm_outcome_report *out_report,
                                                  struct cvm_error *err);

/* Members of an open object: what `cvm outcome import --json` prints and the store keeps. */
void cvm_outcome_report_write(const struct cvm_outcome_report *report,
                              const struct cvm_catalogue *catalogue, struct cvm_json_writer *json);

#endif
