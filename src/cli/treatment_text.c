#include "cli/treatment_text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- tokens ---- */

enum token_kind { TOKEN_WORD, TOKEN_NUMBER, TOKEN_CURRENCY, TOKEN_SYMBOL };

struct token {
    enum token_kind kind;
    size_t start, length;
    bool is_quoted;
    bool is_setting; /* part of a limit, priority or cost: not of the description */
};

struct reading {
    struct cvm_arena *arena;
    const char *text;
    struct token *tokens;
    size_t count;
    struct cvm_treatment_text *out;
};

static bool is_letter(char c)
{
    return isalpha((unsigned char)c) != 0 || (unsigned char)c >= 0x80 || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t currency_length(const char *at)
{
    static const char *const signs[] = {"£", "€", "$"};
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (strncmp(at, signs[i], strlen(signs[i])) == 0) {
            return strlen(signs[i]);
        }
    }
    return 0;
}

/* "1,000", "10.50": points and commas count only between digits. */
static size_t number_length(const char *at)
{
    size_t length = at[0] == '-' ? 1 : 0;
    while (is_digit(at[length]) ||
           ((at[length] == '.' || at[length] == ',') && is_digit(at[length + 1]))) {
        length++;
    }
    return length;
}

/* "call-back" and "don't" are one word each. */
static size_t word_length(const char *at)
{
    size_t length = 0;
    while (is_letter(at[length]) || is_digit(at[length]) ||
           ((at[length] == '-' || at[length] == '\'') && length > 0 && is_letter(at[length + 1]) &&
            is_letter(at[length - 1]))) {
        if (length > 0 && currency_length(at + length) > 0) {
            break;
        }
        length++;
    }
    return length;
}

/* The quote that ends what this one begins; NULL = it begins nothing. */
static const char *closing_quote(const char *text, size_t at, size_t *out_length)
{
    static const char *const pairs[][2] = {
        {"\"", "\""}, {"\u201c", "\u201d"}, {"\u2018", "\u2019"}, {"«", "»"}, {"'", "'"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        size_t length = strlen(pairs[i][0]);
        bool is_apostrophe = i == 4 && at > 0 && is_letter(text[at - 1]);
        if (strncmp(text + at, pairs[i][0], length) == 0 && !is_apostrophe &&
            strstr(text + at + length, pairs[i][1]) != NULL) {
            *out_length = length;
            return pairs[i][1];
        }
    }
    return NULL;
}

static struct token read_token(const char *text, size_t at)
{
    bool begins_number =
        is_digit(text[at]) || (text[at] == '-' && is_digit(text[at + 1]) &&
                               (at == 0 || (!is_letter(text[at - 1]) && !is_digit(text[at - 1]))));
    if (begins_number) {
        return (struct token){TOKEN_NUMBER, at, number_length(text + at), false, false};
    }
    if (currency_length(text + at) > 0) {
        return (struct token){TOKEN_CURRENCY, at, currency_length(text + at), false, false};
    }
    size_t length = word_length(text + at);
    return length > 0 ? (struct token){TOKEN_WORD, at, length, false, false}
                      : (struct token){TOKEN_SYMBOL, at, 1, false, false};
}

static void read_tokens(struct reading *reading)
{
    const char *text = reading->text;
    const char *closing = NULL;
    for (size_t at = 0; text[at] != '\0';) {
        size_t length = 0;
        if (closing != NULL && strncmp(text + at, closing, strlen(closing)) == 0) {
            at += strlen(closing);
            closing = NULL;
        } else if (closing == NULL && closing_quote(text, at, &length) != NULL) {
            closing = closing_quote(text, at, &length);
            at += length;
        } else if (isspace((unsigned char)text[at]) != 0) {
            at++;
        } else {
            struct token token = read_token(text, at);
            const char *end = closing == NULL ? NULL : strstr(text + at, closing);
            if (end != NULL && (size_t)(end - text) < at + token.length) {
                token.length = (size_t)(end - text) - at;
            }
            token.is_quoted = closing != NULL;
            reading->tokens[reading->count++] = token;
            at += token.length;
        }
    }
}

static bool is_word(const struct reading *reading, size_t index, const char *word)
{
    if (index >= reading->count) {
        return false;
    }
    const struct token *token = &reading->tokens[index];
    size_t length = strlen(word);
    bool is_same = token->length == length;
    for (size_t i = 0; is_same && i < length; i++) {
        is_same = tolower((unsigned char)reading->text[token->start + i]) == word[i];
    }
    return is_same;
}

static bool is_any(const struct reading *reading, size_t index, const char *const *words)
{
    bool is_one = false;
    for (; !is_one && *words != NULL; words++) {
        is_one = is_word(reading, index, *words);
    }
    return is_one;
}
#define IS_ANY(reading, index, ...)                                                                \
    is_any((reading), (index), (const char *const[]){__VA_ARGS__, NULL})

/* How many tokens the words of the phrase match from `index` on; 0 = they do not. */
static size_t match_phrase(const struct reading *reading, size_t index, const char *phrase)
{
    size_t matched = 0;
    while (*phrase != '\0') {
        char word[24];
        size_t length = strcspn(phrase, " ");
        memcpy(word, phrase, length);
        word[length] = '\0';
        if (!is_word(reading, index + matched, word) ||
            reading->tokens[index + matched].is_quoted != reading->tokens[index].is_quoted) {
            return 0;
        }
        matched++;
        phrase += length + (phrase[length] == ' ' ? 1 : 0);
    }
    return matched;
}

/* The text from one token to another, both included, for the two lists. */
static struct cvm_slice text_of(const struct reading *reading, size_t first, size_t last)
{
    const struct token *end = &reading->tokens[last];
    size_t start = reading->tokens[first].start;
    return (struct cvm_slice){reading->text + start, end->start + end->length - start};
}

static void tell(struct cvm_text *list, struct cvm_slice what, const char *format, ...)
    CVM_PRINTF(3, 4);
static void tell(struct cvm_text *list, struct cvm_slice what, const char *format, ...)
{
    char rest[160];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(rest, sizeof(rest), format, arguments);
    va_end(arguments);
    cvm_text_add_format(list, "'%.*s': %s\n", (int)what.length, what.data, rest);
}

/* ---- limit, priority, cost ---- */

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

static bool is_per_day(const struct reading *reading, size_t index, size_t *out_length)
{
    static const char *const phrases[] = {"per day", "a day", "each day", "every day", "daily"};
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        size_t length = match_phrase(reading, index, phrases[i]);
        if (length > 0) {
            *out_length = length;
            return true;
        }
    }
    return false;
}

static bool is_other_period(const struct reading *reading, size_t index)
{
    return (IS_ANY(reading, index, "per", "a", "each", "every") &&
            IS_ANY(reading, index + 1, "week", "month", "year", "hour", "quarter", "customer",
                   "person", "household")) ||
           IS_ANY(reading, index, "weekly", "monthly", "yearly");
}

/* A number that somebody counted or measured something else with. */
static bool has_unit(const struct reading *reading, size_t number)
{
    const struct token *token = &reading->tokens[number];
    char next = reading->text[token->start + token->length];
    return is_letter(next) || next == '%' || is_any(reading, number + 1, units) ||
           (number + 1 < reading->count && reading->tokens[number + 1].kind == TOKEN_CURRENCY);
}

struct found_setting {
    const struct keyword *keyword;
    size_t first, number, last; /* tokens */
    bool has_number, has_currency;
    const char *refusal; /* NULL = good */
};

static size_t skip_filler(const struct reading *reading, const struct keyword *keyword, size_t at,
                          bool *out_has_day)
{
    size_t length = 0;
    for (;;) {
        if (keyword->setting == SETTING_LIMIT && is_per_day(reading, at, &length)) {
            *out_has_day = true;
            at += length;
        } else if (keyword->setting == SETTING_COST && IS_ANY(reading, at, "per", "each") &&
                   IS_ANY(reading, at + 1, "contact", "customer", "message")) {
            at += 2;
        } else if (IS_ANY(reading, at, "of", "to", "is", "at", "be", "by", "about", ":", "=")) {
            at++;
        } else {
            return at;
        }
    }
}

static void end_limit(const struct reading *reading, bool has_day, struct found_setting *found)
{
    size_t after = found->number + 1;
    size_t length = 0;
    after += IS_ANY(reading, after, "contacts", "customers", "people", "offers", "calls", "emails",
                    "messages", "units")
                 ? 1
                 : 0;
    if (is_per_day(reading, after, &length)) {
        has_day = true;
        found->last = after + length - 1;
    }
    if (found->has_currency || has_unit(reading, found->number)) {
        found->refusal = "an amount of something, not contacts per day";
    } else if (is_other_period(reading, after)) {
        found->refusal = "only a limit per day can be set here";
    } else if (found->keyword->needs_day && !has_day) {
        found->refusal = "not said to be per day: say 'limit N'";
    }
}

static void end_cost(const struct reading *reading, struct found_setting *found)
{
    size_t after = found->number + 1;
    bool has_unit_of_money = IS_ANY(reading, after, "pounds", "pound", "euros", "euro", "dollars",
                                    "dollar", "gbp", "eur", "usd") ||
                             (after < reading->count && !found->has_currency &&
                              reading->tokens[after].kind == TOKEN_CURRENCY);
    if (!has_unit_of_money && has_unit(reading, found->number)) {
        found->refusal = "not an amount of money";
    }
    after += has_unit_of_money ? 1 : 0;
    found->last = after - 1;
    if (is_other_period(reading, after) && !is_word(reading, after + 1, "customer")) {
        found->refusal = "only a cost per contact can be set here";
    } else if (IS_ANY(reading, after, "per", "a", "each") &&
               IS_ANY(reading, after + 1, "contact", "call", "email", "message", "sms", "customer",
                      "text", "push")) {
        found->last = after + 1;
    } else if (is_word(reading, after, "each")) {
        found->last = after;
    }
}

/* A keyword with what follows it, at `index`. */
static bool find_setting(const struct reading *reading, size_t index,
                         struct found_setting *out_found)
{
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        size_t length = match_phrase(reading, index, keywords[i].phrase);
        if (length == 0) {
            continue;
        }
        struct found_setting found = {.keyword = &keywords[i], .first = index};
        bool has_day = false;
        size_t at = skip_filler(reading, found.keyword, index + length, &has_day);
        found.last = index + length - 1;
        if (at < reading->count && reading->tokens[at].kind == TOKEN_CURRENCY) {
            found.has_currency = true;
            at++;
        }
        found.has_number = at < reading->count && reading->tokens[at].kind == TOKEN_NUMBER;
        if (found.has_number) {
            found.number = at;
            found.last = at;
            if (found.keyword->setting == SETTING_LIMIT) {
                end_limit(reading, has_day, &found);
            } else if (found.keyword->setting == SETTING_COST) {
                end_cost(reading, &found);
            } else if (found.has_currency || has_unit(reading, at)) {
                found.refusal = "a priority is a whole number";
            }
        }
        *out_found = found;
        return true;
    }
    return false;
}

/* "£0.50 per contact" needs no keyword; any other money is the offer's, not the contact's. */
static bool find_price(const struct reading *reading, size_t index, struct found_setting *out_found)
{
    static const struct keyword price = {"", SETTING_COST, false};
    struct found_setting found = {.keyword = &price, .first = index, .has_number = true};
    if (reading->tokens[index].kind == TOKEN_CURRENCY && index + 1 < reading->count &&
        reading->tokens[index + 1].kind == TOKEN_NUMBER) {
        found.number = index + 1;
        found.has_currency = true;
    } else {
        return false;
    }
    found.last = found.number;
    end_cost(reading, &found);
    if (found.refusal == NULL && found.last == found.number) {
        found.refusal = "money without the word cost: say 'cost N' if it is the cost per contact";
    }
    *out_found = found;
    return true;
}

/* Digits as the catalogue reads them: "1,000" -> "1000", "0,50" -> "0.50". */
static const char *plain_number(const struct reading *reading, size_t index)
{
    const struct token *token = &reading->tokens[index];
    const char *from = reading->text + token->start;
    char *number = cvm_arena_copy(reading->arena, from, token->length);
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
static void mark_setting(struct reading *reading, size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++) {
        reading->tokens[i].is_setting = true;
    }
    while (first > 0 && !reading->tokens[first - 1].is_quoted &&
           IS_ANY(reading, first - 1, "with", "and", "a", "an", "the", "at", "of", "in", "having",
                  "daily", ",", ";", "(", "-")) {
        reading->tokens[--first].is_setting = true;
    }
}

static void take_setting(struct reading *reading, const struct found_setting *found)
{
    struct cvm_treatment_text *out = reading->out;
    const char **places[SETTING_COUNT] = {&out->max_per_day, &out->priority, &out->cost};
    const char **place = places[found->keyword->setting];
    const char *word = setting_words[found->keyword->setting];
    struct cvm_slice what = text_of(reading, found->first, found->last);
    if (found->refusal != NULL) {
        tell(&out->not_taken, what, "%s", found->refusal);
        return;
    }
    mark_setting(reading, found->first, found->last);
    if (*place != NULL || (found->keyword->setting == SETTING_LIMIT && out->is_unlimited)) {
        tell(&out->not_taken, what, "a %s was taken before: %s", word,
             *place == NULL ? "none" : *place);
        return;
    }
    *place = plain_number(reading, found->number);
    if (*place != NULL) {
        tell(&out->taken, what, "%s %s%s", word, *place,
             found->keyword->setting == SETTING_LIMIT  ? " a day"
             : found->keyword->setting == SETTING_COST ? " per contact"
                                                       : "");
    }
}

static void read_settings(struct reading *reading)
{
    struct cvm_treatment_text *out = reading->out;
    for (size_t i = 0; i < reading->count; i++) {
        struct found_setting found = {0};
        if (reading->tokens[i].is_quoted) {
            continue;
        }
        if ((IS_ANY(reading, i, "no", "without") && is_word(reading, i + 1, "limit")) ||
            is_word(reading, i, "unlimited")) {
            size_t last = i + (is_word(reading, i, "unlimited") ? 0 : 1);
            if (out->max_per_day == NULL) {
                out->is_unlimited = true;
                tell(&out->taken, text_of(reading, i, last), "no limit");
                mark_setting(reading, i, last);
            }
            i = last;
        } else if (find_setting(reading, i, &found)) {
            if (found.has_number) {
                take_setting(reading, &found);
            } else if (found.keyword->setting != SETTING_COST && !found.keyword->needs_day) {
                tell(&out->not_taken, text_of(reading, i, found.last), "no number follows");
            }
            i = found.last;
        } else if (find_price(reading, i, &found)) {
            take_setting(reading, &found);
            i = found.last;
        }
    }
}

/* ---- channel and purpose ---- */

enum { NEEDS_LEAD = 1, AT_START = 2 };

static const struct term {
    const char *phrase;
    int value;
    unsigned flags; /* NEEDS_LEAD: counts only after "by", "send a", ...; AT_START: or as the verb
                       that a sentence begins with */
} channel_terms[] = {
    {"phone call", CVM_CHANNEL_CALL, 0},
    {"call back", CVM_CHANNEL_CALL, AT_START},
    {"call-back", CVM_CHANNEL_CALL, 0},
    {"callback", CVM_CHANNEL_CALL, 0},
    {"call", CVM_CHANNEL_CALL, AT_START},
    {"phone", CVM_CHANNEL_CALL, NEEDS_LEAD | AT_START},
    {"telephone", CVM_CHANNEL_CALL, NEEDS_LEAD | AT_START},
    {"email", CVM_CHANNEL_EMAIL, AT_START},
    {"e-mail", CVM_CHANNEL_EMAIL, AT_START},
    {"emails", CVM_CHANNEL_EMAIL, 0},
    {"e-mails", CVM_CHANNEL_EMAIL, 0},
    {"mail", CVM_CHANNEL_EMAIL, AT_START},
    {"sms", CVM_CHANNEL_SMS, AT_START},
    {"text message", CVM_CHANNEL_SMS, 0},
    {"text messages", CVM_CHANNEL_SMS, 0},
    {"text", CVM_CHANNEL_SMS, NEEDS_LEAD | AT_START},
    {"push notification", CVM_CHANNEL_PUSH, 0},
    {"push message", CVM_CHANNEL_PUSH, 0},
    {"push", CVM_CHANNEL_PUSH, 0},
    {"app notification", CVM_CHANNEL_PUSH, 0},
    {"app message", CVM_CHANNEL_PUSH, 0},
    {"in-app", CVM_CHANNEL_PUSH, 0},
    {"app", CVM_CHANNEL_PUSH, NEEDS_LEAD},
    {NULL, 0, 0},
};

static const struct term purpose_terms[] = {
    {"marketing", CVM_PURPOSE_MARKETING, 0},
    {"promotion", CVM_PURPOSE_MARKETING, 0},
    {"promotional", CVM_PURPOSE_MARKETING, 0},
    {"promo", CVM_PURPOSE_MARKETING, 0},
    {"offer", CVM_PURPOSE_MARKETING, 0},
    {"offers", CVM_PURPOSE_MARKETING, 0},
    {"discount", CVM_PURPOSE_MARKETING, 0},
    {"discounts", CVM_PURPOSE_MARKETING, 0},
    {"deal", CVM_PURPOSE_MARKETING, 0},
    {"deals", CVM_PURPOSE_MARKETING, 0},
    {"upgrade", CVM_PURPOSE_MARKETING, 0},
    {"upsell", CVM_PURPOSE_MARKETING, 0},
    {"voucher", CVM_PURPOSE_MARKETING, 0},
    {"vouchers", CVM_PURPOSE_MARKETING, 0},
    {"gift", CVM_PURPOSE_MARKETING, 0},
    {"bonus", CVM_PURPOSE_MARKETING, 0},
    {"reward", CVM_PURPOSE_MARKETING, 0},
    {"cashback", CVM_PURPOSE_MARKETING, 0},
    {"free", CVM_PURPOSE_MARKETING, 0},
    {"sell", CVM_PURPOSE_MARKETING, 0},
    {"sales", CVM_PURPOSE_MARKETING, 0},
    {"campaign", CVM_PURPOSE_MARKETING, 0},
    {"retention", CVM_PURPOSE_MARKETING, 0},
    {"loyalty", CVM_PURPOSE_MARKETING, 0},
    {"win-back", CVM_PURPOSE_MARKETING, 0},
    {"winback", CVM_PURPOSE_MARKETING, 0},
    {"billing", CVM_PURPOSE_BILLING, 0},
    {"bill", CVM_PURPOSE_BILLING, 0},
    {"bills", CVM_PURPOSE_BILLING, 0},
    {"invoice", CVM_PURPOSE_BILLING, 0},
    {"payment", CVM_PURPOSE_BILLING, 0},
    {"service", CVM_PURPOSE_SERVICE, 0},
    {"support", CVM_PURPOSE_SERVICE, 0},
    {"repair", CVM_PURPOSE_SERVICE, 0},
    {"fault", CVM_PURPOSE_SERVICE, 0},
    {"faults", CVM_PURPOSE_SERVICE, 0},
    {"outage", CVM_PURPOSE_SERVICE, 0},
    {"maintenance", CVM_PURPOSE_SERVICE, 0},
    {"technical", CVM_PURPOSE_SERVICE, 0},
    {"engineer", CVM_PURPOSE_SERVICE, 0},
    {NULL, 0, 0},
};

static const struct term retention_terms[] = {
    {"retention", 1, 0}, {"retain", 1, 0}, {"loyalty", 1, 0}, {"win-back", 1, 0},
    {"winback", 1, 0},   {"churn", 1, 0},  {"leaving", 1, 0}, {"stay", 1, 0},
    {"renewal", 1, 0},   {"keep", 1, 0},   {NULL, 0, 0},
};

struct candidate {
    int value;
    size_t first, last;
    int strength; /* 2 = led by "by" and the like */
    const char *refusal;
};

static bool ends_clause(const struct reading *reading, size_t index)
{
    return IS_ANY(reading, index, ".", ",", ";", ":", "!", "?", "(", ")", "but");
}

/* "no", "without", ... at most three words before, in the same clause. */
static bool is_negated(const struct reading *reading, size_t first)
{
    bool is_no = false;
    for (size_t back = 1; !is_no && back <= 4 && back <= first; back++) {
        size_t at = first - back;
        if (ends_clause(reading, at)) {
            break;
        }
        is_no = IS_ANY(reading, at, "no", "not", "never", "without", "don't", "dont", "except",
                       "nor", "neither", "avoid", "non") ||
                match_phrase(reading, at, "instead of") > 0 ||
                match_phrase(reading, at, "rather than") > 0;
    }
    return is_no;
}

static bool is_led(const struct reading *reading, size_t first)
{
    for (size_t back = 1; back <= 3 && back <= first; back++) {
        size_t at = first - back;
        if (IS_ANY(reading, at, "by", "via", "over", "through", "using", "per", "send", "make",
                   "with", "on", "in")) {
            return true;
        }
        if (!IS_ANY(reading, at, "a", "an", "the", "our", "short", "personal", "personalized",
                    "personalised", "them", "customers", "customer", "loyalty", "marketing",
                    "service", "billing", "retention")) {
            return false;
        }
    }
    return false;
}

/* "Call customers who ...": the verb that a sentence begins with. */
static bool begins_sentence(const struct reading *reading, size_t first)
{
    return first == 0 ||
           IS_ANY(reading, first - 1, ".", ";", ":", "!", ",", "and", "then", "or", "please", "to");
}

/* "dropped calls" and "call quality" are what customers suffer, not how we reach them. */
static bool is_subject_matter(const struct reading *reading, const struct candidate *candidate)
{
    size_t next = candidate->last + 1;
    bool is_push = is_word(reading, candidate->first, "push");
    return IS_ANY(reading, next, "quality", "drops", "drop", "minutes", "centre", "center",
                  "volume", "history", "address", "addresses", "records", "costs") ||
           (candidate->first > 0 &&
            IS_ANY(reading, candidate->first - 1, "dropped", "missed", "failed", "last", "previous",
                   "past", "their", "negative")) ||
           (is_push && IS_ANY(reading, next, "the", "them", "customers", "people", "a", "an",
                              "sales", "for", "to", "towards"));
}

static bool match_term(const struct reading *reading, const struct term *terms, size_t index,
                       struct candidate *out_candidate)
{
    size_t longest = 0;
    const struct term *found = NULL;
    for (const struct term *term = terms; term->phrase != NULL; term++) {
        size_t length = match_phrase(reading, index, term->phrase);
        if (length > longest) {
            longest = length;
            found = term;
        }
    }
    if (found == NULL) {
        return false;
    }
    struct candidate candidate = {found->value, index, index + longest - 1, 1, NULL};
    bool is_verb = (found->flags & AT_START) != 0 && begins_sentence(reading, index);
    bool is_channel = terms == channel_terms;
    if (is_channel && (is_led(reading, index) || is_verb)) {
        candidate.strength = 2;
    }
    if (reading->tokens[index].is_quoted) {
        candidate.refusal = "stands in quotes";
    } else if (is_negated(reading, index)) {
        candidate.refusal = "negated";
    } else if (is_channel && candidate.strength < 2 &&
               ((found->flags & NEEDS_LEAD) != 0 || is_subject_matter(reading, &candidate))) {
        candidate.refusal = "not said to be the channel";
    }
    *out_candidate = candidate;
    return true;
}

static size_t find_candidates(const struct reading *reading, const struct term *terms,
                              struct candidate *candidates)
{
    size_t count = 0;
    for (size_t i = 0; i < reading->count; i++) {
        if (!reading->tokens[i].is_setting && match_term(reading, terms, i, &candidates[count])) {
            i = candidates[count++].last;
        }
    }
    return count;
}

/* "no email, sms or push": a list joined by "or" is negated as a whole. */
static void spread_negation(const struct reading *reading, struct candidate *candidates,
                            size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct candidate *before = &candidates[i - 1];
        size_t gap = candidates[i].first - before->last - 1;
        bool has_or = IS_ANY(reading, before->last + 1, "or", "nor");
        bool has_comma = is_word(reading, before->last + 1, ",");
        bool goes_on =
            has_comma && i + 1 < count && IS_ANY(reading, candidates[i].last + 1, "or", "nor");
        if (before->refusal != NULL && strcmp(before->refusal, "negated") == 0 && gap == 1 &&
            (has_or || goes_on)) {
            candidates[i].refusal = "negated";
        }
    }
}

/* The strongest, then the first; `preferred` beats both. Tells of the others. */
static int choose(const struct reading *reading, struct candidate *candidates, size_t count,
                  int preferred, const char *const *words)
{
    const struct candidate *best = NULL;
    struct cvm_treatment_text *out = reading->out;
    spread_negation(reading, candidates, count);
    for (size_t i = 0; i < count; i++) {
        const struct candidate *candidate = &candidates[i];
        bool is_better = best == NULL ||
                         (candidate->value == preferred && best->value != preferred) ||
                         (candidate->strength > best->strength && (best->value != preferred));
        best = candidate->refusal == NULL && is_better ? candidate : best;
    }
    if (best != NULL) {
        tell(&out->taken, text_of(reading, best->first, best->last), "%s", words[best->value]);
    }
    for (size_t i = 0; i < count; i++) {
        const struct candidate *candidate = &candidates[i];
        struct cvm_slice what = text_of(reading, candidate->first, candidate->last);
        if (candidate->refusal != NULL) {
            tell(&out->not_taken, what, "%s", candidate->refusal);
        } else if (candidate->value != best->value) {
            tell(&out->not_taken, what, "%s was taken", words[best->value]);
        }
    }
    return best == NULL ? -1 : best->value;
}

static enum cvm_status read_words(struct reading *reading, struct cvm_error *err)
{
    struct cvm_treatment_text *out = reading->out;
    struct candidate *candidates =
        CVM_NEW_ARRAY(reading->arena, reading->count + 1, struct candidate);
    if (candidates == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment");
    }
    size_t count = find_candidates(reading, channel_terms, candidates);
    int channel = choose(reading, candidates, count, -1, cvm_channel_words);
    count = find_candidates(reading, purpose_terms, candidates);
    int purpose = choose(reading, candidates, count, CVM_PURPOSE_MARKETING, cvm_purpose_words);
    count = find_candidates(reading, retention_terms, candidates);
    for (size_t i = 0; i < count; i++) {
        out->is_retention |= candidates[i].refusal == NULL;
    }
    out->channel = channel < 0 ? CVM_CHANNEL_UNSET : (enum cvm_channel)channel;
    out->purpose = purpose < 0 ? CVM_PURPOSE_UNSET : (enum cvm_purpose)purpose;
    return CVM_OK;
}

/* ---- description ---- */

static bool is_own_word(const struct reading *reading, size_t index)
{
    struct candidate candidate;
    return reading->tokens[index].kind == TOKEN_WORD &&
           !IS_ANY(reading, index, "a", "an", "the", "and", "or", "by", "via", "with", "of", "to",
                   "in", "on", "at", "now", "instead", "not", "no", "but", "only", "it", "is") &&
           !match_term(reading, channel_terms, index, &candidate);
}

/* The tokens that are no setting, with the white space and quotes that stood between them. */
static enum cvm_status write_description(struct reading *reading, struct cvm_error *err)
{
    struct cvm_text text;
    size_t from = 0;
    size_t i = 0;
    cvm_text_init(&text, 0);
    for (; i < reading->count; i++) {
        const struct token *token = &reading->tokens[i];
        if (token->is_setting) {
            from = token->start + token->length;
            continue;
        }
        bool is_after_setting = i > 0 && reading->tokens[i - 1].is_setting;
        if (is_after_setting && text.length > 0 && reading->text[from] != ' ' &&
            token->kind != TOKEN_SYMBOL) {
            cvm_text_add_char(&text, ' ');
        }
        size_t end = token->start + token->length;
        cvm_text_add_bytes(&text, reading->text + from, end - from);
        from = end;
        reading->out->own_words += is_own_word(reading, i) ? 1 : 0;
    }
    cvm_text_add(&text, reading->text + from); /* a closing quote */
    const char *start = cvm_text_string(&text);
    size_t length = text.length;
    while (length > 0 && strchr(" \t\n,;:-", start[length - 1]) != NULL) {
        length--;
    }
    size_t skip = strspn(start, " \t\n,;:-.");
    skip = skip > length ? length : skip;
    reading->out->description = cvm_arena_copy(reading->arena, start + skip, length - skip);
    bool failed = text.failed || reading->out->description == NULL;
    cvm_text_finish(&text);
    return failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment") : CVM_OK;
}

enum cvm_status cvm_treatment_text_read(struct cvm_arena *arena, const char *text,
                                        struct cvm_treatment_text *out_text, struct cvm_error *err)
{
    struct cvm_treatment_text result = {
        .channel = CVM_CHANNEL_UNSET,
        .purpose = CVM_PURPOSE_UNSET,
    };
    size_t length = strlen(text);
    struct reading reading = {.arena = arena, .text = text, .out = &result};
    if (strspn(text, " \t\r\n") == length) {
        return CVM_FAIL(err, CVM_E_INVALID, "the text of the treatment is empty");
    }
    if (length > CVM_TREATMENT_TEXT_MAX || !cvm_utf8_is_valid(text, length)) {
        return CVM_FAIL(err, CVM_E_INVALID, "a treatment is told in at most %d bytes of UTF-8",
                        CVM_TREATMENT_TEXT_MAX);
    }
    reading.tokens = CVM_NEW_ARRAY(arena, length + 1, struct token);
    if (reading.tokens == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment");
    }
    cvm_text_init(&result.taken, 0);
    cvm_text_init(&result.not_taken, 0);
    read_tokens(&reading);
    read_settings(&reading);
    enum cvm_status status = read_words(&reading, err);
    if (status == CVM_OK) {
        status = write_description(&reading, err);
    }
    if (status == CVM_OK && (result.taken.failed || result.not_taken.failed)) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment");
    }
    if (status != CVM_OK) {
        cvm_treatment_text_finish(&result);
        return status;
    }
    *out_text = result;
    return CVM_OK;
}

void cvm_treatment_text_finish(struct cvm_treatment_text *text)
{
    cvm_text_finish(&text->taken);
    cvm_text_finish(&text->not_taken);
}
