/* bench_workflow.c - durable workflows of three steps: as many commits as a site makes that works
 * on many at once, and on one at a time, beside what the disk can sync.
 *
 * Everything is there but the broker and the work itself: acceptance, leases, looks, the outbox
 * read and marked by its relay, the inbox, checkpoints. Turns that are ready share a commit. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/paths.h"
#include "storage/lease.h"
#include "workflows/flow.h"

#define AT_ONCE      64 /* workflows that are open at the same time */
#define ALONE        200
#define MESSAGES_MAX 4096
#define SYNC_SECONDS 1.0
#define SYNC_BYTES   4096
#define LEASE_MS     3600000
#define CONSUMER     "bench"

static const char text[] = "workflow: bench\ndescription: Three steps.\nsteps:\n"
                           "  - {id: begin, agent: data, message: CUSTOMER_DATA_REQUEST}\n"
                           "  - {id: values, agent: treatment, message: TREATMENT_REQUEST, "
                           "needs: [begin]}\n"
                           "  - {id: plan, agent: allocation, message: ALLOCATION_REQUEST, "
                           "needs: [begin, values]}\n";

/* What a worker needs of a message. */
struct order {
    char workflow_id[CVM_WORKFLOW_ID_MAX + 1];
    unsigned char message_id[CVM_TURN_MESSAGE_ID_BYTES];
    int64_t step_no;
    int64_t attempt;
    int64_t outbox;
};

struct site {
    struct cvm_bench *bench;
    struct cvm_store *store;
    struct cvm_flow *flow;
    struct cvm_arena *arena; /* of one round */
    const struct cvm_definition *definition;
    int64_t epochs[CVM_FLOW_PARTITIONS];
    struct order *orders; /* sent, not done */
    size_t order_count;
    char (*to_look)[CVM_WORKFLOW_ID_MAX + 1];
    size_t to_look_count;
    int64_t accepted;
    int64_t wanted;
    int64_t at_once;
    int64_t open;
    int64_t *accepted_ns; /* by number of the workflow */
    double *step_ms;
    size_t step_count;
    double *workflow_ms;
    size_t workflow_count;
    int64_t commits;
    int64_t round;
    char prefix[32]; /* of keys: another run in the same store is other work */
};

static int64_t now_ns(const struct site *site)
{
    const struct cvm_clock *clock = &site->bench->session->context.clock;
    return clock->steady_ns(clock->state);
}

/* ---- what a site does ---- */

static enum cvm_status encode(void *state, const struct cvm_flow_message *message,
                              struct cvm_text *out, struct cvm_error *err)
{
    struct order order = {.step_no = message->step_no, .attempt = message->attempt};
    (void)state;
    (void)err;
    (void)snprintf(order.workflow_id, sizeof(order.workflow_id), "%s", message->workflow_id);
    memcpy(order.message_id, message->message_id, sizeof(order.message_id));
    cvm_text_add_bytes(out, &order, sizeof(order));
    cvm_text_add_bytes(out, message->payload, message->payload_length);
    return CVM_OK;
}

static enum cvm_status take_order(void *state, const struct cvm_outbox_message *message,
                                  struct cvm_error *err)
{
    struct site *site = state;
    if (site->order_count == MESSAGES_MAX || message->length < sizeof(struct order)) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "the outbox holds what this bench did not send");
    }
    struct order *order = &site->orders[site->order_count++];
    memcpy(order, message->envelope, sizeof(*order));
    order->outbox = message->outbox;
    return CVM_OK;
}

static enum cvm_status relay(struct site *site, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (int64_t p = 0; status == CVM_OK && p < CVM_FLOW_PARTITIONS; p++) {
        status = cvm_outbox_pending(site->store, p, INT64_MAX, MESSAGES_MAX, take_order, site, err);
    }
    return status;
}

static enum cvm_status accept_one(struct site *site, struct cvm_error *err)
{
    char key[64];
    struct cvm_workflow workflow;
    bool is_new = false;
    (void)snprintf(key, sizeof(key), "%s%lld", site->prefix, (long long)site->accepted);
    const struct cvm_flow_request request = {.definition = site->definition,
                                             .input = "{}",
                                             .idempotency_key = key,
                                             .run_id = key,
                                             .who = "bench"};
    site->accepted_ns[site->accepted] = now_ns(site);
    enum cvm_status status =
        cvm_flow_accept(site->store, site->arena, &request, &workflow, &is_new, err);
    if (status == CVM_OK) {
        (void)snprintf(site->to_look[site->to_look_count++], CVM_WORKFLOW_ID_MAX + 1, "%s",
                       workflow.workflow_id);
        site->accepted++;
        site->open++;
    }
    return status;
}

static enum cvm_status look_at(struct site *site, const char *id, bool *out_has_ended,
                               struct cvm_error *err)
{
    char resource[CVM_FLOW_RESOURCE_SIZE];
    int64_t partition = cvm_flow_partition(id);
    struct cvm_flow_look look = {0};
    struct cvm_turn_transaction turn;
    const struct cvm_turn_key key = {.resource = cvm_flow_resource(partition, resource),
                                     .epoch = site->epochs[partition]};
    enum cvm_status status = cvm_turn_begin(site->store, &key, &turn, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_flow_look(site->flow, id, key.epoch, &look, err);
    if (status == CVM_OK) {
        status = cvm_turn_commit(&turn, err);
    }
    cvm_turn_abandon(&turn);
    *out_has_ended = cvm_workflow_has_ended(look.state);
    return status;
}

static enum cvm_status work_on(struct site *site, const struct order *order, struct cvm_error *err)
{
    struct cvm_turn_key key = {.consumer = CONSUMER};
    struct cvm_turn_transaction turn;
    const struct cvm_step_key step = {.workflow_id = order->workflow_id,
                                      .step_no = order->step_no,
                                      .shard_no = CVM_STEP_SHARD_ONLY,
                                      .attempt = order->attempt};
    const struct cvm_step_result result = {.worker = "bench", .output = "{\"block\":1}"};
    memcpy(key.message_id, order->message_id, sizeof(key.message_id));
    enum cvm_status status = cvm_turn_begin(site->store, &key, &turn, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_outbox_sent(site->store, &order->outbox, 1, err);
    if (status == CVM_OK) {
        status = cvm_step_done(site->store, &step, &result, err);
    }
    if (status == CVM_OK) {
        status = cvm_turn_commit(&turn, err);
    }
    cvm_turn_abandon(&turn);
    return status;
}

/* ---- a round: all that is ready, in one commit ---- */

static int64_t number_of(const struct site *site, const char *run_id)
{
    return strtoll(run_id + strlen(site->prefix), NULL, 10);
}

static enum cvm_status note_end(struct site *site, const char *id, struct cvm_error *err)
{
    struct cvm_workflow workflow;
    enum cvm_status status = cvm_workflow_lock(site->store, site->arena, id, &workflow, err);
    if (status == CVM_OK && workflow.state != CVM_WORKFLOW_COMPLETED) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "a workflow of the bench is %s",
                        cvm_workflow_state_name(workflow.state));
    }
    if (status == CVM_OK) {
        int64_t since_ns = site->accepted_ns[number_of(site, workflow.run_id)];
        site->workflow_ms[site->workflow_count++] = (double)(now_ns(site) - since_ns) / 1e6;
        site->open--;
    }
    return status;
}

static enum cvm_status do_looks(struct site *site, struct cvm_error *err)
{
    size_t count = site->to_look_count;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        bool has_ended = false;
        status = look_at(site, site->to_look[i], &has_ended, err);
        if (status == CVM_OK && has_ended) {
            status = note_end(site, site->to_look[i], err);
        }
    }
    site->to_look_count = 0;
    return status;
}

static enum cvm_status do_work(struct site *site, int64_t started_ns[MESSAGES_MAX],
                               struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < site->order_count; i++) {
        started_ns[i] = now_ns(site);
        status = work_on(site, &site->orders[i], err);
        if (status == CVM_OK) {
            memcpy(site->to_look[site->to_look_count++], site->orders[i].workflow_id,
                   CVM_WORKFLOW_ID_MAX + 1);
        }
    }
    return status;
}

/* A step is durable when the commit that holds it has returned. */
static enum cvm_status play_round(struct site *site, int64_t *started_ns, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(site->store);
    size_t done = site->order_count;
    cvm_arena_reset(site->arena);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = do_looks(site, err);
    }
    if (status == CVM_OK) {
        status = do_work(site, started_ns, err);
    }
    while (status == CVM_OK && site->open < site->at_once && site->accepted < site->wanted) {
        status = accept_one(site, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    int64_t end_ns = now_ns(site);
    for (size_t i = 0; status == CVM_OK && i < done; i++) {
        site->step_ms[site->step_count++] = (double)(end_ns - started_ns[i]) / 1e6;
    }
    site->commits++;
    site->order_count = 0;
    return status == CVM_OK ? relay(site, err) : status;
}

static enum cvm_status play(struct site *site, int64_t workflows, int64_t at_once,
                            double *out_seconds, struct cvm_error *err)
{
    int64_t *started_ns = malloc(MESSAGES_MAX * sizeof(*started_ns));
    enum cvm_status status =
        started_ns == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench") : CVM_OK;
    int64_t start_ns = now_ns(site);
    site->accepted = 0;
    site->open = 0;
    site->wanted = workflows;
    site->at_once = at_once;
    site->step_count = 0;
    site->workflow_count = 0;
    site->commits = 0;
    (void)snprintf(site->prefix, sizeof(site->prefix), "bench-%llx-%lld-",
                   (unsigned long long)start_ns, (long long)site->round++);
    while (status == CVM_OK && (site->accepted < workflows || site->open > 0)) {
        status = play_round(site, started_ns, err);
    }
    *out_seconds = (double)(now_ns(site) - start_ns) / 1e9;
    free(started_ns);
    return status;
}

/* ---- the disk ---- */

/* Appended pages that are synced one by one, in the folder of the store. */
static enum cvm_status sync_rate(struct site *site, double *out_rate, struct cvm_error *err)
{
    static const char page[SYNC_BYTES];
    const char *folder = NULL;
    const char *path = NULL;
    struct cvm_session *session = site->bench->session;
    enum cvm_status status =
        cvm_store_folder(session->arena, session->config.store_url, &folder, err);
    if (status == CVM_OK) {
        status = cvm_path_join(session->arena, folder, "cvm-bench-sync", &path, err);
    }
    int file = status == CVM_OK ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (status == CVM_OK && file < 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write '%s': %s", path, strerror(errno));
    }
    int64_t start_ns = now_ns(site);
    int64_t end_ns = start_ns;
    int64_t count = 0;
    while (status == CVM_OK && (double)(end_ns - start_ns) / 1e9 < SYNC_SECONDS) {
        if (write(file, page, sizeof(page)) != (ssize_t)sizeof(page) || fdatasync(file) != 0) {
            status =
                CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot sync '%s': %s", path, strerror(errno));
        }
        count++;
        end_ns = now_ns(site);
    }
    if (file >= 0) {
        (void)close(file);
        (void)unlink(path);
    }
    if (status == CVM_OK) {
        *out_rate = (double)count / ((double)(end_ns - start_ns) / 1e9);
    }
    return status;
}

/* ---- the bench ---- */

static void add_result(struct cvm_bench_sample *sample, const char *name, double value,
                       const char *unit)
{
    if (sample->result_count < CVM_BENCH_RESULTS_MAX) {
        struct cvm_bench_result *result = &sample->results[sample->result_count++];
        (void)snprintf(result->name, sizeof(result->name), "%s", name);
        result->value = value;
        result->unit = unit;
    }
}

static void add_percentiles(struct cvm_bench_sample *sample, const char *name, double *values,
                            size_t count)
{
    char full[48];
    struct cvm_bench_spread spread = cvm_bench_spread_of(values, count); /* sorts them */
    (void)snprintf(full, sizeof(full), "%s_p50", name);
    add_result(sample, full, spread.median, "ms");
    (void)snprintf(full, sizeof(full), "%s_p99", name);
    add_result(sample, full, values[(count - 1) * 99 / 100], "ms");
}

static enum cvm_status measure(struct site *site, struct cvm_bench_sample *sample,
                               struct cvm_error *err)
{
    const char *url = site->bench->session->config.store_url;
    bool has_disk = !cvm_store_is_server(url);
    int64_t alone = site->wanted < ALONE ? site->wanted : ALONE;
    int64_t workflows = site->wanted;
    double before = 0;
    double after = 0;
    double seconds = 0;
    enum cvm_status status = has_disk ? sync_rate(site, &before, err) : CVM_OK;
    if (status == CVM_OK) {
        status = play(site, workflows, AT_ONCE, &seconds, err);
    }
    if (status == CVM_OK) {
        double steps = (double)site->step_count;
        add_result(sample, "workflows", (double)site->workflow_count, "count");
        add_result(sample, "steps_per_second", steps / seconds, "1/s");
        add_result(sample, "workflows_per_second", (double)site->workflow_count / seconds, "1/s");
        add_result(sample, "commits_per_second", (double)site->commits / seconds, "1/s");
        add_result(sample, "steps_per_commit", steps / (double)site->commits, "count");
        add_percentiles(sample, "step", site->step_ms, site->step_count);
        add_percentiles(sample, "workflow", site->workflow_ms, site->workflow_count);
        status = play(site, alone, 1, &seconds, err);
    }
    if (status == CVM_OK) {
        add_result(sample, "alone_steps_per_second", (double)site->step_count / seconds, "1/s");
        add_result(sample, "alone_commits_per_second", (double)site->commits / seconds, "1/s");
        add_percentiles(sample, "alone_step", site->step_ms, site->step_count);
        add_percentiles(sample, "alone_workflow", site->workflow_ms, site->workflow_count);
        status = has_disk ? sync_rate(site, &after, err) : CVM_OK;
    }
    if (status == CVM_OK && has_disk) {
        add_result(sample, "syncs_per_second_before", before, "1/s");
        add_result(sample, "syncs_per_second_after", after, "1/s");
    }
    return status;
}

static enum cvm_status take_leases(struct site *site, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (int64_t p = 0; status == CVM_OK && p < CVM_FLOW_PARTITIONS; p++) {
        char resource[CVM_FLOW_RESOURCE_SIZE];
        const struct cvm_lease_wish wish = {.resource = cvm_flow_resource(p, resource),
                                            .owner = "bench",
                                            .incarnation = now_ns(site),
                                            .ttl_ms = LEASE_MS};
        status = cvm_lease_steal(site->store, &wish, &site->epochs[p], err);
    }
    return status;
}

static enum cvm_status open_site(struct site *site, struct cvm_error *err)
{
    struct cvm_session *session = site->bench->session;
    struct cvm_arena *arena = session->arena;
    size_t count = (size_t)site->wanted;
    struct cvm_store_options store_options = {
        .access = session->is_store_named ? CVM_DB_SHARED : CVM_DB_WRITE,
        .may_create = !session->is_store_named,
        .clock = session->context.clock,
        .lock_wait_ms = 5000,
    };
    site->arena = cvm_arena_create((size_t)64 << 20);
    site->orders = CVM_NEW_ARRAY(arena, MESSAGES_MAX, struct order);
    site->to_look = cvm_arena_alloc(arena, MESSAGES_MAX, sizeof(*site->to_look));
    site->accepted_ns = CVM_NEW_ARRAY(arena, count, int64_t);
    site->step_ms = CVM_NEW_ARRAY(arena, 3 * count, double);
    site->workflow_ms = CVM_NEW_ARRAY(arena, count, double);
    if (site->arena == NULL || site->orders == NULL || site->to_look == NULL ||
        site->accepted_ns == NULL || site->step_ms == NULL || site->workflow_ms == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    enum cvm_status status =
        cvm_definition_read(arena, "bench.yaml", text, strlen(text), &site->definition, err);
    if (status == CVM_OK) {
        status = cvm_store_open(session->config.store_url, &store_options, &site->store, err);
    }
    const struct cvm_flow_options options = {.store = site->store, .encode = encode, .seed = 1};
    if (status == CVM_OK) {
        status = cvm_flow_create(&options, &site->flow, err);
    }
    return status == CVM_OK ? take_leases(site, err) : status;
}

enum cvm_status cvm_bench_workflow(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                   struct cvm_error *err)
{
    struct site site = {.bench = bench, .wanted = bench->customers};
    out_sample->result_count = 0;
    enum cvm_status status = open_site(&site, err);
    if (status == CVM_OK) {
        status = measure(&site, out_sample, err);
    }
    cvm_flow_destroy(site.flow);
    cvm_store_close(site.store);
    cvm_arena_destroy(site.arena);
    return status;
}
