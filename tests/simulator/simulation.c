/* The story: a heap of events, the processes that act in it, and what persons do. */
#include "simulation.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_MS      15000
#define START_MS      (INT64_C(19802) * 86400000 + INT64_C(86280000)) /* two minutes to midnight */
#define HOUR_MS       INT64_C(3600000)
#define ORCHESTRATORS 2

/* ---- chance, time and what is told ---- */

bool sim_chance(struct sim *sim, int percent)
{
    return cvm_random_below(&sim->random, 100) < (uint64_t)percent;
}

int64_t sim_between(struct sim *sim, int64_t low, int64_t high)
{
    return low + (int64_t)cvm_random_below(&sim->random, (uint64_t)(high - low) + 1);
}

int64_t sim_store_ms(const struct sim *sim)
{
    return sim->now_ms + sim->store_skew_ms;
}

void sim_note(struct sim *sim, const char *format, ...)
{
    char *line = sim->tail[sim->line_count++ % SIM_TAIL];
    int64_t ms = sim->now_ms - sim->start_ms;
    int length = snprintf(line, SIM_LINE, "%6" PRId64 ".%03" PRId64 " %*s", ms / 1000, ms % 1000,
                          (int)sim->sleepers * 2, "");
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + length, (size_t)(SIM_LINE - length), format, args);
    va_end(args);
    sim->trace = cvm_hash_seeded(line, strlen(line), sim->trace);
}

void sim_break(struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (sim->breach[0] == '\0') { /* the first tells most */
        (void)vsnprintf(sim->breach, sizeof(sim->breach), format, args);
    }
    va_end(args);
}

/* ---- events ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_plan(struct sim *sim, int64_t at_ms, enum sim_event_type type, size_t subject)
{
    if (sim->event_count == sim->event_room) {
        sim->event_room = sim->event_room * 2 + 64;
        sim->events = realloc(sim->events, sim->event_room * sizeof(*sim->events));
        if (sim->events == NULL) {
            abort();
        }
    }
    size_t i = sim->event_count++;
    struct sim_event event = {at_ms, sim->event_order++, type, subject};
    for (; i > 0 && is_before(&event, &sim->events[(i - 1) / 2]); i = (i - 1) / 2) {
        sim->events[i] = sim->events[(i - 1) / 2];
    }
    sim->events[i] = event;
}

static struct sim_event take_event(struct sim *sim)
{
    struct sim_event first = sim->events[0];
    struct sim_event last = sim->events[--sim->event_count];
    size_t i = 0;
    for (size_t child = 1; child < sim->event_count; child = 2 * i + 1) {
        bool is_right =
            child + 1 < sim->event_count && is_before(&sim->events[child + 1], &sim->events[child]);
        child += is_right;
        if (!is_before(&sim->events[child], &last)) {
            break;
        }
        sim->events[i] = sim->events[child];
        i = child;
    }
    sim->events[i] = last;
    return first;
}

/* ---- processes ---- */

static int64_t wall_ms(void *state)
{
    const struct sim_process *process = state;
    return process->sim->now_ms + process->skew_ms;
}

static int64_t steady_ns(void *state)
{
    return ((const struct sim_process *)state)->sim->now_ms * 1000000;
}

static int64_t store_clock_ms(void *state)
{
    return sim_store_ms(state);
}

static int64_t store_steady_ns(void *state)
{
    return ((const struct sim *)state)->now_ms * 1000000;
}

const char *sim_fault_name(enum sim_fault fault)
{
    static const char *const names[SIM_FAULTS] = {
        [SIM_FAULT_NONE] = "nothing",
        [SIM_FAULT_CALL] = "a call of the store fails",
        [SIM_FAULT_DIE] = "it dies at a call of the store",
        [SIM_FAULT_COMMIT_LOST] = "a commit fails",
        [SIM_FAULT_COMMIT_KEPT] = "the reply of a commit is lost",
        [SIM_FAULT_COMMIT_LAST] = "it dies after a commit",
        [SIM_FAULT_SLEEP] = "it stands still",
        [SIM_FAULT_DIE_AT_END] = "it dies before its acknowledgement",
        [SIM_FAULT_DIE_SENDING] = "it dies when it has sent",
        [SIM_FAULT_SLEEP_SENDING] = "it stands still when it has sent",
    };
    return names[fault];
}

static enum db_fate choose_fate(void *state, enum db_call call, bool in_transaction)
{
    struct sim_process *process = state;
    enum sim_fault fault = process->fault;
    if (process->is_dead) {
        return DB_FAILS;
    }
    bool is_of_commit = fault == SIM_FAULT_COMMIT_LOST || fault == SIM_FAULT_COMMIT_KEPT ||
                        fault == SIM_FAULT_COMMIT_LAST;
    bool is_of_call = fault == SIM_FAULT_CALL || fault == SIM_FAULT_DIE;
    bool is_one = is_of_call || (is_of_commit && call == DB_CALL_COMMIT) ||
                  (fault == SIM_FAULT_SLEEP && call == DB_CALL_BEGIN) ||
                  (fault == SIM_FAULT_SLEEP && !in_transaction && !process->orchestrates);
    if (!is_one || --process->calls_left > 0) {
        return DB_PASSES;
    }
    process->fault = SIM_FAULT_NONE;
    process->is_dead = fault == SIM_FAULT_DIE || fault == SIM_FAULT_COMMIT_LAST;
    sim_note(process->sim, "%s: %s", process->name, sim_fault_name(fault));
    if (fault == SIM_FAULT_SLEEP) {
        sim_sleep(process, process->sleep_ms);
        return DB_PASSES;
    }
    bool is_kept = fault == SIM_FAULT_COMMIT_KEPT || fault == SIM_FAULT_COMMIT_LAST;
    return is_kept ? DB_FAILS_KEPT : DB_FAILS;
}

/* Is there anything for an orchestrator to do? A fault is worth most there. */
static bool has_work(struct sim *sim)
{
    return sim_number(sim, "SELECT count(*) FROM step WHERE is_news = 1", NULL) > 0;
}

void sim_begin_turn(struct sim_process *process)
{
    struct sim *sim = process->sim;
    bool orchestrates = process->orchestrates;
    process->is_busy = true;
    process->fault = SIM_FAULT_NONE;
    if (sim->options.is_clean || sim->is_calm) {
        return;
    }
    bool is_at_work = orchestrates && has_work(sim);
    if (!sim_chance(sim, orchestrates && !is_at_work ? 10 : 30)) {
        return;
    }
    process->fault = (enum sim_fault)sim_between(sim, 1, SIM_FAULTS - 1);
    process->sleep_ms = sim_between(sim, 100, 3 * LEASE_MS);
    bool is_of_commit =
        process->fault >= SIM_FAULT_COMMIT_LOST && process->fault <= SIM_FAULT_COMMIT_LAST;
    int64_t rare = process->fault == SIM_FAULT_SLEEP || is_of_commit ? 3 : 60;
    process->calls_left =
        orchestrates ? sim_between(sim, 1, rare) : sim_between(sim, 1, is_of_commit ? 2 : 12);
    sim->counts.faults[process->fault]++;
}

bool sim_end_turn(struct sim_process *process)
{
    struct sim *sim = process->sim;
    process->is_busy = false;
    process->is_dead |= process->fault == SIM_FAULT_DIE_AT_END;
    process->fault = SIM_FAULT_NONE;
    if (process->is_dead) {
        sim_plan(sim, sim->now_ms + sim_between(sim, 500, 20000), SIM_RESTART,
                 (size_t)(process - sim->processes));
    }
    return process->is_dead;
}

static void stop_process(struct sim_process *process)
{
    cvm_runner_destroy(process->runner);
    cvm_orchestrator_destroy(process->orchestrator);
    process->runner = NULL;
    process->orchestrator = NULL;
}

static void start_process(struct sim_process *process)
{
    struct sim *sim = process->sim;
    struct cvm_error err = {0};
    enum cvm_status status = CVM_OK;
    process->incarnation++;
    uint64_t seed = cvm_hash_mix(sim->options.seed, (uint64_t)process->incarnation);
    if (process->kind != NULL) {
        struct cvm_runner_options options = {
            .site = &process->site,
            .kind = process->kind,
            .context = &process->context,
            .name = process->name,
            .incarnation = process->incarnation,
            .seed = seed,
        };
        status = cvm_runner_create(&options, &process->runner, &err);
    } else if (process->orchestrates) {
        struct cvm_orchestrator_options options = {
            .site = &process->site,
            .context = &process->context,
            .name = process->name,
            .incarnation = process->incarnation,
            .lease_ms = LEASE_MS,
            .seed = seed,
            .loses_messages = sim->options.seed % 3 == 0,
        };
        status = cvm_orchestrator_create(&options, &process->orchestrator, &err);
        process->look_at_ms = sim->now_ms + sim_between(sim, 1, 1000);
        sim_plan(sim, process->look_at_ms, SIM_LOOK, (size_t)(process - sim->processes));
    }
    if (status != CVM_OK) {
        sim_break(sim, "%s can not start: %s", process->name, err.message);
    }
}

static void add_process(struct sim *sim, const struct cvm_agent_kind *kind, const char *what,
                        bool orchestrates)
{
    struct sim_process *process = &sim->processes[sim->process_count];
    struct cvm_error err = {0};
    *process = (struct sim_process){.sim = sim, .kind = kind, .orchestrates = orchestrates};
    (void)snprintf(process->name, sizeof(process->name), "%s-%zu", what, sim->process_count++);
    process->context.clock = (struct cvm_clock){wall_ms, steady_ns, process};
    process->view = *sim->store;
    process->view.clock = (struct cvm_clock){store_clock_ms, store_steady_ns, sim};
    process->faults = (struct db_faults){
        .loses_transaction = true, .choose = choose_fate, .choose_state = process};
    db_faulty_wrap(&process->view, false, &process->faults);
    process->writer = cvm_agent_writer_create(&process->view);
    process->site = (struct cvm_agent_site){
        .store_url = sim->options.store_url,
        .writer = process->writer,
        .zone = sim->options.zone,
        .threads = 1,
        .chunk_size = 8,
        .version = "simulated",
    };
    if (process->writer == NULL ||
        cvm_broker_link_open(sim->broker, &process->link, &err) != CVM_OK) {
        sim_break(sim, "no process: %s", err.message);
        return;
    }
    start_process(process);
}

static void restart(struct sim *sim, struct sim_process *process)
{
    stop_process(process); /* still dead: it gives nothing back */
    process->is_dead = false;
    start_process(process);
    sim_note(sim, "%s is back", process->name);
}

/* ---- orchestrators ---- */

static void plan_look(struct sim *sim, struct sim_process *process, int64_t at_ms)
{
    process->look_at_ms = at_ms;
    sim_plan(sim, at_ms, SIM_LOOK, (size_t)(process - sim->processes));
}

/* Somebody has news; whoever hears of it looks sooner. */
void sim_hint(struct sim *sim)
{
    struct sim_process *process = &sim->processes[sim_between(sim, 0, ORCHESTRATORS - 1)];
    bool is_lost = !sim->options.is_clean && sim_chance(sim, 20);
    if (!is_lost && !process->is_busy && !process->is_dead &&
        process->look_at_ms > sim->now_ms + 5) {
        plan_look(sim, process, sim->now_ms + 5);
    }
}

static void look(struct sim *sim, struct sim_process *process)
{
    struct cvm_orchestrator_look seen = {0};
    struct cvm_error err = {0};
    if (process->is_dead || process->is_busy || process->look_at_ms != sim->now_ms) {
        return;
    }
    sim_begin_turn(process);
    enum cvm_status status =
        cvm_orchestrator_look(process->orchestrator, process->link, &seen, &err);
    bool has_died = sim_end_turn(process);
    if (seen.looked + seen.sent + seen.unsent > 0 || status != CVM_OK || has_died) {
        sim_note(sim, "%s looked at %zu, sent %zu of %zu: %s%s", process->name, seen.looked,
                 seen.sent, seen.sent + seen.unsent, status == CVM_OK ? "ok" : err.message,
                 has_died ? ", and it died" : "");
    }
    if (has_died) {
        return;
    }
    if (status != CVM_OK && status != CVM_E_UNAVAILABLE && status != CVM_E_TIMEOUT) {
        sim_break(sim, "%s had to stop: %s", process->name, err.message);
    }
    int64_t wait_ms = seen.wake_ms == 0 ? LEASE_MS / 3 : seen.wake_ms - sim_store_ms(sim);
    wait_ms = wait_ms > LEASE_MS / 3 ? LEASE_MS / 3 : wait_ms < 20 ? 20 : wait_ms;
    plan_look(sim, process, sim->now_ms + (status == CVM_OK ? wait_ms : 500));
}

/* ---- persons ---- */

static struct sim_process *person_of(struct sim *sim)
{
    return &sim->processes[sim->process_count - 1];
}

static enum cvm_status accept_in(struct sim *sim, struct sim_workflow *workflow, const char *input,
                                 struct cvm_workflow *out_workflow, bool *out_is_new,
                                 struct cvm_error *err)
{
    struct cvm_store *store = &person_of(sim)->view;
    struct cvm_flow_request request = {
        .definition = workflow->definition,
        .input = input,
        .idempotency_key = workflow->key,
        .who = "somebody",
    };
    enum cvm_status status = cvm_db_begin(cvm_store_db(store), err);
    if (status == CVM_OK) {
        status = cvm_flow_accept(store, sim->arena, &request, out_workflow, out_is_new, err);
    }
    status = status == CVM_OK ? cvm_db_commit(cvm_store_db(store), err) : status;
    cvm_db_rollback(cvm_store_db(store));
    return status;
}

static void accept(struct sim *sim, size_t number)
{
    struct sim_workflow *workflow = &sim->workflows[number];
    struct sim_process *person = person_of(sim);
    struct cvm_workflow accepted;
    struct cvm_error err = {0};
    bool is_new = false;
    bool is_known = workflow->id[0] != '\0';
    bool is_other = is_known && workflow->parts > 0 && sim_chance(sim, 20);
    if (person->is_dead || person->is_busy) {
        sim_plan(sim, sim->now_ms + 700, SIM_ACCEPT, number);
        return;
    }
    sim_begin_turn(person);
    enum cvm_status status =
        accept_in(sim, workflow, is_other ? "{\"request\":{\"parts\":99}}" : workflow->input,
                  &accepted, &is_new, &err);
    (void)sim_end_turn(person);
    sim_note(sim, "somebody asks for '%s'%s: %s", workflow->key, is_other ? " otherwise" : "",
             status == CVM_OK ? accepted.workflow_id : err.message);
    if (status == CVM_E_UNAVAILABLE) {
        sim_plan(sim, sim->now_ms + sim_between(sim, 100, 2000), SIM_ACCEPT, number);
    } else if (is_other ? status != CVM_E_CONFLICT : status != CVM_OK) {
        sim_break(sim, "accepting '%s': %s", workflow->key,
                  status == CVM_OK ? "a key was taken for another input" : err.message);
    } else if (status == CVM_OK && is_known &&
               (is_new || strcmp(workflow->id, accepted.workflow_id) != 0)) {
        sim_break(sim, "'%s' was accepted twice", workflow->key);
    } else if (status == CVM_OK) {
        (void)snprintf(workflow->id, sizeof(workflow->id), "%s", accepted.workflow_id);
    }
    cvm_arena_reset(sim->arena);
}

static enum cvm_status order_in(struct sim *sim, const char *workflow_id,
                                enum cvm_workflow_event event, struct cvm_error *err)
{
    struct cvm_store *store = &person_of(sim)->view;
    enum cvm_workflow_state state = CVM_WORKFLOW_ACCEPTED;
    enum cvm_status status = cvm_db_begin(cvm_store_db(store), err);
    if (status == CVM_OK) {
        status = cvm_flow_order(store, sim->arena, workflow_id, event, &state, err);
    }
    status = status == CVM_OK ? cvm_db_commit(cvm_store_db(store), err) : status;
    cvm_db_rollback(cvm_store_db(store));
    return status;
}

/* Anything while the story goes on; at its end what is paused goes on. */
static void order(struct sim *sim, size_t number)
{
    struct sim_workflow *workflow = &sim->workflows[number];
    struct sim_process *person = person_of(sim);
    struct cvm_error err = {0};
    int64_t choice = sim->is_calm ? 0 : sim_between(sim, 0, 9);
    enum cvm_workflow_event event = choice < 4   ? CVM_WORKFLOW_RESUME
                                    : choice < 8 ? CVM_WORKFLOW_PAUSE
                                                 : CVM_WORKFLOW_CANCEL;
    if (person->is_dead || person->is_busy || workflow->id[0] == '\0') {
        sim_plan(sim, sim->now_ms + 700, SIM_ORDER, number);
        return;
    }
    if (sim->is_calm && workflow->state != CVM_WORKFLOW_PAUSED) {
        return;
    }
    sim_begin_turn(person);
    workflow->was_reopened = event == CVM_WORKFLOW_RESUME;
    enum cvm_status status = order_in(sim, workflow->id, event, &err);
    (void)sim_end_turn(person);
    sim_note(sim, "somebody orders %d of '%s': %s", (int)event, workflow->key,
             status == CVM_OK ? "ok" : err.message);
    if (status == CVM_E_UNAVAILABLE) {
        sim_plan(sim, sim->now_ms + 700, SIM_ORDER, number);
    } else if (status != CVM_OK && status != CVM_E_CONFLICT) {
        sim_break(sim, "an order: %s", err.message);
    }
    cvm_arena_reset(sim->arena);
}

/* ---- the story ---- */

static void jump(struct sim *sim)
{
    int64_t by_ms = sim_chance(sim, 50)   ? sim_between(sim, -HOUR_MS, HOUR_MS)
                    : sim_chance(sim, 50) ? HOUR_MS
                                          : -HOUR_MS;
    sim->jumps++;
    if (sim_chance(sim, 30)) {
        sim->store_skew_ms = by_ms;
        sim_note(sim, "the store's clock is off by %" PRId64 " ms", by_ms);
        return;
    }
    struct sim_process *process =
        &sim->processes[sim_between(sim, 0, (int64_t)sim->process_count - 1)];
    process->skew_ms = by_ms;
    sim_note(sim, "the clock of %s is off by %" PRId64 " ms", process->name, by_ms);
}

static void calm_down(struct sim *sim)
{
    sim->is_calm = true;
    sim->jumps++;
    sim->store_skew_ms = 0;
    sim_note(sim, "from now on nothing goes wrong");
    for (size_t i = 0; i < sim->process_count; i++) {
        sim->processes[i].skew_ms = 0;
        sim->processes[i].fault = SIM_FAULT_NONE;
    }
    for (size_t i = 0; i < sim->workflow_count; i++) {
        sim_plan(sim, sim->now_ms + 1, SIM_ORDER, i);
    }
}

static void happen(struct sim *sim, const struct sim_event *event)
{
    sim->counts.events++;
    switch (event->type) {
    case SIM_DELIVER:
        sim_deliver(sim, event->subject);
        break;
    case SIM_LOOK:
        look(sim, &sim->processes[event->subject]);
        break;
    case SIM_RESTART:
        restart(sim, &sim->processes[event->subject]);
        break;
    case SIM_ACCEPT:
        accept(sim, event->subject);
        break;
    case SIM_ORDER:
        order(sim, event->subject);
        break;
    case SIM_JUMP:
        jump(sim);
        break;
    case SIM_FORGE:
        sim_forge(sim);
        break;
    }
}

/* False when the next event is later, or something did not hold. */
static bool step(struct sim *sim, int64_t until_ms)
{
    if (sim->breach[0] != '\0' || sim->event_count == 0 || sim->events[0].at_ms > until_ms) {
        return false;
    }
    struct sim_event event = take_event(sim);
    sim->now_ms = event.at_ms > sim->now_ms ? event.at_ms : sim->now_ms;
    if (!sim->is_calm && !sim->options.is_clean && sim->now_ms >= sim->start_ms + SIM_STORY_MS) {
        calm_down(sim);
    }
    happen(sim, &event);
    if (sim->breach[0] == '\0') {
        sim_check(sim);
    }
    return true;
}

void sim_sleep(struct sim_process *process, int64_t ms)
{
    struct sim *sim = process->sim;
    int64_t until_ms = sim->now_ms + ms;
    if (sim->sleepers >= SIM_SLEEPERS_MAX || sim->breach[0] != '\0') {
        return;
    }
    sim_check(sim);
    sim_note(sim, "%s sleeps for %" PRId64 " ms", process->name, ms);
    sim->sleepers++;
    while (step(sim, until_ms)) {
    }
    sim->sleepers--;
    sim->now_ms = until_ms > sim->now_ms ? until_ms : sim->now_ms;
    sim_note(sim, "%s wakes", process->name);
}

static bool is_over(struct sim *sim)
{
    for (size_t i = 0; i < sim->workflow_count; i++) {
        if (sim->workflows[i].id[0] == '\0' || !cvm_workflow_has_ended(sim->workflows[i].state)) {
            return false;
        }
    }
    return (sim->is_calm || sim->options.is_clean) && sim_network_is_empty(sim) &&
           sim_number(sim, "SELECT count(*) FROM outbox WHERE sent_at IS NULL", NULL) == 0;
}

bool sim_tell(struct sim *sim)
{
    int64_t until_ms = sim->start_ms + SIM_STORY_MS + SIM_PATIENCE_MS;
    bool goes_on = true;
    while (goes_on && !is_over(sim)) {
        goes_on = step(sim, until_ms);
    }
    if (sim->breach[0] == '\0' && !is_over(sim)) {
        sim_break(sim, "not all has come to its end");
    }
    if (sim->breach[0] == '\0') {
        sim_check_end(sim);
    }
    return sim->breach[0] == '\0';
}

static void plan_story(struct sim *sim)
{
    int64_t latest_ms = SIM_STORY_MS - 10000;
    for (size_t i = 0; i < sim->workflow_count; i++) {
        sim_plan(sim, sim->now_ms + sim_between(sim, 1, 20000), SIM_ACCEPT, i);
        for (int more = 0; !sim->options.is_clean && more < 2; more++) {
            sim_plan(sim, sim->now_ms + sim_between(sim, 1, latest_ms), SIM_ACCEPT, i);
        }
    }
    if (sim->options.is_clean) {
        return;
    }
    for (int64_t i = sim_chance(sim, 40) ? sim_between(sim, 1, 5) : 0; i > 0; i--) {
        sim_plan(sim, sim->now_ms + sim_between(sim, 1, latest_ms), SIM_ORDER,
                 (size_t)sim_between(sim, 0, (int64_t)sim->workflow_count - 1));
    }
    for (int64_t i = sim_chance(sim, 40) ? sim_between(sim, 1, 4) : 0; i > 0; i--) {
        sim_plan(sim, sim->now_ms + sim_between(sim, 1, latest_ms), SIM_JUMP, 0);
    }
    for (int64_t i = sim_between(sim, 0, 4); i > 0; i--) {
        sim_plan(sim, sim->now_ms + sim_between(sim, 1, latest_ms), SIM_FORGE, 0);
    }
}

/* The same of a seed, whether anything goes wrong or not. */
static void choose_workflows(struct sim *sim)
{
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(sim->options.seed, 1));
    sim->workflow_count =
        sim->options.is_planned_by_agents ? 2 : 1 + cvm_random_below(&random, SIM_WORKFLOWS_MAX);
    for (size_t i = 0; i < sim->workflow_count; i++) {
        struct sim_workflow *workflow = &sim->workflows[i];
        bool is_batch =
            i == 0 || (!sim->options.is_planned_by_agents && cvm_random_below(&random, 2) == 0);
        workflow->definition = is_batch ? sim->options.batch : sim->options.selection;
        workflow->parts = is_batch ? 1 + (int64_t)cvm_random_below(&random, 5) : 0;
        workflow->killer = (size_t)cvm_random_below(&random, 60); /* most have not so many steps */
        (void)snprintf(workflow->key, sizeof(workflow->key), "work %zu", i);
        if (!is_batch) {
            (void)snprintf(workflow->input, sizeof(workflow->input),
                           "{\"customer_id\":\"%s\",\"as_of\":\"2024-03-20\"}",
                           sim->options.customer_id);
        } else if (sim->options.is_planned_by_agents) {
            (void)snprintf(
                workflow->input, sizeof(workflow->input),
                "{\"request\":{\"as_of\":\"2024-03-20\",\"replace\":false,\"release\":"
                "true,\"seed\":1,\"realtime_share\":0,\"keep_runs\":3,\"who\":\"test\"}}");
        } else {
            (void)snprintf(workflow->input, sizeof(workflow->input),
                           "{\"request\":{\"parts\":%" PRId64 ",\"budget\":%d}}", workflow->parts,
                           (int)cvm_random_below(&random, 90));
        }
    }
}

static void add_processes(struct sim *sim)
{
    static const size_t workers[] = {1, 1, 2, 2};
    for (int i = 0; i < ORCHESTRATORS; i++) {
        add_process(sim, NULL, "orchestrator", true);
    }
    for (size_t k = 0; sim_cheap_kinds[k] != NULL; k++) {
        const char *name = sim_cheap_kinds[k]->name;
        const struct cvm_agent_kind *kind =
            sim->options.is_planned_by_agents ? cvm_agent_kind_find(name) : sim_cheap_kinds[k];
        for (size_t w = 0; w < workers[k]; w++) {
            add_process(sim, kind, name, false);
        }
    }
    add_process(sim, NULL, "person", false);
}

struct sim *sim_create(const struct sim_options *options)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    struct cvm_error err = {0};
    if (sim == NULL) {
        abort();
    }
    sim->options = *options;
    sim->start_ms = sim->now_ms = START_MS;
    sim->store = options->store;
    sim->arena = cvm_arena_create((size_t)64 << 20);
    cvm_random_init(&sim->random, options->seed);
    struct cvm_store_options store = {
        .access = CVM_DB_WRITE,
        .may_create = true,
        .clock = {store_clock_ms, store_steady_ns, sim},
    };
    if (sim->store == NULL &&
        cvm_store_open("sqlite::memory:", &store, &sim->store, &err) != CVM_OK) {
        sim_break(sim, "no store: %s", err.message);
        return sim;
    }
    if (!options->is_planned_by_agents) {
        sim_cheap_tables(sim);
    }
    sim_network_init(sim);
    choose_workflows(sim);
    add_processes(sim);
    plan_story(sim);
    return sim;
}

void sim_destroy(struct sim *sim)
{
    for (size_t i = 0; i < sim->process_count; i++) {
        struct sim_process *process = &sim->processes[i];
        stop_process(process);
        cvm_broker_link_close(process->link);
        cvm_agent_writer_destroy(process->writer);
        db_faulty_unwrap(&process->view);
    }
    cvm_broker_close(sim->broker);
    for (size_t i = 0; i < sim->message_count; i++) {
        free(sim->messages[i].bytes);
    }
    if (sim->options.store == NULL) {
        cvm_store_close(sim->store);
    }
    cvm_arena_destroy(sim->arena);
    free(sim->messages);
    free(sim->events);
    free(sim);
}
