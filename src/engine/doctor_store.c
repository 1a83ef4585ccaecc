/* What the store tells: sources, plans, kill switches, learning, the last run. */
#include <math.h>
#include <string.h>

#include "base/json_reader.h"
#include "engine/auto_hold.h"
#include "engine/doctor_internal.h"
#include "engine/responses.h"
#include "storage/plan_store.h"
#include "storage/retention.h"
#include "storage/stops.h"

#define RUNS_LOOKED_AT 50
#define JSON_BYTES_MAX ((size_t)4 << 20)

/* ---- sources ---- */

static enum cvm_status check_sources(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const char *const *sentences = NULL;
    size_t count = 0;
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "source",
        .why = "Rules and values that rest on it look at an old or a partial picture.",
        .fix = "Ask who delivers it, then cvm import PATH",
    };
    enum cvm_status status = cvm_auto_hold_sources(doctor->engine, doctor->store, doctor->as_of_day,
                                                   doctor->arena, &sentences, &count, err);
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = cvm_doctor_find(doctor, &finding, err, "%s", sentences[i]);
    }
    return status;
}

/* ---- retention ---- */

#define PURGE_DAYS_MAX 35 /* a purge a month is what nobody has to be reminded of */

static enum cvm_status check_retention(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = doctor->engine->catalogue;
    struct cvm_retention retention;
    size_t limited = 0;
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "retention",
        .why = "Events are kept for longer than the catalogue says.",
        .fix = "cvm purge",
    };
    for (size_t s = 0; s < catalogue->source_count; s++) {
        limited += catalogue->sources[s].keep_days > 0;
    }
    enum cvm_status status = cvm_retention_read(doctor->store, catalogue, &retention, err);
    if (status == CVM_OK && retention.is_unfinished) {
        finding.why = "It is on its way, or was cut off: the next one completes it.";
        return cvm_doctor_find(doctor, &finding, err, "a purge has not finished");
    }
    if (status != CVM_OK || limited == 0) {
        return status;
    }
    if (retention.purges == 0) {
        return cvm_doctor_find(doctor, &finding, err,
                               "nothing was ever purged, and %zu source%s keep_days", limited,
                               limited == 1 ? " has" : "s have");
    }
    int64_t days = (int64_t)doctor->as_of_day - retention.as_of_day;
    return days > PURGE_DAYS_MAX
               ? cvm_doctor_find(doctor, &finding, err, "the last purge was %lld days ago",
                                 (long long)days)
               : CVM_OK;
}

/* ---- plans ---- */

static enum cvm_status check_plan(void *state, const struct cvm_run_record *run,
                                  struct cvm_error *err)
{
    struct cvm_doctor *doctor = state;
    bool waits = strcmp(run->plan_state, "draft") == 0 || strcmp(run->plan_state, "held") == 0;
    bool is_approved = strcmp(run->plan_state, "approved") == 0;
    bool is_dead = strcmp(run->state, "running") == 0;
    struct cvm_finding finding = {.severity = CVM_SEVERITY_WARNING, .topic = "plan"};
    if (run->created_at_ms > doctor->now_ms) {
        finding.severity = CVM_SEVERITY_PROBLEM;
        finding.topic = "clock";
        finding.why = "Contact windows and expiries are told by a clock that went back.";
        finding.fix = "Set the clock of this machine.";
        return cvm_doctor_find(doctor, &finding, err, "run %s was made in the future", run->run_id);
    }
    if (is_dead) {
        finding.severity = CVM_SEVERITY_NOTE;
        finding.why = "Another process works on it, or one died and its capacity is held.";
        finding.fix = "The next run takes it up or frees what it held.";
        return cvm_doctor_find(doctor, &finding, err, "run %s has not finished", run->run_id);
    }
    if (!waits && !is_approved) {
        return CVM_OK;
    }
    finding.why = "Its customers are decided and nobody contacts them; it holds its capacity.";
    finding.fix = waits ? cvm_doctor_text(doctor,
                                          "cvm plan show %s, then cvm plan approve %s or cvm plan "
                                          "recall %s --why TEXT",
                                          run->run_id, run->run_id, run->run_id)
                        : cvm_doctor_text(doctor, "cvm plan release %s", run->run_id);
    return cvm_doctor_find(doctor, &finding, err, "plan %s with %lld decisions is %s", run->run_id,
                           (long long)run->decisions,
                           waits ? "waiting for approval" : "approved and not released");
}

/* ---- kill switches ---- */

static enum cvm_status check_stop(void *state, const struct cvm_stop *stop, struct cvm_error *err)
{
    struct cvm_doctor *doctor = state;
    char moment[CVM_MOMENT_TEXT_SIZE];
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "stop",
        .why = "It is given to nobody, and what is released of it is not exported.",
        .fix = cvm_doctor_text(doctor, "cvm stop lift %s %s --why TEXT, when the reason has gone",
                               stop->kind, stop->id),
    };
    return cvm_doctor_find(doctor, &finding, err, "%s %s is stopped since %s: %s", stop->kind,
                           stop->id, cvm_moment_format(stop->at_ms, moment), stop->why);
}

/* ---- learning ---- */

#define OUTCOMES_LEAST 50
#define FAR            2.0 /* standard deviations of the prior */

static enum cvm_status check_estimate(struct cvm_doctor *doctor, const char *treatment,
                                      const char *name, const double prior[2],
                                      const struct cvm_response *now, double learned,
                                      struct cvm_error *err)
{
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_NOTE,
        .topic = "learning",
        .why = "The prior was wrong, or something has changed: a new treatment like it would start "
               "from the wrong number.",
        .fix = cvm_doctor_text(doctor,
                               "cvm outcome show, then mend the response in "
                               "treatments/%s.yaml",
                               treatment),
    };
    if (prior[1] <= 0 || fabs(learned - prior[0]) < FAR * prior[1]) {
        return CVM_OK;
    }
    return cvm_doctor_find(
        doctor, &finding, err,
        "treatment %s: %s was thought to be %.3g and is %.3g after %lld outcomes", treatment, name,
        prior[0], learned, (long long)now->outcomes);
}

static enum cvm_status check_learning(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = doctor->engine->catalogue;
    struct cvm_responses *responses = CVM_NEW(doctor->arena, struct cvm_responses);
    if (responses == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for responses");
    }
    enum cvm_status status = cvm_responses_load(doctor->store, catalogue, responses, err);
    for (size_t t = 0; status == CVM_OK && t < catalogue->treatment_count; t++) {
        const struct cvm_response *prior = &catalogue->treatments[t].response;
        const struct cvm_response *now = &responses->of[t];
        const char *id = catalogue->treatments[t].id;
        const double reach[2] = {prior->reach, prior->reach_sd};
        const double accept[2] = {prior->accept, prior->accept_sd};
        const double cut[2] = {prior->churn_cut, prior->churn_cut_sd};
        if (now->outcomes < OUTCOMES_LEAST) {
            continue;
        }
        status = check_estimate(doctor, id, "reach", reach, now, now->reach, err);
        if (status == CVM_OK) {
            status = check_estimate(doctor, id, "acceptance", accept, now, now->accept, err);
        }
        if (status == CVM_OK) {
            status = check_estimate(doctor, id, "the cut of churn", cut, now, now->churn_cut, err);
        }
    }
    return status;
}

/* ---- the last run ---- */

static double number_of(const struct cvm_json_value *state, const char *first, const char *second)
{
    const struct cvm_json_value *value = cvm_json_member(state, first);
    value = value == NULL ? cvm_json_member(state, second) : value;
    bool is_number =
        value != NULL && (value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE);
    return is_number ? value->number : NAN;
}

#define IDLE_BELOW 0.5

static enum cvm_status check_constraint(struct cvm_doctor *doctor,
                                        const struct cvm_json_value *state, struct cvm_error *err)
{
    double limit = number_of(state, "max_per_day", "limit");
    double left = number_of(state, "remaining_availability", "remaining");
    double price = number_of(state, "shadow_price", "shadow_price");
    int length = (int)state->key.length;
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_NOTE,
        .topic = "capacity",
        .why = "More of it would be worth nothing; rules, consent or value keep customers from it.",
        .fix = "cvm explain latest --all-reasons says what excludes them.",
    };
    if (!(limit > 0) || isnan(left) || !(price == 0) || (limit - left) >= IDLE_BELOW * limit) {
        return CVM_OK;
    }
    return cvm_doctor_find(doctor, &finding, err,
                           "%.*s: the last run used %.0f %% of %.10g, at a price of 0", length,
                           state->key.data, 100 * (limit - left) / limit, limit);
}

static enum cvm_status check_last_run(struct cvm_doctor *doctor, struct cvm_error *err)
{
    struct cvm_run_record run;
    const struct cvm_json_value *summary = NULL;
    struct cvm_error ignored;
    enum cvm_status status = cvm_run_get(doctor->store, doctor->arena, "latest", &run, &ignored);
    if (status == CVM_E_NOT_FOUND || (status == CVM_OK && run.summary == NULL)) {
        return CVM_OK; /* the first run is still to come */
    }
    struct cvm_json_reader *reader = cvm_json_reader_create(JSON_BYTES_MAX);
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the last run");
    }
    status = cvm_run_get(doctor->store, doctor->arena, "latest", &run, err);
    if (status == CVM_OK) {
        status = cvm_json_read(reader, doctor->arena, run.summary, strlen(run.summary), false,
                               &summary, err);
    }
    const struct cvm_json_value *states =
        status == CVM_OK ? cvm_json_member(summary, "constraints_final_state") : NULL;
    for (const struct cvm_json_value *state = states == NULL ? NULL : states->first_child;
         status == CVM_OK && state != NULL; state = state->next) {
        status = check_constraint(doctor, state, err);
    }
    cvm_json_reader_destroy(reader);
    return status;
}

/* ---- personal data ---- */

static enum cvm_status check_privacy(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_NOTE,
        .topic = "privacy",
        .why = "Whoever copies the store reads them, and erasing a customer reaches no backup.",
        .fix = "Make a key, (umask 077; openssl rand -hex 32 > cvm-master.key), and name it as "
               "privacy.master_key in cvm.yaml.",
    };
    return cvm_store_seals(doctor->store)
               ? CVM_OK
               : cvm_doctor_find(doctor, &finding, err, "personal data are kept in the clear");
}

enum cvm_status cvm_doctor_store(struct cvm_doctor *doctor, struct cvm_error *err)
{
    enum cvm_status status = check_sources(doctor, err);
    if (status == CVM_OK) {
        status = check_privacy(doctor, err);
    }
    if (status == CVM_OK) {
        status = check_retention(doctor, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_run_list(doctor->store, doctor->arena, RUNS_LOOKED_AT, check_plan, doctor, err);
    }
    if (status == CVM_OK) {
        status = cvm_stop_list(doctor->store, check_stop, doctor, err);
    }
    if (status == CVM_OK) {
        status = check_learning(doctor, err);
    }
    return status == CVM_OK ? check_last_run(doctor, err) : status;
}
