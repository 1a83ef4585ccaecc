#include "workflows/figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define KINDS_MAX 64
#define FINE      32 /* buckets an octave */
#define FINE_BITS 5
#define KIND_SIZE 64
#define UNKNOWN   "unknown"
#define FILE_SIZE 100

/* ---- how long ---- */

static size_t bucket_of(int64_t ms)
{
    size_t last = CVM_SPAN_BUCKETS - 1;
    if (ms < 2 * FINE) {
        return ms < 0 ? 0 : (size_t)ms;
    }
    int shift = 63 - __builtin_clzll((unsigned long long)ms) - FINE_BITS;
    size_t bucket = (size_t)shift * FINE + (size_t)(ms >> shift);
    return bucket < last ? bucket : last;
}

/* Its middle. */
static double ms_of(size_t bucket)
{
    if (bucket < (size_t)2 * FINE) {
        return (double)bucket;
    }
    size_t shift = bucket / FINE - 1;
    return ldexp((double)(bucket - shift * FINE) + 0.5, (int)shift);
}

void cvm_spans_add(struct cvm_spans *spans, int64_t ms)
{
    spans->count++;
    spans->buckets[bucket_of(ms)]++;
}

double cvm_spans_quantile(const struct cvm_spans *spans, double share)
{
    double wanted = ceil(share * (double)spans->count);
    uint64_t seen = 0;
    for (size_t b = 0; b < CVM_SPAN_BUCKETS; b++) {
        seen += spans->buckets[b];
        if (seen > 0 && (double)seen >= wanted) {
            return ms_of(b) / 1000;
        }
    }
    return NAN;
}

/* ---- steps, by where they stand ---- */

/* A step of a definition: what agent it is of is looked up when all rows have been read. */
struct place {
    struct cvm_figure_definition of;
    int64_t step_no;
    struct cvm_kind_figures figures;
    struct place *next;
};

struct reading {
    struct cvm_arena *arena;
    struct place *places;
    struct cvm_kind_figures *kinds[KINDS_MAX];
    size_t kind_count;
};

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the figures of agents");
}

static enum cvm_status find_place(struct reading *reading, const struct cvm_figure_definition *of,
                                  int64_t step_no, struct place **out_place, struct cvm_error *err)
{
    for (struct place *p = reading->places; p != NULL; p = p->next) {
        if (p->step_no == step_no && strcmp(p->of.digest, of->digest) == 0) {
            *out_place = p;
            return CVM_OK;
        }
    }
    struct place *place = CVM_NEW(reading->arena, struct place);
    if (place == NULL) {
        return fail_memory(err);
    }
    place->of.digest = cvm_arena_string(reading->arena, of->digest);
    place->of.workflow = cvm_arena_string(reading->arena, of->workflow);
    place->step_no = step_no;
    place->next = reading->places;
    reading->places = place;
    *out_place = place;
    return place->of.digest == NULL || place->of.workflow == NULL ? fail_memory(err) : CVM_OK;
}

static enum cvm_status take_step(void *state, const struct cvm_figure_definition *of,
                                 const struct cvm_step *step, struct cvm_error *err)
{
    struct place *place = NULL;
    enum cvm_status status = find_place(state, of, step->step_no, &place, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_kind_figures *figures = &place->figures;
    figures->retries += step->attempt > 1 ? step->attempt - 1 : 0;
    if (step->state != CVM_STEP_DONE) {
        figures->steps_given_up++;
        return CVM_OK;
    }
    figures->steps++;
    figures->turns++;
    figures->customers += step->customers;
    cvm_spans_add(&figures->asked, step->finished_ms - step->queued_ms);
    cvm_spans_add(&figures->turn, step->finished_ms - step->started_ms);
    return CVM_OK;
}

static enum cvm_status take_failures(void *state, const struct cvm_figure_failures *failures,
                                     struct cvm_error *err)
{
    struct place *place = NULL;
    enum cvm_status status = find_place(state, &failures->of, failures->step_no, &place, err);
    for (int f = 0; status == CVM_OK && f < CVM_FAILURE_CLASSES; f++) {
        if (strcmp(cvm_failure_name((enum cvm_failure_class)f), failures->error_class) == 0) {
            place->figures.failures[f] += failures->count;
            place->figures.turns += failures->count;
        }
    }
    return status;
}

/* ---- kinds ---- */

static enum cvm_status find_kind(struct reading *reading, const char *name,
                                 struct cvm_kind_figures **out_kind, struct cvm_error *err)
{
    for (size_t k = 0; k < reading->kind_count; k++) {
        if (strcmp(reading->kinds[k]->kind, name) == 0) {
            *out_kind = reading->kinds[k];
            return CVM_OK;
        }
    }
    struct cvm_kind_figures *kind = CVM_NEW(reading->arena, struct cvm_kind_figures);
    const char *copy = cvm_arena_string(reading->arena, name);
    if (kind == NULL || copy == NULL || reading->kind_count == KINDS_MAX) {
        return fail_memory(err);
    }
    kind->kind = copy;
    reading->kinds[reading->kind_count++] = kind;
    *out_kind = kind;
    return CVM_OK;
}

static void merge_spans(struct cvm_spans *total, const struct cvm_spans *more)
{
    total->count += more->count;
    for (size_t b = 0; b < CVM_SPAN_BUCKETS; b++) {
        total->buckets[b] += more->buckets[b];
    }
}

static void merge(struct cvm_kind_figures *total, const struct cvm_kind_figures *more)
{
    total->turns += more->turns;
    total->steps += more->steps;
    total->steps_given_up += more->steps_given_up;
    total->retries += more->retries;
    total->customers += more->customers;
    for (int f = 0; f < CVM_FAILURE_CLASSES; f++) {
        total->failures[f] += more->failures[f];
    }
    merge_spans(&total->asked, &more->asked);
    merge_spans(&total->turn, &more->turn);
}

/* A definition that an older or newer program read is no reason to tell nothing. */
static enum cvm_status agent_of(struct cvm_store *store, struct cvm_arena *arena,
                                const struct place *place, const char **out_agent,
                                struct cvm_error *err)
{
    char file[FILE_SIZE];
    const char *body = NULL;
    const struct cvm_definition *definition = NULL;
    *out_agent = UNKNOWN;
    enum cvm_status status =
        cvm_workflow_definition_get(store, arena, place->of.digest, &body, err);
    if (status != CVM_OK) {
        return status;
    }
    (void)snprintf(file, sizeof(file), "%.64s.yaml", place->of.workflow);
    status = cvm_definition_read(arena, file, body, strlen(body), &definition, err);
    if (status == CVM_OK && place->step_no >= 0 &&
        place->step_no < (int64_t)definition->step_count) {
        *out_agent = definition->steps[place->step_no].kind->agent;
    }
    return status == CVM_E_INVALID ? CVM_OK : status;
}

static enum cvm_status sort_out(struct reading *reading, struct cvm_store *store,
                                struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (const struct place *p = reading->places; status == CVM_OK && p != NULL; p = p->next) {
        struct cvm_kind_figures *kind = NULL;
        const char *agent = NULL;
        status = agent_of(store, reading->arena, p, &agent, err);
        if (status == CVM_OK) {
            status = find_kind(reading, agent, &kind, err);
        }
        if (status == CVM_OK) {
            merge(kind, &p->figures);
        }
    }
    return status;
}

/* Those of steps are turns too: what was kept of messages counts instead. */
static enum cvm_status take_turns(void *state, const char *name, int64_t count,
                                  struct cvm_error *err)
{
    struct cvm_kind_figures *kind = NULL;
    enum cvm_status status = find_kind(state, name, &kind, err);
    if (status == CVM_OK) {
        kind->turns = count;
    }
    return status;
}

static enum cvm_status take_changes(void *state, const char *name, int64_t count,
                                    struct cvm_error *err)
{
    char queue[KIND_SIZE];
    struct cvm_kind_figures *kind = NULL;
    (void)snprintf(queue, sizeof(queue), "%.*s", (int)strcspn(name, "."), name);
    enum cvm_status status = find_kind(state, queue, &kind, err);
    if (status == CVM_OK) {
        kind->changes += count;
    }
    return status;
}

static enum cvm_status read_marks(struct reading *reading, struct cvm_store *store,
                                  const struct cvm_figure_window *window, struct cvm_error *err)
{
    for (size_t k = 0; k < reading->kind_count; k++) {
        reading->kinds[k]->turns = 0;
    }
    enum cvm_status status = cvm_figure_turns(store, window, take_turns, reading, err);
    return status == CVM_OK ? cvm_figure_changes(store, window, take_changes, reading, err)
                            : status;
}

/* The known kinds first and always, so that nobody wonders where one is. */
static enum cvm_status begin_kinds(struct reading *reading, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (const struct cvm_step_kind *k = cvm_step_kinds; status == CVM_OK && k->agent != NULL;
         k++) {
        struct cvm_kind_figures *kind = NULL;
        status = find_kind(reading, k->agent, &kind, err);
    }
    return status;
}

enum cvm_status cvm_figures_read(struct cvm_store *store, struct cvm_arena *arena,
                                 const struct cvm_figure_window *window,
                                 struct cvm_figures *out_figures, struct cvm_error *err)
{
    struct reading *reading = CVM_NEW(arena, struct reading);
    if (reading == NULL) {
        return fail_memory(err);
    }
    reading->arena = arena;
    enum cvm_status status = begin_kinds(reading, err);
    if (status == CVM_OK) {
        status = cvm_figure_steps(store, window, take_step, reading, err);
    }
    if (status == CVM_OK) {
        status = cvm_figure_failures(store, window, take_failures, reading, err);
    }
    if (status == CVM_OK) {
        status = sort_out(reading, store, err);
    }
    if (status == CVM_OK && window->workflow_id == NULL) {
        status = read_marks(reading, store, window, err);
    }
    if (status == CVM_OK) {
        *out_figures = (struct cvm_figures){
            .seconds = (double)(window->until_ms - window->since_ms) / 1000,
            .kinds = reading->kinds,
            .count = reading->kind_count,
        };
    }
    return status;
}

/* ---- JSON ---- */

static void write_spans(const char *key, const struct cvm_spans *spans,
                        struct cvm_json_writer *json)
{
    cvm_json_key(json, key);
    cvm_json_object(json);
    cvm_json_key_double(json, "p50", cvm_spans_quantile(spans, 0.5));
    cvm_json_key_double(json, "p99", cvm_spans_quantile(spans, 0.99));
    cvm_json_object_end(json);
}

static void write_kind(const struct cvm_kind_figures *kind, double seconds,
                       struct cvm_json_writer *json)
{
    double window = seconds > 0 ? seconds : NAN;
    cvm_json_object(json);
    cvm_json_key_string(json, "kind", kind->kind);
    cvm_json_key_int(json, "turns", kind->turns);
    cvm_json_key_double(json, "turns_per_second", (double)kind->turns / window);
    cvm_json_key_int(json, "steps", kind->steps);
    cvm_json_key_double(json, "steps_per_second", (double)kind->steps / window);
    cvm_json_key_int(json, "customers", kind->customers);
    cvm_json_key_int(json, "retries", kind->retries);
    cvm_json_key_int(json, "given_up", kind->steps_given_up);
    cvm_json_key(json, "failures");
    cvm_json_object(json);
    for (int f = 0; f < CVM_FAILURE_CLASSES; f++) {
        if (kind->failures[f] > 0) {
            cvm_json_key_int(json, cvm_failure_name((enum cvm_failure_class)f), kind->failures[f]);
        }
    }
    cvm_json_object_end(json);
    write_spans("step_seconds", &kind->asked, json);
    write_spans("turn_seconds", &kind->turn, json);
    cvm_json_key_int(json, "worker_changes", kind->changes);
    cvm_json_object_end(json);
}

void cvm_figures_write(const struct cvm_figures *figures, struct cvm_json_writer *json)
{
    cvm_json_array(json);
    for (size_t k = 0; k < figures->count; k++) {
        write_kind(figures->kinds[k], figures->seconds, json);
    }
    cvm_json_array_end(json);
}
