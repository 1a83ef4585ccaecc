#include "cli/agent_process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agents/part_shelf.h"
#include "base/hash.h"
#include "base/threads.h"
#include "cli/audit_key.h"
#include "cli/paths.h"
#include "cli/workflow_definitions.h"
#include "messaging/broker.h"
#include "storage/state.h"

#define ORCHESTRATION "orchestration"

bool cvm_session_broker_is_local(const struct cvm_session *session)
{
    return strncmp(session->config.broker_url, "local:", 6) == 0;
}

static enum cvm_status name_prefix(struct cvm_store *store, char prefix[40], struct cvm_error *err)
{
    int64_t created_ms = 0;
    enum cvm_status status = cvm_store_created_ms(store, &created_ms, err);
    (void)snprintf(prefix, 40, "cvm.%" PRIx64 ".", (uint64_t)created_ms);
    return status;
}

static enum cvm_status open_broker(struct cvm_session *session, struct cvm_store *store,
                                   struct cvm_broker_offsets offsets, char prefix[40],
                                   struct cvm_broker **out_broker, struct cvm_error *err)
{
    enum cvm_status status = name_prefix(store, prefix, err);
    struct cvm_broker_options options = {
        .prefix = prefix, .offsets = offsets, .context = session->context};
    return status == CVM_OK ? cvm_broker_open(session->config.broker_url, &options, out_broker, err)
                            : status;
}

enum cvm_status cvm_session_broker(struct cvm_session *session, struct cvm_store *store,
                                   char prefix[40], struct cvm_broker **out_broker,
                                   struct cvm_error *err)
{
    return open_broker(session, store, (struct cvm_broker_offsets){NULL}, prefix, out_broker, err);
}

enum cvm_status cvm_session_state(struct cvm_session *session, struct cvm_store *store,
                                  struct cvm_state **out_state, struct cvm_error *err)
{
    char prefix[40];
    struct cvm_state_options options = {.prefix = prefix};
    enum cvm_status status = name_prefix(store, prefix, err);
    return status == CVM_OK ? cvm_state_open(session->config.state_url, &options, out_state, err)
                            : status;
}

/* ---- types ---- */

/* Of the type itself, or of what it is a specialist of. */
static const struct cvm_agent_workers *configured(const struct cvm_config *config,
                                                  const char *queue, const char *kind)
{
    const struct cvm_agent_workers *found = NULL;
    for (size_t i = 0; i < config->agent_count; i++) {
        const struct cvm_agent_workers *item = &config->agents[i];
        if (strcmp(item->type, queue) == 0) {
            return item;
        }
        found = strcmp(item->type, kind) == 0 ? item : found;
    }
    return found;
}

static enum cvm_status add_pool(const struct cvm_session *session,
                                const struct cvm_agent_process_options *options,
                                struct cvm_host_options *host, const char *queue,
                                struct cvm_error *err)
{
    const struct cvm_agent_kind *kind = cvm_agent_kind_find(queue);
    if (kind == NULL) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "there are no agents of type '%s'", queue);
        return cvm_error_hint(err, status, "`cvm agent --help` lists the types.");
    }
    if (host->pool_count == CVM_HOST_POOLS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "one process runs at most %d types", CVM_HOST_POOLS_MAX);
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    bool is_wide = strcmp(kind->name, "treatment") == 0;
    const struct cvm_agent_workers *item = configured(&session->config, queue, kind->name);
    int64_t usual = is_wide && cores > 1 ? cores : 1;
    int64_t said = item != NULL && item->workers > 0 ? item->workers : usual;
    int64_t most = item != NULL ? item->most : 0;
    host->pools[host->pool_count++] = (struct cvm_host_pool){
        .queue = queue,
        .workers = (size_t)(options->workers > 0 ? options->workers : said),
        .most = (size_t)(options->workers_max > 0 ? options->workers_max : most),
    };
    return CVM_OK;
}

static enum cvm_status read_types(struct cvm_session *session,
                                  const struct cvm_agent_process_options *options,
                                  struct cvm_host_options *host, struct cvm_error *err)
{
    const char *const *types = NULL;
    size_t count = 0;
    enum cvm_status status = cvm_argument_list(session->arena, options->types, &types, &count, err);
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        bool is_all = strcmp(types[i], "all") == 0;
        if (is_all || strcmp(types[i], ORCHESTRATION) == 0) {
            host->orchestrates = true;
        }
        for (size_t k = 0; status == CVM_OK && is_all && cvm_agent_kinds[k] != NULL; k++) {
            status = add_pool(session, options, host, cvm_agent_kinds[k]->name, err);
        }
        if (!is_all && strcmp(types[i], ORCHESTRATION) != 0) {
            status = add_pool(session, options, host, types[i], err);
        }
    }
    return status;
}

/* ---- opening ---- */

enum cvm_status cvm_session_site(const struct cvm_session *session, struct cvm_store *store,
                                 struct cvm_agent_site *out_site, struct cvm_error *err)
{
    *out_site = (struct cvm_agent_site){
        .store_url = session->config.store_url,
        .privacy = session->config.privacy,
        .writer = cvm_agent_writer_create(store),
        .zone = session->zone,
        .matrix_bytes_max = (size_t)session->config.run_memory_mb << 20,
        .spill_folder = cvm_temporary_folder(),
        .must_release = strcmp(session->config.release, "auto") == 0,
        .realtime_share = session->config.realtime_share,
        .keep_runs = session->config.keep_runs,
        .version = session->version,
    };
    return out_site->writer != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for agents");
}

static enum cvm_status open_site(struct cvm_agent_process *process,
                                 const struct cvm_agent_process_options *options,
                                 struct cvm_error *err)
{
    struct cvm_session *session = process->session;
    enum cvm_status status = cvm_session_site(session, process->store, &process->site, err);
    bool has_key = false;
    if (status == CVM_OK) {
        status = cvm_audit_key_read(session, &process->audit_key, &has_key, err);
    }
    process->site.threads = (size_t)options->threads;
    process->site.audit_key = has_key ? &process->audit_key : NULL;
    if (status == CVM_OK && cvm_session_broker_is_local(session)) {
        process->site.shelf = cvm_part_shelf_create();
        return process->site.shelf != NULL ? CVM_OK
                                           : CVM_FAIL(err, CVM_E_LIMIT, "no memory for agents");
    }
    return status;
}

static enum cvm_status open_services(struct cvm_agent_process *process, struct cvm_error *err)
{
    struct cvm_session *session = process->session;
    enum cvm_status status =
        open_broker(session, process->store, cvm_host_offsets(process->site.writer),
                    process->prefix, &process->broker, err);
    if (status == CVM_OK) {
        status = cvm_session_state(session, process->store, &process->state, err);
    }
    /* What only this process sees says nothing of others on a broker that all share. */
    bool is_own = strncmp(session->config.state_url, "memory:", 7) == 0;
    process->registry = is_own && !cvm_session_broker_is_local(session) ? NULL : process->state;
    return status;
}

void cvm_process_name(char name[CVM_PROCESS_NAME_SIZE])
{
    char host[32] = "";
    (void)gethostname(host, sizeof(host) - 1);
    host[strcspn(host, ". \t")] = '\0';
    (void)snprintf(name, CVM_PROCESS_NAME_SIZE, "%.20s.%d", host, (int)getpid());
}

/* Their definitions are read now: what is wrong in one is said before anything starts. */
static enum cvm_status open_schedules(struct cvm_agent_process *process, struct cvm_error *err)
{
    struct cvm_session *session = process->session;
    enum cvm_status status =
        cvm_schedules_read(session->arena, session->config.schedule, session->config.time_zone,
                           &process->schedules, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t count = process->schedules.count;
    const struct cvm_definition **definitions =
        CVM_NEW_ARRAY(session->arena, count + 1, const struct cvm_definition *);
    if (definitions == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for schedules");
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = cvm_session_definition(session, process->schedules.items[i].workflow,
                                        &definitions[i], err);
    }
    process->scheduled = definitions;
    return status;
}

static enum cvm_status start_host(struct cvm_agent_process *process, struct cvm_host_options *host,
                                  struct cvm_error *err)
{
    int64_t now_ms = cvm_context_now_ms(&process->context);
    host->site = &process->site;
    host->schedules = process->schedules;
    host->scheduled = process->scheduled;
    host->context = &process->context;
    host->broker = process->broker;
    host->state = process->state;
    host->knows_all = process->registry != NULL;
    host->name = process->name;
    host->incarnation = now_ms;
    host->is_alone = cvm_session_broker_is_local(process->session);
    host->seed = cvm_hash_mix((uint64_t)now_ms, cvm_hash(process->name, strlen(process->name)));
    return cvm_host_start(host, &process->host, err);
}

/* All but the agents themselves. */
static enum cvm_status prepare(struct cvm_session *session,
                               const struct cvm_agent_process_options *options,
                               struct cvm_host_options *host, struct cvm_agent_process *out_process,
                               struct cvm_error *err)
{
    *out_process = (struct cvm_agent_process){.session = session, .context = session->context};
    out_process->context.cancelled = NULL;
    cvm_process_name(out_process->name);
    enum cvm_status status = read_types(session, options, host, err);
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_SHARED, &out_process->store, err);
    }
    if (status == CVM_OK) {
        status = open_site(out_process, options, err);
    }
    if (status == CVM_OK) {
        status = open_services(out_process, err);
    }
    if (status == CVM_OK && host->orchestrates) {
        status = open_schedules(out_process, err);
    }
    return status;
}

enum cvm_status cvm_agent_process_open(struct cvm_session *session,
                                       const struct cvm_agent_process_options *options,
                                       struct cvm_agent_process *out_process, struct cvm_error *err)
{
    struct cvm_host_options host = {.pool_count = 0};
    enum cvm_status status = prepare(session, options, &host, out_process, err);
    if (status == CVM_OK) {
        status = start_host(out_process, &host, err);
    }
    if (status != CVM_OK) {
        (void)!cvm_agent_process_close(out_process, NULL);
    }
    return status;
}

enum cvm_status cvm_agent_process_check(struct cvm_session *session,
                                        const struct cvm_agent_process_options *options,
                                        struct cvm_error *err)
{
    struct cvm_host_options host = {.pool_count = 0};
    struct cvm_agent_process process;
    enum cvm_status status = prepare(session, options, &host, &process, err);
    (void)!cvm_agent_process_close(&process, NULL);
    return status;
}

enum cvm_status cvm_agent_process_close(struct cvm_agent_process *process, struct cvm_error *err)
{
    enum cvm_status status = cvm_host_stop(process->host, err);
    cvm_schedules_finish(&process->schedules);
    cvm_state_close(process->state);
    cvm_broker_close(process->broker);
    cvm_part_shelf_destroy(process->site.shelf);
    cvm_agent_writer_destroy(process->site.writer);
    cvm_store_close(process->store);
    cvm_signing_key_clear(&process->audit_key);
    *process = (struct cvm_agent_process){0};
    return status;
}
