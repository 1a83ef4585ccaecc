/* Constraints on groups of customers, of constraints.yaml: minimums, maximums, shares, reserves. */
#include <math.h>
#include <string.h>

#include "model/catalogue_reading.h"

struct group_item {
    const char *id;
    const char *display_name;
    int kind;
    const char *segment;
    const char *customers;
    double limit;
    struct cvm_schema_texts treatments;
};

/* In the order of enum cvm_constraint_kind, from CVM_CONSTRAINT_SEGMENT_MAX on. */
static const char *const kind_words[] = {"segment_max", "segment_min", "share_min",
                                         "share_max",   "reserve",     NULL};

static const struct cvm_schema_field group_fields[] = {
    CVM_KEY(struct group_item, "group", id, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct group_item, "display_name", display_name, CVM_SCHEMA_TEXT),
    CVM_KEY(struct group_item, "kind", kind, CVM_SCHEMA_WORD, .required = true,
            .words = kind_words),
    CVM_KEY(struct group_item, "segment", segment, CVM_SCHEMA_TEXT),
    CVM_KEY(struct group_item, "customers", customers, CVM_SCHEMA_TEXT),
    CVM_KEY(struct group_item, "limit", limit, CVM_SCHEMA_NUMBER, .required = true, .min = 0,
            .max = 1e12),
    CVM_KEY(struct group_item, "treatments", treatments, CVM_SCHEMA_TEXTS),
    {.key = NULL},
};
static const struct cvm_schema group_schema = {"a group", group_fields};

static enum cvm_status find_segment(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                    const char *name, int *out_segment)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    *out_segment = name == NULL ? CVM_INDEX_NONE : cvm_catalogue_segment(catalogue, name);
    if (name == NULL || *out_segment != CVM_INDEX_NONE) {
        return CVM_OK;
    }
    struct cvm_suggestion nearest = {.typed = name};
    for (size_t i = 0; i < catalogue->segment_count; i++) {
        cvm_suggestion_try(&nearest, catalogue->segments[i].name);
    }
    return cvm_reading_fail_unknown(reading, cvm_yaml_member(node, "segment"), "segment", &nearest);
}

static enum cvm_status check_limit(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const struct cvm_constraint *group, double limit)
{
    const struct cvm_yaml_node *at = cvm_yaml_member(node, "limit");
    if (cvm_constraint_is_share(group) && limit > 1) {
        return cvm_schema_fail(at, reading->err, "the limit of group '%s' is a share, from 0 to 1",
                               group->id);
    }
    if (!cvm_constraint_is_share(group) && limit != floor(limit)) {
        return cvm_schema_fail(at, reading->err, "the limit of group '%s' is a whole number",
                               group->id);
    }
    return CVM_OK;
}

enum cvm_status cvm_read_group(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                               struct cvm_constraint *out_group,
                               struct cvm_schema_texts *out_treatments)
{
    struct group_item item = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &group_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_constraint group = {
        .id = item.id,
        .display_name = item.display_name == NULL ? item.id : item.display_name,
        .kind = (enum cvm_constraint_kind)(CVM_CONSTRAINT_SEGMENT_MAX + item.kind),
        .period = CVM_PERIOD_RUN,
    };
    double scale = (double)cvm_constraint_scale(&group);
    group.limit = (int64_t)llround(item.limit * scale);
    status = check_limit(reading, node, &group, item.limit);
    if (status == CVM_OK && item.segment == NULL && item.customers == NULL) {
        status = cvm_schema_fail(node, reading->err,
                                 "group '%s' needs the key 'customers' or 'segment': who is in it",
                                 item.id);
    }
    if (status == CVM_OK) {
        status = find_segment(reading, node, item.segment, &group.segment);
    }
    if (status == CVM_OK) {
        status = cvm_reading_rule(reading, node, "customers", item.customers, &group.customers);
    }
    *out_group = group;
    *out_treatments = item.treatments;
    return status;
}

enum cvm_status cvm_check_group(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                const struct cvm_constraint *group)
{
    if (group->kind != CVM_CONSTRAINT_RESERVE) {
        return CVM_OK;
    }
    bool is_one = group->treatments != 0 && (group->treatments & (group->treatments - 1)) == 0;
    int capacity = !is_one ? CVM_INDEX_NONE
                           : cvm_catalogue_capacity(reading->catalogue,
                                                    (size_t)__builtin_ctzll(group->treatments));
    if (capacity != CVM_INDEX_NONE) {
        return CVM_OK;
    }
    return cvm_schema_fail(node, reading->err,
                           "the reserve '%s' needs one treatment, which has a max_per_day",
                           group->id);
}
