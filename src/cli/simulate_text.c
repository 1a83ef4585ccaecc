/* What-if for people: scenarios beside the run, then what each one changes. */
#include <math.h>
#include <stdlib.h>

#include "base/date.h"
#include "cli/document.h"
#include "cli/simulate_report.h"
#include "model/money.h"

/* ---- cells ---- */

static void add_count(struct cvm_table *table, int64_t count)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add(table, cvm_grouped(count, text));
}

static void add_money(struct cvm_table *table, double amount)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add(table, isnan(amount) ? "" : cvm_money(amount, text));
}

static void add_change(struct cvm_table *table, int64_t change)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add_format(table, "%s%s", change > 0 ? "+" : "",
                         change == 0 ? "" : cvm_grouped(change, text));
}

static void add_money_change(struct cvm_table *table, double change)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    bool is_shown = fabs(change) >= 0.005;
    cvm_table_add_format(table, "%s%s", is_shown && change > 0 ? "+" : "",
                         is_shown ? cvm_money(change, text) : "");
}

static const char *amount_text(const struct cvm_constraint *constraint, double amount,
                               char text[CVM_NUMBER_TEXT_SIZE])
{
    if (cvm_constraint_is_share(constraint)) {
        (void)!snprintf(text, CVM_NUMBER_TEXT_SIZE, "%.4g", amount);
        return text;
    }
    return cvm_constraint_scale(constraint) == 1 ? cvm_grouped((int64_t)llround(amount), text)
                                                 : cvm_money(amount, text);
}

static void add_limit(struct cvm_table *table, const struct cvm_constraint *constraint,
                      const struct cvm_simulated_limit *limit)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add(table, !limit->is_limited
                             ? CVM_SIMULATE_UNLIMITED
                             : amount_text(constraint,
                                           cvm_simulate_amount(constraint, limit->granted), text));
}

static void add_price(struct cvm_table *table, const struct cvm_constraint *constraint,
                      double price)
{
    if (isnan(price)) {
        cvm_table_add(table, "");
        return;
    }
    cvm_table_add_format(table, "%.4f", cvm_simulate_price(constraint, price));
}

/* ---- all scenarios ---- */

static void add_scenario(struct cvm_table *table, const char *name,
                         const struct cvm_simulated *result, const struct cvm_simulated *base)
{
    cvm_table_add(table, name);
    add_money(table, result->value);
    add_money_change(table, result->value - base->value);
    add_money(table, result->dual_bound);
    add_money(table, cvm_micro_to_double(result->spend_micro));
    add_count(table, result->treated);
    add_change(table, result->treated - base->treated);
    add_count(table, result->changed);
}

static void print_scenarios(const struct cvm_simulation *simulation, FILE *out)
{
    static const char *const headers[] = {"scenario", ">value",   ">change", ">at most",
                                          ">spend",   ">treated", ">change", ">other choice"};
    struct cvm_table table;
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    add_scenario(&table, "the run", &simulation->base, &simulation->base);
    for (size_t i = 0; i < simulation->result_count; i++) {
        const struct cvm_simulated *result = &simulation->results[i];
        add_scenario(&table, result->scenario->name, result, &simulation->base);
    }
    cvm_table_print(&table, out);
}

/* ---- one scenario ---- */

static void add_part(struct cvm_table *table, const char *name,
                     const struct cvm_simulated_part *now, const struct cvm_simulated_part *before)
{
    if (now->treated + before->treated == 0) {
        return;
    }
    cvm_table_add(table, name);
    add_count(table, now->treated);
    add_change(table, now->treated - before->treated);
    add_money(table, now->value);
    add_money_change(table, now->value - before->value);
}

static void print_parts(const struct cvm_simulation *simulation, const struct cvm_simulated *result,
                        FILE *out)
{
    static const char *const treatments[] = {"treatment", ">customers", ">change", ">value",
                                             ">change"};
    static const char *const segments[] = {"segment", ">customers", ">change", ">value", ">change"};
    const struct cvm_catalogue *catalogue = simulation->catalogue;
    struct cvm_table table;
    cvm_table_init(&table, treatments, 5);
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        add_part(&table, catalogue->treatments[t].display_name, &result->treatments[t],
                 &simulation->base.treatments[t]);
    }
    cvm_table_print(&table, out);
    fputc('\n', out);
    cvm_table_init(&table, segments, 5);
    for (size_t s = 0; s < catalogue->segment_count; s++) {
        add_part(&table, catalogue->segments[s].name, &result->segments[s],
                 &simulation->base.segments[s]);
    }
    cvm_table_print(&table, out);
}

static bool is_of_interest(const struct cvm_simulated_limit *now,
                           const struct cvm_simulated_limit *before)
{
    return now->is_limited != before->is_limited || now->granted != before->granted ||
           now->price > 0 || before->price > 0 || now->shortfall > 0;
}

/* Limits that are other, or scarce in either. */
static void print_limits(const struct cvm_simulation *simulation,
                         const struct cvm_simulated *result, FILE *out)
{
    static const char *const headers[] = {"limit",  ">run",  ">now", ">used",       ">price in run",
                                          ">price", ">from", ">to",  ">falls short"};
    const struct cvm_catalogue *catalogue = simulation->catalogue;
    struct cvm_table table;
    char name[CVM_LIMIT_NAME_SIZE];
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        const struct cvm_simulated_limit *now = &result->limits[c];
        const struct cvm_simulated_limit *before = &simulation->base.limits[c];
        if (!is_of_interest(now, before)) {
            continue;
        }
        cvm_table_add(&table, cvm_simulate_limit_name(catalogue, c, name));
        add_limit(&table, constraint, before);
        add_limit(&table, constraint, now);
        cvm_table_add(&table, amount_text(constraint, cvm_simulate_used(constraint, now), text));
        add_price(&table, constraint, before->is_limited ? before->price : NAN);
        add_price(&table, constraint, now->is_limited ? now->price : NAN);
        add_price(&table, constraint, now->is_limited ? now->price_low : NAN);
        add_price(&table, constraint, now->is_limited ? now->price_high : NAN);
        cvm_table_add(
            &table,
            now->shortfall > 0
                ? amount_text(constraint, cvm_simulate_amount(constraint, now->shortfall), text)
                : "");
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        fputs("\nNothing is scarce.\n", out);
        return;
    }
    fputc('\n', out);
    cvm_table_print(&table, out);
}

/* What lies within the gap may come from the solve as well as from the setting. */
static void print_doubt(const struct cvm_simulation *simulation, const struct cvm_simulated *result,
                        FILE *out)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    double doubt = fmax(result->dual_bound - result->value,
                        simulation->base.dual_bound - simulation->base.value);
    double change = fabs(result->value - simulation->base.value);
    if (change > 0 && change <= doubt) {
        fprintf(out, "The change of value is within what both plans are known to (%s).\n",
                cvm_money(doubt, text));
    }
}

/* Minimums that are out of reach: why, and what would have to give. */
static void print_conflicts(const struct cvm_simulated *result, FILE *out)
{
    for (size_t i = 0; i < result->conflict_count; i++) {
        const struct cvm_conflict *conflict = &result->conflicts[i];
        fprintf(out, "Not reached: %s\n", conflict->message);
        if (conflict->relaxation != NULL && conflict->relaxation[0] != '\0') {
            fprintf(out, "  The cheapest way out: %s\n", conflict->relaxation);
        }
    }
}

/* ---- a sweep ---- */

static void print_sweep(const struct cvm_simulate_report *report, FILE *out)
{
    const char *headers[] = {report->input->sweep, ">value", ">change", ">at most", ">spend",
                             ">treated",           ">price", ">from",   ">to",      "binding"};
    char first[CVM_LIMIT_NAME_SIZE + 1];
    char text[CVM_NUMBER_TEXT_SIZE];
    const struct cvm_simulation *simulation = report->simulation;
    size_t c = (size_t)report->input->sweep_constraint;
    const struct cvm_constraint *constraint = &simulation->catalogue->constraints[c];
    struct cvm_table table;
    (void)!snprintf(first, sizeof(first), ">%s", report->input->sweep);
    headers[0] = first;
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < simulation->result_count; i++) {
        const struct cvm_simulated *point = &simulation->results[i];
        const struct cvm_simulated_limit *limit = &point->limits[c];
        cvm_table_add(&table, amount_text(constraint, report->input->points[i], text));
        add_money(&table, point->value);
        add_money_change(&table, point->value - simulation->base.value);
        add_money(&table, point->dual_bound);
        add_money(&table, cvm_micro_to_double(point->spend_micro));
        add_count(&table, point->treated);
        add_price(&table, constraint, limit->price);
        add_price(&table, constraint, limit->price_low);
        add_price(&table, constraint, limit->price_high);
        cvm_table_add(&table, limit->is_binding ? "yes" : "no");
    }
    cvm_table_print(&table, out);
}

static void print_head(const struct cvm_simulation *simulation, FILE *out)
{
    char day[CVM_DAY_TEXT_SIZE];
    char text[CVM_NUMBER_TEXT_SIZE];
    fprintf(out, "Run %s as of %s, %s customers, solved again. Nothing is stored.\n",
            simulation->run.run_id, cvm_day_format(simulation->run.as_of_day, day),
            cvm_grouped(simulation->customers, text));
    if (!simulation->is_reproduced) {
        fprintf(out, "The run's plan is worth %s in its values now; the run said ",
                cvm_money(simulation->base.value, text));
        fprintf(out, "%s.\n", cvm_money(simulation->run_value, text));
    }
    fputc('\n', out);
}

void cvm_simulate_print(const struct cvm_simulate_report *report, struct cvm_session *session)
{
    const struct cvm_simulation *simulation = report->simulation;
    FILE *out = session->out;
    print_head(simulation, out);
    if (report->input->sweep != NULL) {
        print_sweep(report, out);
        return;
    }
    print_scenarios(simulation, out);
    for (size_t i = 0; i < simulation->result_count; i++) {
        fprintf(out, "\n== %s ==\n", simulation->results[i].scenario->name);
        print_conflicts(&simulation->results[i], out);
        print_doubt(simulation, &simulation->results[i], out);
        print_parts(simulation, &simulation->results[i], out);
        print_limits(simulation, &simulation->results[i], out);
    }
    if (simulation->result_count == 0) {
        fputc('\n', out);
        print_parts(simulation, &simulation->base, out);
        print_limits(simulation, &simulation->base, out);
    }
}
