/* trigger_internal.h - what trigger.c asks of trigger_evidence.c; included by these two only. */
#ifndef CVM_ENGINE_TRIGGER_INTERNAL_H
#define CVM_ENGINE_TRIGGER_INTERNAL_H

#include "base/json_reader.h"
#include "engine/trigger.h"

/* What one search for evidence after the other uses again. */
struct trigger_evidence {
    struct cvm_engine *engine;
    const struct cvm_trigger *trigger;
    int32_t as_of_day;
    struct cvm_feature_set needed;
    struct cvm_arena *arena;   /* of the results */
    struct cvm_arena *scratch; /* of one customer */
    struct cvm_json_reader *reader;
};

/* Fills id, reason and evidence of the match, whose key is set. */
CVM_MUST_CHECK enum cvm_status cvm_trigger_explain(struct trigger_evidence *state,
                                                   struct cvm_trigger_match *match,
                                                   struct cvm_error *err);

#endif
