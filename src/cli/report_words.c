#include "cli/report_words.h"

#include <math.h>
#include <string.h>

#include "base/date.h"
#include "model/money.h"

const char *cvm_words_money(double amount, const char *currency, char text[CVM_WORDS_SIZE])
{
    char number[CVM_NUMBER_TEXT_SIZE];
    if (isnan(amount)) {
        return "not known";
    }
    bool is_large = fabs(amount) >= 10000 && fabs(amount) < 1e15;
    (void)!snprintf(text, CVM_WORDS_SIZE, "%s %.8s",
                    is_large ? cvm_grouped(llround(amount), number) : cvm_money(amount, number),
                    currency);
    return text;
}

const char *cvm_words_micro(int64_t micro, const char *currency, char text[CVM_WORDS_SIZE])
{
    return cvm_words_money((double)micro / CVM_MICRO_PER_UNIT, currency, text);
}

const char *cvm_words_percent(double share, char text[CVM_WORDS_SIZE])
{
    if (isnan(share)) {
        return "not known";
    }
    double percent = 100 * share;
    (void)!snprintf(text, CVM_WORDS_SIZE, fabs(percent) >= 99.95 ? "%.0f %%" : "%.1f %%", percent);
    return text;
}

const char *cvm_words_count(int64_t count, char text[CVM_WORDS_SIZE])
{
    return cvm_grouped(count, text);
}

const char *cvm_words_rate(const struct cvm_interval *rate, char text[CVM_WORDS_SIZE])
{
    if (isnan(rate->estimate)) {
        return "not known";
    }
    (void)!snprintf(text, CVM_WORDS_SIZE, "%.1f %% (%.1f to %.1f)", 100 * rate->estimate,
                    100 * rate->low, 100 * rate->high);
    return text;
}

const char *cvm_words_points(const struct cvm_interval *difference, char text[CVM_WORDS_SIZE])
{
    if (isnan(difference->estimate)) {
        return "not known";
    }
    (void)!snprintf(text, CVM_WORDS_SIZE, "%+.2f points (%+.2f to %+.2f)",
                    100 * difference->estimate, 100 * difference->low, 100 * difference->high);
    return text;
}

const char *cvm_words_ratio(const struct cvm_interval *ratio, char text[CVM_WORDS_SIZE])
{
    if (isnan(ratio->estimate)) {
        return "not known";
    }
    (void)!snprintf(text, CVM_WORDS_SIZE, "%.2f (%.2f to %.2f)", ratio->estimate, ratio->low,
                    ratio->high);
    return text;
}

const char *cvm_words_unit(const struct cvm_report_limit *limit, const char *currency)
{
    return limit->kind == CVM_CONSTRAINT_RESOURCE ? "units"
           : limit->kind == CVM_CONSTRAINT_BUDGET ? currency
                                                  : "customers";
}

const char *cvm_words_price(const struct cvm_report_limit *limit, const char *currency,
                            char text[CVM_WORDS_SIZE])
{
    static const char *const one[] = {
        [CVM_CONSTRAINT_CAPACITY] = "customer", [CVM_CONSTRAINT_RESOURCE] = "unit"};
    const char *unit = limit->kind == CVM_CONSTRAINT_BUDGET ? currency : one[limit->kind];
    if (!(limit->price > 0)) {
        return isnan(limit->price) ? "used up before" : "not scarce";
    }
    (void)!snprintf(text, CVM_WORDS_SIZE,
                    limit->price < 1000 ? "%.3g %.8s per %.8s" : "%.0f %.8s per %.8s", limit->price,
                    currency, unit);
    return text;
}

const char *cvm_words_amount(const struct cvm_report_limit *limit, double amount,
                             char text[CVM_WORDS_SIZE])
{
    bool is_money = limit->kind == CVM_CONSTRAINT_BUDGET;
    bool is_whole = fabs(amount) < 1e15 && fabs(amount - round(amount)) < 0.005;
    return is_whole && !is_money ? cvm_grouped(llround(amount), text) : cvm_money(amount, text);
}

const char *cvm_words_moment(int64_t moment_ms, char text[CVM_WORDS_SIZE])
{
    char moment[CVM_MOMENT_TEXT_SIZE];
    if (moment_ms == 0) {
        return "never";
    }
    cvm_moment_format(moment_ms, moment); /* 2024-03-20T11:22:33Z */
    (void)!snprintf(text, CVM_WORDS_SIZE, "%.10s %.5s UTC", moment, moment + 11);
    return text;
}

double cvm_words_half_width(double sd)
{
    return CVM_Z_95 * sd;
}

bool cvm_words_are_negligible(double share)
{
    return !(fabs(share) >= 0.0005);
}

/* ---- sentences ---- */

void cvm_words_say_value(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    char texts[4][CVM_WORDS_SIZE];
    if (report->total.treated == 0) {
        cvm_text_add(words->out, "Nobody is treated, so nothing is expected.");
        return;
    }
    bool has_year = !isnan(report->total.year);
    double expected = has_year ? report->total.year : report->total.value;
    double half = cvm_words_half_width(has_year ? report->total.year_sd : report->total.value_sd);
    cvm_text_add_format(words->out,
                        "The plan is expected to bring %s of margin %s, between %s and %s with "
                        "95 %% probability.",
                        cvm_words_money(expected, words->currency, texts[0]),
                        has_year ? "in the next 12 months" : "over the horizon of the values",
                        cvm_words_money(expected - half, words->currency, texts[1]),
                        cvm_words_money(expected + half, words->currency, texts[2]));
}

void cvm_words_say_sources_of_value(const struct cvm_words *words)
{
    const double *shares = words->report->by_source;
    char text[CVM_WORDS_SIZE];
    if (words->report->total.treated == 0 || isnan(shares[0])) {
        return;
    }
    if (shares[0] > 0.9995) {
        cvm_text_add(words->out,
                     "All of the value rests on assumptions (priors): nothing was learned from "
                     "outcomes yet.");
    } else if (cvm_words_are_negligible(shares[0])) {
        cvm_text_add(words->out, "Hardly any of the value rests on assumptions (priors) still.");
    } else {
        cvm_text_add_format(words->out,
                            "%s of the value rests on assumptions (priors), the rest on outcomes.",
                            cvm_words_percent(shares[0], text));
    }
}

void cvm_words_say_baselines(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    char texts[2][CVM_WORDS_SIZE];
    if (report->baseline_count == 0) {
        cvm_text_add(words->out,
                     report->is_forced
                         ? "One treatment was asked for, so there was nothing to choose."
                         : "The values of this run are no longer kept.");
        return;
    }
    const struct cvm_report_baseline *best = &report->baselines[1];
    for (size_t i = 2; i < report->baseline_count; i++) {
        best = report->baselines[i].value > best->value ? &report->baselines[i] : best;
    }
    double gain = report->baselines[0].value - best->value;
    if (!(best->value > 0)) {
        cvm_text_add(words->out, "Simpler rules would have brought nothing.");
        return;
    }
    const struct cvm_report_baseline *first = &report->baselines[report->baseline_count - 1];
    cvm_text_add_format(words->out, "The plan is worth %s %s than the best simpler rule (%s)",
                        cvm_words_percent(fabs(gain) / best->value, texts[0]),
                        gain < 0 ? "less" : "more", best->display_name);
    if (first->value > 0 && first != best) {
        cvm_text_add_format(
            words->out, " and %s more than first come, first served",
            cvm_words_percent((report->baselines[0].value - first->value) / first->value,
                              texts[1]));
    }
    cvm_text_add(words->out, ", with the same limits.");
}

void cvm_words_say_limits(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    const struct cvm_report_limit *dearest = NULL;
    char text[CVM_WORDS_SIZE];
    size_t scarce = 0;
    size_t gone = 0;
    for (size_t i = 0; i < report->limit_count; i++) {
        const struct cvm_report_limit *limit = &report->limits[i];
        scarce += limit->price > 0 && !limit->was_gone ? 1 : 0;
        gone += limit->was_gone ? 1 : 0;
        if (limit->kind == CVM_CONSTRAINT_CAPACITY && limit->price > 0 &&
            (dearest == NULL || limit->price > dearest->price)) {
            dearest = limit;
        }
    }
    if (gone > 0) {
        cvm_text_add_format(words->out, "%zu of %zu limits were used up before this run. ", gone,
                            report->limit_count);
    }
    if (scarce == 0 && gone > 0) {
        cvm_text_add(words->out, "No other limit binds.");
        return;
    }
    if (scarce == 0) {
        cvm_text_add(words->out, "No limit binds: more of any would bring nothing.");
        return;
    }
    cvm_text_add_format(words->out, "%zu of %zu limits bind", scarce, report->limit_count);
    if (dearest != NULL) {
        cvm_text_add_format(words->out, "; one more %s would bring most, %s", dearest->display_name,
                            cvm_words_money(dearest->price, words->currency, text));
    }
    cvm_text_add(words->out, ".");
}

void cvm_words_say_funnel(const struct cvm_words *words)
{
    const struct cvm_report_funnel *funnel = &words->report->funnel;
    char texts[4][CVM_WORDS_SIZE];
    cvm_text_add_format(
        words->out, "Of %s customers %s may have something, for %s it is worth something, ",
        cvm_words_count(funnel->customers, texts[0]), cvm_words_count(funnel->permitted, texts[1]),
        cvm_words_count(funnel->valuable, texts[2]));
    cvm_text_add_format(words->out, "and %s get it.", cvm_words_count(funnel->treated, texts[3]));
}

void cvm_words_say_segments(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    const struct cvm_report_segment *best = NULL;
    char texts[2][CVM_WORDS_SIZE];
    for (size_t s = 0; s < report->segment_count; s++) {
        if (best == NULL || report->segments[s].sum.value > best->sum.value) {
            best = &report->segments[s];
        }
    }
    if (best == NULL || !(report->total.value > 0)) {
        cvm_text_add(words->out, "No segment brings anything.");
        return;
    }
    cvm_text_add_format(words->out, "%s brings most: %s, %s of the value.", best->name,
                        cvm_words_money(best->sum.value, words->currency, texts[0]),
                        cvm_words_percent(best->sum.value / report->total.value, texts[1]));
}

void cvm_words_say_change(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    char texts[3][CVM_WORDS_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    if (report->before.run_id == NULL) {
        cvm_text_add(words->out, "There is no earlier run of this kind to compare with.");
        return;
    }
    double before = report->before_total.value;
    double change = report->total.value - before;
    cvm_text_add_format(words->out, "Against the run as of %s the value %s by %s",
                        cvm_day_format(report->before.as_of_day, day),
                        change < 0 ? "falls" : "rises",
                        cvm_words_money(fabs(change), words->currency, texts[0]));
    if (before > 0) {
        cvm_text_add_format(words->out, " (%s)",
                            cvm_words_percent(fabs(change) / before, texts[1]));
    }
    int64_t more = report->total.treated - report->before_total.treated;
    cvm_text_add_format(words->out, "; %s %s customers are treated.",
                        cvm_words_count(more < 0 ? -more : more, texts[2]),
                        more < 0 ? "fewer" : "more");
}

void cvm_words_say_groups(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    const struct cvm_report_group *lowest = NULL;
    char text[CVM_WORDS_SIZE];
    for (size_t i = 0; i < report->group_count; i++) {
        const struct cvm_report_group *group = &report->groups[i];
        if (!group->is_reference && group->ratio.high < 1 &&
            (lowest == NULL || group->ratio.estimate < lowest->ratio.estimate)) {
            lowest = group;
        }
    }
    if (report->group_count == 0) {
        cvm_text_add(words->out, "There are no groups to compare.");
    } else if (lowest == NULL) {
        cvm_text_add(words->out, "No group is treated less often than the largest one, beyond what "
                                 "chance explains.");
    } else {
        cvm_text_add_format(words->out,
                            "%s '%s' is treated least often against the largest group: at %s of "
                            "its rate.",
                            lowest->feature, lowest->value,
                            cvm_words_percent(lowest->ratio.estimate, text));
    }
}

void cvm_words_say_outcomes(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    char texts[2][CVM_WORDS_SIZE];
    if (report->outcome_count == 0) {
        cvm_text_add(words->out, "No outcome window has ended yet: nothing is measured.");
        return;
    }
    const struct cvm_report_outcome *outcome = &report->outcomes[0];
    if (outcome->treatment != NULL || outcome->is_too_few) {
        cvm_text_add(words->out, "Too few outcomes so far to tell treated from control customers.");
        return;
    }
    bool is_sure = outcome->difference.high < 0 || outcome->difference.low > 0;
    cvm_text_add_format(words->out, "%s of treated customers left against %s of the control group",
                        cvm_words_percent(outcome->treated_rate.estimate, texts[0]),
                        cvm_words_percent(outcome->control_rate.estimate, texts[1]));
    cvm_text_add(words->out, is_sure ? ": more than chance." : ": it may be chance.");
}

void cvm_words_say_freshness(const struct cvm_words *words)
{
    const struct cvm_report *report = words->report;
    size_t stale = 0;
    for (size_t s = 0; s < report->source_count; s++) {
        const struct cvm_report_source *source = &report->sources[s];
        if (!source->is_stale) {
            continue;
        }
        cvm_text_add(words->out, stale++ == 0 ? "Too old: " : ", ");
        if (source->age_days < 0) {
            cvm_text_add_format(words->out, "%s (nothing yet)", source->display_name);
        } else {
            cvm_text_add_format(words->out, "%s (%d days, at most %.0f)", source->display_name,
                                source->age_days, source->freshness_days);
        }
    }
    cvm_text_add(words->out, stale > 0 ? "." : "All sources are as fresh as declared.");
}
