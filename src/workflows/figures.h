/* figures.h - how each kind of agent did, over all its processes: how much, how fast, what failed.
 *
 * From the store alone (storage/agent_figures.h): a definition says which agent a step is of.
 */
#ifndef CVM_WORKFLOWS_FIGURES_H
#define CVM_WORKFLOWS_FIGURES_H

#include "base/json_writer.h"
#include "storage/agent_figures.h"
#include "workflows/progress.h"

/* How long things took, in buckets that are 3 % wide. */
#define CVM_SPAN_BUCKETS 1216
struct cvm_spans {
    uint64_t count;
    uint32_t buckets[CVM_SPAN_BUCKETS];
};
void cvm_spans_add(struct cvm_spans *spans, int64_t ms);
/* Seconds; NAN when there are none. */
double cvm_spans_quantile(const struct cvm_spans *spans, double share);

struct cvm_kind_figures {
    const char *kind; /* of agents: "treatment"; "unknown" of a definition that is none now */
    int64_t turns;    /* kept, of workflows and of single questions */
    int64_t steps;    /* done */
    int64_t steps_given_up;
    int64_t retries;                       /* attempts of those steps beyond the first */
    int64_t customers;                     /* that they were about */
    int64_t changes;                       /* of the number of workers */
    int64_t failures[CVM_FAILURE_CLASSES]; /* attempts that failed */
    struct cvm_spans asked;                /* from when a step was asked for, last, to its result */
    struct cvm_spans turn;                 /* of it at the worker */
};
struct cvm_figures {
    double seconds;                        /* of the window */
    struct cvm_kind_figures *const *kinds; /* in the arena, in the order of the steps' kinds */
    size_t count;
};
/* With a workflow in the window: of its steps alone, each attempt being a turn. */
CVM_MUST_CHECK enum cvm_status cvm_figures_read(struct cvm_store *store, struct cvm_arena *arena,
                                                const struct cvm_figure_window *window,
                                                struct cvm_figures *out_figures,
                                                struct cvm_error *err);
/* An array, an object each. */
void cvm_figures_write(const struct cvm_figures *figures, struct cvm_json_writer *json);

#endif
