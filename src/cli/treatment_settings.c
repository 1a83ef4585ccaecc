/* Limit, priority and cost in a sentence: a number counts only with its keyword. */
#include <string.h>

#include "cli/treatment_sentence.h"

enum setting { SETTING_LIMIT, SETTING_PRIORITY, SETTING_COST, SETTING_COUNT };
static const char *const setting_words[] = {"limit", "priority", "cost"};

static const struct keyword {
    const char *phrase;
    enum setting setting;
    bool needs_day; /* "at most 3" alone may be of anything */
} keywords[] = {
    {"no more than", SETTING_LIMIT, true}, {"not more than", SETTING_LIMIT, true},
    {"at most", SETTING_LIMIT, true},      {"up to", SETTING_LIMIT, true},
    {"max_per_day", SETTING_LIMIT, false}, {"limited", SETTING_LIMIT, false},
    {"limit", SETTING_LIMIT, false},       {"maximum", SETTING_LIMIT, false},
    {"max", SETTING_LIMIT, false},         {"capped", SETTING_LIMIT, false},
    {"priority", SETTING_PRIORITY, false}, {"prio", SETTING_PRIORITY, false},
    {"costing", SETTING_COST, false},      {"costs", SETTING_COST, false},
    {"cost", SETTING_COST, false},
};

static const char *const units[] = {
    "gb",   "mb",      "tb",    "gigabytes", "gig",   "minutes", "minute", "min",  "mins",
    "days", "months",  "weeks", "years",     "hours", "month",   "week",   "year", "hour",
    "p",    "percent", "k",     "times",     "x",     "rd",      "th",     "st",   NULL};

static bool is_per_day(const struct cvm_treatment_sentence *sentence, size_t index,
                       size_t *out_length)
{
    static const char *const phrases[] = {"per day", "a day", "each day", "every day", "daily"};
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        size_t length = cvm_sentence_match(sentence, index, phrases[i]);
        if (length > 0) {
            *out_length = length;
            return true;
        }
    }
    return false;
}

static bool is_other_period(const struct cvm_treatment_sentence *sentence, size_t index)
{
    return (CVM_SENTENCE_IS_ANY(sentence, index, "per", "a", "each", "every") &&
            CVM_SENTENCE_IS_ANY(sentence, index + 1, "week", "month", "year", "hour", "quarter",
                                "customer", "person", "household")) ||
           CVM_SENTENCE_IS_ANY(sentence, index, "weekly", "monthly", "yearly");
}

/* A number that somebody counted or measured something else with. */
static bool has_unit(const struct cvm_treatment_sentence *sentence, size_t number)
{
    const struct cvm_token *token = &sentence->tokens[number];
    char next = sentence->text[token->start + token->length];
    return cvm_is_letter(next) || next == '%' || cvm_sentence_is_any(sentence, number + 1, units) ||
           (number + 1 < sentence->count &&
            sentence->tokens[number + 1].kind == CVM_TOKEN_CURRENCY);
}

struct found_setting {
    const struct keyword *keyword;
    size_t first, number, last; /* tokens */
    bool has_number, has_currency;
    const char *refusal; /* NULL = good */
};

static size_t skip_filler(const struct cvm_treatment_sentence *sentence,
                          const struct keyword *keyword, size_t at, bool *out_has_day)
{
    size_t length = 0;
    for (;;) {
        if (keyword->setting == SETTING_LIMIT && is_per_day(sentence, at, &length)) {
            *out_has_day = true;
            at += length;
        } else if (keyword->setting == SETTING_COST &&
                   CVM_SENTENCE_IS_ANY(sentence, at, "per", "each") &&
                   CVM_SENTENCE_IS_ANY(sentence, at + 1, "contact", "customer", "message")) {
            at += 2;
        } else if (CVM_SENTENCE_IS_ANY(sentence, at, "of", "to", "is", "at", "be", "by", "about",
                                       ":", "=")) {
            at++;
        } else {
            return at;
        }
    }
}

/* Behind a number, and what it is that may be a limit's: "20 customers". */
static size_t after_number(const struct cvm_treatment_sentence *sentence, size_t number)
{
    bool is_counted = CVM_SENTENCE_IS_ANY(sentence, number + 1, "contacts", "customers", "people",
                                          "offers", "calls", "emails", "messages", "units");
    return number + (is_counted ? 2 : 1);
}

static void end_limit(const struct cvm_treatment_sentence *sentence, bool has_day,
                      struct found_setting *found)
{
    size_t after = after_number(sentence, found->number);
    size_t length = 0;
    if (is_per_day(sentence, after, &length)) {
        has_day = true;
        found->last = after + length - 1;
    }
    if (found->has_currency || has_unit(sentence, found->number)) {
        found->refusal = "an amount of something, not contacts per day";
    } else if (is_other_period(sentence, after)) {
        found->refusal = "only a limit per day can be set here";
    } else if (found->keyword->needs_day && !has_day) {
        found->refusal = "not said to be per day: say 'limit N'";
    }
}

static void end_cost(const struct cvm_treatment_sentence *sentence, struct found_setting *found)
{
    size_t after = found->number + 1;
    bool has_unit_of_money =
        CVM_SENTENCE_IS_ANY(sentence, after, "pounds", "pound", "euros", "euro", "dollars",
                            "dollar", "gbp", "eur", "usd") ||
        (after < sentence->count && !found->has_currency &&
         sentence->tokens[after].kind == CVM_TOKEN_CURRENCY);
    if (!has_unit_of_money && has_unit(sentence, found->number)) {
        found->refusal = "not an amount of money";
    }
    after += has_unit_of_money ? 1 : 0;
    found->last = after - 1;
    if (is_other_period(sentence, after) && !cvm_sentence_is(sentence, after + 1, "customer")) {
        found->refusal = "only a cost per contact can be set here";
    } else if (CVM_SENTENCE_IS_ANY(sentence, after, "per", "a", "each") &&
               CVM_SENTENCE_IS_ANY(sentence, after + 1, "contact", "call", "email", "message",
                                   "sms", "customer", "text", "push")) {
        found->last = after + 1;
    } else if (cvm_sentence_is(sentence, after, "each")) {
        found->last = after;
    }
}

/* A keyword with what follows it, at `index`. */
static bool find_setting(const struct cvm_treatment_sentence *sentence, size_t index,
                         struct found_setting *out_found)
{
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        size_t length = cvm_sentence_match(sentence, index, keywords[i].phrase);
        if (length == 0) {
            continue;
        }
        struct found_setting found = {.keyword = &keywords[i], .first = index};
        bool has_day = false;
        size_t at = skip_filler(sentence, found.keyword, index + length, &has_day);
        found.last = index + length - 1;
        if (at < sentence->count && sentence->tokens[at].kind == CVM_TOKEN_CURRENCY) {
            found.has_currency = true;
            at++;
        }
        found.has_number = at < sentence->count && sentence->tokens[at].kind == CVM_TOKEN_NUMBER;
        if (found.has_number) {
            found.number = at;
            found.last = at;
            if (found.keyword->setting == SETTING_LIMIT) {
                end_limit(sentence, has_day, &found);
            } else if (found.keyword->setting == SETTING_COST) {
                end_cost(sentence, &found);
            } else if (found.has_currency || has_unit(sentence, at)) {
                found.refusal = "a priority is a whole number";
            }
        }
        *out_found = found;
        return true;
    }
    return false;
}

/* "£0.50 per contact" needs no keyword; any other money is the offer's, not the contact's. */
static bool find_price(const struct cvm_treatment_sentence *sentence, size_t index,
                       struct found_setting *out_found)
{
    static const struct keyword price = {"", SETTING_COST, false};
    struct found_setting found = {.keyword = &price, .first = index, .has_number = true};
    if (sentence->tokens[index].kind == CVM_TOKEN_CURRENCY && index + 1 < sentence->count &&
        sentence->tokens[index + 1].kind == CVM_TOKEN_NUMBER) {
        found.number = index + 1;
        found.has_currency = true;
    } else {
        return false;
    }
    found.last = found.number;
    end_cost(sentence, &found);
    if (found.refusal == NULL && found.last == found.number) {
        found.refusal = "money without the word cost: say 'cost N' if it is the cost per contact";
    }
    *out_found = found;
    return true;
}

/* "20 a day" without a keyword: a limit perhaps, or how often. */
static bool find_rate(const struct cvm_treatment_sentence *sentence, size_t index,
                      struct found_setting *out_found)
{
    static const struct keyword rate = {"", SETTING_LIMIT, true};
    size_t after = after_number(sentence, index);
    size_t length = 0;
    if (sentence->tokens[index].kind != CVM_TOKEN_NUMBER || !is_per_day(sentence, after, &length)) {
        return false;
    }
    *out_found = (struct found_setting){
        .keyword = &rate,
        .first = index,
        .number = index,
        .last = after + length - 1,
        .has_number = true,
        .refusal = "a number without the word limit: say 'limit N' if it is the limit",
    };
    return true;
}

/* Digits as the catalogue reads them: "1,000" -> "1000", "0,50" -> "0.50". */
static const char *plain_number(const struct cvm_treatment_sentence *sentence, size_t index)
{
    const struct cvm_token *token = &sentence->tokens[index];
    const char *from = sentence->text + token->start;
    char *number = cvm_arena_copy(sentence->arena, from, token->length);
    size_t length = 0;
    for (size_t i = 0; number != NULL && i < token->length; i++) {
        size_t digits = from[i] == ',' ? strspn(from + i + 1, "0123456789") : 0;
        if (from[i] != ',') {
            number[length++] = from[i];
        } else if (digits != 3) {
            number[length++] = '.';
        }
    }
    if (number != NULL) {
        number[length] = '\0';
    }
    return number;
}

/* Also the words that tie it to the sentence: "with a limit of 10 and priority 2". */
static void mark_setting(struct cvm_treatment_sentence *sentence, size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++) {
        sentence->tokens[i].is_setting = true;
    }
    while (first > 0 && !sentence->tokens[first - 1].is_quoted &&
           CVM_SENTENCE_IS_ANY(sentence, first - 1, "with", "and", "a", "an", "the", "at", "of",
                               "in", "having", "daily", ",", ";", "(", "-")) {
        sentence->tokens[--first].is_setting = true;
    }
}

static void take_setting(struct cvm_treatment_sentence *sentence, const struct found_setting *found)
{
    struct cvm_treatment_text *out = sentence->out;
    const char **places[SETTING_COUNT] = {&out->max_per_day, &out->priority, &out->cost};
    const char **place = places[found->keyword->setting];
    const char *word = setting_words[found->keyword->setting];
    struct cvm_slice what = cvm_sentence_part(sentence, found->first, found->last);
    if (found->refusal != NULL) {
        cvm_sentence_tell(&out->not_taken, what, "%s", found->refusal);
        return;
    }
    mark_setting(sentence, found->first, found->last);
    if (*place != NULL || (found->keyword->setting == SETTING_LIMIT && out->is_unlimited)) {
        cvm_sentence_tell(&out->not_taken, what, "a %s was taken before: %s", word,
                          *place == NULL ? "none" : *place);
        return;
    }
    *place = plain_number(sentence, found->number);
    if (*place != NULL) {
        cvm_sentence_tell(&out->taken, what, "%s %s%s", word, *place,
                          found->keyword->setting == SETTING_LIMIT  ? " a day"
                          : found->keyword->setting == SETTING_COST ? " per contact"
                                                                    : "");
    }
}

void cvm_sentence_read_settings(struct cvm_treatment_sentence *sentence)
{
    struct cvm_treatment_text *out = sentence->out;
    for (size_t i = 0; i < sentence->count; i++) {
        struct found_setting found = {0};
        if (sentence->tokens[i].is_quoted) {
            continue;
        }
        if ((CVM_SENTENCE_IS_ANY(sentence, i, "no", "without") &&
             cvm_sentence_is(sentence, i + 1, "limit")) ||
            cvm_sentence_is(sentence, i, "unlimited")) {
            size_t last = i + (cvm_sentence_is(sentence, i, "unlimited") ? 0 : 1);
            if (out->max_per_day == NULL) {
                out->is_unlimited = true;
                cvm_sentence_tell(&out->taken, cvm_sentence_part(sentence, i, last), "no limit");
                mark_setting(sentence, i, last);
            }
            i = last;
        } else if (find_setting(sentence, i, &found)) {
            if (found.has_number) {
                take_setting(sentence, &found);
            } else if (found.keyword->setting != SETTING_COST && !found.keyword->needs_day) {
                cvm_sentence_tell(&out->not_taken, cvm_sentence_part(sentence, i, found.last),
                                  "no number follows");
            }
            i = found.last;
        } else if (find_price(sentence, i, &found) || find_rate(sentence, i, &found)) {
            take_setting(sentence, &found);
            i = found.last;
        }
    }
}
