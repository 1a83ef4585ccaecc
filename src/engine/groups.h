/* groups.h - which groups of the catalogue's constraints a customer is in: a bit each, in the order
 * of the constraints behind the ledger's. A customer is in a group of a segment if it is of that
 * segment, and in one with a rule if the rule holds for it.
 */
#ifndef CVM_ENGINE_GROUPS_H
#define CVM_ENGINE_GROUPS_H

#include "model/catalogue.h"
#include "model/chunk.h"

/* Of customers [from, from + count) of a chunk; segments[i] and out_groups[i] are of customer
 * from + i. */
struct cvm_groups_strip {
    const struct cvm_chunk *chunk;
    size_t from;
    size_t count;
    const unsigned char *segments;
    int32_t as_of_day;
};
void cvm_groups_of(const struct cvm_catalogue *catalogue, const struct cvm_groups_strip *strip,
                   uint64_t *out_groups);

/* The solver's view: customers in the same groups are one class, classes in ascending order of
 * their bits. */
struct cvm_group_classes {
    uint64_t *bits; /* owned */
    size_t count;
    size_t capacity;
};
void cvm_group_classes_finish(struct cvm_group_classes *classes);
/* Those of these customers too; any order. CVM_E_LIMIT where there are more than the solver
 * takes. */
CVM_MUST_CHECK enum cvm_status cvm_group_classes_add(struct cvm_group_classes *classes,
                                                     const uint64_t *groups, size_t count,
                                                     struct cvm_error *err);
/* The class with these bits, which was added. */
size_t cvm_group_class(const struct cvm_group_classes *classes, uint64_t groups);
/* inside[class] of one group, class_count of them. */
void cvm_group_inside(const struct cvm_group_classes *classes, size_t group,
                      unsigned char *out_inside);

#endif
