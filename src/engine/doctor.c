/* What the catalogue alone tells, and the order of the examination. */
#include "engine/doctor.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/doctor_internal.h"

const char *const cvm_severity_words[] = {"note", "warning", "problem", NULL};

static const char *format_text(struct cvm_doctor *doctor, const char *format, va_list arguments)
{
    char text[480];
    (void)!vsnprintf(text, sizeof(text), format, arguments);
    return cvm_arena_string(doctor->arena, text);
}

const char *cvm_doctor_text(struct cvm_doctor *doctor, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *text = format_text(doctor, format, arguments);
    va_end(arguments);
    return text;
}

enum cvm_status cvm_doctor_find(struct cvm_doctor *doctor, const struct cvm_finding *finding,
                                struct cvm_error *err, const char *format, ...)
{
    va_list arguments;
    if (doctor->count == CVM_FINDINGS_MAX) {
        doctor->is_cut = true;
        return CVM_OK;
    }
    va_start(arguments, format);
    const char *what = format_text(doctor, format, arguments);
    va_end(arguments);
    if (what == NULL || finding->fix == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the findings");
    }
    doctor->findings[doctor->count] = *finding;
    doctor->findings[doctor->count++].what = what;
    return CVM_OK;
}

/* ---- the score that money is made of ---- */

/* The catalogue takes no score without horizon and calibration; what they are worth is told here.
 */
static enum cvm_status check_score(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = doctor->engine->catalogue;
    int number = catalogue->value.churn_feature;
    const struct cvm_feature *feature = number < 0 ? NULL : &catalogue->features[number];
    if (feature == NULL) {
        const struct cvm_finding finding = {
            .severity = CVM_SEVERITY_NOTE,
            .topic = "score",
            .why = "Every customer of a segment gets the same probability of leaving.",
            .fix = "Import a score, and name its feature as churn_feature in values.yaml.",
        };
        return cvm_doctor_find(doctor, &finding, err, "no churn score is used");
    }
    const char *calibration =
        feature->attribute < 0 ? NULL : catalogue->attributes[feature->attribute].score.calibration;
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "score",
        .why = "A score is not a probability: every value of keeping a customer rests on it.",
        .fix = "Compare outcomes with scores, then set intercept, slope and calibration: measured "
               "in the mapping.",
    };
    if (calibration != NULL && strcmp(calibration, "assumed") != 0) {
        return CVM_OK;
    }
    return cvm_doctor_find(doctor, &finding, err,
                           "'%s' is used as money, its calibration is only assumed", feature->name);
}

/* ---- treatments that can not work, whoever the customers are ---- */

static bool has_channel_file(const struct cvm_catalogue *catalogue, enum cvm_channel channel)
{
    bool is_found = channel >= CVM_CHANNEL_ANY;
    for (size_t f = 0; !is_found && f < catalogue->channel_file_count; f++) {
        is_found = catalogue->channel_files[f].channel == channel;
    }
    return is_found;
}

static enum cvm_status check_treatment(struct cvm_doctor *doctor,
                                       const struct cvm_treatment *treatment, struct cvm_error *err)
{
    struct cvm_finding finding = {.severity = CVM_SEVERITY_WARNING, .topic = "treatment"};
    bool is_over =
        treatment->valid_to_day != CVM_DAY_NONE && treatment->valid_to_day < doctor->as_of_day;
    if (!treatment->enabled) {
        return CVM_OK;
    }
    if (treatment->channel == CVM_CHANNEL_UNSET || treatment->purpose == CVM_PURPOSE_UNSET) {
        finding.why = "Consent can not be checked, so nobody gets it.";
        finding.fix = cvm_doctor_text(doctor,
                                      "cvm treatment update %s '{\"channel\": \"email\", "
                                      "\"purpose\": \"marketing\"}'",
                                      treatment->id);
        return cvm_doctor_find(doctor, &finding, err, "treatment %s has no %s", treatment->id,
                               treatment->channel == CVM_CHANNEL_UNSET ? "channel" : "purpose");
    }
    if (treatment->max_per_day == 0 || is_over) {
        finding.why = "It is enabled and nobody can get it.";
        finding.fix =
            cvm_doctor_text(doctor, "cvm treatment disable %s, or change it", treatment->id);
        return cvm_doctor_find(doctor, &finding, err, "treatment %s %s", treatment->id,
                               is_over ? "has ended" : "has a limit of 0");
    }
    if (!has_channel_file(doctor->engine->catalogue, treatment->channel)) {
        finding.why = "A plan with it can not be exported.";
        finding.fix = cvm_doctor_text(doctor,
                                      "Add channels/%s.yaml to the catalogue, then "
                                      "`cvm apply`.",
                                      cvm_channel_words[treatment->channel]);
        return cvm_doctor_find(doctor, &finding, err,
                               "channel %s of treatment %s has no channel file",
                               cvm_channel_words[treatment->channel], treatment->id);
    }
    return CVM_OK;
}

/* ---- is the control group large enough? ---- */

/* The smallest change of churn that a group of n is likely to show beside the treated, of whom
 * there are many more: 2.8 standard errors (5 % one way, 80 % the other). */
static double detectable(double churn, double n)
{
    return 2.8 * sqrt(churn * (1 - churn) / n);
}

static enum cvm_status check_control(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const struct cvm_control *control = &doctor->engine->catalogue->control;
    double members = control->universal_share * (double)doctor->customers;
    double churn = doctor->churn;
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "control",
        .why = "What the treatments are worth can not be measured.",
        .fix = "Raise the share of universal in control.yaml, then `cvm apply`; only customers who "
               "are "
               "new since the last run are enrolled by it.",
    };
    if (doctor->customers < control->least_customers || control->universal_share <= 0) {
        finding.severity = CVM_SEVERITY_NOTE;
        finding.fix = "Set universal and least_customers in control.yaml, then `cvm apply`; for a "
                      "trial there is nothing to do.";
        return cvm_doctor_find(doctor, &finding, err,
                               control->universal_share <= 0
                                   ? "there is no universal control group"
                                   : "a base of %lld customers has no control group, one of %lld "
                                     "has",
                               (long long)doctor->customers, (long long)control->least_customers);
    }
    if (isnan(churn) || churn <= 0 || members < 1) {
        return CVM_OK;
    }
    double least = detectable(churn, members) / churn;
    if (least <= 0.5) {
        return CVM_OK;
    }
    if (least >= 1) {
        return cvm_doctor_find(doctor, &finding, err,
                               "a control group of about %.0f is too small to show even that "
                               "nobody leaves any more",
                               members);
    }
    return cvm_doctor_find(doctor, &finding, err,
                           "a control group of about %.0f shows a change of churn only from %.0f "
                           "%% of it on",
                           members, least * 100);
}

/* ---- all ---- */

static enum cvm_status check_base(struct cvm_doctor *doctor, struct cvm_error *err)
{
    int32_t first = CVM_DAY_NONE;
    int32_t last = CVM_DAY_NONE;
    char text[CVM_DAY_TEXT_SIZE];
    int history = doctor->engine->catalogue->history_days;
    enum cvm_status status = cvm_event_days(doctor->store, &first, &last, err);
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_PROBLEM,
        .topic = "data",
        .why = "`cvm run` stops: there is nothing to decide on.",
        .fix = "cvm import PATH...",
    };
    if (status != CVM_OK) {
        return status;
    }
    if (last == CVM_DAY_NONE) {
        return cvm_doctor_find(doctor, &finding, err, "the store has no dated events");
    }
    if ((int64_t)last <= (int64_t)doctor->as_of_day - history) {
        finding.fix = cvm_doctor_text(doctor, "Import newer data, or look back: cvm run --as-of %s",
                                      cvm_day_format(last, text));
        return cvm_doctor_find(doctor, &finding, err,
                               "the newest event is of %s, outside the %d days looked at",
                               cvm_day_format(last, text), history);
    }
    if (last > doctor->as_of_day) {
        finding.severity = CVM_SEVERITY_WARNING;
        finding.topic = "clock";
        finding.why = "Events after the as-of day are not seen.";
        finding.fix = "Check the clock of this machine and time_zone in cvm.yaml, or the dates of "
                      "the source.";
        return cvm_doctor_find(doctor, &finding, err, "there are events up to %s, in the future",
                               cvm_day_format(last, text));
    }
    return CVM_OK;
}

enum cvm_status cvm_doctor_examine(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = doctor->engine->catalogue;
    doctor->churn = NAN;
    doctor->findings = CVM_NEW_ARRAY(doctor->arena, CVM_FINDINGS_MAX, struct cvm_finding);
    if (doctor->findings == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the findings");
    }
    enum cvm_status status = check_base(doctor, err);
    if (status == CVM_OK) {
        status = check_score(doctor, err);
    }
    for (size_t t = 0; status == CVM_OK && t < catalogue->treatment_count; t++) {
        status = check_treatment(doctor, &catalogue->treatments[t], err);
    }
    if (status == CVM_OK) {
        status = cvm_doctor_contradictions(doctor, err);
    }
    if (status == CVM_OK) {
        status = cvm_doctor_rules(doctor, err);
    }
    if (status == CVM_OK) {
        status = check_control(doctor, err);
    }
    return status == CVM_OK ? cvm_doctor_store(doctor, err) : status;
}
