/* The report in a few lines, for the terminal. */
#include <math.h>
#include <string.h>

#include "base/date.h"
#include "cli/document.h"
#include "cli/report_formats.h"
#include "cli/report_words.h"
#include "cli/work.h"

#define REFUSALS_SHOWN 5

static void print_sentence(FILE *out, const struct cvm_words *words,
                           void (*say)(const struct cvm_words *))
{
    cvm_text_clear(words->out);
    say(words);
    if (words->out->length > 0) {
        fprintf(out, "%s\n", cvm_text_string(words->out));
    }
}

static void print_head(FILE *out, const struct cvm_report_format *format)
{
    const struct cvm_report *report = format->report;
    char texts[2][CVM_WORDS_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    fprintf(out, "Run %s as of %s, catalogue version %lld: plan %s\n", report->run.run_id,
            cvm_day_format(report->run.as_of_day, day), (long long)report->run.catalogue_version,
            report->run.plan_state);
    fprintf(out, "Made %s by %s\n", cvm_words_moment(report->run.created_at_ms, texts[0]),
            report->run.created_by[0] == '\0' ? "nobody named" : report->run.created_by);
    for (size_t i = 0; i < report->hold_reason_count; i++) {
        fprintf(out, "Held: %s\n", report->hold_reasons[i]);
    }
    fputc('\n', out);
}

static void print_total(FILE *out, const struct cvm_report_format *format)
{
    const struct cvm_report_sum *total = &format->report->total;
    const char *currency = format->currency;
    char texts[3][CVM_WORDS_SIZE];
    fprintf(out, "  %16s treated, %s contacts, %s in control groups\n",
            cvm_words_count(total->treated, texts[0]), cvm_words_count(total->contacts, texts[1]),
            cvm_words_count(total->ghosts, texts[2]));
    fprintf(out, "  %16s expected value over its horizon\n",
            cvm_words_money(total->value, currency, texts[0]));
    if (total->contacts > 0) {
        fprintf(
            out, "  %16s of value per contact\n",
            cvm_words_money(total->contact_value / (double)total->contacts, currency, texts[0]));
    }
    fprintf(out, "  %16s marginal cost, %s incentives\n\n",
            cvm_words_micro(total->cost_micro, currency, texts[0]),
            cvm_words_micro(total->incentive_micro, currency, texts[1]));
}

static void print_treatments(FILE *out, const struct cvm_report_format *format)
{
    static const char *const headers[] = {"treatment", ">treated", ">value", ">per contact",
                                          "rests on"};
    struct cvm_table table;
    char text[CVM_WORDS_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t t = 0; t < format->report->treatment_count; t++) {
        const struct cvm_report_treatment *treatment = &format->report->treatments[t];
        const struct cvm_report_sum *sum = &treatment->sum;
        if (sum->treated == 0) {
            continue;
        }
        cvm_table_add(&table, treatment->display_name);
        cvm_table_add(&table, cvm_words_count(sum->treated, text));
        cvm_table_add(&table, cvm_words_money(sum->value, format->currency, text));
        cvm_table_add(&table, sum->contacts == 0
                                  ? "no contact"
                                  : cvm_words_money(sum->contact_value / (double)sum->contacts,
                                                    format->currency, text));
        cvm_table_add(&table, treatment->source);
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        return;
    }
    cvm_table_print(&table, out);
    fputc('\n', out);
}

static void print_refusals(FILE *out, const struct cvm_report *report)
{
    char text[CVM_WORDS_SIZE];
    char words[CVM_REASON_WORDS_SIZE];
    for (size_t i = 0; i < report->refusal_count && i < REFUSALS_SHOWN; i++) {
        fprintf(out, "  %16s pairs refused: %s\n", cvm_words_count(report->refusals[i].pairs, text),
                cvm_reason_words(cvm_reason_name(report->refusals[i].reason), words));
    }
}

void cvm_report_print_text(struct cvm_session *session, const struct cvm_report_format *format)
{
    FILE *out = session->out;
    struct cvm_text text;
    struct cvm_words words = {format->report, format->currency, &text};
    cvm_text_init(&text, 0);
    print_head(out, format);
    print_sentence(out, &words, cvm_words_say_value);
    print_sentence(out, &words, cvm_words_say_sources_of_value);
    print_sentence(out, &words, cvm_words_say_baselines);
    fputc('\n', out);
    print_total(out, format);
    print_treatments(out, format);
    print_sentence(out, &words, cvm_words_say_limits);
    print_sentence(out, &words, cvm_words_say_funnel);
    print_refusals(out, format->report);
    fputc('\n', out);
    print_sentence(out, &words, cvm_words_say_change);
    print_sentence(out, &words, cvm_words_say_groups);
    print_sentence(out, &words, cvm_words_say_outcomes);
    print_sentence(out, &words, cvm_words_say_freshness);
    if (!session->is_quiet) {
        fprintf(out, "\nNext:\n  cvm report %s --html report.html\n", format->report->run.run_id);
    }
    cvm_text_finish(&text);
}
