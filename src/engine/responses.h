/* responses.h - the parameters of the response models that a run decides with: the catalogue's
 * priors, updated by the outcomes so far; kept with the run, so that explain tells the same numbers
 * later.
 */
#ifndef CVM_ENGINE_RESPONSES_H
#define CVM_ENGINE_RESPONSES_H

#include "base/arena.h"
#include "base/text.h"
#include "model/catalogue.h"
#include "storage/store.h"

struct cvm_responses {
    struct cvm_response of[CVM_TREATMENTS_MAX];
};

/* As of now. */
CVM_MUST_CHECK enum cvm_status cvm_responses_load(struct cvm_store *store,
                                                  const struct cvm_catalogue *catalogue,
                                                  struct cvm_responses *out_responses,
                                                  struct cvm_error *err);
/* {"retention_sms": {"reach": .., "reach_sd": .., ..., "source": "learned", "outcomes": 812}} */
void cvm_responses_write(const struct cvm_responses *responses,
                         const struct cvm_catalogue *catalogue, struct cvm_text *out);
/* NULL json = the catalogue's priors. Treatments that it does not name keep theirs. */
CVM_MUST_CHECK enum cvm_status cvm_responses_parse(const char *json,
                                                   const struct cvm_catalogue *catalogue,
                                                   struct cvm_arena *arena,
                                                   struct cvm_responses *out_responses,
                                                   struct cvm_error *err);

/* The catalogue with these responses in force, for all that values, costs and prices: a shallow
 * copy in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_responses_apply(const struct cvm_responses *responses,
                                                   const struct cvm_catalogue *catalogue,
                                                   struct cvm_arena *arena,
                                                   const struct cvm_catalogue **out_catalogue,
                                                   struct cvm_error *err);

#endif
