/* Channel and purpose in a sentence, by words; what is negated or quoted is not taken. */
#include <string.h>

#include "cli/treatment_sentence.h"

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
    {"win back", CVM_PURPOSE_MARKETING, 0},
    {"win them back", CVM_PURPOSE_MARKETING, 0},
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
    {"retention", 1, 0}, {"retain", 1, 0},   {"loyalty", 1, 0},       {"win-back", 1, 0},
    {"winback", 1, 0},   {"win back", 1, 0}, {"win them back", 1, 0}, {"churn", 1, 0},
    {"leaving", 1, 0},   {"stay", 1, 0},     {"renewal", 1, 0},       {"keep", 1, 0},
    {NULL, 0, 0},
};

struct candidate {
    int value;
    size_t first, last;
    int strength; /* 2 = led by "by" and the like */
    const char *refusal;
};

static bool ends_clause(const struct cvm_treatment_sentence *sentence, size_t index)
{
    return CVM_SENTENCE_IS_ANY(sentence, index, ".", ",", ";", ":", "!", "?", "(", ")", "but");
}

/* "no", "without", ... at most three words before, in the same clause. */
static bool is_negated(const struct cvm_treatment_sentence *sentence, size_t first)
{
    bool is_no = false;
    for (size_t back = 1; !is_no && back <= 4 && back <= first; back++) {
        size_t at = first - back;
        if (ends_clause(sentence, at)) {
            break;
        }
        if (sentence->tokens[at].is_setting) {
            continue; /* "no limit" negates nothing else */
        }
        is_no = CVM_SENTENCE_IS_ANY(sentence, at, "no", "not", "never", "without", "don't", "dont",
                                    "except", "nor", "neither", "avoid", "non") ||
                cvm_sentence_match(sentence, at, "instead of") > 0 ||
                cvm_sentence_match(sentence, at, "rather than") > 0;
    }
    return is_no;
}

static bool is_led(const struct cvm_treatment_sentence *sentence, size_t first)
{
    for (size_t back = 1; back <= 3 && back <= first; back++) {
        size_t at = first - back;
        if (CVM_SENTENCE_IS_ANY(sentence, at, "by", "via", "over", "through", "using", "per",
                                "send", "make", "with", "on", "in")) {
            return true;
        }
        if (!CVM_SENTENCE_IS_ANY(sentence, at, "a", "an", "the", "our", "short", "personal",
                                 "personalized", "personalised", "them", "customers", "customer",
                                 "loyalty", "marketing", "service", "billing", "retention")) {
            return false;
        }
    }
    return false;
}

/* "Call customers who ...": the verb that a sentence begins with. */
static bool begins_sentence(const struct cvm_treatment_sentence *sentence, size_t first)
{
    return first == 0 || CVM_SENTENCE_IS_ANY(sentence, first - 1, ".", ";", ":", "!", ",", "and",
                                             "then", "or", "please", "to");
}

/* "dropped calls" and "call quality" are what customers suffer, not how we reach them. */
static bool is_subject_matter(const struct cvm_treatment_sentence *sentence,
                              const struct candidate *candidate)
{
    size_t next = candidate->last + 1;
    bool is_push = cvm_sentence_is(sentence, candidate->first, "push");
    return CVM_SENTENCE_IS_ANY(sentence, next, "quality", "drops", "drop", "minutes", "centre",
                               "center", "volume", "history", "address", "addresses", "records",
                               "costs") ||
           (candidate->first > 0 &&
            CVM_SENTENCE_IS_ANY(sentence, candidate->first - 1, "dropped", "missed", "failed",
                                "last", "previous", "past", "their", "negative")) ||
           (is_push && CVM_SENTENCE_IS_ANY(sentence, next, "the", "them", "customers", "people",
                                           "a", "an", "sales", "for", "to", "towards"));
}

static bool match_term(const struct cvm_treatment_sentence *sentence, const struct term *terms,
                       size_t index, struct candidate *out_candidate)
{
    size_t longest = 0;
    const struct term *found = NULL;
    for (const struct term *term = terms; term->phrase != NULL; term++) {
        size_t length = cvm_sentence_match(sentence, index, term->phrase);
        if (length > longest) {
            longest = length;
            found = term;
        }
    }
    if (found == NULL) {
        return false;
    }
    struct candidate candidate = {found->value, index, index + longest - 1, 1, NULL};
    bool is_verb = (found->flags & AT_START) != 0 && begins_sentence(sentence, index);
    bool is_channel = terms == channel_terms;
    if (is_channel && (is_led(sentence, index) || is_verb)) {
        candidate.strength = 2;
    }
    if (sentence->tokens[index].is_quoted) {
        candidate.refusal = "stands in quotes";
    } else if (is_negated(sentence, index)) {
        candidate.refusal = "negated";
    } else if (is_channel && candidate.strength < 2 &&
               ((found->flags & NEEDS_LEAD) != 0 || is_subject_matter(sentence, &candidate))) {
        candidate.refusal = "not said to be the channel";
    }
    *out_candidate = candidate;
    return true;
}

static size_t find_candidates(const struct cvm_treatment_sentence *sentence,
                              const struct term *terms, struct candidate *candidates)
{
    size_t count = 0;
    for (size_t i = 0; i < sentence->count; i++) {
        if (!sentence->tokens[i].is_setting && match_term(sentence, terms, i, &candidates[count])) {
            i = candidates[count++].last;
        }
    }
    return count;
}

/* "no email, sms or push": a list joined by "or" is negated as a whole. */
static void spread_negation(const struct cvm_treatment_sentence *sentence,
                            struct candidate *candidates, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct candidate *before = &candidates[i - 1];
        size_t gap = candidates[i].first - before->last - 1;
        bool has_or = CVM_SENTENCE_IS_ANY(sentence, before->last + 1, "or", "nor");
        bool has_comma = cvm_sentence_is(sentence, before->last + 1, ",");
        bool goes_on = has_comma && i + 1 < count &&
                       CVM_SENTENCE_IS_ANY(sentence, candidates[i].last + 1, "or", "nor");
        if (before->refusal != NULL && strcmp(before->refusal, "negated") == 0 && gap == 1 &&
            (has_or || goes_on)) {
            candidates[i].refusal = "negated";
        }
    }
}

/* The strongest, then the first; `preferred` beats both. Tells of the others. */
static int choose(const struct cvm_treatment_sentence *sentence, struct candidate *candidates,
                  size_t count, int preferred, const char *const *words)
{
    const struct candidate *best = NULL;
    struct cvm_treatment_text *out = sentence->out;
    spread_negation(sentence, candidates, count);
    for (size_t i = 0; i < count; i++) {
        const struct candidate *candidate = &candidates[i];
        bool is_better = best == NULL ||
                         (candidate->value == preferred && best->value != preferred) ||
                         (candidate->strength > best->strength && (best->value != preferred));
        best = candidate->refusal == NULL && is_better ? candidate : best;
    }
    if (best != NULL) {
        cvm_sentence_tell(&out->taken, cvm_sentence_part(sentence, best->first, best->last), "%s",
                          words[best->value]);
    }
    for (size_t i = 0; i < count; i++) {
        const struct candidate *candidate = &candidates[i];
        struct cvm_slice what = cvm_sentence_part(sentence, candidate->first, candidate->last);
        if (candidate->refusal != NULL) {
            cvm_sentence_tell(&out->not_taken, what, "%s", candidate->refusal);
        } else if (candidate->value != best->value) {
            cvm_sentence_tell(&out->not_taken, what, "%s was taken", words[best->value]);
        }
    }
    return best == NULL ? -1 : best->value;
}

enum cvm_status cvm_sentence_read_contact(struct cvm_treatment_sentence *sentence,
                                          struct cvm_error *err)
{
    struct cvm_treatment_text *out = sentence->out;
    struct candidate *candidates =
        CVM_NEW_ARRAY(sentence->arena, sentence->count + 1, struct candidate);
    if (candidates == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment");
    }
    size_t count = find_candidates(sentence, channel_terms, candidates);
    int channel = choose(sentence, candidates, count, -1, cvm_channel_words);
    count = find_candidates(sentence, purpose_terms, candidates);
    int purpose = choose(sentence, candidates, count, CVM_PURPOSE_MARKETING, cvm_purpose_words);
    count = find_candidates(sentence, retention_terms, candidates);
    for (size_t i = 0; i < count; i++) {
        out->is_retention |= candidates[i].refusal == NULL;
    }
    out->channel = channel < 0 ? CVM_CHANNEL_UNSET : (enum cvm_channel)channel;
    out->purpose = purpose < 0 ? CVM_PURPOSE_UNSET : (enum cvm_purpose)purpose;
    return CVM_OK;
}

bool cvm_sentence_is_channel(const struct cvm_treatment_sentence *sentence, size_t index)
{
    struct candidate candidate;
    return match_term(sentence, channel_terms, index, &candidate);
}
