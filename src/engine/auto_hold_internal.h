/* auto_hold_internal.h - what the files of the release rules share; nobody else includes it. */
#ifndef CVM_ENGINE_AUTO_HOLD_INTERNAL_H
#define CVM_ENGINE_AUTO_HOLD_INTERNAL_H

#include "base/json_reader.h"
#include "base/text.h"
#include "engine/run.h"

#define CVM_HOLD_REASONS_MAX 64

struct cvm_hold_job {
    struct cvm_engine *engine;
    struct cvm_store *store;
    const struct cvm_run_result *result;
    const struct cvm_release_rules *rules;
    struct cvm_arena *arena;
    struct cvm_json_reader *reader;
    struct cvm_run_record mine;
    bool has_before;
    struct cvm_run_record before; /* the last one of its kind that was let go */
    struct cvm_text sentence;
    const char **reasons;
    size_t count;
};

/* One sentence: begin, write into job->sentence, end. */
void cvm_hold_begin(struct cvm_hold_job *job);
enum cvm_status cvm_hold_end(struct cvm_hold_job *job, struct cvm_error *err);
void cvm_hold_add_share(struct cvm_text *out, double share);
/* ", 62 % more than the " */
void cvm_hold_add_change(struct cvm_text *out, double before, double after);

/* auto_hold_sources.c: stale and shrunken sources, by the reports of the imports. */
CVM_MUST_CHECK enum cvm_status cvm_hold_check_sources(struct cvm_hold_job *job,
                                                      struct cvm_error *err);

#endif
