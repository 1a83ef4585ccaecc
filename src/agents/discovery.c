#include "agents/discovery.h"

#include <string.h>

#include "agents/host.h"
#include "agents/registry.h"

#define ARENA_BYTES_MAX ((size_t)16 << 20)

/* Another version may say it otherwise, or somebody has more to say than there is room for: then he
 * may serve anything. */
static bool is_unknown(const struct cvm_registry_process *process)
{
    return (process->pool_count == 0 && !process->orchestrates) ||
           (process->pool_count > 0 &&
            strcmp(process->pools[0].queue, CVM_REGISTRY_MORE_QUEUES) == 0);
}

static void look_at_process(const struct cvm_registry_process *process, const char *queue,
                            struct cvm_servers *servers)
{
    bool serves = process->orchestrates && strcmp(queue, CVM_ORCHESTRATION) == 0;
    int64_t workers = serves ? 1 : 0;
    for (size_t p = 0; p < process->pool_count; p++) {
        if (strcmp(process->pools[p].queue, queue) == 0) {
            serves = true;
            workers = process->pools[p].workers;
        }
    }
    servers->ready += serves && !process->is_draining ? 1 : 0;
    servers->draining += serves && process->is_draining ? 1 : 0;
    servers->workers += workers;
    servers->unknown += is_unknown(process) ? 1 : 0;
}

enum cvm_status cvm_servers_find(struct cvm_state *registry, const struct cvm_context *context,
                                 const char *queue, struct cvm_servers *out_servers,
                                 struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    struct cvm_registry all = {.count = 0};
    struct cvm_servers servers = {0};
    enum cvm_status status =
        arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a look at who is there")
                      : cvm_registry_read(registry, context, arena, &all, err);
    for (size_t i = 0; status == CVM_OK && i < all.count; i++) {
        look_at_process(&all.items[i], queue, &servers);
    }
    cvm_arena_destroy(arena);
    if (status == CVM_OK) {
        *out_servers = servers;
    }
    return status;
}

static bool is_whole(struct cvm_state *registry, const struct cvm_context *context)
{
    int64_t age_ms = 0;
    return cvm_registry_age(registry, context, &age_ms, NULL) == CVM_OK &&
           age_ms >= CVM_REGISTRY_WHOLE_MS;
}

/* Who ends its last turns may be at the very one. */
bool cvm_queue_is_unserved(struct cvm_state *registry, const struct cvm_context *context,
                           const char *queue, struct cvm_absence *absence)
{
    struct cvm_servers servers;
    double now_s = cvm_context_seconds(context);
    if (registry == NULL || cvm_servers_find(registry, context, queue, &servers, NULL) != CVM_OK ||
        servers.ready + servers.draining + servers.unknown > 0) {
        absence->is_absent = false;
        return false;
    }
    absence->since_s = absence->is_absent ? absence->since_s : now_s;
    absence->is_absent = true;
    double absent_ms = (now_s - absence->since_s) * 1000;
    return absent_ms >= CVM_REGISTRY_WHOLE_MS ||
           (absent_ms >= CVM_ABSENCE_MS && is_whole(registry, context));
}

bool cvm_queue_is_better_served(struct cvm_state *registry, const struct cvm_context *context,
                                const char *instead, const char *queue)
{
    struct cvm_servers named;
    struct cvm_servers other;
    return registry != NULL && cvm_servers_find(registry, context, queue, &named, NULL) == CVM_OK &&
           named.ready + named.unknown == 0 &&
           cvm_servers_find(registry, context, instead, &other, NULL) == CVM_OK &&
           other.ready > 0 && is_whole(registry, context);
}
