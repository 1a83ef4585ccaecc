/* values.yaml and constraints.yaml. */
#include <math.h>
#include <string.h>

#include "model/catalogue_reading.h"

/* ---- value model ---- */

struct values_file {
    const struct cvm_yaml_node *value;
    const struct cvm_yaml_node *segments;
};
static const struct cvm_schema_field values_fields[] = {
    CVM_KEY(struct values_file, "value", value, CVM_SCHEMA_NODE, .required = true),
    CVM_KEY(struct values_file, "segments", segments, CVM_SCHEMA_NODE, .required = true),
    {.key = NULL},
};
static const struct cvm_schema values_schema = {"the values file", values_fields};

struct value_item {
    int64_t horizon_days;
    const char *churn_feature;
    const char *margin_feature;
    double margin_share;
    double discount_month;
    double churn_growth;
    double fatigue;
    const char *contacts_feature;
    double tiring;
};
static const struct cvm_schema_field value_fields[] = {
    CVM_KEY(struct value_item, "horizon_days", horizon_days, CVM_SCHEMA_INT, .required = true,
            .min = 1, .max = 3650),
    CVM_KEY(struct value_item, "churn_feature", churn_feature, CVM_SCHEMA_TEXT),
    CVM_KEY(struct value_item, "margin_feature", margin_feature, CVM_SCHEMA_TEXT),
    CVM_KEY(struct value_item, "margin_share", margin_share, CVM_SCHEMA_NUMBER, .min = 0, .max = 1),
    CVM_KEY(struct value_item, "discount_month", discount_month, CVM_SCHEMA_NUMBER, .min = 0.5,
            .max = 1),
    CVM_KEY(struct value_item, "churn_growth", churn_growth, CVM_SCHEMA_NUMBER, .min = 0,
            .max = 10),
    CVM_KEY(struct value_item, "fatigue", fatigue, CVM_SCHEMA_NUMBER, .min = 0, .max = 1e6),
    CVM_KEY(struct value_item, "contacts_feature", contacts_feature, CVM_SCHEMA_TEXT),
    CVM_KEY(struct value_item, "tiring", tiring, CVM_SCHEMA_NUMBER, .min = 0.01, .max = 1),
    {.key = NULL},
};
static const struct cvm_schema value_schema = {"the value model", value_fields};

/* A score is not a probability: it may be one only where its horizon and calibration are declared.
 */
static enum cvm_status check_churn_feature(struct cvm_reading *reading,
                                           const struct cvm_yaml_node *node, int index)
{
    const struct cvm_feature *feature = &reading->catalogue->features[index];
    const struct cvm_attribute *attribute =
        feature->attribute < 0 ? NULL : &reading->catalogue->attributes[feature->attribute];
    bool keeps_scale =
        feature->aggregate == CVM_AGGREGATE_LAST || feature->aggregate == CVM_AGGREGATE_FIRST ||
        feature->aggregate == CVM_AGGREGATE_AVG || feature->aggregate == CVM_AGGREGATE_MIN ||
        feature->aggregate == CVM_AGGREGATE_MAX;

    if (attribute != NULL && attribute->score.horizon_days > 0 && keeps_scale) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_schema_fail(
        node, reading->err, "feature '%s' is no declared score and may not be a probability",
        feature->name);
    return cvm_error_hint(reading->err, status,
                          "Give the attribute a score (horizon_days, intercept, slope, "
                          "calibration) in its mapping, and take its last value.");
}

static enum cvm_status read_value_feature(struct cvm_reading *reading,
                                          const struct cvm_yaml_node *map, const char *key,
                                          const char *name, int *out_feature)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(map, key);

    *out_feature = CVM_INDEX_NONE;
    if (name == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_reading_feature(reading, node, name, out_feature);
    return status == CVM_OK ? cvm_reading_not_sensitive(reading, node, *out_feature, "values")
                            : status;
}

static enum cvm_status read_value_model(struct cvm_reading *reading,
                                        const struct cvm_yaml_node *node)
{
    struct cvm_value_model *value = &reading->catalogue->value;
    struct value_item item = {
        .margin_share = 1, .discount_month = 1, .churn_growth = 1, .tiring = 1};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &value_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    value->horizon_days = (int)item.horizon_days;
    value->margin_share = item.margin_share;
    value->discount_month = item.discount_month;
    value->churn_growth = item.churn_growth;
    value->fatigue = item.fatigue;
    value->tiring = item.tiring;
    status = read_value_feature(reading, node, "churn_feature", item.churn_feature,
                                &value->churn_feature);
    if (status == CVM_OK && value->churn_feature >= 0) {
        status = check_churn_feature(reading, cvm_yaml_member(node, "churn_feature"),
                                     value->churn_feature);
    }
    if (status == CVM_OK) {
        status = read_value_feature(reading, node, "margin_feature", item.margin_feature,
                                    &value->margin_feature);
    }
    return status == CVM_OK ? read_value_feature(reading, node, "contacts_feature",
                                                 item.contacts_feature, &value->contacts_feature)
                            : status;
}

/* ---- segments ---- */

struct segment_item {
    const char *name;
    const char *when;
    const struct cvm_yaml_node *margin;
    const struct cvm_yaml_node *churn;
    int64_t horizon_months;
};
static const struct cvm_schema_field segment_fields[] = {
    CVM_KEY(struct segment_item, "segment", name, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct segment_item, "when", when, CVM_SCHEMA_TEXT),
    CVM_KEY(struct segment_item, "margin_month", margin, CVM_SCHEMA_NODE, .required = true),
    CVM_KEY(struct segment_item, "churn_month", churn, CVM_SCHEMA_NODE, .required = true),
    CVM_KEY(struct segment_item, "horizon_months", horizon_months, CVM_SCHEMA_INT, .required = true,
            .min = 1, .max = 240),
    {.key = NULL},
};
static const struct cvm_schema segment_schema = {"a segment", segment_fields};

static const struct cvm_schema_field margin_fields[] = {
    CVM_KEY(struct cvm_segment, "median", margin_median, CVM_SCHEMA_NUMBER, .required = true,
            .min = -1e6, .max = 1e6),
    CVM_KEY(struct cvm_segment, "min", margin_min, CVM_SCHEMA_NUMBER, .required = true, .min = -1e6,
            .max = 1e6),
    CVM_KEY(struct cvm_segment, "max", margin_max, CVM_SCHEMA_NUMBER, .required = true, .min = -1e6,
            .max = 1e6),
    {.key = NULL},
};
static const struct cvm_schema margin_schema = {"a monthly margin", margin_fields};

static const struct cvm_schema_field churn_fields[] = {
    CVM_KEY(struct cvm_segment, "mean", churn_month, CVM_SCHEMA_NUMBER, .required = true, .min = 0,
            .max = 1),
    CVM_KEY(struct cvm_segment, "sd", churn_month_sd, CVM_SCHEMA_NUMBER, .required = true, .min = 0,
            .max = 1),
    {.key = NULL},
};
static const struct cvm_schema churn_schema = {"a monthly churn", churn_fields};

static enum cvm_status read_segment_when(struct cvm_reading *reading,
                                         const struct cvm_yaml_node *node, const char *text,
                                         struct cvm_segment *segment)
{
    enum cvm_status status = cvm_reading_rule(reading, node, "when", text, &segment->when);
    if (status == CVM_OK) {
        status = cvm_reading_rule_not_sensitive(reading, node, "when", &segment->when, "segments");
    }
    if (status == CVM_OK && segment->when.clause_count == 0 && node->next != NULL) {
        status = cvm_schema_fail(node, reading->err,
                                 "segment '%s' needs the key 'when'; only the last has none",
                                 segment->name);
    }
    if (status == CVM_OK && segment->when.clause_count > 0 && node->next == NULL) {
        status = cvm_schema_fail(node, reading->err,
                                 "the last segment takes everybody else and has no 'when'");
    }
    return status;
}

static enum cvm_status read_segment(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_segment *segment = &catalogue->segments[catalogue->segment_count];
    struct segment_item item = {0};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &segment_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < catalogue->segment_count; i++) {
        if (strcmp(catalogue->segments[i].name, item.name) == 0) {
            return cvm_schema_fail(node, reading->err, "segment '%s' is defined twice", item.name);
        }
    }
    segment->name = item.name;
    segment->horizon_months = (int)item.horizon_months;
    status = cvm_schema_read(reading->arena, &margin_schema, item.margin, segment, reading->err);
    if (status == CVM_OK && (segment->margin_median < segment->margin_min ||
                             segment->margin_median > segment->margin_max)) {
        status =
            cvm_schema_fail(item.margin, reading->err, "the median is not between min and max");
    }
    if (status == CVM_OK) {
        status = cvm_schema_read(reading->arena, &churn_schema, item.churn, segment, reading->err);
    }
    if (status == CVM_OK) {
        status = read_segment_when(reading, node, item.when, segment);
    }
    catalogue->segment_count += status == CVM_OK ? 1 : 0;
    return status;
}

enum cvm_status cvm_read_values(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct values_file file = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &values_schema, root, &file, reading->err);
    if (status == CVM_OK) {
        status = read_value_model(reading, file.value);
    }
    if (status == CVM_OK) {
        status = cvm_reading_check_list(reading, file.segments, CVM_SEGMENTS_MAX, "segments");
    }
    if (status == CVM_OK && file.segments->child_count == 0) {
        status = cvm_schema_fail(file.segments, reading->err, "at least one segment is needed");
    }
    for (const struct cvm_yaml_node *n = file.segments == NULL ? NULL : file.segments->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_segment(reading, n);
    }
    return status;
}

/* ---- shared constraints ---- */

struct constraints_file {
    const struct cvm_yaml_node *resources;
    const struct cvm_yaml_node *budgets;
    const struct cvm_yaml_node *groups;
};
static const struct cvm_schema_field constraints_fields[] = {
    CVM_KEY(struct constraints_file, "resources", resources, CVM_SCHEMA_NODE),
    CVM_KEY(struct constraints_file, "budgets", budgets, CVM_SCHEMA_NODE),
    CVM_KEY(struct constraints_file, "groups", groups, CVM_SCHEMA_NODE),
    {.key = NULL},
};
static const struct cvm_schema constraints_schema = {"the constraints file", constraints_fields};

struct constraint_item {
    const char *id;
    const char *display_name;
    int period;
    int measure;
    double units;
    int64_t money_micro;
    struct cvm_schema_texts treatments;
};
static const struct cvm_schema_field resource_fields[] = {
    CVM_KEY(struct constraint_item, "resource", id, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct constraint_item, "display_name", display_name, CVM_SCHEMA_TEXT),
    CVM_KEY(struct constraint_item, "period", period, CVM_SCHEMA_WORD, .words = cvm_period_words),
    CVM_KEY(struct constraint_item, "limit", units, CVM_SCHEMA_NUMBER, .required = true, .min = 0,
            .max = 1e12),
    {.key = NULL},
};
static const struct cvm_schema resource_schema = {"a resource", resource_fields};
static const struct cvm_schema_field budget_fields[] = {
    CVM_KEY(struct constraint_item, "budget", id, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct constraint_item, "display_name", display_name, CVM_SCHEMA_TEXT),
    CVM_KEY(struct constraint_item, "period", period, CVM_SCHEMA_WORD, .words = cvm_period_words),
    CVM_KEY(struct constraint_item, "measure", measure, CVM_SCHEMA_WORD, .required = true,
            .words = cvm_measure_words),
    CVM_KEY(struct constraint_item, "limit", money_micro, CVM_SCHEMA_MICRO, .required = true,
            .min = 0, .max = 1e12),
    CVM_KEY(struct constraint_item, "treatments", treatments, CVM_SCHEMA_TEXTS),
    {.key = NULL},
};
static const struct cvm_schema budget_schema = {"a budget", budget_fields};

static enum cvm_status read_means(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                  enum cvm_constraint_kind kind, struct cvm_constraint *out_shared,
                                  struct cvm_schema_texts *out_treatments)
{
    bool is_budget = kind == CVM_CONSTRAINT_BUDGET;
    struct constraint_item item = {.period = CVM_PERIOD_DAY};
    enum cvm_status status = cvm_schema_read(
        reading->arena, is_budget ? &budget_schema : &resource_schema, node, &item, reading->err);
    *out_shared = (struct cvm_constraint){
        .id = item.id,
        .display_name = item.display_name == NULL ? item.id : item.display_name,
        .kind = kind,
        .period = (enum cvm_period)item.period,
        .measure = (enum cvm_measure)item.measure,
        .limit = is_budget ? item.money_micro : (int64_t)llround(item.units * 1000),
        .segment = CVM_INDEX_NONE,
    };
    *out_treatments = item.treatments;
    return status;
}

static enum cvm_status read_shared(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   enum cvm_constraint_kind kind)
{
    size_t count = reading->shared_count;
    struct cvm_constraint *shared = &reading->shared[count];
    struct cvm_schema_texts *treatments = &reading->shared_treatments[count];
    if (count + CVM_TREATMENTS_MAX == CVM_CONSTRAINTS_MAX) {
        return cvm_schema_fail(node, reading->err, "more than %d resources, budgets and groups",
                               CVM_CONSTRAINTS_MAX - CVM_TREATMENTS_MAX);
    }
    enum cvm_status status = kind == CVM_CONSTRAINT_SEGMENT_MAX
                                 ? cvm_read_group(reading, node, shared, treatments)
                                 : read_means(reading, node, kind, shared, treatments);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(reading->shared[i].id, shared->id) == 0) {
            return cvm_reading_fail_twice(reading, node, "constraint", shared->id,
                                          reading->shared_nodes[i]);
        }
    }
    reading->shared_nodes[count] = node;
    reading->shared_count++;
    reading->resource_count += kind == CVM_CONSTRAINT_RESOURCE ? 1 : 0;
    return CVM_OK;
}

enum cvm_status cvm_read_shared_constraints(struct cvm_reading *reading,
                                            const struct cvm_yaml_node *root)
{
    struct constraints_file file = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &constraints_schema, root, &file, reading->err);
    const struct {
        const struct cvm_yaml_node *list;
        const char *what;
        enum cvm_constraint_kind kind;
    } lists[] = {
        {file.resources, "resources", CVM_CONSTRAINT_RESOURCE},
        {file.budgets, "budgets", CVM_CONSTRAINT_BUDGET},
        {file.groups, "groups", CVM_CONSTRAINT_SEGMENT_MAX},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && status == CVM_OK; i++) {
        status = cvm_reading_check_list(reading, lists[i].list, CVM_CONSTRAINTS_MAX, lists[i].what);
        for (const struct cvm_yaml_node *n = lists[i].list == NULL ? NULL
                                                                   : lists[i].list->first_child;
             n != NULL && status == CVM_OK; n = n->next) {
            status = read_shared(reading, n, lists[i].kind);
        }
    }
    return status;
}

/* ---- all constraints ---- */

static enum cvm_status add_capacity(struct cvm_reading *reading, size_t index)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    const struct cvm_treatment *treatment = &catalogue->treatments[index];
    static const char prefix[] = "capacity:";
    size_t size = sizeof(prefix) + strlen(treatment->id);
    char *id = CVM_NEW_ARRAY(reading->arena, size, char);

    if (id == NULL) {
        return cvm_reading_fail_memory(reading, reading->treatments[index]);
    }
    memcpy(id, prefix, sizeof(prefix) - 1);
    memcpy(id + sizeof(prefix) - 1, treatment->id, strlen(treatment->id) + 1);
    catalogue->constraints[catalogue->constraint_count++] = (struct cvm_constraint){
        .id = id,
        .display_name = treatment->display_name,
        .kind = CVM_CONSTRAINT_CAPACITY,
        .period = CVM_PERIOD_DAY,
        .treatments = UINT64_C(1) << index,
        .limit = treatment->max_per_day,
        .segment = CVM_INDEX_NONE,
    };
    return CVM_OK;
}

static enum cvm_status find_treatments(struct cvm_reading *reading, size_t shared,
                                       uint64_t *out_treatments)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    const struct cvm_schema_texts *ids = &reading->shared_treatments[shared];
    uint64_t treatments = 0;

    for (size_t i = 0; i < ids->count; i++) {
        int index = cvm_catalogue_treatment(catalogue, ids->items[i]);
        if (index < 0) {
            struct cvm_suggestion nearest = {.typed = ids->items[i]};
            for (size_t j = 0; j < catalogue->treatment_count; j++) {
                cvm_suggestion_try(&nearest, catalogue->treatments[j].id);
            }
            return cvm_reading_fail_unknown(
                reading, cvm_yaml_member(reading->shared_nodes[shared], "treatments"), "treatment",
                &nearest);
        }
        treatments |= UINT64_C(1) << index;
    }
    for (size_t i = 0; i < catalogue->treatment_count && ids->count == 0; i++) {
        treatments |= UINT64_C(1) << i;
    }
    *out_treatments = treatments;
    return CVM_OK;
}

/* Resources were counted from 0 while treatments were read; now they stand behind the capacities.
 */
static void shift_uses(struct cvm_catalogue *catalogue, size_t capacity_count)
{
    for (size_t i = 0; i < catalogue->treatment_count; i++) {
        struct cvm_treatment *treatment = &catalogue->treatments[i];
        for (size_t j = 0; j < treatment->use_count; j++) {
            struct cvm_resource_use *use = &treatment->uses[j];
            use->constraint += (int)capacity_count;
            catalogue->constraints[use->constraint].treatments |= UINT64_C(1) << i;
        }
    }
}

enum cvm_status cvm_read_constraints_end(struct cvm_reading *reading)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    enum cvm_status status = CVM_OK;

    for (size_t i = 0; i < catalogue->treatment_count && status == CVM_OK; i++) {
        if (catalogue->treatments[i].max_per_day >= 0) {
            status = add_capacity(reading, i);
        }
    }
    size_t capacity_count = catalogue->constraint_count;
    for (size_t i = 0; i < reading->shared_count && status == CVM_OK; i++) {
        struct cvm_constraint *constraint = &catalogue->constraints[capacity_count + i];
        *constraint = reading->shared[i];
        bool is_group = cvm_constraint_is_group(constraint);
        catalogue->constraint_count += is_group ? 0 : 1;
        catalogue->group_count += is_group ? 1 : 0;
        if (constraint->kind != CVM_CONSTRAINT_RESOURCE) {
            status = find_treatments(reading, i, &constraint->treatments);
        }
        if (status == CVM_OK && is_group) {
            status = cvm_check_group(reading, reading->shared_nodes[i], constraint);
        }
    }
    if (status == CVM_OK) {
        shift_uses(catalogue, capacity_count);
    }
    return status;
}
