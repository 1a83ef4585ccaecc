/* agent_figures.h - how agents did, from what every process of them left in the store: steps and
 * their failed attempts, marks of messages, changes of workers.
 *
 * Steps and failures are told by the digest of their workflow's definition and their number in it;
 * workflows/figures.h knows which agent that is.
 */
#ifndef CVM_STORAGE_AGENT_FIGURES_H
#define CVM_STORAGE_AGENT_FIGURES_H

#include "storage/step_store.h"

/* Marks of messages are kept for CVM_INBOX_KEEP_MS (turn.h) at least. Steps count whose workflow
 * was accepted in the window or in the two days before it: so nothing is read that is older. */
struct cvm_figure_window {
    int64_t since_ms;
    int64_t until_ms;        /* not of it any more */
    const char *workflow_id; /* only its steps; NULL = those of all */
};

/* Texts until the callback returns, here and below. */
struct cvm_figure_definition {
    const char *digest;
    const char *workflow; /* its name */
};

/* Steps that ended in the window, done or failed: their own members but names and texts. */
typedef enum cvm_status (*cvm_figure_step_fn)(void *state, const struct cvm_figure_definition *of,
                                              const struct cvm_step *step, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_figure_steps(struct cvm_store *store,
                                                const struct cvm_figure_window *window,
                                                cvm_figure_step_fn on_step, void *state,
                                                struct cvm_error *err);

struct cvm_figure_failures {
    struct cvm_figure_definition of;
    int64_t step_no;
    const char *error_class; /* workflows/progress.h */
    int64_t count;
};
typedef enum cvm_status (*cvm_figure_failures_fn)(void *state,
                                                  const struct cvm_figure_failures *failures,
                                                  struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_figure_failures(struct cvm_store *store,
                                                   const struct cvm_figure_window *window,
                                                   cvm_figure_failures_fn on_failures, void *state,
                                                   struct cvm_error *err);

/* By kind of agent: turns that were kept, of workflows and of single questions. By queue: how often
 * their workers became more or fewer. */
typedef enum cvm_status (*cvm_figure_count_fn)(void *state, const char *name, int64_t count,
                                               struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_figure_turns(struct cvm_store *store,
                                                const struct cvm_figure_window *window,
                                                cvm_figure_count_fn on_count, void *state,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_figure_changes(struct cvm_store *store,
                                                  const struct cvm_figure_window *window,
                                                  cvm_figure_count_fn on_count, void *state,
                                                  struct cvm_error *err);

#endif
