#include <assert.h>
#include <string.h>

#include "storage/state_backend.h"

static const struct cvm_state_backend *const backends[] = {&cvm_state_memory, &cvm_state_redis};

enum cvm_status cvm_state_open(const char *url, const struct cvm_state_options *options,
                               struct cvm_state **out_state, struct cvm_error *err)
{
    size_t length = strcspn(url, ":");
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        const struct cvm_state_backend *backend = backends[i];
        if (url[length] != ':' || strlen(backend->scheme) != length ||
            strncmp(backend->scheme, url, length) != 0) {
            continue;
        }
        enum cvm_status status = backend->open(url + length + 1, options, out_state, err);
        if (status == CVM_OK) {
            (*out_state)->backend = backend;
        }
        return status;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "there is no shared state '%.*s:'", (int)length, url);
    return cvm_error_hint(err, status, "memory: and redis://HOST are there.");
}

void cvm_state_close(struct cvm_state *state)
{
    if (state != NULL) {
        state->backend->close(state);
    }
}

enum cvm_status cvm_state_check(struct cvm_state *state, const struct cvm_context *context,
                                struct cvm_error *err)
{
    return state->backend->check(state, context, err);
}

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= CVM_STATE_NAME_MAX;
}

enum cvm_status cvm_state_add(struct cvm_state *state, const struct cvm_context *context,
                              const struct cvm_state_addition *addition, int64_t *out_total,
                              struct cvm_error *err)
{
    assert(is_name(addition->counter) && addition->ttl_ms > 0);
    return state->backend->add(state, context, addition, out_total, err);
}

enum cvm_status cvm_state_take(struct cvm_state *state, const struct cvm_context *context,
                               const struct cvm_state_claim *claim, int64_t *out_epoch,
                               struct cvm_error *err)
{
    assert(is_name(claim->name) && is_name(claim->owner) && claim->ttl_ms > 0);
    return state->backend->take(state, context, claim, out_epoch, err);
}

enum cvm_status cvm_state_give_back(struct cvm_state *state, const struct cvm_context *context,
                                    const struct cvm_state_claim *claim, struct cvm_error *err)
{
    assert(is_name(claim->name) && is_name(claim->owner));
    return state->backend->give_back(state, context, claim, err);
}

enum cvm_status cvm_state_announce(struct cvm_state *state, const struct cvm_context *context,
                                   const struct cvm_state_member *member, struct cvm_error *err)
{
    assert(is_name(member->group) && is_name(member->member) && member->ttl_ms > 0);
    if (strlen(member->value) > CVM_STATE_VALUE_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' of '%s' says more than %d bytes", member->member,
                        member->group, CVM_STATE_VALUE_MAX);
    }
    return state->backend->announce(state, context, member, err);
}

enum cvm_status cvm_state_leave(struct cvm_state *state, const struct cvm_context *context,
                                const struct cvm_state_member *member, struct cvm_error *err)
{
    assert(is_name(member->group) && is_name(member->member));
    return state->backend->leave(state, context, member, err);
}

enum cvm_status cvm_state_members(struct cvm_state *state, const struct cvm_context *context,
                                  const char *group, cvm_state_member_fn on_member,
                                  void *on_member_state, struct cvm_error *err)
{
    assert(is_name(group));
    return state->backend->members(state, context, group, on_member, on_member_state, err);
}

enum cvm_status cvm_state_group_age(struct cvm_state *state, const struct cvm_context *context,
                                    const char *group, int64_t *out_age_ms, struct cvm_error *err)
{
    assert(is_name(group));
    return state->backend->group_age(state, context, group, out_age_ms, err);
}
