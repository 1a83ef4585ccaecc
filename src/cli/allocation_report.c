#include <math.h>
#include <string.h>

#include "cli/allocation.h"
#include "cli/document.h"

static bool is_share(enum cvm_row_kind kind)
{
    return kind == CVM_ROW_SHARE_MIN || kind == CVM_ROW_SHARE_MAX;
}

/* ---- JSON ---- */

static void write_rows(const struct cvm_allocations *all, const struct cvm_allocation *a,
                       struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "rows");
    for (size_t k = 0; k < all->file->row_count; k++) {
        size_t r = all->file->rows_listed[k];
        const struct cvm_row_report report = cvm_allocation_row(all, a, r);
        cvm_json_object(json);
        cvm_json_key_string(json, "name", all->file->rows[r].name);
        cvm_json_key_string(json, "kind", cvm_problem_kind_words[all->file->rows[r].kind]);
        cvm_json_key_double(json, "used", report.used);
        cvm_json_key_double(json, "limit", report.limit);
        cvm_json_key_double(json, "price", a->plan.prices[r]);
        cvm_json_key_double(json, "price_low", a->plan.price_low[r]);
        cvm_json_key_double(json, "price_high", a->plan.price_high[r]);
        cvm_json_key_bool(json, "binding", a->plan.is_binding[r]);
        cvm_json_key_double(json, "shortfall", report.shortfall);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_counts(const struct cvm_allocations *all, const int64_t *counts,
                         const int64_t *less, struct cvm_json_writer *json)
{
    cvm_json_key_object(json, "by_treatment");
    for (size_t k = 0; k < all->file->treatment_count; k++) {
        size_t t = all->file->listed[k];
        cvm_json_key_int(json, all->file->treatments[t], counts[t] - (less == NULL ? 0 : less[t]));
    }
    cvm_json_object_end(json);
}

static void write_conflicts(const struct cvm_allocations *all, const struct cvm_allocation *a,
                            struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "infeasible");
    for (size_t i = 0; i < a->conflict_count; i++) {
        const struct cvm_conflict *conflict = &a->conflicts[i];
        cvm_json_object(json);
        cvm_json_key_array(json, "rows");
        for (size_t k = 0; k < conflict->row_count; k++) {
            cvm_json_string(json, all->file->rows[conflict->rows[k]].name);
        }
        cvm_json_array_end(json);
        cvm_json_key_string(json, "message", conflict->message);
        cvm_json_key_string(json, "relaxation", conflict->relaxation);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_certificate(const struct cvm_allocation *a, struct cvm_json_writer *json)
{
    cvm_json_key_double(json, "value", a->plan.value);
    cvm_json_key_double(json, "dual_bound", a->plan.dual_bound);
    cvm_json_key_double(json, "gap", a->plan.gap);
    cvm_json_key_bool(json, "feasible", a->plan.is_feasible);
    cvm_json_key_int(json, "treated", a->plan.treated);
    cvm_json_key_double(json, "regret", a->plan.regret);
    cvm_json_key_double(json, "slack", a->plan.slack);
}

static void write_allocation(const struct cvm_allocations *all, const struct cvm_allocation *a,
                             struct cvm_json_writer *json)
{
    write_certificate(a, json);
    write_rows(all, a, json);
    write_counts(all, a->plan.counts, NULL, json);
    cvm_json_key_string(json, "plan_digest", a->plan_digest);
    cvm_json_key_object(json, "seconds");
    if (a->scenario == NULL) {
        cvm_json_key_double(json, "read", all->read_s);
    }
    cvm_json_key_double(json, "solve", a->solve_s);
    cvm_json_key_double(json, "verify", a->verify_s);
    cvm_json_object_end(json);
    write_conflicts(all, a, json);
}

/* What is different from the problem itself. */
static void write_difference(const struct cvm_allocations *all, const struct cvm_allocation *a,
                             struct cvm_json_writer *json)
{
    cvm_json_key_object(json, "difference");
    cvm_json_key_double(json, "value", a->plan.value - all->base->plan.value);
    cvm_json_key_int(json, "treated", a->plan.treated - all->base->plan.treated);
    cvm_json_key_int(json, "customers_changed", a->changed);
    write_counts(all, a->plan.counts, all->base->plan.counts, json);
    cvm_json_object_end(json);
}

static void write_scenarios(const struct cvm_allocations *all, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "scenarios");
    for (size_t s = 0; s < all->scenario_count; s++) {
        const struct cvm_allocation *a = all->of_scenarios[s];
        cvm_json_object(json);
        cvm_json_key_string(json, "name", a->scenario->name);
        cvm_json_key(json, "set");
        cvm_json_raw(json, a->scenario->set.data, a->scenario->set.length);
        write_difference(all, a, json);
        write_allocation(all, a, json);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static enum cvm_status print_document(const struct cvm_allocations *all, struct cvm_error *err)
{
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_int(&document.json, "customers", (int64_t)all->values->customer_count);
    write_allocation(all, all->base, &document.json);
    if (all->scenario_count > 0) {
        write_scenarios(all, &document.json);
    }
    return cvm_document_print(&document, all->session, err);
}

/* ---- people ---- */

/* 12,345 or 12.5 */
static const char *number_text(double value, char text[CVM_NUMBER_TEXT_SIZE])
{
    if (!isfinite(value)) {
        return "none";
    }
    if (value == floor(value) && fabs(value) < 1e15) {
        return cvm_grouped((int64_t)value, text);
    }
    (void)!snprintf(text, CVM_NUMBER_TEXT_SIZE, "%.6g", value);
    return text;
}

static const char *amount_text(enum cvm_row_kind kind, double value,
                               char text[CVM_NUMBER_TEXT_SIZE])
{
    if (is_share(kind)) {
        (void)!snprintf(text, CVM_NUMBER_TEXT_SIZE, "%.2f %%", value * 100);
        return text;
    }
    return kind == CVM_ROW_BUDGET && isfinite(value) ? cvm_money(value, text)
                                                     : number_text(value, text);
}

static void add_price(struct cvm_table *table, const struct cvm_plan *plan, size_t r)
{
    double width = plan->price_high[r] - plan->price_low[r];
    if (!plan->is_binding[r]) {
        cvm_table_add(table, "-");
    } else if (isfinite(width) && width > 0.01 * fabs(plan->prices[r])) {
        cvm_table_add_format(table, "%.4g (%.4g to %.4g)", plan->prices[r], plan->price_low[r],
                             plan->price_high[r]);
    } else {
        cvm_table_add_format(table, "%.4g", plan->prices[r]);
    }
}

static void print_rows(const struct cvm_allocations *all)
{
    static const char *const headers[] = {"row", "kind", ">used", ">limit", ">price of one more",
                                          "note"};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    table.has_colour = all->session->has_colour;
    for (size_t k = 0; k < all->file->row_count; k++) {
        size_t r = all->file->rows_listed[k];
        enum cvm_row_kind kind = all->file->rows[r].kind;
        const struct cvm_row_report report = cvm_allocation_row(all, all->base, r);
        cvm_table_add(&table, all->file->rows[r].name);
        cvm_table_add(&table, cvm_problem_kind_words[kind]);
        cvm_table_add(&table, amount_text(kind, report.used, text));
        cvm_table_add(&table, amount_text(kind, report.limit, text));
        add_price(&table, &all->base->plan, r);
        if (report.shortfall > 0) {
            cvm_table_add_format(&table, "%s short", amount_text(kind, report.shortfall, text));
        } else {
            cvm_table_add(&table, all->base->plan.is_binding[r] ? "binding" : "");
        }
    }
    cvm_table_print(&table, all->session->out);
}

static void print_treatments(const struct cvm_allocations *all)
{
    static const char *const headers[] = {"treatment", ">customers"};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    table.has_colour = all->session->has_colour;
    for (size_t k = 0; k < all->file->treatment_count; k++) {
        size_t t = all->file->listed[k];
        cvm_table_add(&table, all->file->treatments[t]);
        cvm_table_add(&table, cvm_grouped(all->base->plan.counts[t], text));
    }
    cvm_table_print(&table, all->session->out);
}

static void print_scenarios(const struct cvm_allocations *all)
{
    static const char *const headers[] = {"scenario", ">value",   ">difference", ">gap",
                                          ">treated", ">changed", "feasible"};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    table.has_colour = all->session->has_colour;
    for (size_t s = 0; s < all->scenario_count; s++) {
        const struct cvm_allocation *a = all->of_scenarios[s];
        cvm_table_add(&table, a->scenario->name);
        cvm_table_add(&table, cvm_money(a->plan.value, text));
        cvm_table_add(&table, cvm_money(a->plan.value - all->base->plan.value, text));
        cvm_table_add_format(&table, "%.1e", a->plan.gap);
        cvm_table_add(&table, cvm_grouped(a->plan.treated, text));
        cvm_table_add(&table, cvm_grouped(a->changed, text));
        cvm_table_add(&table, a->plan.is_feasible ? "yes" : "no");
    }
    cvm_table_print(&table, all->session->out);
}

static void print_conflicts(const struct cvm_allocation *a, FILE *out)
{
    if (a->plan.is_feasible) {
        return;
    }
    fputs("\nNot all minimums can be kept; this plan falls short by as little as was found.\n",
          out);
    for (size_t i = 0; i < a->conflict_count; i++) {
        fprintf(out, "  %s\n    To mend it: %s.\n", a->conflicts[i].message,
                a->conflicts[i].relaxation);
    }
}

static void print_next(const struct cvm_allocations *all)
{
    FILE *out = all->session->out;
    if (all->plan_path != NULL) {
        fprintf(out, "\nWho gets what is in %s.\n", all->plan_path);
    } else {
        fprintf(out, "\nNext: cvm allocate %s --plan plan.csv   writes who gets what\n",
                all->problem_path);
    }
    if (all->scenario_count == 0 && all->file->row_count > 0) {
        fprintf(out, "%s cvm allocate %s --scenarios FILE   what other limits would bring\n",
                all->plan_path != NULL ? "Next:" : "     ", all->problem_path);
    }
}

static enum cvm_status print_text(const struct cvm_allocations *all, struct cvm_error *err)
{
    FILE *out = all->session->out;
    const struct cvm_plan *plan = &all->base->plan;
    char first[CVM_NUMBER_TEXT_SIZE];
    char second[CVM_NUMBER_TEXT_SIZE];
    (void)err;
    fprintf(out, "%s customers, %s treated.\n",
            cvm_grouped((int64_t)all->values->customer_count, first),
            cvm_grouped(plan->treated, second));
    fprintf(out, "Value %s", cvm_money(plan->value, first));
    if (plan->is_feasible) {
        fprintf(out, "; no plan is worth more than %s (gap %.1e)",
                cvm_money(plan->dual_bound, second), plan->gap);
    } /* else there is no plan that the bound would speak of */
    fputs(".\n\n", out);
    if (all->file->row_count > 0) {
        print_rows(all);
        fputc('\n', out);
    }
    print_treatments(all);
    print_conflicts(all->base, out);
    if (all->scenario_count > 0) {
        fputc('\n', out);
        print_scenarios(all);
    }
    print_next(all);
    return CVM_OK;
}

enum cvm_status cvm_allocations_print(const struct cvm_allocations *all, struct cvm_error *err)
{
    return all->session->is_json ? print_document(all, err) : print_text(all, err);
}
