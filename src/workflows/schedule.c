#include "workflows/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/json_writer.h"
#include "base/schema.h"
#include "storage/batches.h"
#include "storage/lease.h"

#define MISSED_MAX     1000 /* rows of one look; older moments leave none */
#define BATCHES_LOOKED 50
#define DAY_PLACE      "$day"

#define KEY(structure, name, member, ...)                                                          \
    {                                                                                              \
        .key = (name), .offset = offsetof(structure, member), .type = __VA_ARGS__                  \
    }

/* ---- reading ---- */

static const struct cvm_schema_field fields[] = {
    KEY(struct cvm_schedule, "workflow", workflow, CVM_SCHEMA_NAME, .required = true),
    KEY(struct cvm_schedule, "at", at, CVM_SCHEMA_TEXT, .required = true),
    KEY(struct cvm_schedule, "zone", zone_name, CVM_SCHEMA_TEXT),
    KEY(struct cvm_schedule, "input", input, CVM_SCHEMA_NODE),
    KEY(struct cvm_schedule, "stale_after", stale_after_ms, CVM_SCHEMA_SPAN, .min = 60000,
        .max = 365.0 * 86400000),
    {.key = NULL},
};
static const struct cvm_schema schema = {"a schedule", fields};

static enum cvm_status at_key(const struct cvm_yaml_node *node, const char *key,
                              enum cvm_status status, struct cvm_error *err)
{
    const struct cvm_yaml_node *member = cvm_yaml_member(node, key);
    member = member == NULL ? node : member;
    return status == CVM_OK ? status
                            : cvm_error_where(err, status, "%s:%d", member->file, member->line);
}

static enum cvm_status read_schedule(struct cvm_arena *arena, const struct cvm_yaml_node *node,
                                     const char *default_zone, struct cvm_schedule *schedule,
                                     struct cvm_error *err)
{
    *schedule = (struct cvm_schedule){.name = node->key, .zone_name = default_zone};
    enum cvm_status status = cvm_schema_read(arena, &schema, node, schedule, err);
    if (status == CVM_OK && strlen(node->key) > 64) {
        status = cvm_schema_fail(node, err, "the name of a schedule has at most 64 bytes");
    }
    if (status == CVM_OK && schedule->input != NULL && schedule->input->type != CVM_YAML_MAP) {
        status = cvm_schema_fail(schedule->input, err, "a map is allowed");
    }
    if (status == CVM_OK) {
        status = at_key(node, "at", cvm_cron_parse(schedule->at, &schedule->cron, err), err);
    }
    if (status == CVM_OK) {
        status =
            at_key(node, "zone", cvm_zone_open(schedule->zone_name, &schedule->zone, err), err);
    }
    return status;
}

enum cvm_status cvm_schedules_read(struct cvm_arena *arena, const struct cvm_yaml_node *map,
                                   const char *default_zone, struct cvm_schedules *out_schedules,
                                   struct cvm_error *err)
{
    struct cvm_schedules schedules = {NULL, 0};
    if (map != NULL && (map->type != CVM_YAML_MAP || map->child_count > CVM_SCHEDULES_MAX)) {
        return cvm_schema_fail(map, err, "a map of at most %d schedules is allowed",
                               CVM_SCHEDULES_MAX);
    }
    size_t count = map == NULL ? 0 : map->child_count;
    schedules.items = CVM_NEW_ARRAY(arena, count + 1, struct cvm_schedule);
    if (schedules.items == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for schedules");
    }
    enum cvm_status status = CVM_OK;
    const struct cvm_yaml_node *node = map == NULL ? NULL : map->first_child;
    for (; status == CVM_OK && node != NULL; node = node->next) {
        status = read_schedule(arena, node, default_zone, &schedules.items[schedules.count], err);
        schedules.count++;
    }
    if (status != CVM_OK) {
        cvm_schedules_finish(&schedules);
        return status;
    }
    *out_schedules = schedules;
    return CVM_OK;
}

void cvm_schedules_finish(struct cvm_schedules *schedules)
{
    for (size_t i = 0; i < schedules->count; i++) {
        cvm_zone_close(schedules->items[i].zone);
    }
    schedules->count = 0;
}

/* ---- the input of a moment ---- */

/* What YAML says plainly is a number or a truth where JSON would agree. */
static void write_scalar(struct cvm_json_writer *json, const struct cvm_yaml_node *node,
                         const char *day)
{
    double number = 0;
    size_t length = strlen(node->text);
    bool is_plain = !node->is_quoted;
    if (strcmp(node->text, DAY_PLACE) == 0) {
        cvm_json_string(json, day);
    } else if (is_plain && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)) {
        cvm_json_bool(json, node->text[0] == 't');
    } else if (is_plain && (length == 0 || strcmp(node->text, "null") == 0)) {
        cvm_json_null(json);
    } else if (is_plain && length < 18 && strspn(node->text, "0123456789") == length) {
        cvm_json_int(json, strtoll(node->text, NULL, 10));
    } else if (is_plain && cvm_text_to_double(node->text, length, &number)) {
        cvm_json_double(json, number);
    } else {
        cvm_json_string(json, node->text);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as yaml.h lets a document be */
static void write_node(struct cvm_json_writer *json, const struct cvm_yaml_node *node,
                       const char *day)
{
    if (node->type == CVM_YAML_SCALAR) {
        write_scalar(json, node, day);
        return;
    }
    bool is_map = node->type == CVM_YAML_MAP;
    is_map ? cvm_json_object(json) : cvm_json_array(json);
    for (const struct cvm_yaml_node *n = node->first_child; n != NULL; n = n->next) {
        if (is_map) {
            cvm_json_key(json, n->key);
        }
        write_node(json, n, day);
    }
    is_map ? cvm_json_object_end(json) : cvm_json_array_end(json);
}

static enum cvm_status write_input(struct cvm_arena *arena, const struct cvm_schedule *schedule,
                                   int64_t fire_ms, const char **out_input, struct cvm_error *err)
{
    struct cvm_text text;
    struct cvm_json_writer json;
    char day[CVM_DAY_TEXT_SIZE];
    (void)cvm_day_format(cvm_zone_day(schedule->zone, fire_ms), day);
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, false);
    if (schedule->input == NULL) {
        cvm_text_add(&text, "{}");
    } else {
        write_node(&json, schedule->input, day);
    }
    *out_input = text.failed ? NULL : cvm_arena_copy(arena, text.data, text.length);
    cvm_text_finish(&text);
    return *out_input == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the input of a schedule")
                              : CVM_OK;
}

/* ---- a look ---- */

static enum cvm_status find_import(void *state, const struct cvm_batch *batch,
                                   struct cvm_error *err)
{
    int64_t *newest_ms = state;
    (void)err;
    bool counts = strcmp(batch->state, "closed") == 0 || strcmp(batch->state, "empty") == 0;
    if (counts && batch->finished_at_ms > *newest_ms) {
        *newest_ms = batch->finished_at_ms;
    }
    return CVM_OK;
}

/* NULL in *out_why when the inputs are fresh enough. */
static enum cvm_status check_fresh(struct cvm_store *store, struct cvm_arena *arena,
                                   const struct cvm_schedule *schedule, int64_t fire_ms,
                                   const char **out_why, struct cvm_error *err)
{
    int64_t newest_ms = 0;
    char moment[CVM_MOMENT_TEXT_SIZE];
    char text[120];
    *out_why = NULL;
    if (schedule->stale_after_ms == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_batch_list(store, 0, BATCHES_LOOKED, find_import, &newest_ms, err);
    if (status != CVM_OK || newest_ms >= fire_ms - schedule->stale_after_ms) {
        return status;
    }
    (void)snprintf(text, sizeof(text),
                   newest_ms == 0 ? "nothing was imported lately%s" : "the last import ended at %s",
                   newest_ms == 0 ? "" : cvm_moment_format(newest_ms, moment));
    *out_why = cvm_arena_string(arena, text);
    return *out_why == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a schedule") : CVM_OK;
}

static enum cvm_status start_workflow(struct cvm_store *store, struct cvm_arena *arena,
                                      const struct cvm_schedule *schedule,
                                      const struct cvm_definition *definition, const char *who,
                                      struct cvm_schedule_fire *fire, struct cvm_error *err)
{
    char key[CVM_WORKFLOW_KEY_MAX];
    struct cvm_workflow workflow;
    bool is_new = false;
    (void)snprintf(key, sizeof(key), "schedule/%.64s/%lld", schedule->name,
                   (long long)fire->fire_ms);
    struct cvm_flow_request request = {
        .definition = definition, .idempotency_key = key, .who = who};
    enum cvm_status status = write_input(arena, schedule, fire->fire_ms, &request.input, err);
    if (status == CVM_OK) {
        status = cvm_flow_accept(store, arena, &request, &workflow, &is_new, err);
    }
    if (status == CVM_OK) {
        fire->outcome = "started";
        fire->workflow_id = workflow.workflow_id;
        return status;
    }
    return cvm_error_context(err, status, "schedule '%s'", schedule->name);
}

/* The last moment of a look. */
static enum cvm_status fire_last(struct cvm_store *store, struct cvm_arena *arena,
                                 const struct cvm_schedule *schedule,
                                 const struct cvm_definition *definition, const char *who,
                                 struct cvm_schedule_fire *fire, struct cvm_error *err)
{
    enum cvm_status status = check_fresh(store, arena, schedule, fire->fire_ms, &fire->why, err);
    fire->outcome = "skipped";
    if (status == CVM_OK && fire->why == NULL) {
        status = start_workflow(store, arena, schedule, definition, who, fire, err);
    }
    return status == CVM_OK ? cvm_schedule_fire_add(store, fire, err) : status;
}

/* How many moments there are up to now, and the last of them. */
static int64_t count_moments(const struct cvm_schedule *schedule, int64_t looked_ms, int64_t now_ms,
                             int64_t *out_last_ms)
{
    int64_t count = 0;
    int64_t next_ms = cvm_cron_next(&schedule->cron, schedule->zone, looked_ms);
    while (next_ms <= now_ms) {
        *out_last_ms = next_ms;
        count++;
        next_ms = cvm_cron_next(&schedule->cron, schedule->zone, next_ms);
    }
    return count;
}

static enum cvm_status note_missed(struct cvm_store *store, const struct cvm_schedule *schedule,
                                   int64_t looked_ms, int64_t count, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    int64_t at_ms = looked_ms;
    for (int64_t i = 0; status == CVM_OK && i < count - 1; i++) {
        at_ms = cvm_cron_next(&schedule->cron, schedule->zone, at_ms);
        struct cvm_schedule_fire fire = {.schedule = schedule->name,
                                         .fire_ms = at_ms,
                                         .outcome = "missed",
                                         .why = "nobody looked at the time"};
        if (i >= count - 1 - MISSED_MAX) {
            status = cvm_schedule_fire_add(store, &fire, err);
        }
    }
    return status;
}

enum cvm_status cvm_schedule_look(struct cvm_store *store, struct cvm_arena *arena,
                                  const struct cvm_schedule *schedule,
                                  const struct cvm_definition *definition, const char *who,
                                  struct cvm_schedule_look *out_look, struct cvm_error *err)
{
    int64_t now_ms = 0;
    int64_t looked_ms = 0;
    struct cvm_schedule_fire last = {.schedule = schedule->name};
    enum cvm_status status = cvm_lease_now(store, &now_ms, err);
    if (status == CVM_OK) {
        status = cvm_schedule_lock(store, schedule->name, now_ms, &looked_ms, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    int64_t count = count_moments(schedule, looked_ms, now_ms, &last.fire_ms);
    if (count > 0) {
        status = note_missed(store, schedule, looked_ms, count, err);
        if (status == CVM_OK) {
            status = fire_last(store, arena, schedule, definition, who, &last, err);
        }
        if (status == CVM_OK) {
            status = cvm_schedule_looked(store, schedule->name, now_ms, err);
        }
    }
    if (status == CVM_OK) {
        *out_look = (struct cvm_schedule_look){
            .missed = count > 0 ? count - 1 : 0,
            .outcome = last.outcome,
            .fire_ms = last.fire_ms,
            .workflow_id = last.workflow_id,
        };
    }
    return status;
}
