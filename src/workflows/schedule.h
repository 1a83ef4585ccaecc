/* schedule.h - workflows that start by the clock: each moment once, whoever looks.
 *
 * In cvm.yaml:
 *
 *     schedule:
 *       nightly:
 *         workflow: batch
 *         at: "0 2 * * *"        # base/cron.h
 *         zone: Europe/London    # else the deployment's
 *         input: {request: {as_of: $day}}
 *         stale_after: 36h       # skipped when the last import ended longer ago
 *
 * $day is the local day of the moment, so that a run that begins after midnight is still of its
 * day. Moments that passed while nobody looked are noted as missed, but for the last one.
 */
#ifndef CVM_WORKFLOWS_SCHEDULE_H
#define CVM_WORKFLOWS_SCHEDULE_H

#include "base/cron.h"
#include "base/yaml.h"
#include "storage/schedule_store.h"
#include "workflows/flow.h"

#define CVM_SCHEDULES_MAX 64

struct cvm_schedule {
    const char *name;
    const char *workflow;
    const char *at;
    const char *zone_name;
    struct cvm_cron cron;
    struct cvm_zone *zone;
    const struct cvm_yaml_node *input; /* NULL = {} */
    int64_t stale_after_ms;            /* 0 = never stale */
};
struct cvm_schedules {
    struct cvm_schedule *items;
    size_t count;
};
/* From the map `schedule` of cvm.yaml (NULL = none), into the arena; the zones are open until
 * cvm_schedules_finish(). Errors name file and line. */
CVM_MUST_CHECK enum cvm_status cvm_schedules_read(struct cvm_arena *arena,
                                                  const struct cvm_yaml_node *map,
                                                  const char *default_zone,
                                                  struct cvm_schedules *out_schedules,
                                                  struct cvm_error *err);
void cvm_schedules_finish(struct cvm_schedules *schedules);

/* Inside a transaction: note the moments since the last look, start the workflow of the last of
 * them unless its inputs are stale. Who looks for the first time notes nothing of the past. */
struct cvm_schedule_look {
    int64_t missed;
    const char *outcome;     /* of the last moment: "started" or "skipped"; NULL = none was due */
    int64_t fire_ms;         /* of it */
    const char *workflow_id; /* that was started; in the arena */
};
CVM_MUST_CHECK enum cvm_status
cvm_schedule_look(struct cvm_store *store, struct cvm_arena *arena,
                  const struct cvm_schedule *schedule, const struct cvm_definition *definition,
                  const char *who, struct cvm_schedule_look *out_look, struct cvm_error *err);

#endif
