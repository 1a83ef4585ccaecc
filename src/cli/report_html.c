/* The report as one self-contained page: style, script and pictures are inside. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "cli/html.h"
#include "cli/report_formats.h"
#include "cli/report_pictures.h"
#include "cli/report_words.h"
#include "cli/shipped.h"
#include "cli/work.h"

#define HEADERS(names) names, sizeof(names) / sizeof((names)[0])

/* Values that rest mostly on assumptions are said at the top. */
#define PRIORS_MANY 0.5

struct page {
    struct cvm_html html;
    const struct cvm_report *report;
    const struct cvm_report_format *format;
    const char *currency;
    struct cvm_text sentence;
    struct cvm_words words;
    struct cvm_picture_row rows[CVM_PICTURE_ROWS_MAX];
    char texts[CVM_PICTURE_ROWS_MAX][2 * CVM_WORDS_SIZE];
    size_t row_count;
};

static const char *sentence_of(struct page *page, void (*say)(const struct cvm_words *))
{
    cvm_text_clear(&page->sentence);
    say(&page->words);
    return cvm_text_string(&page->sentence);
}

static void write_sentence(struct page *page, void (*say)(const struct cvm_words *))
{
    cvm_html_element(&page->html, "p", NULL, sentence_of(page, say));
}

/* The text is copied; NULL = the rows are full. */
static struct cvm_picture_row *add_row(struct page *page, const char *label, const char *text,
                                       double value)
{
    if (page->row_count == CVM_PICTURE_ROWS_MAX) {
        return NULL;
    }
    struct cvm_picture_row *row = &page->rows[page->row_count];
    char *copy = page->texts[page->row_count++];
    (void)!snprintf(copy, sizeof(page->texts[0]), "%s", text);
    *row = (struct cvm_picture_row){.label = label, .text = copy, .value = value};
    return row;
}

static void open_section(struct page *page, const char *id, const char *heading)
{
    page->row_count = 0;
    cvm_html_open(&page->html, "section", "id", id, "aria-label", heading, NULL);
    cvm_html_element(&page->html, "h2", NULL, heading);
}

/* ---- the top ---- */

static void write_title(struct page *page)
{
    const struct cvm_run_record *run = &page->report->run;
    char day[CVM_DAY_TEXT_SIZE];
    char text[CVM_WORDS_SIZE];
    cvm_html_open(&page->html, "header", NULL);
    cvm_html_open(&page->html, "h1", NULL);
    cvm_html_format(&page->html, "Plan as of %s", cvm_day_format(run->as_of_day, day));
    cvm_html_close(&page->html);
    cvm_html_open(&page->html, "p", NULL);
    cvm_html_element(&page->html, "span", "state", run->plan_state);
    cvm_html_format(&page->html, " Run %s, made %s", run->run_id,
                    cvm_words_moment(run->created_at_ms, text));
    if (run->created_by[0] != '\0') {
        cvm_html_text(&page->html, " by ");
        cvm_html_text(&page->html, run->created_by);
    }
    cvm_html_close(&page->html);
    cvm_html_close(&page->html);
}

/* What a reader has to know before the numbers. */
static void write_notice(struct page *page)
{
    const struct cvm_report *report = page->report;
    bool is_stale = false;
    bool is_assumed = report->by_source[0] > PRIORS_MANY;
    for (size_t s = 0; s < report->source_count; s++) {
        is_stale |= report->sources[s].is_stale;
    }
    if (!is_stale && !is_assumed && report->hold_reason_count == 0) {
        return;
    }
    cvm_html_open(&page->html, "section", "class", "notice", "aria-label", "Know this first", NULL);
    cvm_html_element(&page->html, "h2", NULL, "Know this first");
    cvm_html_open(&page->html, "ul", NULL);
    for (size_t i = 0; i < report->hold_reason_count; i++) {
        cvm_html_open(&page->html, "li", NULL);
        cvm_html_text(&page->html, "Held: ");
        cvm_html_text(&page->html, report->hold_reasons[i]);
        cvm_html_close(&page->html);
    }
    if (is_stale) {
        cvm_html_element(&page->html, "li", NULL, sentence_of(page, cvm_words_say_freshness));
    }
    if (is_assumed) {
        cvm_html_element(&page->html, "li", NULL,
                         sentence_of(page, cvm_words_say_sources_of_value));
    }
    cvm_html_close(&page->html);
    cvm_html_close(&page->html);
}

static void write_card(struct page *page, const char *name, const char *number, const char *more)
{
    bool is_first = strcmp(name, "Expected margin, 12 months") == 0;
    cvm_html_open(&page->html, "li", "class", is_first ? "first" : "card", NULL);
    cvm_html_element(&page->html, "span", "name", name);
    cvm_html_element(&page->html, "span", "number", number);
    cvm_html_element(&page->html, "span", "more", more);
    cvm_html_close(&page->html);
}

static void write_money_cards(struct page *page)
{
    const struct cvm_report_sum *total = &page->report->total;
    char texts[2][CVM_WORDS_SIZE];
    char more[4 * CVM_WORDS_SIZE];
    double half = cvm_words_half_width(total->year_sd);
    (void)!snprintf(more, sizeof(more), "95 %%: %s to %s",
                    cvm_words_money(total->year - half, page->currency, texts[0]),
                    cvm_words_money(total->year + half, page->currency, texts[1]));
    char number[CVM_WORDS_SIZE];
    write_card(page, "Expected margin, 12 months",
               cvm_words_money(total->year, page->currency, number),
               isnan(total->year) ? "the run's values are no longer kept" : more);
    (void)!snprintf(more, sizeof(more),
                    "margin over its horizon, less costs; %s of the best possible",
                    cvm_words_percent(total->value / page->report->dual_bound, texts[0]));
    write_card(page, "Value", cvm_words_money(total->value, page->currency, number),
               page->report->dual_bound > 0 ? more : "margin over its horizon, less costs");
    (void)!snprintf(more, sizeof(more), "%s contacts, %s incentives",
                    cvm_words_micro(total->cost_micro, page->currency, texts[0]),
                    cvm_words_micro(total->incentive_micro, page->currency, texts[1]));
    write_card(page, "Expected spend",
               cvm_words_micro(total->cost_micro + total->incentive_micro, page->currency, number),
               more);
}

static void write_cards(struct page *page)
{
    const struct cvm_report *report = page->report;
    const struct cvm_report_sum *total = &report->total;
    char texts[2][CVM_WORDS_SIZE];
    char more[4 * CVM_WORDS_SIZE];
    char number[CVM_WORDS_SIZE];
    cvm_html_open(&page->html, "ul", "class", "cards", NULL);
    write_money_cards(page);
    (void)!snprintf(more, sizeof(more), "of %s; %s kept as control",
                    cvm_words_count(report->funnel.customers, texts[0]),
                    cvm_words_count(total->ghosts, texts[1]));
    write_card(page, "Customers treated", cvm_words_count(total->treated, number), more);
    (void)!snprintf(more, sizeof(more), "%s of value each",
                    total->contacts == 0
                        ? "nothing"
                        : cvm_words_money(total->contact_value / (double)total->contacts,
                                          page->currency, texts[0]));
    write_card(page, "Contacts", cvm_words_count(total->contacts, number), more);
    (void)!snprintf(more, sizeof(more), "%s learned, %s calibrated against control",
                    cvm_words_percent(report->by_source[1], texts[0]),
                    cvm_words_percent(report->by_source[2], texts[1]));
    write_card(page, "Rests on assumptions", cvm_words_percent(report->by_source[0], number),
               total->treated == 0 ? "nobody is treated" : more);
    cvm_html_close(&page->html);
}

/* ---- what it is worth ---- */

static void write_treatment_table(struct page *page)
{
    static const char *const headers[] = {"Treatment",  ">Customers", ">Value",     ">Per contact",
                                          ">12 months", ">Cost",      ">Incentive", "Rests on"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    cvm_html_table_open(&table, &page->html,
                        "By treatment: expected value with the 95 % interval, spend, and what the "
                        "value rests on",
                        HEADERS(headers));
    for (size_t t = 0; t < page->report->treatment_count; t++) {
        const struct cvm_report_treatment *treatment = &page->report->treatments[t];
        const struct cvm_report_sum *sum = &treatment->sum;
        char half[CVM_WORDS_SIZE];
        if (sum->treated == 0) {
            continue;
        }
        cvm_html_cell(&table, treatment->display_name);
        cvm_html_cell(&table, cvm_words_count(sum->treated, text));
        cvm_html_cell_format(&table, "%s \xc2\xb1 %s",
                             cvm_words_money(sum->value, page->currency, text),
                             cvm_words_money(cvm_words_half_width(sum->value_sd), "", half));
        cvm_html_cell(&table, sum->contacts == 0
                                  ? "no contact"
                                  : cvm_words_money(sum->contact_value / (double)sum->contacts,
                                                    page->currency, text));
        cvm_html_cell(&table, cvm_words_money(sum->year, page->currency, text));
        cvm_html_cell(&table, cvm_words_micro(sum->cost_micro, page->currency, text));
        cvm_html_cell(&table, cvm_words_micro(sum->incentive_micro, page->currency, text));
        cvm_html_cell_format(
            &table, "%s%s%s", treatment->source, treatment->outcomes > 0 ? ", outcomes: " : "",
            treatment->outcomes > 0 ? cvm_words_count(treatment->outcomes, text) : "");
    }
    cvm_html_table_close(&table);
}

static void write_value(struct page *page)
{
    char text[CVM_WORDS_SIZE];
    open_section(page, "worth", "What it is worth");
    for (size_t t = 0; t < page->report->treatment_count; t++) {
        const struct cvm_report_treatment *treatment = &page->report->treatments[t];
        if (treatment->sum.treated > 0) {
            (void)add_row(page, treatment->display_name,
                          cvm_words_money(treatment->sum.value, page->currency, text),
                          treatment->sum.value);
        }
    }
    write_sentence(page, cvm_words_say_value);
    if (page->row_count > 0) {
        char caption[2 * CVM_WORDS_SIZE + 64];
        (void)!snprintf(caption, sizeof(caption), "%.100s brings most of the value: %.20s.",
                        page->rows[0].label, page->rows[0].text);
        cvm_picture_bars(&page->html, caption, page->rows, page->row_count);
        write_treatment_table(page);
    }
    cvm_html_close(&page->html);
}

static void write_baselines(struct page *page)
{
    char text[CVM_WORDS_SIZE];
    char money[CVM_WORDS_SIZE];
    open_section(page, "baselines", "Beside simpler rules");
    for (size_t i = 0; i < page->report->baseline_count; i++) {
        const struct cvm_report_baseline *baseline = &page->report->baselines[i];
        (void)!snprintf(text, sizeof(text), "%s",
                        cvm_words_money(baseline->value, page->currency, money));
        struct cvm_picture_row *row = add_row(page, baseline->display_name, text, baseline->value);
        if (row != NULL) {
            row->is_marked = i == 0;
        }
    }
    if (page->row_count > 0) {
        cvm_picture_bars(&page->html, sentence_of(page, cvm_words_say_baselines), page->rows,
                         page->row_count);
        cvm_html_element(&page->html, "p", "soft",
                         "The same customers, values and limits. Each rule gives a customer the "
                         "best treatment that still has room.");
    } else {
        write_sentence(page, cvm_words_say_baselines);
    }
    cvm_html_close(&page->html);
}

/* ---- limits ---- */

static int compare_prices(const void *a, const void *b)
{
    const struct cvm_picture_row *left = a;
    const struct cvm_picture_row *right = b;
    return (left->value < right->value) - (left->value > right->value);
}

/* Capacities share a unit, so that their prices can stand on one ladder. */
static void write_ladder(struct page *page)
{
    char text[CVM_WORDS_SIZE];
    page->row_count = 0;
    for (size_t i = 0; i < page->report->limit_count; i++) {
        const struct cvm_report_limit *limit = &page->report->limits[i];
        if (limit->kind == CVM_CONSTRAINT_CAPACITY && limit->price > 0) {
            struct cvm_picture_row *row =
                add_row(page, limit->display_name,
                        cvm_words_money(limit->price, page->currency, text), limit->price);
            if (row != NULL) {
                row->low = 0;
                row->high = limit->price;
            }
        }
    }
    if (page->row_count == 0) {
        return;
    }
    qsort(page->rows, page->row_count, sizeof(page->rows[0]), compare_prices);
    char caption[2 * CVM_WORDS_SIZE + 64];
    (void)!snprintf(caption, sizeof(caption),
                    "What one more customer would bring, by treatment: most with %.80s, "
                    "%.20s.",
                    page->rows[0].label, page->rows[0].text);
    cvm_picture_ranges(&page->html, caption, page->rows, page->row_count, 0);
}

/* Shared means and budgets first: they are fewer and matter to all. */
static void add_use_rows(struct page *page, bool are_capacities)
{
    char texts[2][CVM_WORDS_SIZE];
    char text[2 * CVM_WORDS_SIZE];
    for (size_t i = 0; i < page->report->limit_count; i++) {
        const struct cvm_report_limit *limit = &page->report->limits[i];
        double taken = limit->granted - limit->left;
        if (!(limit->granted > 0) || (limit->kind == CVM_CONSTRAINT_CAPACITY) != are_capacities) {
            continue;
        }
        (void)!snprintf(
            text, sizeof(text), "%.30s of %.30s%s%.10s", cvm_words_amount(limit, taken, texts[0]),
            cvm_words_amount(limit, limit->granted, texts[1]), are_capacities ? "" : " ",
            are_capacities ? "" : cvm_words_unit(limit, page->currency));
        struct cvm_picture_row *row =
            add_row(page, limit->display_name, text, taken / limit->granted);
        if (row != NULL) {
            row->is_marked = limit->price > 0;
        }
    }
}

static void write_use(struct page *page)
{
    page->row_count = 0;
    add_use_rows(page, false);
    add_use_rows(page, true);
    if (page->row_count > 0) {
        cvm_picture_bars(&page->html,
                         "How much of each limit is used, in customers where no unit stands; dark "
                         "where more would bring more.",
                         page->rows, page->row_count);
    }
}

static void write_limit_table(struct page *page)
{
    static const char *const headers[] = {"Limit",        "Counts", "Per",   ">Granted",
                                          ">Used before", ">Used",  ">Left", ">Price of one more"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    cvm_html_table_open(&table, &page->html,
                        "Limits: what the period grants, what was used before or is kept for real "
                        "time, what this run uses and leaves",
                        HEADERS(headers));
    for (size_t i = 0; i < page->report->limit_count; i++) {
        const struct cvm_report_limit *limit = &page->report->limits[i];
        const double amounts[] = {limit->granted, limit->elsewhere, limit->used, limit->left};
        cvm_html_cell(&table, limit->display_name);
        cvm_html_cell(&table, cvm_words_unit(limit, page->currency));
        cvm_html_cell(&table, cvm_period_words[limit->period]);
        for (size_t k = 0; k < 4; k++) {
            cvm_html_cell(&table, cvm_words_amount(limit, amounts[k], text));
        }
        cvm_html_cell(&table, cvm_words_price(limit, page->currency, text));
    }
    cvm_html_table_close(&table);
}

static void write_limits(struct page *page)
{
    open_section(page, "limits", "Budgets and capacity");
    write_sentence(page, cvm_words_say_limits);
    write_use(page);
    write_ladder(page);
    if (page->report->limit_count > 0) {
        write_limit_table(page);
    }
    cvm_html_close(&page->html);
}

/* ---- refusals ---- */

static void write_funnel(struct page *page)
{
    const struct cvm_report_funnel *funnel = &page->report->funnel;
    const struct {
        const char *label;
        int64_t count;
    } steps[] = {
        {"Customers", funnel->customers},
        {"without a decision before", funnel->undecided},
        {"may have something", funnel->permitted},
        {"it is worth something", funnel->valuable},
        {"worth more than its price", funnel->above_price},
        {"treated", funnel->treated},
    };
    size_t last = sizeof(steps) / sizeof(steps[0]) - 1;
    char count[CVM_WORDS_SIZE];
    char share[CVM_WORDS_SIZE];
    char text[2 * CVM_WORDS_SIZE];
    page->row_count = 0;
    for (size_t i = 0; i <= last; i++) {
        if (i == 1 && funnel->undecided == funnel->customers) {
            continue;
        }
        (void)!snprintf(
            text, sizeof(text), "%s (%s)", cvm_words_count(steps[i].count, count),
            cvm_words_percent((double)steps[i].count / (double)funnel->customers, share));
        struct cvm_picture_row *row = add_row(page, steps[i].label, text, (double)steps[i].count);
        if (row != NULL) {
            row->is_marked = i == last;
        }
    }
    cvm_picture_funnel(&page->html, sentence_of(page, cvm_words_say_funnel), page->rows,
                       page->row_count);
}

static void write_refusals(struct page *page)
{
    static const char *const headers[] = {"Reason", "Stage", ">Pairs", "Means"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    char words[CVM_REASON_WORDS_SIZE];
    open_section(page, "refusals", "Who gets nothing, and why");
    if (page->report->has_values && page->report->funnel.customers > 0) {
        write_funnel(page);
    }
    cvm_html_table_open(&table, &page->html, "Pairs of customer and treatment that were refused",
                        HEADERS(headers));
    for (size_t i = 0; i < page->report->refusal_count; i++) {
        enum cvm_reason reason = page->report->refusals[i].reason;
        cvm_html_cell(&table, cvm_reason_words(cvm_reason_name(reason), words));
        cvm_html_cell(&table, cvm_reason_stage(reason));
        cvm_html_cell(&table, cvm_words_count(page->report->refusals[i].pairs, text));
        cvm_html_cell(&table, cvm_reason_sentence(reason));
    }
    cvm_html_table_close(&table);
    cvm_html_close(&page->html);
}

/* ---- segments ---- */

static void write_segment_table(struct page *page)
{
    static const char *const headers[] = {"Segment",  ">Customers", ">May have something",
                                          ">Treated", ">Value",     ">Per customer"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    cvm_html_table_open(&table, &page->html, "By value segment", HEADERS(headers));
    for (size_t s = 0; s < page->report->segment_count; s++) {
        const struct cvm_report_segment *segment = &page->report->segments[s];
        cvm_html_cell(&table, segment->name);
        cvm_html_cell(&table, cvm_words_count(segment->customers, text));
        cvm_html_cell(&table, cvm_words_count(segment->permitted, text));
        cvm_html_cell(&table, cvm_words_count(segment->sum.treated, text));
        cvm_html_cell(&table, cvm_words_money(segment->sum.value, page->currency, text));
        cvm_html_cell(&table, segment->customers == 0
                                  ? ""
                                  : cvm_words_money(segment->sum.value / (double)segment->customers,
                                                    page->currency, text));
    }
    cvm_html_table_close(&table);
}

static void write_segments(struct page *page)
{
    char text[CVM_WORDS_SIZE];
    open_section(page, "segments", "Value by segment");
    for (size_t s = 0; s < page->report->segment_count; s++) {
        const struct cvm_report_segment *segment = &page->report->segments[s];
        (void)add_row(page, segment->name,
                      cvm_words_money(segment->sum.value, page->currency, text),
                      segment->sum.value);
    }
    if (page->row_count > 0) {
        cvm_picture_bars(&page->html, sentence_of(page, cvm_words_say_segments), page->rows,
                         page->row_count);
        write_segment_table(page);
    } else {
        cvm_html_element(&page->html, "p", NULL, "The values of this run are no longer kept.");
    }
    cvm_html_close(&page->html);
}

/* ---- change ---- */

static void write_change_table(struct page *page, const char *caption, const char *what,
                               const struct cvm_report_change *changes, size_t count)
{
    const char *const headers[] = {what,     ">Customers before", ">Customers", ">Value before",
                                   ">Value", "Because of"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    cvm_html_table_open(&table, &page->html, caption, HEADERS(headers));
    for (size_t i = 0; i < count; i++) {
        const struct cvm_report_change *change = &changes[i];
        cvm_html_cell(&table, change->name);
        cvm_html_cell(&table, cvm_words_count(change->treated_before, text));
        cvm_html_cell(&table, cvm_words_count(change->treated, text));
        cvm_html_cell(&table, cvm_words_money(change->value_before, page->currency, text));
        cvm_html_cell(&table, cvm_words_money(change->value, page->currency, text));
        cvm_text_clear(&page->sentence);
        for (size_t c = 0; c < change->cause_count; c++) {
            cvm_text_add(&page->sentence, c > 0 ? "; " : "");
            cvm_text_add(&page->sentence, change->causes[c]);
        }
        cvm_html_cell(&table, cvm_text_string(&page->sentence));
    }
    cvm_html_table_close(&table);
}

static int compare_moves(const void *a, const void *b)
{
    const struct cvm_picture_row *left = a;
    const struct cvm_picture_row *right = b;
    double left_length = fabs(left->value - left->low);
    double right_length = fabs(right->value - right->low);
    return (left_length < right_length) - (left_length > right_length);
}

static void write_moves(struct page *page)
{
    char texts[2][CVM_WORDS_SIZE];
    page->row_count = 0;
    for (size_t i = 0; i < page->report->treatment_change_count; i++) {
        const struct cvm_report_change *change = &page->report->treatment_changes[i];
        (void)!snprintf(
            texts[1], sizeof(texts[1]), "%s%s", change->value < change->value_before ? "" : "+",
            cvm_words_money(change->value - change->value_before, page->currency, texts[0]));
        struct cvm_picture_row *row = add_row(page, change->name, texts[1], change->value);
        if (row != NULL) {
            row->low = change->value_before;
        }
    }
    if (page->row_count > 0) {
        qsort(page->rows, page->row_count, sizeof(page->rows[0]), compare_moves);
        cvm_picture_moves(&page->html, sentence_of(page, cvm_words_say_change), page->rows,
                          page->row_count);
        cvm_html_element(&page->html, "p", "soft",
                         "Value of each treatment: the ring is the run before, the dot this one.");
    }
}

static void write_change(struct page *page)
{
    const struct cvm_report *report = page->report;
    open_section(page, "change", "Change against the last run");
    if (report->before.run_id == NULL) {
        write_sentence(page, cvm_words_say_change);
        cvm_html_close(&page->html);
        return;
    }
    write_moves(page);
    if (report->cause_count > 0) {
        cvm_html_element(&page->html, "h3", NULL, "What changed");
        cvm_html_open(&page->html, "ul", NULL);
        for (size_t i = 0; i < report->cause_count; i++) {
            cvm_html_element(&page->html, "li", NULL, report->causes[i]);
        }
        cvm_html_close(&page->html);
    }
    if (report->treatment_change_count > 0) {
        write_change_table(page, "By treatment, with the causes that the runs show", "Treatment",
                           report->treatment_changes, report->treatment_change_count);
    }
    if (report->segment_change_count > 0) {
        write_change_table(page, "By segment", "Segment", report->segment_changes,
                           report->segment_change_count);
    }
    cvm_html_close(&page->html);
}

/* ---- groups ---- */

static void write_group_table(struct page *page, size_t first, size_t end)
{
    static const char *const headers[] = {"Group",    ">Customers",   ">May have something",
                                          ">Treated", ">Rate (95 %)", ">To the largest (95 %)"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    cvm_html_table_open(&table, &page->html, "Customers treated of all customers of the group",
                        HEADERS(headers));
    for (size_t i = first; i < end; i++) {
        const struct cvm_report_group *group = &page->report->groups[i];
        cvm_html_cell(&table, group->value);
        cvm_html_cell(&table, cvm_words_count(group->customers, text));
        cvm_html_cell(&table, cvm_words_count(group->permitted, text));
        cvm_html_cell(&table, cvm_words_count(group->treated, text));
        cvm_html_cell(&table, cvm_words_rate(&group->rate, text));
        cvm_html_cell(&table,
                      group->is_reference ? "the largest" : cvm_words_ratio(&group->ratio, text));
    }
    cvm_html_table_close(&table);
}

static void write_feature_groups(struct page *page, size_t first, size_t end)
{
    char text[CVM_WORDS_SIZE];
    char caption[2 * CVM_WORDS_SIZE];
    page->row_count = 0;
    for (size_t i = first; i < end; i++) {
        const struct cvm_report_group *group = &page->report->groups[i];
        struct cvm_picture_row *row =
            add_row(page, group->value, cvm_words_percent(group->rate.estimate, text),
                    group->rate.estimate);
        if (row != NULL) {
            row->low = group->rate.low;
            row->high = group->rate.high;
            row->is_marked = group->is_reference;
        }
    }
    (void)!snprintf(caption, sizeof(caption),
                    "Share treated by %.60s, with its 95 %% interval; the upright line is the "
                    "largest group's.",
                    page->report->groups[first].feature);
    cvm_html_element(&page->html, "h3", NULL, page->report->groups[first].display_name);
    cvm_picture_ranges(&page->html, caption, page->rows, page->row_count,
                       page->report->groups[first].rate.estimate);
    write_group_table(page, first, end);
}

static void write_groups(struct page *page)
{
    const struct cvm_report *report = page->report;
    open_section(page, "groups", "How often groups are treated");
    write_sentence(page, cvm_words_say_groups);
    for (size_t first = 0; first < report->group_count;) {
        size_t end = first + 1;
        while (end < report->group_count &&
               strcmp(report->groups[end].feature, report->groups[first].feature) == 0) {
            end++;
        }
        write_feature_groups(page, first, end);
        first = end;
    }
    cvm_html_close(&page->html);
}

/* ---- outcomes ---- */

static void write_outcome_table(struct page *page)
{
    static const char *const headers[] = {"Treatment",
                                          ">Treated",
                                          ">Left",
                                          ">Control",
                                          ">Left",
                                          ">Difference of churn (95 %)",
                                          ">Smallest visible fall"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    cvm_html_table_open(&table, &page->html,
                        "Churn of treated and control customers whose outcome window has ended",
                        HEADERS(headers));
    for (size_t i = 0; i < page->report->outcome_count; i++) {
        const struct cvm_report_outcome *outcome = &page->report->outcomes[i];
        cvm_html_cell(&table, outcome->display_name);
        cvm_html_cell(&table, cvm_words_count(outcome->treated, text));
        cvm_html_cell(&table, cvm_words_percent(outcome->treated_rate.estimate, text));
        cvm_html_cell(&table, cvm_words_count(outcome->controls, text));
        cvm_html_cell(&table, cvm_words_percent(outcome->control_rate.estimate, text));
        cvm_html_cell(&table, outcome->is_too_few ? "too few"
                                                  : cvm_words_points(&outcome->difference, text));
        if (isnan(outcome->smallest_fall)) {
            cvm_html_cell(&table, "none");
        } else {
            cvm_html_cell_format(&table, "%.2f points", 100 * outcome->smallest_fall);
        }
    }
    cvm_html_table_close(&table);
}

static void write_outcome_picture(struct page *page)
{
    char text[CVM_WORDS_SIZE];
    page->row_count = 0;
    for (size_t i = 0; i < page->report->outcome_count; i++) {
        const struct cvm_report_outcome *outcome = &page->report->outcomes[i];
        if (outcome->is_too_few) {
            continue;
        }
        (void)!snprintf(text, sizeof(text), "%+.2f points", 100 * outcome->difference.estimate);
        struct cvm_picture_row *row =
            add_row(page, outcome->display_name, text, outcome->difference.estimate);
        if (row != NULL) {
            row->low = outcome->difference.low;
            row->high = outcome->difference.high;
        }
    }
    if (page->row_count > 0) {
        cvm_picture_ranges(&page->html,
                           "Churn of treated less that of control customers; left of the upright "
                           "line fewer treated customers left.",
                           page->rows, page->row_count, 0);
    }
}

static void write_response_table(struct page *page)
{
    static const char *const headers[] = {"Treatment", ">Contacts", ">Reached", ">Accepted",
                                          ">Of those reached who answered"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    if (page->report->response_count == 0) {
        return;
    }
    cvm_html_table_open(&table, &page->html, "Responses so far", HEADERS(headers));
    for (size_t i = 0; i < page->report->response_count; i++) {
        const struct cvm_report_response *response = &page->report->responses[i];
        cvm_html_cell(&table, response->display_name);
        cvm_html_cell(&table, cvm_words_count(response->contacts, text));
        cvm_html_cell(&table, cvm_words_count(response->reached, text));
        cvm_html_cell(&table, cvm_words_count(response->accepted, text));
        cvm_html_cell(
            &table, cvm_words_percent(response->answers == 0
                                          ? NAN
                                          : (double)response->accepted / (double)response->answers,
                                      text));
    }
    cvm_html_table_close(&table);
}

static void write_outcomes(struct page *page)
{
    open_section(page, "outcomes", "What was measured");
    write_sentence(page, cvm_words_say_outcomes);
    if (page->report->outcome_count > 0) {
        write_outcome_picture(page);
        write_outcome_table(page);
    }
    write_response_table(page);
    cvm_html_close(&page->html);
}

/* ---- run and sources ---- */

static void write_steps(struct page *page)
{
    static const char *const headers[] = {"When", "Plan", "Who", "Why"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    if (page->report->step_count == 0) {
        return;
    }
    cvm_html_table_open(&table, &page->html, "Steps of the plan", HEADERS(headers));
    for (size_t i = 0; i < page->report->step_count; i++) {
        const struct cvm_report_step *step = &page->report->steps[i];
        cvm_html_cell(&table, cvm_words_moment(step->at_ms, text));
        cvm_html_cell(&table, step->state == NULL ? "" : step->state);
        cvm_html_cell(&table, step->who);
        cvm_html_cell(&table, step->why);
    }
    cvm_html_table_close(&table);
}

static void write_sources(struct page *page)
{
    static const char *const headers[] = {"Source",    "Newest",   ">Age", ">At most",
                                          "Delivered", ">Records", "State"};
    struct cvm_html_table table;
    char text[CVM_WORDS_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    open_section(page, "sources", "Run and sources");
    write_sentence(page, cvm_words_say_freshness);
    cvm_html_table_open(&table, &page->html, "Sources: newest event against what is declared",
                        HEADERS(headers));
    for (size_t s = 0; s < page->report->source_count; s++) {
        const struct cvm_report_source *source = &page->report->sources[s];
        bool has_day = source->newest_day != CVM_DAY_NONE;
        cvm_html_cell(&table, source->display_name);
        cvm_html_cell(&table, has_day ? cvm_day_format(source->newest_day, day) : "undated");
        if (has_day) {
            cvm_html_cell_format(&table, "%d days", source->age_days);
        } else {
            cvm_html_cell(&table, "");
        }
        if (source->freshness_days > 0) {
            cvm_html_cell_format(&table, "%.0f days", source->freshness_days);
        } else {
            cvm_html_cell(&table, "");
        }
        cvm_html_cell(&table, cvm_words_moment(source->imported_at_ms, text));
        cvm_html_cell(&table, cvm_words_count(source->records, text));
        cvm_html_cell(&table, source->is_stale             ? "too old"
                              : source->freshness_days > 0 ? "fresh"
                                                           : "not declared");
    }
    cvm_html_table_close(&table);
    write_steps(page);
    cvm_html_close(&page->html);
}

/* ---- the end ---- */

static void write_reading(struct page *page)
{
    static const char *const terms[][2] = {
        {"Value", "Expected margin that the treatment brings over the horizon of the customer's "
                  "segment, less incentives, the cost of the contact and its wear. Who would have "
                  "stayed anyway brings nothing."},
        {"Expected margin, 12 months", "The part of the value that falls in the first 12 months."},
        {"Interval", "95 %, from the uncertainty of each treatment's response. Its error is the "
                     "same for all who get it, so it does not average out."},
        {"Prior, learned, calibrated", "Assumed; learned from outcomes; learned and checked "
                                       "against a control group."},
        {"Price of one more", "What one more unit of a limit would bring. Where there is room, "
                              "nothing."},
        {"Control", "Customers who would have been treated and are left alone, so that the effect "
                    "can be measured."},
        {"Smallest visible fall", "The smallest fall of churn that groups of this size would show "
                                  "in 80 of 100 cases."},
    };
    open_section(page, "reading", "How to read this");
    cvm_html_open(&page->html, "dl", NULL);
    for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
        cvm_html_element(&page->html, "dt", NULL, terms[i][0]);
        cvm_html_element(&page->html, "dd", NULL, terms[i][1]);
    }
    cvm_html_close(&page->html);
    cvm_html_close(&page->html);
}

static void write_footer(struct page *page)
{
    const struct cvm_run_record *run = &page->report->run;
    char text[CVM_WORDS_SIZE];
    cvm_html_open(&page->html, "footer", NULL);
    cvm_html_open(&page->html, "p", NULL);
    cvm_html_format(&page->html,
                    "Run %s, catalogue version %lld, data up to batch %lld. Report made %s. Plan "
                    "digest %.64s.",
                    run->run_id, (long long)run->catalogue_version, (long long)run->last_batch,
                    cvm_words_moment(page->format->made_at_ms, text),
                    run->plan_digest == NULL ? "none" : run->plan_digest);
    cvm_html_close(&page->html);
    cvm_html_close(&page->html);
}

static void write_embedded(struct page *page, const char *element, const char *name)
{
    const struct cvm_embedded_file *file = cvm_shipped_file(name);
    cvm_html_open(&page->html, element, NULL);
    if (file != NULL) {
        cvm_html_raw(&page->html, file->bytes, file->length);
    }
    cvm_html_close(&page->html);
}

static void write_head(struct page *page)
{
    char day[CVM_DAY_TEXT_SIZE];
    cvm_html_open(&page->html, "head", NULL);
    cvm_html_single(&page->html, "meta", "charset", "utf-8", NULL);
    cvm_html_single(&page->html, "meta", "name", "viewport", "content",
                    "width=device-width, initial-scale=1", NULL);
    /* Nothing is loaded from anywhere, and nothing in a name can run. */
    cvm_html_single(&page->html, "meta", "http-equiv", "Content-Security-Policy", "content",
                    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                    "img-src data:",
                    NULL);
    cvm_html_single(&page->html, "link", "rel", "icon", "href", "data:,", NULL);
    cvm_html_open(&page->html, "title", NULL);
    cvm_html_format(&page->html, "Plan as of %s", cvm_day_format(page->report->run.as_of_day, day));
    cvm_html_close(&page->html);
    write_embedded(page, "style", "page/report.css");
    cvm_html_close(&page->html);
}

static void write_page(struct page *page)
{
    static void (*const sections[])(struct page *) = {
        write_value,  write_baselines, write_limits,   write_refusals, write_segments,
        write_change, write_groups,    write_outcomes, write_sources,  write_reading,
    };
    cvm_text_add(page->html.out, "<!doctype html>\n");
    cvm_html_open(&page->html, "html", "lang", "en", NULL);
    write_head(page);
    cvm_html_open(&page->html, "body", NULL);
    write_title(page);
    cvm_html_open(&page->html, "main", NULL);
    write_notice(page);
    write_cards(page);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        sections[i](page);
    }
    cvm_html_close(&page->html);
    write_footer(page);
    write_embedded(page, "script", "page/report.js");
    cvm_html_close(&page->html);
    cvm_html_close(&page->html);
}

void cvm_report_write_html(const struct cvm_report_format *format, struct cvm_text *out)
{
    struct page *page = CVM_NEW(format->arena, struct page);
    if (page == NULL) {
        out->failed = true;
        return;
    }
    *page = (struct page){.report = format->report, .format = format, .currency = format->currency};
    cvm_html_init(&page->html, out);
    cvm_text_init(&page->sentence, 0);
    page->words = (struct cvm_words){format->report, format->currency, &page->sentence};
    write_page(page);
    out->failed = out->failed || page->sentence.failed;
    cvm_text_finish(&page->sentence);
}
