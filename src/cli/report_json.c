#include <math.h>
#include <string.h>

#include "cli/document.h"
#include "cli/report_formats.h"

static void write_interval(struct cvm_json_writer *json, const char *key,
                           const struct cvm_interval *interval)
{
    cvm_json_key_object(json, key);
    cvm_json_key_double(json, "estimate", interval->estimate);
    cvm_json_key_double(json, "low", interval->low);
    cvm_json_key_double(json, "high", interval->high);
    cvm_json_object_end(json);
}

static void write_micro(struct cvm_json_writer *json, const char *key, int64_t micro)
{
    cvm_json_key(json, key);
    cvm_json_micro(json, micro);
}

static void write_spread(struct cvm_json_writer *json, const char *key, double value, double sd)
{
    struct cvm_interval interval = {value, value - CVM_Z_95 * sd, value + CVM_Z_95 * sd};
    write_interval(json, key, &interval);
}

static void write_sum(struct cvm_json_writer *json, const struct cvm_report_sum *sum)
{
    cvm_json_key_int(json, "treated", sum->treated);
    cvm_json_key_int(json, "contacts", sum->contacts);
    write_spread(json, "value", sum->value, sum->value_sd);
    write_spread(json, "margin_12m", sum->year, sum->year_sd);
    cvm_json_key_double(json, "value_per_contact", sum->contact_value / (double)sum->contacts);
    write_micro(json, "cost", sum->cost_micro);
    write_micro(json, "incentive", sum->incentive_micro);
    write_micro(json, "loaded_cost", sum->loaded_micro);
    cvm_json_key_int(json, "controls", sum->ghosts);
    cvm_json_key_double(json, "withheld_value", sum->withheld);
}

static void write_run(const struct cvm_report_format *format, struct cvm_json_writer *json)
{
    const struct cvm_report *report = format->report;
    const struct cvm_run_record *run = &report->run;
    cvm_json_key_object(json, "run");
    cvm_json_key_string(json, "run_id", run->run_id);
    cvm_json_key_day(json, "as_of", run->as_of_day);
    cvm_json_key_string(json, "plan_state", run->plan_state);
    cvm_json_key_string(json, "created_by", run->created_by);
    cvm_json_key_moment(json, "created_at", run->created_at_ms);
    cvm_json_key_moment(json, "finished_at", run->finished_at_ms);
    cvm_json_key_int(json, "catalogue_version", run->catalogue_version);
    cvm_json_key_int(json, "last_batch", run->last_batch);
    cvm_json_key_string(json, "plan_digest", run->plan_digest);
    cvm_json_key_raw(json, "options", run->options);
    cvm_json_key_array(json, "hold_reasons");
    for (size_t i = 0; i < report->hold_reason_count; i++) {
        cvm_json_string(json, report->hold_reasons[i]);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "steps");
    for (size_t i = 0; i < report->step_count; i++) {
        cvm_json_object(json);
        cvm_json_key_moment(json, "at", report->steps[i].at_ms);
        cvm_json_key_string(json, "who", report->steps[i].who);
        cvm_json_key_string(json, "state", report->steps[i].state);
        cvm_json_key_string(json, "why", report->steps[i].why);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_object_end(json);
}

static void write_sources(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "sources");
    for (size_t s = 0; s < report->source_count; s++) {
        const struct cvm_report_source *source = &report->sources[s];
        cvm_json_object(json);
        cvm_json_key_string(json, "source", source->name);
        cvm_json_key_string(json, "display_name", source->display_name);
        cvm_json_key_day(json, "newest", source->newest_day);
        cvm_json_key(json, "age_days");
        if (source->age_days < 0) {
            cvm_json_null(json);
        } else {
            cvm_json_int(json, source->age_days);
        }
        cvm_json_key_double(json, "freshness_days",
                            source->freshness_days > 0 ? source->freshness_days : NAN);
        cvm_json_key_bool(json, "stale", source->is_stale);
        cvm_json_key_moment(json, "imported_at", source->imported_at_ms);
        cvm_json_key_int(json, "records", source->records);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_total(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_object(json, "total");
    write_sum(json, &report->total);
    cvm_json_key_double(json, "best_possible_value", report->dual_bound);
    cvm_json_key_double(json, "gap", report->gap);
    cvm_json_key_double(json, "regret", report->regret);
    cvm_json_key_double(json, "slack", report->slack);
    cvm_json_key_object(json, "value_rests_on");
    for (size_t k = 0; k < CVM_REPORT_SOURCE_KINDS; k++) {
        cvm_json_key_double(json, cvm_report_source_kinds[k], report->by_source[k]);
    }
    cvm_json_object_end(json);
    cvm_json_object_end(json);
}

static void write_parts(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "treatments");
    for (size_t t = 0; t < report->treatment_count; t++) {
        const struct cvm_report_treatment *treatment = &report->treatments[t];
        cvm_json_object(json);
        cvm_json_key_string(json, "treatment", treatment->id);
        cvm_json_key_string(json, "display_name", treatment->display_name);
        cvm_json_key_string(json, "rests_on", treatment->source);
        cvm_json_key_int(json, "outcomes", treatment->outcomes);
        cvm_json_key_int(json, "permitted", treatment->permitted);
        cvm_json_key_int(json, "worth_something", treatment->valuable);
        write_sum(json, &treatment->sum);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "segments");
    for (size_t s = 0; s < report->segment_count; s++) {
        const struct cvm_report_segment *segment = &report->segments[s];
        cvm_json_object(json);
        cvm_json_key_string(json, "segment", segment->name);
        cvm_json_key_int(json, "customers", segment->customers);
        cvm_json_key_int(json, "permitted", segment->permitted);
        write_sum(json, &segment->sum);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_limits(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "limits");
    for (size_t i = 0; i < report->limit_count; i++) {
        const struct cvm_report_limit *limit = &report->limits[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "limit", limit->id);
        cvm_json_key_string(json, "display_name", limit->display_name);
        cvm_json_key_string(json, "kind", cvm_constraint_kind_words[limit->kind]);
        cvm_json_key_string(json, "period", cvm_period_words[limit->period]);
        cvm_json_key_double(json, "granted", limit->granted);
        cvm_json_key_double(json, "elsewhere", limit->elsewhere);
        cvm_json_key_double(json, "used", limit->used);
        cvm_json_key_double(json, "left", limit->left);
        cvm_json_key_double(json, "price_of_one_more", limit->price);
        if (limit->has_range) {
            cvm_json_key_double(json, "price_low", limit->price_low);
            cvm_json_key_double(json, "price_high", limit->price_high);
            cvm_json_key_bool(json, "binding", limit->is_binding);
        }
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_funnel(const struct cvm_report *report, struct cvm_json_writer *json)
{
    const struct cvm_report_funnel *funnel = &report->funnel;
    cvm_json_key_object(json, "funnel");
    cvm_json_key_int(json, "customers", funnel->customers);
    cvm_json_key_int(json, "without_decision", funnel->undecided);
    cvm_json_key_int(json, "permitted", funnel->permitted);
    cvm_json_key_int(json, "worth_something", funnel->valuable);
    cvm_json_key_int(json, "above_price", funnel->above_price);
    cvm_json_key_int(json, "chosen", funnel->chosen);
    cvm_json_key_int(json, "treated", funnel->treated);
    cvm_json_object_end(json);
    cvm_json_key_array(json, "refusals");
    for (size_t i = 0; i < report->refusal_count; i++) {
        enum cvm_reason reason = report->refusals[i].reason;
        cvm_json_object(json);
        cvm_json_key_string(json, "reason", cvm_reason_name(reason));
        cvm_json_key_string(json, "stage", cvm_reason_stage(reason));
        cvm_json_key_string(json, "sentence", cvm_reason_sentence(reason));
        cvm_json_key_int(json, "pairs", report->refusals[i].pairs);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_changes(struct cvm_json_writer *json, const char *key, const char *what,
                          const struct cvm_report_change *changes, size_t count)
{
    cvm_json_key_array(json, key);
    for (size_t i = 0; i < count; i++) {
        const struct cvm_report_change *change = &changes[i];
        cvm_json_object(json);
        cvm_json_key_string(json, what, change->name);
        cvm_json_key_int(json, "treated", change->treated);
        cvm_json_key_int(json, "treated_before", change->treated_before);
        cvm_json_key_double(json, "value", change->value);
        cvm_json_key_double(json, "value_before", change->value_before);
        cvm_json_key_array(json, "causes");
        for (size_t c = 0; c < change->cause_count; c++) {
            cvm_json_string(json, change->causes[c]);
        }
        cvm_json_array_end(json);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_change(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key(json, "change");
    if (report->before.run_id == NULL) {
        cvm_json_null(json);
        return;
    }
    cvm_json_object(json);
    cvm_json_key_string(json, "against", report->before.run_id);
    cvm_json_key_day(json, "against_as_of", report->before.as_of_day);
    cvm_json_key_double(json, "value_before", report->before_total.value);
    cvm_json_key_int(json, "treated_before", report->before_total.treated);
    cvm_json_key_array(json, "causes");
    for (size_t i = 0; i < report->cause_count; i++) {
        cvm_json_string(json, report->causes[i]);
    }
    cvm_json_array_end(json);
    write_changes(json, "treatments", "treatment", report->treatment_changes,
                  report->treatment_change_count);
    write_changes(json, "segments", "segment", report->segment_changes,
                  report->segment_change_count);
    cvm_json_object_end(json);
}

static void write_groups(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "groups");
    for (size_t i = 0; i < report->group_count; i++) {
        const struct cvm_report_group *group = &report->groups[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "feature", group->feature);
        cvm_json_key_string(json, "group", group->value);
        cvm_json_key_int(json, "customers", group->customers);
        cvm_json_key_int(json, "permitted", group->permitted);
        cvm_json_key_int(json, "treated", group->treated);
        write_interval(json, "rate", &group->rate);
        write_interval(json, "ratio_to_largest", &group->ratio);
        cvm_json_key_bool(json, "is_largest", group->is_reference);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_baselines(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "baselines");
    for (size_t i = 0; i < report->baseline_count; i++) {
        const struct cvm_report_baseline *baseline = &report->baselines[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "rule", baseline->name);
        cvm_json_key_string(json, "display_name", baseline->display_name);
        cvm_json_key_double(json, "value", baseline->value);
        cvm_json_key_int(json, "treated", baseline->treated);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_outcomes(const struct cvm_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "outcomes");
    for (size_t i = 0; i < report->outcome_count; i++) {
        const struct cvm_report_outcome *outcome = &report->outcomes[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "treatment", outcome->treatment);
        cvm_json_key_string(json, "display_name", outcome->display_name);
        cvm_json_key_string(json, "control",
                            outcome->treatment == NULL ? "universal_control" : "holdout");
        cvm_json_key_int(json, "treated", outcome->treated);
        cvm_json_key_double(json, "treated_churned", outcome->treated_churned);
        write_interval(json, "treated_rate", &outcome->treated_rate);
        cvm_json_key_double(json, "treated_expected_rate", outcome->treated_expected);
        cvm_json_key_int(json, "controls", outcome->controls);
        cvm_json_key_double(json, "controls_churned", outcome->controls_churned);
        write_interval(json, "control_rate", &outcome->control_rate);
        cvm_json_key_double(json, "control_expected_rate", outcome->controls_expected);
        write_interval(json, "difference", &outcome->difference);
        cvm_json_key_double(json, "smallest_detectable_fall", outcome->smallest_fall);
        cvm_json_key_bool(json, "too_few", outcome->is_too_few);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "responses");
    for (size_t i = 0; i < report->response_count; i++) {
        const struct cvm_report_response *response = &report->responses[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "treatment", response->treatment);
        cvm_json_key_string(json, "display_name", response->display_name);
        cvm_json_key_int(json, "contacts", response->contacts);
        cvm_json_key_int(json, "reached", response->reached);
        cvm_json_key_int(json, "answers", response->answers);
        cvm_json_key_int(json, "accepted", response->accepted);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

void cvm_report_write_json(const struct cvm_report_format *format, struct cvm_json_writer *json)
{
    const struct cvm_report *report = format->report;
    cvm_json_key_string(json, "currency", format->currency);
    cvm_json_key_moment(json, "made_at", format->made_at_ms);
    cvm_json_key_bool(json, "has_values", report->has_values);
    write_run(format, json);
    write_sources(report, json);
    write_total(report, json);
    write_parts(report, json);
    write_limits(report, json);
    write_funnel(report, json);
    write_change(report, json);
    write_groups(report, json);
    write_baselines(report, json);
    write_outcomes(report, json);
}
