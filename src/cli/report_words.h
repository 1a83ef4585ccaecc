/* report_words.h - the figures of a report as people read them: numbers with their units, and the
 * sentence that each picture says. The terminal and the page use the same. */
#ifndef CVM_CLI_REPORT_WORDS_H
#define CVM_CLI_REPORT_WORDS_H

#include "cli/document.h"
#include "engine/report.h"

#define CVM_WORDS_SIZE 96

/* "12.50 GBP", "1,234,567 GBP"; "not known" for NaN. All return text. */
const char *cvm_words_money(double amount, const char *currency, char text[CVM_WORDS_SIZE]);
const char *cvm_words_micro(int64_t micro, const char *currency, char text[CVM_WORDS_SIZE]);
/* "12.3 %" */
const char *cvm_words_percent(double share, char text[CVM_WORDS_SIZE]);
const char *cvm_words_count(int64_t count, char text[CVM_WORDS_SIZE]);
/* "4.1 % (3.5 to 4.8)" */
const char *cvm_words_rate(const struct cvm_interval *rate, char text[CVM_WORDS_SIZE]);
/* "-0.8 points (-1.4 to -0.2)" */
const char *cvm_words_points(const struct cvm_interval *difference, char text[CVM_WORDS_SIZE]);
/* "0.95 (0.81 to 1.12)" */
const char *cvm_words_ratio(const struct cvm_interval *ratio, char text[CVM_WORDS_SIZE]);
/* "0.127 GBP per customer"; "not scarce" for 0 */
const char *cvm_words_price(const struct cvm_report_limit *limit, const char *currency,
                            char text[CVM_WORDS_SIZE]);
/* An amount of the limit, "1,200" or "46.14", and what it counts: "customers", "units", "GBP". */
const char *cvm_words_amount(const struct cvm_report_limit *limit, double amount,
                             char text[CVM_WORDS_SIZE]);
const char *cvm_words_unit(const struct cvm_report_limit *limit, const char *currency);
/* "2024-03-20 11:22 UTC" */
const char *cvm_words_moment(int64_t moment_ms, char text[CVM_WORDS_SIZE]);

/* 95 % of the value lies within this of it. */
double cvm_words_half_width(double sd);
bool cvm_words_are_negligible(double share);

/* Sentences, appended; each says one picture or section. */
struct cvm_words {
    const struct cvm_report *report;
    const char *currency;
    struct cvm_text *out;
};
void cvm_words_say_value(const struct cvm_words *words);
void cvm_words_say_sources_of_value(const struct cvm_words *words);
void cvm_words_say_baselines(const struct cvm_words *words);
void cvm_words_say_limits(const struct cvm_words *words);
void cvm_words_say_funnel(const struct cvm_words *words);
void cvm_words_say_segments(const struct cvm_words *words);
void cvm_words_say_change(const struct cvm_words *words);
void cvm_words_say_groups(const struct cvm_words *words);
void cvm_words_say_outcomes(const struct cvm_words *words);
void cvm_words_say_freshness(const struct cvm_words *words);

#endif
