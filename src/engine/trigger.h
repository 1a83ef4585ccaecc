/* trigger.h - which customers a trigger finds, why, and on which records. */
#ifndef CVM_ENGINE_TRIGGER_H
#define CVM_ENGINE_TRIGGER_H

#include "base/arena.h"
#include "engine/engine.h"

struct cvm_trigger_evidence {
    int32_t day;
    int source;          /* CVM_INDEX_NONE: no single record (a sum, a missing event) */
    int feature;         /* what was looked at */
    double value;        /* its value */
    const char *words;   /* phrase found in the free text, as written there; NULL */
    const char *snippet; /* the words with a little around them; NULL */
};

struct cvm_trigger_match {
    uint64_t key;
    const char *customer_id;
    const char *reason; /* "At least one bill is overdue (overdue_bills = 1) ..." */
    const struct cvm_trigger_evidence *evidence;
    size_t evidence_count;
};

struct cvm_trigger_request {
    int trigger;
    int32_t as_of_day;
    const char *const *customers; /* NULL = everybody; unknown ids match nothing */
    size_t customer_count;
    size_t evidence_max; /* matches that get reason and evidence; the others are only counted */
    uint64_t after_key;  /* those get none either that have this key or a lower one; 0 = nobody */
};

struct cvm_trigger_result {
    struct cvm_trigger_match *matches; /* ascending key, in the arena; at most evidence_max */
    size_t count;
    int64_t total_matches;
    int64_t remaining; /* matches behind those that are given */
    int64_t customers; /* looked at */
};

CVM_MUST_CHECK enum cvm_status cvm_trigger_match(struct cvm_engine *engine,
                                                 const struct cvm_trigger_request *request,
                                                 struct cvm_arena *arena,
                                                 struct cvm_trigger_result *out_result,
                                                 struct cvm_error *err);

/* `before` characters (UTF-8) on each side of the first `word` in the text, "..." where it was cut;
 * "" when the word is absent or empty. Appends to `out`. */
void cvm_snippet(const char *text, const char *word, size_t before, struct cvm_text *out);

#endif
