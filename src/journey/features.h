/* features.h - the catalogue's features of every customer, computed from packed journeys into
 * columns.
 *
 * Pure. Compile once per (catalogue, as-of day); one builder per worker. Feed a chunk customer by
 * customer, each customer's bodies in period order:
 *
 *     cvm_feature_builder_start(builder, chunk);
 *     for each customer: _customer(key); for each body: _body(period, bytes); _customer_end();
 *
 * Missing is NaN: counts and sums give 0, other aggregates missing. As-of D means the end of D; a
 * window is the last n days including D. Events after D or before the history window are not seen.
 * Undated attributes always are.
 */
#ifndef CVM_JOURNEY_FEATURES_H
#define CVM_JOURNEY_FEATURES_H

#include "base/date.h"
#include "base/error.h"
#include "model/catalogue.h"
#include "model/chunk.h"
#include "model/packed.h"

struct cvm_feature_program; /* immutable, shared by threads */
struct cvm_feature_builder; /* one per thread */

/* What a run looks at: days since_day .. as_of_day, both included. */
struct cvm_feature_window {
    int32_t as_of_day;
    int32_t since_day;                    /* CVM_DAY_NONE: the catalogue's history window */
    const struct cvm_feature_set *needed; /* NULL = all; others are left missing, which is faster */
};
struct cvm_feature_set {
    uint64_t bits[CVM_FEATURES_MAX / 64];
};
/* Adds the feature and all that its rule rests on. */
void cvm_feature_set_add(struct cvm_feature_set *set, const struct cvm_catalogue *catalogue,
                         size_t feature);
/* Every feature that the rule reads, and so on. */
void cvm_feature_set_add_rule(struct cvm_feature_set *set, const struct cvm_catalogue *catalogue,
                              const struct cvm_rule *rule);

CVM_MUST_CHECK enum cvm_status cvm_feature_program_create(const struct cvm_catalogue *catalogue,
                                                          struct cvm_feature_window window,
                                                          struct cvm_feature_program **out_program,
                                                          struct cvm_error *err);
void cvm_feature_program_destroy(struct cvm_feature_program *program);
/* The periods that a scan must deliver besides CVM_PERIOD_PROFILE. */
int32_t cvm_feature_first_period(const struct cvm_feature_program *program);
int32_t cvm_feature_last_period(const struct cvm_feature_program *program);

CVM_MUST_CHECK enum cvm_status cvm_feature_builder_create(const struct cvm_feature_program *program,
                                                          struct cvm_feature_builder **out_builder,
                                                          struct cvm_error *err);
void cvm_feature_builder_destroy(struct cvm_feature_builder *builder);

/* Clears the chunk and fills it from now on. */
void cvm_feature_builder_start(struct cvm_feature_builder *builder, struct cvm_chunk *chunk);
/* The chunk has room (the caller checks count < capacity). */
void cvm_feature_builder_customer(struct cvm_feature_builder *builder, uint64_t key);
/* A fact that no body has yet: a contact that is released and not yet reported. After the bodies,
 * in order of days. Cells in ascending attribute; ones that no feature needs are passed over. */
struct cvm_feature_event {
    int source;
    int32_t day;
    const struct cvm_packed_cell *cells;
    size_t cell_count;
};
CVM_MUST_CHECK enum cvm_status cvm_feature_builder_event(struct cvm_feature_builder *builder,
                                                         const struct cvm_feature_event *event,
                                                         struct cvm_error *err);
/* The body may go away after the call. CVM_PERIOD_PROFILE first. */
CVM_MUST_CHECK enum cvm_status cvm_feature_builder_body(struct cvm_feature_builder *builder,
                                                        int32_t period, const void *body,
                                                        size_t length, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_feature_builder_customer_end(struct cvm_feature_builder *builder,
                                                                struct cvm_error *err);
/* Once the chunk is full: features that are rules over features, and missing for those that are not
 * needed. */
void cvm_feature_builder_end(struct cvm_feature_builder *builder);

#endif
