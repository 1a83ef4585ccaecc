#include <math.h>
#include <stdio.h>

#include "base/date.h"
#include "cli/document.h"
#include "cli/explain_report.h"

static const char *treatment_name(const struct cvm_explanation *explanation, int treatment)
{
    return treatment == CVM_INDEX_NONE ? explanation->catalogue->ignore.display_name
                                       : explanation->catalogue->treatments[treatment].display_name;
}

/* ---- the decision ---- */

static void print_contact(const struct cvm_decision *decision, FILE *out)
{
    char from[CVM_MOMENT_TEXT_SIZE];
    char to[CVM_MOMENT_TEXT_SIZE];
    fprintf(out, "Value %.4f (standard deviation %.4f), price %.4f, left %.4f.\n", decision->value,
            decision->sd, decision->price, decision->value - decision->price);
    if (decision->earliest_at_ms > 0) {
        fprintf(out, "Contact by %s between %s and %s.\n", decision->channel,
                cvm_moment_format(decision->earliest_at_ms, from),
                cvm_moment_format(decision->latest_at_ms, to));
    }
}

static void print_head(const struct cvm_explanation *explanation, FILE *out)
{
    const struct cvm_decision *decision = explanation->decision;
    char day[CVM_DAY_TEXT_SIZE];
    fprintf(out, "Customer %s in run %s as of %s: %s\n", explanation->customer_id,
            explanation->run_id, cvm_day_format(explanation->as_of_day, day),
            treatment_name(explanation, explanation->treatment));
    fprintf(out, "%s\n", cvm_reason_sentence(explanation->reason));
    if (decision != NULL && !decision->ghost) {
        print_contact(decision, out);
    }
    if (explanation->withheld != CVM_INDEX_NONE) {
        fprintf(out, "A control group kept '%s' from the customer%s%s%s.\n",
                treatment_name(explanation, explanation->withheld), decision->ghost ? " (" : "",
                decision->ghost ? decision->arm : "", decision->ghost ? ")" : "");
    }
    if (explanation->data_changed) {
        fputs("The data has changed since this run: parts are of today's data, values of the "
              "run.\n",
              out);
    }
}

/* ---- what could be given ---- */

static void print_permitted(const struct cvm_explanation *explanation, FILE *out)
{
    static const char *const headers[] = {"possible", ">value", ">sd", ">price", ">left", "why"};
    struct cvm_table table;
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        if (!treatment->is_eligible) {
            continue;
        }
        cvm_table_add(&table, treatment_name(explanation, treatment->treatment));
        cvm_table_add_format(&table, "%.4f", treatment->value);
        cvm_table_add_format(&table, "%.4f", treatment->sd);
        cvm_table_add_format(&table, "%.4f", treatment->price);
        cvm_table_add_format(&table, "%.4f", treatment->margin);
        cvm_table_add(&table, cvm_reason_sentence(treatment->reason));
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        fputs("\nNo treatment is possible.\n", out);
        return;
    }
    fputc('\n', out);
    cvm_table_print(&table, out);
}

/* The two best that were not given, and what they lacked. */
static void print_alternatives(const struct cvm_explanation *explanation, FILE *out)
{
    int shown = 0;
    for (size_t i = 0; i < explanation->treatment_count && shown < 2; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        if (!treatment->is_eligible || treatment->treatment == explanation->treatment) {
            continue;
        }
        fputs(shown == 0 ? "\nBest alternatives:\n" : "", out);
        const char *name = treatment_name(explanation, treatment->treatment);
        char count[CVM_NUMBER_TEXT_SIZE];
        if (treatment->change != NULL && treatment->line.is_known && treatment->line.is_binding) {
            fprintf(out, "  %s needs %s, or room for %s more.\n", name, treatment->change,
                    cvm_grouped(treatment->line.ahead + 1, count));
        } else if (treatment->change != NULL) {
            fprintf(out, "  %s needs %s.\n", name, treatment->change);
        } else {
            fprintf(out, "  %s: %s\n", name, cvm_reason_sentence(treatment->reason));
        }
        shown++;
    }
}

/* ---- who stands in line ---- */

static void add_number(struct cvm_table *table, double number)
{
    if (isnan(number)) {
        cvm_table_add(table, "");
        return;
    }
    cvm_table_add_format(table, "%.4f", number);
}

static void add_marginal(struct cvm_table *table, const struct cvm_marginal_customer *customer)
{
    cvm_table_add(table, customer->customer_id == NULL ? "nobody" : customer->customer_id);
    add_number(table, customer->customer_id == NULL ? NAN : customer->lead);
}

/* Of what is scarce. */
static void print_lines(const struct cvm_explanation *explanation, FILE *out)
{
    static const char *const headers[] = {"scarce", ">price from", ">to",
                                          ">lead",  ">before it",  "last in",
                                          ">lead",  "first out",   ">lead"};
    struct cvm_table table;
    char count[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        const struct cvm_explained_line *line = &treatment->line;
        if (!line->is_known || !line->is_binding) {
            continue;
        }
        cvm_table_add(&table, treatment_name(explanation, treatment->treatment));
        add_number(&table, line->price_low);
        add_number(&table, line->price_high);
        add_number(&table, line->lead);
        cvm_table_add(&table, cvm_grouped(line->ahead, count));
        add_marginal(&table, &line->last_in);
        add_marginal(&table, &line->first_out);
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        return;
    }
    fputc('\n', out);
    cvm_table_print(&table, out);
    fputs("lead: what it leaves above its price, less what the customer's best other choice "
          "leaves\n",
          out);
}

/* ---- what was refused ---- */

static const char *check_name(const struct cvm_catalogue *catalogue,
                              const struct cvm_explained_treatment *treatment)
{
    const char *name = treatment->parts.failed_name;
    for (size_t r = 0; name != NULL && r < catalogue->policy.rule_count; r++) {
        if (treatment->reason == CVM_REASON_CONTACT_POLICY &&
            catalogue->policy.rules[r].name == name) {
            return catalogue->policy.rules[r].display_name;
        }
    }
    for (size_t s = 0; name != NULL && s < catalogue->suppression_count; s++) {
        if (treatment->reason == CVM_REASON_SUPPRESSED && catalogue->suppressions[s].name == name) {
            return catalogue->suppressions[s].display_name;
        }
    }
    return cvm_reason_sentence(treatment->reason);
}

/* "permission for marketing by sms; then also churn_90d >= 0.10" */
static void add_needs(struct cvm_table *table, const struct cvm_explained_treatment *treatment)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    bool has_change = treatment->change != NULL;
    cvm_text_add(&text, has_change ? treatment->change : treatment->also_count > 0 ? "" : "-");
    for (size_t i = 0; i < treatment->also_count; i++) {
        cvm_text_add(&text, i > 0 ? ", " : has_change ? "; then also: " : "then also: ");
        cvm_text_add(&text, treatment->also[i]);
    }
    cvm_table_add(table, cvm_text_string(&text));
    cvm_text_finish(&text);
}

static void print_refused(const struct cvm_explanation *explanation, FILE *out)
{
    static const char *const headers[] = {"refused", "stage", "why", "it needs"};
    struct cvm_table table;
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        if (treatment->is_eligible) {
            continue;
        }
        cvm_table_add(&table, treatment_name(explanation, treatment->treatment));
        cvm_table_add(&table, cvm_reason_stage(treatment->reason));
        cvm_table_add(&table, check_name(explanation->catalogue, treatment));
        add_needs(&table, treatment);
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        return;
    }
    fputc('\n', out);
    cvm_table_print(&table, out);
}

/* ---- parts ---- */

static void print_parts(const struct cvm_explanation *explanation, FILE *out)
{
    static const char *const headers[CVM_EXPLAIN_PARTS + 3] = {
        "parts", ">f", ">q", ">p", ">rho", ">W",          ">a",       ">u",
        ">H",    ">g", ">c", ">k", ">m",   "q a rho are", ">outcomes"};
    struct cvm_table table;
    struct cvm_explain_part parts[CVM_EXPLAIN_PARTS];
    cvm_table_init(&table, headers, CVM_EXPLAIN_PARTS + 3);
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        if (!treatment->is_eligible) {
            continue;
        }
        cvm_table_add(&table, explanation->catalogue->treatments[treatment->treatment].id);
        cvm_explain_parts_of(&treatment->parts, parts);
        for (size_t p = 0; p < CVM_EXPLAIN_PARTS; p++) {
            cvm_table_add_format(&table, "%.6g", parts[p].value);
        }
        cvm_table_add(&table, treatment->parts.source);
        cvm_table_add_format(&table, "%lld", (long long)treatment->parts.outcomes);
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        return;
    }
    fputc('\n', out);
    cvm_table_print(&table, out);
    fputs("\n" CVM_EXPLAIN_FORMULA ", W = m H; left = value - price\n", out);
}

void cvm_explain_print(const struct cvm_explanation *explanation, struct cvm_session *session)
{
    print_head(explanation, session->out);
    print_permitted(explanation, session->out);
    print_alternatives(explanation, session->out);
    print_lines(explanation, session->out);
    print_refused(explanation, session->out);
    print_parts(explanation, session->out);
}
