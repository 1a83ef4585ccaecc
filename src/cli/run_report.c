#include "cli/run_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "cli/document.h"
#include "cli/work.h"

#define REFUSALS_SHOWN 6

static void print_head(struct cvm_session *session, const struct cvm_run_report *report)
{
    const struct cvm_run_result *result = report->result;
    const char *currency = session->config.currency;
    FILE *out = session->out;
    char day[CVM_DAY_TEXT_SIZE];
    char numbers[2][CVM_NUMBER_TEXT_SIZE];
    fprintf(out, "Run %s as of %s, catalogue version %lld", result->run_id,
            cvm_day_format(result->as_of_day, day), (long long)result->catalogue->version);
    if (result->plan_state == NULL) {
        fputs(": a dry run, nothing is stored\n\n", out);
    } else {
        fprintf(out, ": plan %s%s\n\n", result->plan_state,
                result->was_done_before ? " (the same run was done before)" : "");
    }
    int64_t before = result->customers - result->undecided_before;
    fprintf(out, "  %12s customers %s%s%s%s%s\n", cvm_grouped(result->customers, numbers[0]),
            result->trigger == NULL ? "looked at" : "found by trigger ",
            result->trigger == NULL ? "" : result->trigger, before > 0 ? ", " : "",
            before > 0 ? cvm_grouped(before, numbers[1]) : "",
            before > 0 ? " of them with a decision of that day already" : "");
    fprintf(out, "  %12s treated\n", cvm_grouped((int64_t)result->decision_count, numbers[0]));
    if (result->ghost_count > 0) {
        int64_t held_out = (int64_t)result->ghost_count - result->universal_ghosts;
        fprintf(out, "  %12s left untreated to measure against, %s of them held out\n",
                cvm_grouped((int64_t)result->ghost_count, numbers[0]),
                cvm_grouped(held_out, numbers[1]));
    }
    if (result->unknown_count > 0) {
        fprintf(out, "  %12s failed: not in the store\n",
                cvm_grouped((int64_t)result->unknown_count, numbers[0]));
    }
    fprintf(out, "  %12s %s expected value", cvm_money(result->value, numbers[0]), currency);
    if (!result->is_feasible) {
        fputs(", with minimums that are not reached", out);
    } else if (isfinite(result->gap) && result->gap < 1e-6) {
        fputs(", proved the best possible", out);
    } else if (isfinite(result->gap)) {
        fprintf(out, ", within %.2g %% of the best possible", 100 * result->gap);
    }
    fprintf(out, "\n  %12s %s expected spend\n\n",
            cvm_money(cvm_micro_to_double(result->spend_micro), numbers[0]), currency);
}

/* ---- by treatment ---- */

struct ranked {
    size_t index;
    int64_t count;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;
    if (left->count != right->count) {
        return left->count > right->count ? -1 : 1;
    }
    return (left->index > right->index) - (left->index < right->index);
}

/* Of what was gone before the run began more may bring something, or nothing alone. */
static void add_price(struct cvm_table *table, double price, bool was_gone)
{
    if (price > 0) {
        cvm_table_add_format(table, "%.4g", price);
    } else {
        cvm_table_add(table, was_gone ? "used up before" : "not binding");
    }
}

/* It may lie anywhere in its range with the same plan. */
static void add_range(struct cvm_table *table, const struct cvm_run_limit *limit, double scale)
{
    if (limit->is_solved && limit->is_binding) {
        cvm_table_add_format(table, "%.4g to %.4g", limit->price_low * scale,
                             limit->price_high * scale);
    } else {
        cvm_table_add(table, "");
    }
}

static void print_treatments(struct cvm_session *session, const struct cvm_run_result *result)
{
    static const char *const headers[] = {"treatment",          ">given", ">of", ">left",
                                          ">price of one more", ">range"};
    const struct cvm_catalogue *catalogue = result->catalogue;
    struct ranked ranked[CVM_TREATMENTS_MAX];
    struct cvm_table table;
    char number[CVM_NUMBER_TEXT_SIZE];
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        ranked[t] = (struct ranked){t, result->by_treatment[t]};
    }
    qsort(ranked, catalogue->treatment_count, sizeof(ranked[0]), compare_ranked);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < catalogue->treatment_count; i++) {
        size_t t = ranked[i].index; /* its capacity is the constraint of the same number */
        bool is_limited = result->limits[t] >= 0;
        if (!catalogue->treatments[t].enabled && result->by_treatment[t] == 0) {
            continue;
        }
        cvm_table_add(&table, catalogue->treatments[t].display_name);
        cvm_table_add(&table, cvm_grouped(result->by_treatment[t], number));
        cvm_table_add(&table, is_limited ? cvm_grouped(result->limits[t], number) : "any");
        cvm_table_add(&table, is_limited ? cvm_grouped(result->remaining[t], number) : "");
        add_price(&table, result->prices[t],
                  is_limited && result->remaining[t] <= 0 && result->by_treatment[t] == 0);
        add_range(&table, &result->solved[t], 1);
    }
    cvm_table_print(&table, session->out);
    fputc('\n', session->out);
}

/* ---- resources and budgets ---- */

static double units_of(const struct cvm_constraint *constraint, int64_t amount)
{
    return constraint->kind == CVM_CONSTRAINT_BUDGET ? cvm_micro_to_double(amount)
                                                     : (double)amount / 1000;
}

static void print_shared(struct cvm_session *session, const struct cvm_run_result *result)
{
    static const char *const headers[] = {"shared", ">used", ">of", ">left", ">price of one more",
                                          ">range"};
    const struct cvm_catalogue *catalogue = result->catalogue;
    struct cvm_table table;
    char number[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t c = catalogue->treatment_count; c < catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        double scale = constraint->kind == CVM_CONSTRAINT_RESOURCE ? 1000 : 1;
        if (result->limits[c] < 0) {
            continue;
        }
        double limit = units_of(constraint, result->limits[c]);
        double left = units_of(constraint, result->remaining[c]);
        cvm_table_add(&table, constraint->display_name);
        cvm_table_add(&table, cvm_money(limit - left, number));
        cvm_table_add(&table, cvm_money(limit, number));
        cvm_table_add(&table, cvm_money(left, number));
        add_price(&table, result->prices[c] * scale, result->remaining[c] <= 0);
        add_range(&table, &result->solved[c], scale);
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        return;
    }
    cvm_table_print(&table, session->out);
    fputc('\n', session->out);
}

/* ---- groups ---- */

static void add_group(struct cvm_table *table, const struct cvm_constraint *group,
                      const struct cvm_run_limit *limit, double price)
{
    bool is_share = cvm_constraint_is_share(group);
    bool is_reserve = group->kind == CVM_CONSTRAINT_RESERVE;
    int64_t counted = is_reserve ? limit->covered - limit->inside : limit->inside;
    char number[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add(table, group->display_name);
    cvm_table_add(table, cvm_constraint_kind_words[group->kind]);
    if (is_share) {
        cvm_table_add_format(table, "%.2f %%", 100.0 * (double)group->limit / CVM_SHARE_SCALE);
    } else {
        cvm_table_add(table, cvm_grouped(group->limit, number));
    }
    if (!limit->is_solved) { /* of everybody, and this run was of some */
        cvm_table_add(table, "");
        cvm_table_add(table, "");
        cvm_table_add(table, "not asked");
        cvm_table_add(table, "");
        return;
    }
    cvm_table_add(table, cvm_grouped(counted, number));
    cvm_table_add(table, cvm_grouped(limit->covered, number));
    if (limit->shortfall > 0) {
        cvm_table_add(table, "falls short");
    } else {
        add_price(table, price, false);
    }
    add_range(table, limit, 1);
}

static void print_groups(struct cvm_session *session, const struct cvm_run_result *result)
{
    static const char *const headers[] = {
        "group", "kind", ">limit", ">counted", ">of", ">price of one more", ">range"};
    const struct cvm_catalogue *catalogue = result->catalogue;
    struct cvm_table table;
    if (catalogue->group_count == 0) {
        return;
    }
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t g = 0; g < catalogue->group_count; g++) {
        size_t c = catalogue->constraint_count + g;
        add_group(&table, &catalogue->constraints[c], &result->solved[c], result->prices[c]);
    }
    cvm_table_print(&table, session->out);
    fputc('\n', session->out);
}

/* The run goes on with the best plan there is, so it has to be said. */
static void print_conflicts(struct cvm_session *session, const struct cvm_run_result *result)
{
    if (result->is_feasible) {
        return;
    }
    fputs("Not every minimum can be reached; this is the best plan all the same:\n", session->out);
    for (size_t i = 0; i < result->conflict_count; i++) {
        fprintf(session->out, "  %s; %s\n", result->conflicts[i].message,
                result->conflicts[i].relaxation);
    }
    fputc('\n', session->out);
}

/* ---- refusals ---- */

static void print_refusals(struct cvm_session *session, const struct cvm_run_result *result)
{
    static const char *const headers[] = {">pairs", "refused for", ""};
    struct ranked ranked[CVM_REASON_COUNT];
    struct cvm_table table;
    char number[CVM_NUMBER_TEXT_SIZE];
    char words[CVM_REASON_WORDS_SIZE];
    for (size_t r = 0; r < CVM_REASON_COUNT; r++) {
        ranked[r] = (struct ranked){r, result->refusals[r]};
    }
    qsort(ranked, CVM_REASON_COUNT, sizeof(ranked[0]), compare_ranked);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < REFUSALS_SHOWN && ranked[i].count > 0; i++) {
        enum cvm_reason reason = (enum cvm_reason)ranked[i].index;
        cvm_table_add(&table, cvm_grouped(ranked[i].count, number));
        cvm_table_add(&table, cvm_reason_words(cvm_reason_name(reason), words));
        cvm_table_add(&table, cvm_reason_sentence(reason));
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        return;
    }
    cvm_table_print(&table, session->out);
    fputc('\n', session->out);
}

/* ---- the end ---- */

static void print_hold_reasons(struct cvm_session *session, const struct cvm_run_result *result)
{
    for (size_t i = 0; i < result->hold_reason_count; i++) {
        fprintf(session->out, "%s  %s\n", i == 0 ? "The plan is held, a person has to look:\n" : "",
                result->hold_reasons[i]);
    }
    if (result->hold_reason_count > 0) {
        fputc('\n', session->out);
    }
}

/* Where the distance to the bound lies. */
static void print_certificate(struct cvm_session *session, const struct cvm_run_result *result)
{
    if (!isfinite(result->regret) || !result->is_feasible) {
        return; /* a run from before it was kept, or a bound of no plan there is */
    }
    fprintf(session->out,
            "Certificate: value %.2f, no plan above %.2f; %.4g of it are customers without their "
            "best, %.4g unused limits\n",
            result->value, result->dual_bound, result->regret, result->slack);
}

static void print_seconds(struct cvm_session *session, const struct cvm_run_result *result)
{
    if (result->was_done_before) {
        return;
    }
    fprintf(session->out, "Seconds: journeys %.3f, values %.3f, allocation %.3f, plan %.3f",
            result->seconds.features, result->seconds.values, result->seconds.allocation,
            result->seconds.plan);
    if (result->seconds.total > 0) { /* a stored summary is written before the end */
        fprintf(session->out, "; %.3f in all", result->seconds.total);
    }
    fputc('\n', session->out);
}

/* A plan that waits for a person says what that person does. */
static void print_plan_step(struct cvm_session *session, const struct cvm_run_result *result,
                            const char *option, const char *path)
{
    bool is_held = strcmp(result->plan_state, "held") == 0;
    if (is_held || strcmp(result->plan_state, "draft") == 0) {
        fprintf(session->out, "  cvm plan diff %s%s%s\n  cvm plan approve %s%s%s\n", result->run_id,
                option, path, result->run_id, option, path);
    } else if (strcmp(result->plan_state, "approved") == 0) {
        fprintf(session->out, "  cvm plan release %s%s%s\n", result->run_id, option, path);
    } else if (strcmp(result->plan_state, "recalled") == 0) {
        char day[CVM_DAY_TEXT_SIZE];
        fprintf(session->out, "  cvm run --as-of %s --replace%s%s\n",
                cvm_day_format(result->as_of_day, day), option, path);
    }
}

static void print_next(struct cvm_session *session, const struct cvm_run_report *report)
{
    const struct cvm_run_result *result = report->result;
    const char *config = session->config.path;
    if (report->out_path != NULL) {
        fprintf(session->out, "Result file: %s\n", report->out_path);
    }
    if (session->is_quiet || result->plan_state == NULL || result->decision_count == 0) {
        return;
    }
    /* Where the configuration is not the one of this folder, it has to be named again. */
    bool is_here = config == NULL || strcmp(config, "cvm.yaml") == 0;
    const char *id = result->decisions[0].customer_id;
    const char *option = is_here ? "" : " --config ";
    const char *path = is_here ? "" : config;
    fputs("\nNext:\n", session->out);
    print_plan_step(session, result, option, path);
    fprintf(session->out, "  cvm explain latest %s%s%s\n  cvm journey %s%s%s\n", id, option, path,
            id, option, path);
    fprintf(session->out, "  cvm capacity show%s%s\n", option, path);
}

void cvm_run_report_print(struct cvm_session *session, const struct cvm_run_report *report)
{
    cvm_session_progress_end(session);
    print_head(session, report);
    print_treatments(session, report->result);
    print_shared(session, report->result);
    print_groups(session, report->result);
    print_conflicts(session, report->result);
    print_refusals(session, report->result);
    print_hold_reasons(session, report->result);
    print_certificate(session, report->result);
    print_seconds(session, report->result);
    print_next(session, report);
}
