#include "engine/outcome_tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/date.h"
#include "engine/run_catalogues.h"
#include "storage/outcome_store.h"

struct tallied_run {
    const char *run_id;
    bool is_recalled;
};

struct job {
    const struct cvm_tally_request *request;
    struct cvm_arena *arena;
    struct cvm_column runs;    /* struct tallied_run */
    struct cvm_column tallies; /* struct cvm_tally, one per treatment */
    struct cvm_tally all;
    const struct cvm_run_catalogue *run; /* that is at work */
    bool is_recalled;
};

static void init_tally(struct cvm_tally *tally, const char *treatment)
{
    *tally = (struct cvm_tally){
        .treatment = treatment, .answer_until = CVM_DAY_NONE, .end_until = CVM_DAY_NONE};
}

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count outcomes");
}

static enum cvm_status find_tally(struct job *job, const char *treatment,
                                  struct cvm_tally **out_tally, struct cvm_error *err)
{
    struct cvm_tally *known = CVM_COLUMN_DATA(&job->tallies, struct cvm_tally);
    void *room = NULL;
    for (size_t t = 0; t < job->tallies.count; t++) {
        if (strcmp(known[t].treatment, treatment) == 0) {
            *out_tally = &known[t];
            return CVM_OK;
        }
    }
    const char *copy = cvm_arena_string(job->arena, treatment);
    if (copy == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = cvm_column_extend(&job->tallies, 1, &room, err);
    if (status == CVM_OK) {
        *out_tally = room;
        init_tally(*out_tally, copy);
    }
    return status;
}

/* ---- decisions ---- */

static int32_t later(int32_t a, int32_t b)
{
    return a == CVM_DAY_NONE || b > a ? b : a;
}

/* Nobody acted on it: it follows its plan. */
static enum cvm_decision_state state_now(const struct job *job,
                                         const struct cvm_outcome_group *group)
{
    bool was_acted_on = group->state > CVM_DECISION_RELEASED;
    return was_acted_on       ? group->state
           : job->is_recalled ? CVM_DECISION_WITHDRAWN
                              : CVM_DECISION_RELEASED;
}

static void add_ended(struct cvm_tally_ended *ended, const struct cvm_outcome_group *group)
{
    ended->count += group->count;
    ended->churned += group->horizon == 1 ? group->count : 0;
    ended->expected += group->churn;
}

/* What is still to come, with the windows of the treatment in the catalogue of its run. */
static void add_waiting(const struct job *job, const struct cvm_treatment *treatment,
                        const struct cvm_outcome_group *group, enum cvm_decision_state state,
                        struct cvm_tally *tally)
{
    int32_t today = job->request->as_of_day;
    int32_t end = job->run->as_of_day + treatment->outcome_days;
    bool is_withdrawn = state == CVM_DECISION_WITHDRAWN && group->contact_day == CVM_DAY_NONE;
    bool wants_answer = state == CVM_DECISION_SENT || state == CVM_DECISION_DELIVERED;
    int32_t answer = group->contact_day == CVM_DAY_NONE
                         ? CVM_DAY_NONE
                         : group->contact_day + treatment->response_days;
    if (state == CVM_DECISION_RELEASED && !group->is_ghost) {
        tally->wait_for_contact += group->count;
    }
    if (wants_answer && answer != CVM_DAY_NONE && answer >= today) {
        tally->wait_for_answer += group->count;
        tally->answer_until = later(tally->answer_until, answer);
    }
    if (group->horizon >= 0 || is_withdrawn) {
        return;
    }
    if (end >= today) {
        tally->wait_for_end += group->count;
        tally->end_until = later(tally->end_until, end);
    } else {
        tally->overdue += group->count;
    }
}

static void add_group(const struct job *job, const struct cvm_outcome_group *group,
                      struct cvm_tally *tally)
{
    int t = cvm_catalogue_treatment(job->run->catalogue, group->treatment);
    enum cvm_decision_state state = state_now(job, group);
    if (t != CVM_INDEX_NONE) {
        add_waiting(job, &job->run->catalogue->treatments[t], group, state, tally);
    }
    if (group->horizon >= 0) {
        add_ended(group->is_ghost ? &tally->control : &tally->treated, group);
    }
    if (group->is_ghost) {
        tally->controls += group->count;
        return;
    }
    bool reaches_nobody = state == CVM_DECISION_NOT_SENT || state == CVM_DECISION_EXPIRED ||
                          state == CVM_DECISION_BOUNCED || state == CVM_DECISION_NO_ANSWER ||
                          (state == CVM_DECISION_WITHDRAWN && group->contact_day == CVM_DAY_NONE);
    tally->decisions += group->count;
    tally->by_state[state] += group->count;
    tally->value += group->value;
    tally->value_lost += reaches_nobody ? group->value : 0;
    if (group->contact_day != CVM_DAY_NONE) {
        tally->contacts += group->count;
        tally->value_contacted += group->value;
        tally->spent_micro += group->cost_micro;
    }
}

static enum cvm_status take_group(void *state, const struct cvm_outcome_group *group,
                                  struct cvm_error *err)
{
    struct job *job = state;
    struct cvm_tally *tally = NULL;
    if (group->state < 0 || group->state >= CVM_DECISION_STATE_COUNT) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a decision of run '%s' has the state %d",
                        job->run->run_id, (int)group->state);
    }
    enum cvm_status status = find_tally(job, group->treatment, &tally, err);
    if (status == CVM_OK) {
        add_group(job, group, tally);
        add_group(job, group, &job->all);
    }
    return status;
}

/* ---- reports ---- */

static void add_count(struct cvm_tally *tally, const struct cvm_outcome_count *count)
{
    tally->outcomes[count->state].count += count->count;
    tally->outcomes[count->state].late += count->late;
    tally->outcomes[count->state].minutes += count->minutes;
}

static enum cvm_status take_count(void *state, const struct cvm_outcome_count *count,
                                  struct cvm_error *err)
{
    struct job *job = state;
    struct cvm_tally *tally = NULL;
    if (count->state < 0 || count->state >= CVM_OUTCOME_STATE_COUNT) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "an outcome of run '%s' has the state %d",
                        job->run->run_id, count->state);
    }
    enum cvm_status status = find_tally(job, count->treatment, &tally, err);
    if (status == CVM_OK) {
        add_count(tally, count);
        add_count(&job->all, count);
    }
    return status;
}

/* ---- runs ---- */

static enum cvm_status keep_run(void *state, const struct cvm_outcome_run *run,
                                struct cvm_error *err)
{
    struct job *job = state;
    void *room = NULL;
    const char *run_id = cvm_arena_string(job->arena, run->run_id);
    enum cvm_status status =
        run_id == NULL ? fail_memory(err) : cvm_column_extend(&job->runs, 1, &room, err);
    if (status == CVM_OK) {
        *(struct tallied_run *)room = (struct tallied_run){run_id, run->is_recalled};
    }
    return status;
}

static enum cvm_status list_runs(struct job *job, struct cvm_store *reader, struct cvm_error *err)
{
    const struct cvm_tally_request *request = job->request;
    if (request->run_id != NULL) {
        return cvm_outcome_runs(reader, INT32_MIN, INT32_MAX, request->run_id, keep_run, job, err);
    }
    int64_t first = request->as_of_day - request->days + 1;
    return cvm_outcome_runs(reader, (int32_t)(first > INT32_MIN ? first : INT32_MIN),
                            request->as_of_day, NULL, keep_run, job, err);
}

static enum cvm_status count_runs(struct job *job, struct cvm_store *reader,
                                  const struct cvm_context *context, struct cvm_error *err)
{
    struct cvm_run_catalogues catalogues;
    enum cvm_status status = list_runs(job, reader, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_run_catalogues_init(&catalogues, reader, job->arena, job->request->catalogue);
    for (size_t r = 0; status == CVM_OK && r < job->runs.count; r++) {
        const struct tallied_run *run = &CVM_COLUMN_DATA(&job->runs, struct tallied_run)[r];
        job->is_recalled = run->is_recalled;
        status = cvm_context_check(context, err);
        if (status == CVM_OK) {
            status = cvm_run_catalogues_find(&catalogues, run->run_id, &job->run, err);
        }
        if (status == CVM_OK) {
            status = cvm_outcome_groups(reader, run->run_id, take_group, job, err);
        }
        if (status == CVM_OK) {
            status = cvm_outcome_counts(reader, run->run_id, take_count, job, err);
        }
    }
    cvm_run_catalogues_finish(&catalogues);
    return status;
}

static int compare(const void *a, const void *b)
{
    const struct cvm_tally *left = a;
    const struct cvm_tally *right = b;
    int64_t sizes[] = {left->decisions + left->controls, right->decisions + right->controls};
    return sizes[0] != sizes[1] ? (sizes[0] < sizes[1] ? 1 : -1)
                                : strcmp(left->treatment, right->treatment);
}

static enum cvm_status give(const struct job *job, struct cvm_tallies *out_tallies,
                            struct cvm_error *err)
{
    size_t count = job->tallies.count;
    struct cvm_tally *treatments = CVM_NEW_ARRAY(job->arena, count + 1, struct cvm_tally);
    if (treatments == NULL) {
        return fail_memory(err);
    }
    if (count > 0) {
        memcpy(treatments, job->tallies.buffer.data, count * sizeof(*treatments));
        qsort(treatments, count, sizeof(*treatments), compare);
    }
    *out_tallies = (struct cvm_tallies){
        .runs = (int64_t)job->runs.count,
        .all = job->all,
        .treatments = treatments,
        .count = count,
    };
    return CVM_OK;
}

enum cvm_status cvm_outcome_tally(struct cvm_store *reader, const struct cvm_context *context,
                                  const struct cvm_tally_request *request, struct cvm_arena *arena,
                                  struct cvm_tallies *out_tallies, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(reader);
    struct job job = {.request = request, .arena = arena};
    cvm_column_init(&job.runs, sizeof(struct tallied_run));
    cvm_column_init(&job.tallies, sizeof(struct cvm_tally));
    init_tally(&job.all, NULL);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = count_runs(&job, reader, context, err);
        cvm_db_rollback(db);
    }
    if (status == CVM_OK) {
        status = give(&job, out_tallies, err);
    }
    cvm_column_finish(&job.runs);
    cvm_column_finish(&job.tallies);
    return status;
}

/* ---- JSON ---- */

static void write_day(struct cvm_json_writer *json, const char *key, int32_t day)
{
    char text[CVM_DAY_TEXT_SIZE];
    cvm_json_key_string(json, key, day == CVM_DAY_NONE ? NULL : cvm_day_format(day, text));
}

static void write_states(const struct cvm_tally *tally, struct cvm_json_writer *json)
{
    cvm_json_key(json, "states");
    cvm_json_object(json);
    for (int s = 0; s < CVM_DECISION_STATE_COUNT; s++) {
        if (tally->by_state[s] > 0) {
            cvm_json_key_int(json, cvm_decision_state_name((enum cvm_decision_state)s),
                             tally->by_state[s]);
        }
    }
    cvm_json_object_end(json);
}

static void write_outcomes(const struct cvm_tally *tally, struct cvm_json_writer *json)
{
    int64_t late = 0;
    double minutes = 0;
    cvm_json_key(json, "outcomes");
    cvm_json_object(json);
    for (int s = 0; s < CVM_OUTCOME_STATE_COUNT; s++) {
        late += tally->outcomes[s].late;
        minutes += tally->outcomes[s].minutes;
        if (tally->outcomes[s].count > 0) {
            cvm_json_key_int(json, cvm_outcome_name(s), tally->outcomes[s].count);
        }
    }
    cvm_json_object_end(json);
    cvm_json_key_int(json, "late", late);
    cvm_json_key_double(json, "minutes", minutes);
}

static void write_waiting(const struct cvm_tally *tally, struct cvm_json_writer *json)
{
    cvm_json_key(json, "waiting");
    cvm_json_object(json);
    cvm_json_key_int(json, "for_contact", tally->wait_for_contact);
    cvm_json_key_int(json, "for_answer", tally->wait_for_answer);
    write_day(json, "answers_until", tally->answer_until);
    cvm_json_key_int(json, "for_end", tally->wait_for_end);
    write_day(json, "ends_until", tally->end_until);
    cvm_json_key_int(json, "overdue", tally->overdue);
    cvm_json_object_end(json);
}

static void write_ended(const char *key, const struct cvm_tally_ended *ended,
                        struct cvm_json_writer *json)
{
    cvm_json_key(json, key);
    cvm_json_object(json);
    cvm_json_key_int(json, "decisions", ended->count);
    cvm_json_key_double(json, "churn_expected", ended->expected);
    cvm_json_key_int(json, "churned", ended->churned);
    cvm_json_object_end(json);
}

static void write_tally(const struct cvm_tally *tally, struct cvm_json_writer *json)
{
    cvm_json_key_int(json, "decisions", tally->decisions);
    cvm_json_key_int(json, "controls", tally->controls);
    write_states(tally, json);
    cvm_json_key_int(json, "contacts", tally->contacts);
    write_outcomes(tally, json);
    write_waiting(tally, json);
    cvm_json_key_double(json, "value", tally->value);
    cvm_json_key_double(json, "value_contacted", tally->value_contacted);
    cvm_json_key_double(json, "value_lost", tally->value_lost);
    cvm_json_key(json, "spent");
    cvm_json_micro(json, tally->spent_micro);
    cvm_json_key(json, "ended");
    cvm_json_object(json);
    write_ended("treated", &tally->treated, json);
    write_ended("controls", &tally->control, json);
    cvm_json_object_end(json);
}

void cvm_outcome_tally_write(const struct cvm_tallies *tallies, size_t most,
                             struct cvm_json_writer *json)
{
    size_t told = tallies->count < most ? tallies->count : most;
    cvm_json_key_int(json, "runs", tallies->runs);
    write_tally(&tallies->all, json);
    cvm_json_key(json, "treatments");
    cvm_json_array(json);
    for (size_t t = 0; t < told; t++) {
        cvm_json_object(json);
        cvm_json_key_string(json, "treatment", tallies->treatments[t].treatment);
        write_tally(&tallies->treatments[t], json);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_key_int(json, "treatments_left_out", (int64_t)(tallies->count - told));
}
