#include "engine/groups.h"

#include <stdlib.h>
#include <string.h>

#include "allocation/problem.h"
#include "recommend/standing.h"

_Static_assert(CVM_CONSTRAINTS_MAX - CVM_TREATMENTS_MAX <= 64, "a bit for each group");

static void add_group(const struct cvm_catalogue *catalogue, size_t group,
                      const struct cvm_rule_rows *rows, const unsigned char *segments, size_t count,
                      uint64_t *groups)
{
    const struct cvm_constraint *of = &catalogue->constraints[catalogue->constraint_count + group];
    unsigned char mask[CVM_RULE_ROWS_MAX];
    cvm_rule_mask(&of->customers, rows, count, mask);
    for (size_t i = 0; i < count; i++) {
        bool is_segment = of->segment == CVM_INDEX_NONE || of->segment == (int)segments[i];
        groups[i] |= is_segment && mask[i] != 0 ? UINT64_C(1) << group : 0;
    }
}

void cvm_groups_of(const struct cvm_catalogue *catalogue, const struct cvm_groups_strip *strip,
                   uint64_t *out_groups)
{
    memset(out_groups, 0, strip->count * sizeof(*out_groups));
    for (size_t done = 0; catalogue->group_count > 0 && done < strip->count;
         done += CVM_RULE_ROWS_MAX) {
        struct cvm_rule_rows rows =
            cvm_chunk_rows(strip->chunk, strip->from + done, strip->as_of_day);
        size_t left = strip->count - done;
        size_t count = left < CVM_RULE_ROWS_MAX ? left : CVM_RULE_ROWS_MAX;
        for (size_t g = 0; g < catalogue->group_count; g++) {
            add_group(catalogue, g, &rows, strip->segments + done, count, out_groups + done);
        }
    }
}

/* ---- classes ---- */

void cvm_group_classes_finish(struct cvm_group_classes *classes)
{
    free(classes->bits);
    *classes = (struct cvm_group_classes){0};
}

static size_t place_of(const struct cvm_group_classes *classes, uint64_t groups)
{
    size_t low = 0;
    size_t high = classes->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (classes->bits[middle] < groups) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum cvm_status add_class(struct cvm_group_classes *classes, uint64_t groups,
                                 struct cvm_error *err)
{
    size_t at = place_of(classes, groups);
    if (at < classes->count && classes->bits[at] == groups) {
        return CVM_OK;
    }
    if (classes->count == CVM_PROBLEM_CLASSES_MAX) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_LIMIT, "the groups of the constraints overlap in more than %d ways",
                     CVM_PROBLEM_CLASSES_MAX);
        return cvm_error_hint(err, status, "Have fewer of them, or such that exclude each other.");
    }
    if (classes->count == classes->capacity) {
        size_t capacity = classes->capacity == 0 ? 64 : 2 * classes->capacity;
        uint64_t *bits = realloc(classes->bits, capacity * sizeof(*bits));
        if (bits == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for groups of customers");
        }
        classes->bits = bits;
        classes->capacity = capacity;
    }
    memmove(classes->bits + at + 1, classes->bits + at,
            (classes->count - at) * sizeof(*classes->bits));
    classes->bits[at] = groups;
    classes->count++;
    return CVM_OK;
}

enum cvm_status cvm_group_classes_add(struct cvm_group_classes *classes, const uint64_t *groups,
                                      size_t count, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        if (i == 0 || groups[i] != groups[i - 1]) {
            status = add_class(classes, groups[i], err);
        }
    }
    return status;
}

size_t cvm_group_class(const struct cvm_group_classes *classes, uint64_t groups)
{
    return place_of(classes, groups);
}

void cvm_group_inside(const struct cvm_group_classes *classes, size_t group,
                      unsigned char *out_inside)
{
    for (size_t i = 0; i < classes->count; i++) {
        out_inside[i] = (unsigned char)(classes->bits[i] >> group & 1);
    }
}
