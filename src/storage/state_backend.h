/* state_backend.h - the contract of whoever keeps the state. Included by state.c and the files
 * named state_<back end>.c, by nobody else. state.c has checked names and amounts. To add one: fill
 * one struct cvm_state_backend, list it in state.c, and make tests/storage/state_test.c pass.
 */
#ifndef CVM_STORAGE_STATE_BACKEND_H
#define CVM_STORAGE_STATE_BACKEND_H

#include "storage/state.h"

struct cvm_state_backend {
    const char *scheme; /* the part of the URL before ':' */

    /* `location` is the rest of the URL. On success *out_state embeds a struct cvm_state as its
     * first member; state.c fills it. */
    enum cvm_status (*open)(const char *location, const struct cvm_state_options *options,
                            struct cvm_state **out_state, struct cvm_error *err);
    void (*close)(struct cvm_state *state);
    enum cvm_status (*check)(struct cvm_state *state, const struct cvm_context *context,
                             struct cvm_error *err);
    /* As in state.h. */
    enum cvm_status (*add)(struct cvm_state *state, const struct cvm_context *context,
                           const struct cvm_state_addition *addition, int64_t *out_total,
                           struct cvm_error *err);
    enum cvm_status (*take)(struct cvm_state *state, const struct cvm_context *context,
                            const struct cvm_state_claim *claim, int64_t *out_epoch,
                            struct cvm_error *err);
    enum cvm_status (*give_back)(struct cvm_state *state, const struct cvm_context *context,
                                 const struct cvm_state_claim *claim, struct cvm_error *err);
    enum cvm_status (*announce)(struct cvm_state *state, const struct cvm_context *context,
                                const struct cvm_state_member *member, struct cvm_error *err);
    enum cvm_status (*leave)(struct cvm_state *state, const struct cvm_context *context,
                             const struct cvm_state_member *member, struct cvm_error *err);
    enum cvm_status (*members)(struct cvm_state *state, const struct cvm_context *context,
                               const char *group, cvm_state_member_fn on_member,
                               void *on_member_state, struct cvm_error *err);
    enum cvm_status (*group_age)(struct cvm_state *state, const struct cvm_context *context,
                                 const char *group, int64_t *out_age_ms, struct cvm_error *err);
};

/* Base of every state. */
struct cvm_state {
    const struct cvm_state_backend *backend;
};

extern const struct cvm_state_backend cvm_state_memory;
extern const struct cvm_state_backend cvm_state_redis;

#endif
