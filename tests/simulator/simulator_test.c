/* Many stories, each from a seed: agents, orchestrators, messages and a store, and what goes wrong.
 *
 *     simulator_test [--seeds COUNT] [--from SEED] [--story] [--twice]
 *
 * A seed that fails says what did not hold, the events before it, and how to tell it again. With
 * --story the last events of each seed are shown anyway; with --twice each is told two times and
 * must be the same story.
 */
#include "engine/run_base.h"

#include <getopt.h>
#include <inttypes.h>
#include <time.h>

#include "base/file.h"
#include "simulation.h"

#define REAL_EVERY 50 /* each so many seeds the agents are the real ones */
#define REAL_BASE  20 /* customers */
#define TEXT_MAX   (1 << 16)

struct telling {
    const struct cvm_definition *batch;
    const struct cvm_definition *selection;
    struct cvm_zone *zone;
    char customer_id[CVM_WORLD_ID_SIZE];
    struct sim_counts counts;
    double virtual_s;
    bool shows_story;
    bool tells_twice;
    uint64_t plan; /* digest, of the real agents' base in one go; 0 = not made yet */
    const char *program;
};

/* Steps that time out after hours make long stories without anything in them. */
static char *shorten(struct cvm_arena *arena, const char *text)
{
    static const char *const spans[][2] = {{": 12h", ": 30m"}, {": 4h", ": 90s"},
                                           {": 30m", ": 40s"}, {": 10m", ": 20s"},
                                           {": 1m", ": 10m"},  {"cap: 5m", "cap: 9s"}};
    struct cvm_text out;
    cvm_text_init(&out, TEXT_MAX);
    while (*text != '\0') {
        size_t length = 1;
        const char *put = NULL;
        for (size_t i = 0; put == NULL && i < sizeof(spans) / sizeof(spans[0]); i++) {
            if (strncmp(text, spans[i][0], strlen(spans[i][0])) == 0) {
                length = strlen(spans[i][0]);
                put = spans[i][1];
            }
        }
        cvm_text_add_bytes(&out, put == NULL ? text : put, put == NULL ? 1 : strlen(put));
        text += length;
    }
    char *copy = cvm_arena_copy(arena, cvm_text_string(&out), out.length);
    cvm_text_finish(&out);
    return copy;
}

static const struct cvm_definition *shipped(struct cvm_arena *arena, const char *name)
{
    const struct cvm_definition *definition = NULL;
    struct cvm_error err = {0};
    char path[512];
    char file[64];
    char *text = NULL;
    size_t length = 0;
    (void)snprintf(file, sizeof(file), "%s.yaml", name);
    (void)snprintf(path, sizeof(path), "%s/%s", CVM_WORKFLOWS, file);
    must(cvm_file_read(arena, path, TEXT_MAX, &text, &length, &err), &err);
    text = shorten(arena, text);
    must(cvm_definition_read(arena, file, text, strlen(text), &definition, &err), &err);
    return definition;
}

static void show(const struct telling *telling, const struct sim *sim)
{
    uint64_t first = sim->line_count > SIM_TAIL ? sim->line_count - SIM_TAIL : 0;
    for (uint64_t i = first; i < sim->line_count; i++) {
        (void)printf("  %s\n", sim->tail[i % SIM_TAIL]);
    }
    (void)printf("  trace %016" PRIx64 "\nseed %" PRIu64
                 ": %s\n  alone: %s --seeds 1 --from %" PRIu64 "\n",
                 sim->trace, sim->options.seed, sim->breach[0] == '\0' ? "all held" : sim->breach,
                 telling->program, sim->options.seed);
}

static void count_story(struct telling *telling, const struct sim *sim)
{
    struct sim_counts *sum = &telling->counts;
    const struct sim_counts *one = &sim->counts;
    telling->virtual_s += (double)(sim->now_ms - sim->start_ms) / 1000;
    sum->events += one->events;
    sum->dropped += one->dropped;
    sum->duplicated += one->duplicated;
    sum->delayed += one->delayed;
    for (size_t i = 0; i < CVM_TURN_ENDS; i++) {
        sum->turns[i] += one->turns[i];
    }
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        sum->faults[i] += one->faults[i];
    }
    for (size_t i = 0; i < CVM_WORKFLOW_STATES; i++) {
        sum->states[i] += one->states[i];
    }
}

/* The same decisions as without any fault, where they were made. */
static void compare(struct sim *sim, const uint64_t *digests)
{
    for (size_t i = 0; i < sim->workflow_count; i++) {
        struct sim_workflow *workflow = &sim->workflows[i];
        if (workflow->state == CVM_WORKFLOW_COMPLETED && workflow->digest != digests[i]) {
            sim_break(sim, "'%s' was decided otherwise than without faults", workflow->key);
        }
    }
}

static bool tell(struct telling *telling, const struct sim_options *options,
                 const uint64_t *expected, uint64_t *out_digests, uint64_t *out_trace)
{
    struct sim *sim = sim_create(options);
    bool holds = sim->breach[0] == '\0' && sim_tell(sim);
    if (holds && expected != NULL) {
        compare(sim, expected);
        holds = sim->breach[0] == '\0';
    }
    for (size_t i = 0; out_digests != NULL && i < SIM_WORKFLOWS_MAX; i++) {
        out_digests[i] = sim->workflows[i].digest;
    }
    *out_trace = sim->trace;
    if (!holds || (telling->shows_story && !options->is_clean)) {
        show(telling, sim);
    }
    if (!options->is_clean) {
        count_story(telling, sim);
    }
    sim_destroy(sim);
    return holds;
}

static bool tell_seed(struct telling *telling, uint64_t seed)
{
    struct sim_options options = {.seed = seed,
                                  .is_clean = true,
                                  .zone = telling->zone,
                                  .customer_id = telling->customer_id,
                                  .batch = telling->batch,
                                  .selection = telling->selection};
    uint64_t digests[SIM_WORKFLOWS_MAX];
    uint64_t trace = 0;
    uint64_t again = 0;
    bool holds = tell(telling, &options, NULL, digests, &trace);
    options.is_clean = false;
    holds = holds && tell(telling, &options, digests, NULL, &trace);
    if (holds && telling->tells_twice) {
        holds = tell(telling, &options, digests, NULL, &again);
        if (again != trace) {
            (void)printf("seed %" PRIu64 " told twice is not the same story\n", seed);
            holds = false;
        }
    }
    return holds;
}

/* The plan of the run in one go. */
static uint64_t plan_in_one_go(void)
{
    struct base *base = base_create(REAL_BASE, NULL);
    struct cvm_run_request request = ordinary();
    request.seed = 1;
    struct cvm_run_result *whole = run(base, &request, 1, 1024);
    uint64_t digest = cvm_hash(whole->plan_digest, strlen(whole->plan_digest));
    cvm_run_result_destroy(whole);
    base_destroy(base);
    return digest;
}

static bool tell_real(struct telling *telling, uint64_t seed)
{
    telling->plan = telling->plan == 0 ? plan_in_one_go() : telling->plan;
    uint64_t digests[SIM_WORKFLOWS_MAX] = {telling->plan};
    struct base *base = base_create(REAL_BASE, NULL);
    struct sim_options options = {.seed = seed,
                                  .is_planned_by_agents = true,
                                  .store = base->store,
                                  .store_url = base->url,
                                  .zone = telling->zone,
                                  .customer_id = telling->customer_id,
                                  .batch = telling->batch,
                                  .selection = telling->selection};
    uint64_t trace = 0;
    bool holds = tell(telling, &options, digests, NULL, &trace);
    base_destroy(base);
    return holds;
}

static void report(const struct telling *telling, int64_t seeds, int64_t failed, double seconds)
{
    const struct sim_counts *counts = &telling->counts;
    uint64_t faults = 0;
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        faults += counts->faults[i];
    }
    (void)printf("%" PRId64 " seeds, %" PRId64 " failed; %" PRIu64
                 " events in %.1f s, %.0f times as "
                 "fast as time\n",
                 seeds, failed, counts->events, seconds, telling->virtual_s / seconds);
    (void)printf("  faults of processes %" PRIu64 "; messages lost %" PRIu64 ", twice %" PRIu64
                 ", late %" PRIu64 "\n  turns:",
                 faults, counts->dropped, counts->duplicated, counts->delayed);
    for (size_t i = 0; i < CVM_TURN_ENDS; i++) {
        (void)printf(" %s %" PRIu64, cvm_turn_end_name((enum cvm_turn_end)i), counts->turns[i]);
    }
    (void)printf("\n  workflows:");
    for (size_t i = CVM_WORKFLOW_COMPLETED; i < CVM_WORKFLOW_STATES; i++) {
        (void)printf(" %s %" PRIu64, cvm_workflow_state_name((enum cvm_workflow_state)i),
                     counts->states[i]);
    }
    (void)printf("\n");
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"seeds", required_argument, NULL, 's'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"story", no_argument, NULL, 'v'},
                                          {"twice", no_argument, NULL, 't'},
                                          {0}};
    struct telling telling = {.program = argv[0]};
    int64_t seeds = 200;
    uint64_t from = 1;
    int64_t failed = 0;
    struct cvm_error err = {0};
    for (int c = 0; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        seeds = c == 's' ? strtoll(optarg, NULL, 10) : seeds;
        from = c == 'f' ? strtoull(optarg, NULL, 10) : from;
        telling.shows_story |= c == 'v';
        telling.tells_twice |= c == 't';
        if (c == '?') {
            return 2;
        }
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a long run shows what it has found */
    struct cvm_arena *arena = cvm_arena_create((size_t)4 << 20);
    telling.batch = shipped(arena, "batch");
    telling.selection = shipped(arena, "treatment_selection");
    cvm_world_customer_id(3, telling.customer_id);
    must(cvm_zone_open("UTC", &telling.zone, &err), &err);
    double start = now_s();
    for (int64_t i = 0; i < seeds; i++) {
        uint64_t seed = from + (uint64_t)i;
        failed += seed % REAL_EVERY == 0 ? !tell_real(&telling, seed) : !tell_seed(&telling, seed);
    }
    report(&telling, seeds, failed, now_s() - start);
    cvm_zone_close(telling.zone);
    cvm_arena_destroy(arena);
    bool is_idle = seeds >= 100 && telling.counts.states[CVM_WORKFLOW_COMPLETED] < (uint64_t)seeds;
    if (is_idle) {
        (void)printf("too few workflows were completed to say anything\n");
    }
    return failed == 0 && !is_idle ? 0 : 1;
}
