/* The figures in long form, a figure a line: for a spreadsheet or a data frame. */
#include <math.h>
#include <string.h>

#include "base/date.h"
#include "cli/document.h"
#include "cli/report_formats.h"
#include "model/money.h"

struct csv {
    struct cvm_text *out;
    const char *currency;
    const char *section;
    const char *group; /* treatment, segment, ... or "" */
};

static void add_cell(struct cvm_text *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        cvm_text_add(out, text);
        return;
    }
    cvm_text_add_char(out, '"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"') {
            cvm_text_add_char(out, '"');
        }
        cvm_text_add_char(out, *at);
    }
    cvm_text_add_char(out, '"');
}

static void add_head(const struct csv *csv, const char *name)
{
    add_cell(csv->out, csv->section);
    cvm_text_add_char(csv->out, ',');
    add_cell(csv->out, name);
    cvm_text_add_char(csv->out, ',');
    add_cell(csv->out, csv->group);
    cvm_text_add_char(csv->out, ',');
}

static void add_text(const struct csv *csv, const char *name, const char *value)
{
    add_head(csv, name);
    add_cell(csv->out, value == NULL ? "" : value);
    cvm_text_add(csv->out, ",\n");
}

/* What is not known is empty. */
static void add_number(const struct csv *csv, const char *name, double value, const char *unit)
{
    add_head(csv, name);
    if (isfinite(value)) {
        cvm_text_add_double(csv->out, value);
    }
    cvm_text_add_char(csv->out, ',');
    add_cell(csv->out, unit);
    cvm_text_add_char(csv->out, '\n');
}

static void add_count(const struct csv *csv, const char *name, int64_t value, const char *unit)
{
    add_head(csv, name);
    cvm_text_add_int(csv->out, value);
    cvm_text_add_char(csv->out, ',');
    add_cell(csv->out, unit);
    cvm_text_add_char(csv->out, '\n');
}

static void add_micro(const struct csv *csv, const char *name, int64_t micro)
{
    add_number(csv, name, (double)micro / CVM_MICRO_PER_UNIT, csv->currency);
}

static void add_interval(const struct csv *csv, const char *name, struct cvm_interval interval,
                         const char *unit)
{
    char bound[64];
    add_number(csv, name, interval.estimate, unit);
    (void)!snprintf(bound, sizeof(bound), "%s_low", name);
    add_number(csv, bound, interval.low, unit);
    (void)!snprintf(bound, sizeof(bound), "%s_high", name);
    add_number(csv, bound, interval.high, unit);
}

static void add_spread(const struct csv *csv, const char *name, double value, double sd)
{
    struct cvm_interval interval = {value, value - CVM_Z_95 * sd, value + CVM_Z_95 * sd};
    add_interval(csv, name, interval, csv->currency);
}

static void add_sum(const struct csv *csv, const struct cvm_report_sum *sum)
{
    add_count(csv, "treated", sum->treated, "customers");
    add_count(csv, "contacts", sum->contacts, "contacts");
    add_number(csv, "value_per_contact", sum->contact_value / (double)sum->contacts, csv->currency);
    add_spread(csv, "value", sum->value, sum->value_sd);
    add_spread(csv, "margin_12m", sum->year, sum->year_sd);
    add_micro(csv, "cost", sum->cost_micro);
    add_micro(csv, "incentive", sum->incentive_micro);
    add_micro(csv, "loaded_cost", sum->loaded_micro);
    add_count(csv, "controls", sum->ghosts, "customers");
    add_number(csv, "withheld_value", sum->withheld, csv->currency);
}

static void add_run(struct csv *csv, const struct cvm_report *report)
{
    char day[CVM_DAY_TEXT_SIZE];
    csv->section = "run";
    add_text(csv, "run_id", report->run.run_id);
    add_text(csv, "as_of", cvm_day_format(report->run.as_of_day, day));
    add_text(csv, "plan_state", report->run.plan_state);
    add_text(csv, "created_by", report->run.created_by);
    add_text(csv, "plan_digest", report->run.plan_digest);
    add_count(csv, "catalogue_version", report->run.catalogue_version, "");
    for (size_t i = 0; i < report->hold_reason_count; i++) {
        add_text(csv, "hold_reason", report->hold_reasons[i]);
    }
    csv->section = "source";
    for (size_t s = 0; s < report->source_count; s++) {
        const struct cvm_report_source *source = &report->sources[s];
        csv->group = source->name;
        add_number(csv, "age", source->age_days < 0 ? NAN : source->age_days, "days");
        add_number(csv, "freshness", source->freshness_days > 0 ? source->freshness_days : NAN,
                   "days");
        add_count(csv, "stale", source->is_stale ? 1 : 0, "");
    }
    csv->group = "";
}

static void add_values(struct csv *csv, const struct cvm_report *report)
{
    csv->section = "total";
    add_sum(csv, &report->total);
    add_number(csv, "best_possible_value", report->dual_bound, csv->currency);
    csv->section = "value_rests_on";
    for (size_t k = 0; k < CVM_REPORT_SOURCE_KINDS; k++) {
        csv->group = cvm_report_source_kinds[k];
        add_number(csv, "share", report->by_source[k], "share");
    }
    csv->section = "treatment";
    for (size_t t = 0; t < report->treatment_count; t++) {
        csv->group = report->treatments[t].id;
        add_text(csv, "rests_on", report->treatments[t].source);
        add_count(csv, "outcomes", report->treatments[t].outcomes, "outcomes");
        add_count(csv, "permitted", report->treatments[t].permitted, "customers");
        add_count(csv, "worth_something", report->treatments[t].valuable, "customers");
        add_sum(csv, &report->treatments[t].sum);
    }
    csv->section = "segment";
    for (size_t s = 0; s < report->segment_count; s++) {
        csv->group = report->segments[s].name;
        add_count(csv, "customers", report->segments[s].customers, "customers");
        add_count(csv, "permitted", report->segments[s].permitted, "customers");
        add_sum(csv, &report->segments[s].sum);
    }
    csv->section = "baseline";
    for (size_t i = 0; i < report->baseline_count; i++) {
        csv->group = report->baselines[i].name;
        add_number(csv, "value", report->baselines[i].value, csv->currency);
        add_count(csv, "treated", report->baselines[i].treated, "customers");
    }
    csv->group = "";
}

static void add_limits(struct csv *csv, const struct cvm_report *report)
{
    csv->section = "limit";
    for (size_t i = 0; i < report->limit_count; i++) {
        const struct cvm_report_limit *limit = &report->limits[i];
        const char *unit = limit->kind == CVM_CONSTRAINT_BUDGET     ? csv->currency
                           : limit->kind == CVM_CONSTRAINT_CAPACITY ? "customers"
                                                                    : "units";
        csv->group = limit->id;
        add_number(csv, "granted", limit->granted, unit);
        add_number(csv, "elsewhere", limit->elsewhere, unit);
        add_number(csv, "used", limit->used, unit);
        add_number(csv, "left", limit->left, unit);
        add_number(csv, "price_of_one_more", limit->price, csv->currency);
    }
    csv->group = "";
}

static void add_refusals(struct csv *csv, const struct cvm_report *report)
{
    const struct cvm_report_funnel *funnel = &report->funnel;
    csv->section = "funnel";
    add_count(csv, "customers", funnel->customers, "customers");
    add_count(csv, "without_decision", funnel->undecided, "customers");
    add_count(csv, "permitted", funnel->permitted, "customers");
    add_count(csv, "worth_something", funnel->valuable, "customers");
    add_count(csv, "above_price", funnel->above_price, "customers");
    add_count(csv, "chosen", funnel->chosen, "customers");
    add_count(csv, "treated", funnel->treated, "customers");
    csv->section = "refusal";
    for (size_t i = 0; i < report->refusal_count; i++) {
        csv->group = cvm_reason_name(report->refusals[i].reason);
        add_count(csv, "pairs", report->refusals[i].pairs, "pairs");
    }
    csv->group = "";
}

static void add_changes(struct csv *csv, const char *section,
                        const struct cvm_report_change *changes, size_t count)
{
    csv->section = section;
    for (size_t i = 0; i < count; i++) {
        csv->group = changes[i].name;
        add_count(csv, "treated", changes[i].treated, "customers");
        add_count(csv, "treated_before", changes[i].treated_before, "customers");
        add_number(csv, "value", changes[i].value, csv->currency);
        add_number(csv, "value_before", changes[i].value_before, csv->currency);
        for (size_t c = 0; c < changes[i].cause_count; c++) {
            add_text(csv, "cause", changes[i].causes[c]);
        }
    }
    csv->group = "";
}

static void add_groups(struct csv *csv, const struct cvm_report *report)
{
    char section[96];
    for (size_t i = 0; i < report->group_count; i++) {
        const struct cvm_report_group *group = &report->groups[i];
        (void)!snprintf(section, sizeof(section), "group %s", group->feature);
        csv->section = section;
        csv->group = group->value;
        add_count(csv, "customers", group->customers, "customers");
        add_count(csv, "permitted", group->permitted, "customers");
        add_count(csv, "treated", group->treated, "customers");
        add_interval(csv, "rate", group->rate, "share");
        add_interval(csv, "ratio_to_largest", group->ratio, "ratio");
    }
    csv->group = "";
}

static void add_outcomes(struct csv *csv, const struct cvm_report *report)
{
    csv->section = "outcome";
    for (size_t i = 0; i < report->outcome_count; i++) {
        const struct cvm_report_outcome *outcome = &report->outcomes[i];
        csv->group = outcome->treatment == NULL ? "all marketing" : outcome->treatment;
        add_count(csv, "treated", outcome->treated, "customers");
        add_number(csv, "treated_churned", outcome->treated_churned, "customers");
        add_interval(csv, "treated_rate", outcome->treated_rate, "share");
        add_count(csv, "controls", outcome->controls, "customers");
        add_number(csv, "controls_churned", outcome->controls_churned, "customers");
        add_interval(csv, "control_rate", outcome->control_rate, "share");
        add_interval(csv, "difference", outcome->difference, "share");
        add_number(csv, "smallest_detectable_fall", outcome->smallest_fall, "share");
        add_count(csv, "too_few", outcome->is_too_few ? 1 : 0, "");
    }
    csv->section = "response";
    for (size_t i = 0; i < report->response_count; i++) {
        csv->group = report->responses[i].treatment;
        add_count(csv, "contacts", report->responses[i].contacts, "contacts");
        add_count(csv, "reached", report->responses[i].reached, "contacts");
        add_count(csv, "accepted", report->responses[i].accepted, "contacts");
    }
    csv->group = "";
}

void cvm_report_write_csv(const struct cvm_report_format *format, struct cvm_text *out)
{
    const struct cvm_report *report = format->report;
    struct csv csv = {.out = out, .currency = format->currency, .section = "", .group = ""};
    cvm_text_add(out, "section,name,group,value,unit\n");
    add_run(&csv, report);
    add_values(&csv, report);
    add_limits(&csv, report);
    add_refusals(&csv, report);
    add_changes(&csv, "change of treatment", report->treatment_changes,
                report->treatment_change_count);
    add_changes(&csv, "change of segment", report->segment_changes, report->segment_change_count);
    add_groups(&csv, report);
    add_outcomes(&csv, report);
}
