/* auto_hold.h - should a person look at this plan first? It is compared with the last run by the
 * catalogue's release rules: volume, spend, one treatment's share, opt-outs, stale or shrunken
 * sources.
 */
#ifndef CVM_ENGINE_AUTO_HOLD_H
#define CVM_ENGINE_AUTO_HOLD_H

#include "base/arena.h"
#include "engine/run.h"

/* Sentences with numbers, in the arena; none = it may be released. */
CVM_MUST_CHECK enum cvm_status cvm_auto_hold(struct cvm_engine *engine, struct cvm_store *store,
                                             const struct cvm_run_result *result,
                                             struct cvm_arena *arena,
                                             const char *const **out_reasons, size_t *out_count,
                                             struct cvm_error *err);
/* The sources alone, whatever the plan: stale by their freshness_days, or shrunken from one import
 * to the next (by the release rules' share, else by half). */
CVM_MUST_CHECK enum cvm_status cvm_auto_hold_sources(struct cvm_engine *engine,
                                                     struct cvm_store *store, int32_t as_of_day,
                                                     struct cvm_arena *arena,
                                                     const char *const **out_reasons,
                                                     size_t *out_count, struct cvm_error *err);

#endif
