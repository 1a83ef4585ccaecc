#include "journey/summary.h"

#include "base/date.h"
#include "rules/rule.h"

#include <math.h>
#include <string.h>

/* What a feature's values are: those of a rule, or of the attribute that it keeps. */
static enum cvm_rule_type shown_type(const struct cvm_catalogue *catalogue,
                                     const struct cvm_feature *feature)
{
    static const enum cvm_rule_type types[] = {
        [CVM_ATTRIBUTE_NUMBER] = CVM_RULE_NUMBER, [CVM_ATTRIBUTE_BOOLEAN] = CVM_RULE_BOOL,
        [CVM_ATTRIBUTE_WORD] = CVM_RULE_WORD,     [CVM_ATTRIBUTE_DATE] = CVM_RULE_DATE,
        [CVM_ATTRIBUTE_CODE] = CVM_RULE_CODE,     [CVM_ATTRIBUTE_LABEL] = CVM_RULE_NUMBER,
        [CVM_ATTRIBUTE_TEXT] = CVM_RULE_NUMBER,
    };
    bool keeps_attribute =
        feature->attribute != CVM_INDEX_NONE &&
        (feature->aggregate == CVM_AGGREGATE_LAST || feature->aggregate == CVM_AGGREGATE_FIRST ||
         feature->aggregate == CVM_AGGREGATE_MIN || feature->aggregate == CVM_AGGREGATE_MAX);
    if (feature->rule.clause_count > 0) {
        return feature->rule.type;
    }
    return keeps_attribute ? types[catalogue->attributes[feature->attribute].type]
                           : CVM_RULE_NUMBER;
}

static const char *word_of(const struct cvm_feature *feature, double value)
{
    if (feature->words == NULL) {
        return NULL;
    }
    for (size_t w = 0; feature->words[w] != NULL; w++) {
        if (value == (double)w) {
            return feature->words[w];
        }
    }
    return NULL;
}

/* At most two decimals, no trailing zeros: 20, 75.99, 0.5. */
static void format_number(double value, struct cvm_text *out)
{
    double cents = round(value * 100);
    if (!(fabs(cents) < 1e15)) {
        cvm_text_add_double(out, value);
        return;
    }
    int64_t n = (int64_t)cents;
    uint64_t size = n < 0 ? (uint64_t)-n : (uint64_t)n;
    if (n < 0) {
        cvm_text_add_char(out, '-');
    }
    cvm_text_add_int(out, (int64_t)(size / 100));
    if (size % 100 != 0) {
        cvm_text_add_char(out, '.');
        cvm_text_add_char(out, (char)('0' + size % 100 / 10));
        if (size % 10 != 0) {
            cvm_text_add_char(out, (char)('0' + size % 10));
        }
    }
}

void cvm_feature_format(const struct cvm_catalogue *catalogue, size_t feature, double value,
                        struct cvm_text *out)
{
    const struct cvm_feature *declared = &catalogue->features[feature];
    enum cvm_rule_type type = shown_type(catalogue, declared);
    const char *word = word_of(declared, value);
    if (isnan(value)) {
        cvm_text_add(out, "unknown");
    } else if (word != NULL) {
        cvm_text_add(out, word);
    } else if (type == CVM_RULE_DATE && fabs(value) < 1e6) {
        char text[CVM_DAY_TEXT_SIZE];
        cvm_text_add(out, cvm_day_format((int32_t)value, text));
    } else if (type == CVM_RULE_BOOL && (value == 0 || value == 1)) {
        cvm_text_add(out, value == 1 ? "yes" : "no");
    } else if (type == CVM_RULE_CODE && value >= 0 && value < 0x1p52) {
        cvm_text_add_format(out, "code %013llx", (unsigned long long)value);
    } else {
        format_number(value, out);
    }
}

void cvm_sentence_write(const char *sentence, cvm_sentence_fn lookup, const void *state,
                        struct cvm_text *out)
{
    while (*sentence != '\0') {
        size_t plain = strcspn(sentence, "{");
        cvm_text_add_bytes(out, sentence, plain);
        sentence += plain;
        if (*sentence == '\0') {
            return;
        }
        size_t length = strcspn(sentence + 1, "{}");
        bool is_closed = sentence[1 + length] == '}';
        struct cvm_slice name = {sentence + 1, length};
        if (is_closed && lookup(state, name, out)) {
            sentence += length + 2;
        } else {
            cvm_text_add_char(out, '{');
            sentence++;
        }
    }
}

struct feature_lookup {
    const struct cvm_catalogue *catalogue;
    struct cvm_feature_values values;
};

static bool write_feature(const void *state, struct cvm_slice name, struct cvm_text *out)
{
    const struct feature_lookup *lookup = state;
    for (size_t f = 0; f < lookup->catalogue->feature_count; f++) {
        if (cvm_slice_equals(name, lookup->catalogue->features[f].name)) {
            cvm_feature_format(lookup->catalogue, f,
                               lookup->values.features[f * lookup->values.stride], out);
            return true;
        }
    }
    return false;
}

void cvm_journey_summary(const struct cvm_catalogue *catalogue, struct cvm_feature_values values,
                         struct cvm_text *out)
{
    const struct feature_lookup lookup = {catalogue, values};
    bool is_first = true;
    size_t next = 0;
    /* The lines of a group stand together. */
    for (size_t i = 0; i < catalogue->summary_line_count; i = next) {
        const struct cvm_summary_line *chosen = NULL;
        int group = catalogue->summary_lines[i].group;
        for (next = i;
             next < catalogue->summary_line_count && catalogue->summary_lines[next].group == group;
             next++) {
            const struct cvm_summary_line *line = &catalogue->summary_lines[next];
            if (chosen == NULL &&
                cvm_rule_holds(&line->when, &(struct cvm_rule_rows){.values = values.features,
                                                                    .stride = values.stride,
                                                                    .today = values.today})) {
                chosen = line;
            }
        }
        if (chosen == NULL || chosen->sentence[0] == '\0') {
            continue;
        }
        cvm_text_add(out, is_first ? "" : " ");
        cvm_sentence_write(chosen->sentence, write_feature, &lookup, out);
        is_first = false;
    }
}

enum cvm_status cvm_journey_insights(const struct cvm_catalogue *catalogue,
                                     struct cvm_feature_values values, struct cvm_arena *arena,
                                     struct cvm_journey_insight **out_insights, size_t *out_count,
                                     struct cvm_error *err)
{
    const struct feature_lookup lookup = {catalogue, values};
    enum cvm_status status = CVM_OK;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    size_t count = 0;
    struct cvm_journey_insight *insights =
        CVM_NEW_ARRAY(arena, catalogue->insight_count + 1, struct cvm_journey_insight);
    if (insights == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for insights");
        goto out;
    }
    for (size_t i = 0; i < catalogue->insight_count; i++) {
        const struct cvm_insight *insight = &catalogue->insights[i];
        if (!cvm_rule_holds(&insight->when, &(struct cvm_rule_rows){.values = values.features,
                                                                    .stride = values.stride,
                                                                    .today = values.today})) {
            continue;
        }
        cvm_text_clear(&text);
        cvm_sentence_write(insight->sentence, write_feature, &lookup, &text);
        const char *sentence =
            text.failed ? NULL : cvm_arena_copy(arena, cvm_text_string(&text), text.length);
        if (sentence == NULL) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for insights");
            goto out;
        }
        insights[count++] = (struct cvm_journey_insight){insight, sentence};
    }
    *out_insights = insights;
    *out_count = count;

out:
    cvm_text_finish(&text);
    return status;
}
