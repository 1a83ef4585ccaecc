/* treatments/ID.yaml, both ways. */
#include <math.h>
#include <string.h>

#include "base/date.h"
#include "model/catalogue_read.h"
#include "model/catalogue_reading.h"
#include "model/money.h"

#define MONEY_MAX             1e9
#define DAYS_MAX              3660
#define RESPONSE_DAYS_DEFAULT 30
#define OUTCOME_DAYS_DEFAULT  90

struct treatment_item {
    const char *id;
    const char *display_name;
    const char *description;
    const char *action;
    bool enabled;
    bool custom;
    int channel;
    int purpose;
    int class;
    int32_t valid_from_day;
    int32_t valid_to_day;
    const char *eligible;
    const char *applicable;
    const char *suitable;
    int64_t max_per_day;
    int64_t priority;
    int64_t cost_micro;
    int64_t loaded_cost_micro;
    const struct cvm_yaml_node *uses;
    const struct cvm_yaml_node *response;
    struct cvm_schema_texts languages;
    int64_t response_days;
    int64_t outcome_days;
    const char *created_at;
    const char *updated_at;
};
static const struct cvm_schema_field treatment_fields[] = {
    CVM_KEY(struct treatment_item, "treatment", id, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct treatment_item, "display_name", display_name, CVM_SCHEMA_TEXT),
    CVM_KEY(struct treatment_item, "description", description, CVM_SCHEMA_TEXT),
    CVM_KEY(struct treatment_item, "action", action, CVM_SCHEMA_NAME),
    CVM_KEY(struct treatment_item, "enabled", enabled, CVM_SCHEMA_BOOL),
    CVM_KEY(struct treatment_item, "custom", custom, CVM_SCHEMA_BOOL),
    CVM_KEY(struct treatment_item, "channel", channel, CVM_SCHEMA_WORD, .words = cvm_channel_words),
    CVM_KEY(struct treatment_item, "purpose", purpose, CVM_SCHEMA_WORD, .words = cvm_purpose_words),
    CVM_KEY(struct treatment_item, "class", class, CVM_SCHEMA_WORD, .required = true,
            .words = cvm_treatment_class_words),
    CVM_KEY(struct treatment_item, "valid_from", valid_from_day, CVM_SCHEMA_DATE),
    CVM_KEY(struct treatment_item, "valid_to", valid_to_day, CVM_SCHEMA_DATE),
    CVM_KEY(struct treatment_item, "eligible", eligible, CVM_SCHEMA_TEXT),
    CVM_KEY(struct treatment_item, "applicable", applicable, CVM_SCHEMA_TEXT),
    CVM_KEY(struct treatment_item, "suitable", suitable, CVM_SCHEMA_TEXT),
    CVM_KEY(struct treatment_item, "max_per_day", max_per_day, CVM_SCHEMA_INT, .min = 0,
            .max = 1e12),
    CVM_KEY(struct treatment_item, "priority", priority, CVM_SCHEMA_INT, .min = 1, .max = 1e6),
    CVM_KEY(struct treatment_item, "cost", cost_micro, CVM_SCHEMA_MICRO, .min = 0,
            .max = MONEY_MAX),
    CVM_KEY(struct treatment_item, "loaded_cost", loaded_cost_micro, CVM_SCHEMA_MICRO, .min = 0,
            .max = MONEY_MAX),
    CVM_KEY(struct treatment_item, "uses", uses, CVM_SCHEMA_NODE),
    CVM_KEY(struct treatment_item, "response", response, CVM_SCHEMA_NODE),
    CVM_KEY(struct treatment_item, "languages", languages, CVM_SCHEMA_TEXTS),
    CVM_KEY(struct treatment_item, "response_days", response_days, CVM_SCHEMA_INT, .min = 1,
            .max = DAYS_MAX),
    CVM_KEY(struct treatment_item, "outcome_days", outcome_days, CVM_SCHEMA_INT, .min = 1,
            .max = DAYS_MAX),
    CVM_KEY(struct treatment_item, "created_at", created_at, CVM_SCHEMA_TEXT),
    CVM_KEY(struct treatment_item, "updated_at", updated_at, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema treatment_schema = {"a treatment", treatment_fields};

/* ---- response ---- */

struct response_item {
    const struct cvm_yaml_node *reach;
    const struct cvm_yaml_node *accept;
    const struct cvm_yaml_node *churn_cut;
    double incentive;
    double incentive_margins;
    double extra_margin;
    const char *source;
};
static const struct cvm_schema_field response_fields[] = {
    CVM_KEY(struct response_item, "reach", reach, CVM_SCHEMA_NODE),
    CVM_KEY(struct response_item, "accept", accept, CVM_SCHEMA_NODE),
    CVM_KEY(struct response_item, "churn_cut", churn_cut, CVM_SCHEMA_NODE),
    CVM_KEY(struct response_item, "incentive", incentive, CVM_SCHEMA_NUMBER, .min = 0,
            .max = MONEY_MAX),
    CVM_KEY(struct response_item, "incentive_margins", incentive_margins, CVM_SCHEMA_NUMBER,
            .min = 0, .max = 1000),
    CVM_KEY(struct response_item, "extra_margin", extra_margin, CVM_SCHEMA_NUMBER,
            .min = -MONEY_MAX, .max = MONEY_MAX),
    CVM_KEY(struct response_item, "source", source, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema response_schema = {"a response", response_fields};

struct estimate {
    double mean;
    double sd;
};

static enum cvm_status read_estimate(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                     double mean_min, double *out_mean, double *out_sd)
{
    const struct cvm_schema_field fields[] = {
        CVM_KEY(struct estimate, "mean", mean, CVM_SCHEMA_NUMBER, .required = true, .min = mean_min,
                .max = 1),
        CVM_KEY(struct estimate, "sd", sd, CVM_SCHEMA_NUMBER, .required = true, .min = 0,
                .max = 10),
        {.key = NULL},
    };
    const struct cvm_schema schema = {"an estimate", fields};
    struct estimate estimate = {0, 0};

    if (node == NULL) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_schema_read(reading->arena, &schema, node, &estimate, reading->err);
    if (status == CVM_OK) {
        *out_mean = estimate.mean;
        *out_sd = estimate.sd;
    }
    return status;
}

static enum cvm_status read_response(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                     struct cvm_response *response)
{
    struct response_item item = {.source = "prior"};
    enum cvm_status status = CVM_OK;

    if (node != NULL) {
        status = cvm_schema_read(reading->arena, &response_schema, node, &item, reading->err);
    }
    response->incentive = item.incentive;
    response->incentive_margins = item.incentive_margins;
    response->extra_margin = item.extra_margin;
    response->source = item.source;
    if (status == CVM_OK) {
        status = read_estimate(reading, item.reach, 0, &response->reach, &response->reach_sd);
    }
    if (status == CVM_OK) {
        status = read_estimate(reading, item.accept, 0, &response->accept, &response->accept_sd);
    }
    return status == CVM_OK ? read_estimate(reading, item.churn_cut, -10, &response->churn_cut,
                                            &response->churn_cut_sd)
                            : status;
}

/* ---- uses ---- */

static enum cvm_status read_use(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                struct cvm_treatment *treatment)
{
    struct cvm_suggestion nearest = {.typed = node->key};
    struct cvm_resource_use *use = &treatment->uses[treatment->use_count];

    for (size_t i = 0; i < reading->resource_count; i++) {
        if (strcmp(reading->shared[i].id, node->key) == 0) {
            use->constraint = (int)i;
            treatment->use_count++;
            return cvm_schema_number(node, 0.001, 1e9, &use->units, reading->err);
        }
        cvm_suggestion_try(&nearest, reading->shared[i].id);
    }
    return cvm_reading_fail_unknown(reading, node, "resource", &nearest);
}

static enum cvm_status read_uses(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                 struct cvm_treatment *treatment)
{
    enum cvm_status status = cvm_reading_check_map(reading, map, CVM_USES_MAX, "resources");
    for (const struct cvm_yaml_node *n = map == NULL ? NULL : map->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_use(reading, n, treatment);
    }
    return status;
}

/* ---- languages ---- */

/* Codes of consent.yaml: what no customer can have is a mistake. */
static enum cvm_status check_language(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                      const char *code)
{
    const struct cvm_consent_words *words = &reading->catalogue->consent_words;
    struct cvm_suggestion nearest = {.typed = code};
    for (size_t l = 0; l < words->language_count; l++) {
        if (strcmp(words->languages[l].code, code) == 0) {
            return CVM_OK;
        }
        cvm_suggestion_try(&nearest, words->languages[l].code);
    }
    return cvm_reading_fail_unknown(reading, node, "language", &nearest);
}

static enum cvm_status read_languages(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                      const struct cvm_schema_texts *languages,
                                      struct cvm_treatment *treatment)
{
    enum cvm_status status = CVM_OK;
    for (size_t l = 0; status == CVM_OK && l < languages->count; l++) {
        status = check_language(reading, cvm_yaml_member(root, "languages"), languages->items[l]);
    }
    treatment->languages = languages->items;
    treatment->language_count = languages->count;
    return status;
}

/* ---- the treatment ---- */

static enum cvm_status read_conditions(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *root,
                                       const struct treatment_item *item,
                                       struct cvm_treatment *treatment)
{
    enum cvm_status status =
        cvm_reading_rule(reading, root, "eligible", item->eligible, &treatment->eligible);
    if (status == CVM_OK) {
        status =
            cvm_reading_rule(reading, root, "applicable", item->applicable, &treatment->applicable);
    }
    return status == CVM_OK
               ? cvm_reading_rule(reading, root, "suitable", item->suitable, &treatment->suitable)
               : status;
}

static void fill_treatment(const struct treatment_item *item, struct cvm_treatment *treatment)
{
    treatment->id = item->id;
    treatment->display_name = item->display_name == NULL ? item->id : item->display_name;
    treatment->description = item->description == NULL ? "" : item->description;
    treatment->action = item->action == NULL ? item->id : item->action;
    treatment->enabled = item->enabled;
    treatment->custom = item->custom;
    treatment->channel = (enum cvm_channel)item->channel;
    treatment->purpose = (enum cvm_purpose)item->purpose;
    treatment->class = (enum cvm_treatment_class)item->class;
    treatment->valid_from_day = item->valid_from_day;
    treatment->valid_to_day = item->valid_to_day;
    treatment->max_per_day = item->max_per_day;
    treatment->priority = item->priority;
    treatment->cost_micro = item->cost_micro;
    treatment->loaded_cost_micro = item->loaded_cost_micro;
    treatment->response_days = (int)item->response_days;
    treatment->outcome_days = (int)item->outcome_days;
    treatment->created_at = item->created_at;
    treatment->updated_at = item->updated_at;
}

/* Doing nothing is always possible: it has no channel, no limit, no condition and no cost. */
static enum cvm_status check_ignore(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                    const struct treatment_item *item)
{
    static const char *const banned[] = {"eligible", "applicable",    "suitable",     "max_per_day",
                                         "cost",     "uses",          "response",     "valid_from",
                                         "valid_to", "response_days", "outcome_days", "languages",
                                         NULL};
    for (size_t i = 0; banned[i] != NULL; i++) {
        const struct cvm_yaml_node *node = cvm_yaml_member(root, banned[i]);
        if (node != NULL) {
            return cvm_schema_fail(node, reading->err, "not for the treatment 'ignore'");
        }
    }
    if (item->channel != CVM_CHANNEL_NONE || !item->enabled) {
        return cvm_schema_fail(root, reading->err,
                               "the treatment 'ignore' is enabled and has channel none");
    }
    return CVM_OK;
}

static enum cvm_status check_treatment(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *root, const char *name,
                                       const struct treatment_item *item)
{
    int twin = cvm_catalogue_treatment(reading->catalogue, item->id);
    const struct cvm_yaml_node *id = cvm_yaml_member(root, "treatment");

    if (twin >= 0) {
        return cvm_reading_fail_twice(reading, id, "treatment", item->id,
                                      reading->treatments[twin]);
    }
    if (strcmp(item->id, name) != 0) {
        return cvm_schema_fail(id, reading->err,
                               "found '%s' in the file of treatment '%s'; they must be the same",
                               item->id, name);
    }
    if (item->valid_from_day != CVM_DAY_NONE && item->valid_to_day != CVM_DAY_NONE &&
        item->valid_to_day < item->valid_from_day) {
        return cvm_schema_fail(cvm_yaml_member(root, "valid_to"), reading->err,
                               "the treatment ends before it begins");
    }
    return strcmp(item->id, "ignore") == 0 ? check_ignore(reading, root, item) : CVM_OK;
}

enum cvm_status cvm_read_treatment(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                   const char *name, const char *file)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_treatment treatment = {.file = file};
    struct treatment_item item = {
        .enabled = true,
        .channel = CVM_CHANNEL_UNSET,
        .purpose = CVM_PURPOSE_UNSET,
        .valid_from_day = CVM_DAY_NONE,
        .valid_to_day = CVM_DAY_NONE,
        .max_per_day = -1,
        .priority = 99,
        .response_days = RESPONSE_DAYS_DEFAULT,
        .outcome_days = OUTCOME_DAYS_DEFAULT,
    };

    enum cvm_status status =
        cvm_schema_read(reading->arena, &treatment_schema, root, &item, reading->err);
    if (status == CVM_OK) {
        status = check_treatment(reading, root, name, &item);
    }
    if (status != CVM_OK) {
        return status;
    }
    fill_treatment(&item, &treatment);
    status = read_conditions(reading, root, &item, &treatment);
    if (status == CVM_OK) {
        status = read_uses(reading, item.uses, &treatment);
    }
    if (status == CVM_OK) {
        status = read_response(reading, item.response, &treatment.response);
    }
    if (status == CVM_OK) {
        status = read_languages(reading, root, &item.languages, &treatment);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (strcmp(treatment.id, "ignore") == 0) {
        catalogue->ignore = treatment;
        return CVM_OK;
    }
    if (catalogue->treatment_count == CVM_TREATMENTS_MAX) {
        return cvm_schema_fail(root, reading->err, "more than %d treatments", CVM_TREATMENTS_MAX);
    }
    reading->treatments[catalogue->treatment_count] = root;
    catalogue->treatments[catalogue->treatment_count++] = treatment;
    return CVM_OK;
}

/* ---- writing ---- */

static void write_text(struct cvm_text *out, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        cvm_text_add_format(out, "%s: ", key);
        cvm_yaml_add_scalar(out, value);
        cvm_text_add_char(out, '\n');
    }
}

/* The exact decimal: at least two decimals, at most six. */
static void write_micro(struct cvm_text *out, const char *key, int64_t micro)
{
    char digits[8];
    int64_t rest = micro % CVM_MICRO_PER_UNIT;
    size_t length = 6;

    for (size_t i = 6; i > 0; i--) {
        digits[i - 1] = (char)('0' + rest % 10);
        rest /= 10;
    }
    while (length > 2 && digits[length - 1] == '0') {
        length--;
    }
    cvm_text_add_format(out, "%s: ", key);
    cvm_text_add_int(out, micro / CVM_MICRO_PER_UNIT);
    cvm_text_add_char(out, '.');
    cvm_text_add_bytes(out, digits, length);
    cvm_text_add_char(out, '\n');
}

static void write_number(struct cvm_text *out, const char *key, double value)
{
    cvm_text_add(out, key);
    cvm_text_add(out, ": ");
    cvm_text_add_double(out, value);
}

static void write_day(struct cvm_text *out, const char *key, int32_t day)
{
    char text[CVM_DAY_TEXT_SIZE];
    if (day != CVM_DAY_NONE) {
        cvm_text_add_format(out, "%s: %s\n", key, cvm_day_format(day, text));
    }
}

static void write_estimate(struct cvm_text *out, const char *key, double mean, double sd)
{
    if (mean != 0 || sd != 0) {
        cvm_text_add_format(out, "  %s: {", key);
        write_number(out, "mean", mean);
        write_number(out, ", sd", sd);
        cvm_text_add(out, "}\n");
    }
}

static void write_amount(struct cvm_text *out, const char *key, double value)
{
    if (value != 0) {
        cvm_text_add(out, "  ");
        write_number(out, key, value);
        cvm_text_add_char(out, '\n');
    }
}

static void write_response(struct cvm_text *out, const struct cvm_response *response)
{
    cvm_text_add(out, "response:\n");
    write_estimate(out, "reach", response->reach, response->reach_sd);
    write_estimate(out, "accept", response->accept, response->accept_sd);
    write_estimate(out, "churn_cut", response->churn_cut, response->churn_cut_sd);
    write_amount(out, "incentive", response->incentive);
    write_amount(out, "incentive_margins", response->incentive_margins);
    write_amount(out, "extra_margin", response->extra_margin);
    cvm_text_add(out, "  ");
    write_text(out, "source", response->source == NULL ? "prior" : response->source);
}

static void write_days(struct cvm_text *out, const char *key, int days, int usual)
{
    if (days != usual && days > 0) {
        cvm_text_add_format(out, "%s: %d\n", key, days);
    }
}

static void write_limits(struct cvm_text *out, const struct cvm_treatment *treatment,
                         const struct cvm_catalogue *catalogue)
{
    if (treatment->max_per_day >= 0) {
        cvm_text_add_format(out, "max_per_day: %lld\n", (long long)treatment->max_per_day);
    }
    cvm_text_add_format(out, "priority: %lld\n", (long long)treatment->priority);
    if (treatment->cost_micro != 0 || strcmp(treatment->id, "ignore") != 0) {
        write_micro(out, "cost", treatment->cost_micro);
    }
    write_micro(out, "loaded_cost", treatment->loaded_cost_micro);
    cvm_text_add(out, treatment->use_count > 0 ? "uses:\n" : "");
    for (size_t i = 0; i < treatment->use_count; i++) {
        const struct cvm_resource_use *use = &treatment->uses[i];
        cvm_text_add(out, "  ");
        write_number(out, catalogue->constraints[use->constraint].id, use->units);
        cvm_text_add_char(out, '\n');
    }
}

static void write_languages(struct cvm_text *out, const struct cvm_treatment *treatment)
{
    for (size_t l = 0; l < treatment->language_count; l++) {
        cvm_text_add(out, l == 0 ? "languages: [" : ", ");
        cvm_yaml_add_scalar(out, treatment->languages[l]);
    }
    cvm_text_add(out, treatment->language_count > 0 ? "]\n" : "");
}

enum cvm_status cvm_treatment_write(const struct cvm_treatment *treatment,
                                    const struct cvm_catalogue *catalogue, struct cvm_text *out,
                                    struct cvm_error *err)
{
    write_text(out, "treatment", treatment->id);
    write_text(out, "display_name", treatment->display_name);
    write_text(out, "description", treatment->description);
    write_text(out, "action", treatment->action);
    cvm_text_add_format(out, "enabled: %s\n", treatment->enabled ? "true" : "false");
    if (treatment->custom) {
        cvm_text_add(out, "custom: true\n");
    }
    cvm_text_add_format(out, "channel: %s\n", cvm_channel_words[treatment->channel]);
    cvm_text_add_format(out, "purpose: %s\n", cvm_purpose_words[treatment->purpose]);
    cvm_text_add_format(out, "class: %s\n", cvm_treatment_class_words[treatment->class]);
    write_day(out, "valid_from", treatment->valid_from_day);
    write_day(out, "valid_to", treatment->valid_to_day);
    write_text(out, "eligible", treatment->eligible.text);
    write_text(out, "applicable", treatment->applicable.text);
    write_text(out, "suitable", treatment->suitable.text);
    write_limits(out, treatment, catalogue);
    if (strcmp(treatment->id, "ignore") != 0) {
        write_response(out, &treatment->response);
        write_languages(out, treatment);
        write_days(out, "response_days", treatment->response_days, RESPONSE_DAYS_DEFAULT);
        write_days(out, "outcome_days", treatment->outcome_days, OUTCOME_DAYS_DEFAULT);
    }
    write_text(out, "created_at", treatment->created_at);
    write_text(out, "updated_at", treatment->updated_at);
    return out->failed
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to write treatment '%s'", treatment->id)
               : CVM_OK;
}
