#include "engine/channel_files.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json_writer.h"
#include "engine/channel_rows.h"
#include "engine/export_file.h"
#include "engine/plan_scan.h"
#include "engine/release.h"

struct export_job {
    struct cvm_engine *engine;
    const struct cvm_export_request *request;
    struct cvm_arena *arena;
    struct cvm_export_sinks sinks;
    struct cvm_export_left left;
    struct cvm_text head;
    struct cvm_text row;
    uint64_t salt; /* of the pilot's choice */
    int64_t test_number;
    bool needs_features;
};

/* ---- which files ---- */

static const struct cvm_channel_file *layout_of(const struct cvm_catalogue *catalogue,
                                                const char *channel)
{
    for (size_t i = 0; i < catalogue->channel_file_count; i++) {
        const struct cvm_channel_file *file = &catalogue->channel_files[i];
        if (strcmp(cvm_channel_words[file->channel], channel) == 0) {
            return file;
        }
    }
    return NULL;
}

static bool is_chosen(const struct cvm_export_request *request, const char *channel)
{
    return request->channel == CVM_CHANNEL_UNSET ||
           strcmp(cvm_channel_words[request->channel], channel) == 0;
}

static void note_features(struct export_job *job, const struct cvm_channel_file *layout)
{
    for (size_t c = 0; c < layout->column_count; c++) {
        job->needs_features |=
            layout->columns[c].feature != CVM_INDEX_NONE && job->request->kind != CVM_EXPORT_TEST;
    }
}

static enum cvm_status add_new_sinks(struct export_job *job, struct cvm_store *writer,
                                     struct cvm_error *err)
{
    static const char *const kinds[] = {"full", "pilot", "test", "recall"};
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    int64_t next = 0;
    enum cvm_status status = cvm_export_next(writer, &next, err);
    if (status == CVM_OK) {
        status = cvm_export_sinks_init(&job->sinks, job->request, job->arena,
                                       catalogue->channel_file_count, err);
    }
    for (size_t i = 0; status == CVM_OK && i < catalogue->channel_file_count; i++) {
        const struct cvm_channel_file *layout = &catalogue->channel_files[i];
        const char *channel = cvm_channel_words[layout->channel];
        struct cvm_export_sink_plan plan = {
            .export = next,
            .channel = channel,
            .kind = kinds[job->request->kind],
            .extension = layout->format == CVM_FILE_CSV ? "csv" : "ndjson",
            .layout = layout,
        };
        if (!is_chosen(job->request, channel)) {
            continue;
        }
        next++;
        note_features(job, layout);
        status = cvm_export_sink_add(&job->sinks, &plan, err);
    }
    return status;
}

/* The files of earlier exports: what each handed over stands with the decisions. */
static enum cvm_status add_old_sinks(struct export_job *job, struct cvm_store *writer,
                                     struct cvm_error *err)
{
    const struct cvm_plan_export *exports = NULL;
    size_t count = 0;
    enum cvm_status status =
        cvm_export_list(writer, job->arena, job->request->run->run_id, &exports, &count, err);
    if (status == CVM_OK) {
        status = cvm_export_sinks_init(&job->sinks, job->request, job->arena, count, err);
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        const struct cvm_plan_export *export = &exports[i];
        const struct cvm_channel_file *layout = layout_of(job->engine->catalogue, export->channel);
        bool is_handed_over =
            strcmp(export->kind, "full") == 0 || strcmp(export->kind, "pilot") == 0;
        struct cvm_export_sink_plan plan = {
            .export = export->export,
            .channel = export->channel,
            .kind = export->kind,
            .name = export->file,
            .layout = layout,
        };
        if (is_handed_over && layout != NULL && is_chosen(job->request, export->channel)) {
            note_features(job, layout);
            status = cvm_export_sink_add(&job->sinks, &plan, err);
        }
    }
    return status;
}

/* ---- which decisions ---- */

/* A number of [0, 1) that stands for the customer in this plan. */
static double position_of(const struct export_job *job, uint64_t key)
{
    return (double)(cvm_hash_mix(key, job->salt) >> 11) * 0x1p-53;
}

/* NULL: in none of the files; `left` has counted why. */
static struct cvm_export_sink *sink_of(struct export_job *job, const struct cvm_decision *decision)
{
    const struct cvm_export_request *request = job->request;
    struct cvm_export_left *left = &job->left;
    const char *channel = cvm_channel_words[cvm_release_channel(job->engine->catalogue, decision)];
    if (decision->ghost) {
        left->ghosts++;
        return NULL;
    }
    if (decision->state != CVM_DECISION_RELEASED) {
        left->withdrawn += decision->state == CVM_DECISION_WITHDRAWN;
        left->reported += decision->state != CVM_DECISION_WITHDRAWN;
        return NULL;
    }
    if (!request->is_again && decision->export != 0 && request->kind != CVM_EXPORT_TEST) {
        left->handed_over++;
        return NULL;
    }
    if (!is_chosen(request, channel) || (request->is_again && decision->export == 0) ||
        (request->kind == CVM_EXPORT_PILOT &&
         position_of(job, decision->customer_key) >= request->pilot_share)) {
        left->later++;
        return NULL;
    }
    for (size_t i = 0; i < job->sinks.count; i++) {
        struct cvm_export_sink *sink = &job->sinks.sinks[i];
        bool is_mine = request->is_again ? sink->file.export == decision->export
                                         : strcmp(sink->file.channel, channel) == 0;
        if (is_mine) {
            return sink;
        }
    }
    left->no_file++;
    return NULL;
}

/* ---- rows ---- */

static enum cvm_status put_row(struct export_job *job, struct cvm_export_sink *sink,
                               const struct cvm_channel_row *row, struct cvm_error *err)
{
    cvm_text_clear(&job->row);
    cvm_text_clear(&job->head);
    cvm_channel_row_write(sink->layout, row, &job->row);
    if (sink->stream == NULL) {
        cvm_channel_head_write(sink->layout, &job->head);
    }
    return cvm_export_sink_put(sink, cvm_text_string(&job->head), &job->row, err);
}

/* The first decision of each treatment shows colleagues what customers would get. Features stay
 * empty: they are another person's. */
static enum cvm_status put_test_rows(struct export_job *job, struct cvm_export_sink *sink,
                                     const struct cvm_decision *decision, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    int treatment = cvm_catalogue_treatment(catalogue, decision->treatment);
    uint64_t bit = treatment == CVM_INDEX_NONE ? 0 : UINT64_C(1) << treatment;
    enum cvm_status status = CVM_OK;
    if ((sink->seen_treatments & bit) != 0 || bit == 0) {
        return CVM_OK;
    }
    sink->seen_treatments |= bit;
    const char *const *recipients = sink->layout->test_recipients;
    for (size_t i = 0; status == CVM_OK && recipients[i] != NULL; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "test-%lld", (long long)++job->test_number);
        struct cvm_channel_row row = {
            .catalogue = catalogue,
            .decision = decision,
            .decision_id = id,
            .customer_id = recipients[i],
            .as_of_day = job->request->run->as_of_day,
            .is_test = true,
        };
        status = put_row(job, sink, &row, err);
    }
    return status;
}

static enum cvm_status take_decision(void *state, const struct cvm_decision *decision,
                                     const struct cvm_plan_place *place, struct cvm_error *err)
{
    struct export_job *job = state;
    char id[CVM_DECISION_ID_SIZE];
    struct cvm_export_sink *sink = sink_of(job, decision);
    if (sink == NULL) {
        return CVM_OK;
    }
    if (job->request->kind == CVM_EXPORT_TEST) {
        return put_test_rows(job, sink, decision, err);
    }
    struct cvm_channel_row row = {
        .catalogue = job->engine->catalogue,
        .decision = decision,
        .decision_id = cvm_decision_id(decision->run_id, decision->customer_key, id),
        .customer_id = decision->customer_id,
        .as_of_day = job->request->run->as_of_day,
    };
    if (place->chunk != NULL) {
        row.features = place->chunk->features + place->at;
        row.stride = place->chunk->capacity;
    }
    enum cvm_status status = put_row(job, sink, &row, err);
    return status == CVM_OK ? cvm_export_sink_note(sink, decision, err) : status;
}

/* Journeys are read only when a file wants something of them: as of the plan's day, so that a file
 * made again is the same. */
static enum cvm_status take_all(struct export_job *job, struct cvm_error *err)
{
    struct cvm_feature_program *program = NULL;
    struct cvm_shard all = {0, INT64_MAX};
    struct cvm_plan_scan scan = {
        .run_id = job->request->run->run_id,
        .shards = &all,
        .shard_count = 1,
        .is_ordered = true,
        .on_decision = take_decision,
        .state = job,
    };
    if (job->needs_features) {
        struct cvm_feature_window window = {.as_of_day = job->request->run->as_of_day,
                                            .since_day = CVM_DAY_NONE};
        enum cvm_status status =
            cvm_feature_program_create(job->engine->catalogue, window, &program, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    scan.program = program;
    enum cvm_status status = cvm_plan_scan(job->engine, &scan, err);
    cvm_feature_program_destroy(program);
    return status;
}

/* ---- the whole ---- */

static enum cvm_status check_recipients(const struct export_job *job, struct cvm_error *err)
{
    bool has_recipient = job->request->kind != CVM_EXPORT_TEST;
    for (size_t i = 0; i < job->sinks.count; i++) {
        has_recipient |= job->sinks.sinks[i].layout->test_recipients[0] != NULL;
    }
    if (has_recipient) {
        return CVM_OK;
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_NOT_FOUND, "no channel has test recipients");
    return cvm_error_hint(err, status,
                          "Name some in the catalogue: test_recipients in channels/NAME.yaml.");
}

static enum cvm_status check_layouts(const struct export_job *job, struct cvm_error *err)
{
    if (job->sinks.count > 0 || job->request->is_again) {
        return CVM_OK;
    }
    enum cvm_status status = CVM_FAIL(
        err, CVM_E_NOT_FOUND,
        "the catalogue says of no channel%s%s "
        "what its file looks like",
        job->request->channel == CVM_CHANNEL_UNSET ? "" : " ",
        job->request->channel == CVM_CHANNEL_UNSET ? "" : cvm_channel_words[job->request->channel]);
    return cvm_error_hint(err, status,
                          "Add channels/NAME.yaml to the catalogue; `cvm init` of a "
                          "new folder shows how they look.");
}

enum cvm_status cvm_export_plan(struct cvm_engine *engine, struct cvm_store *writer,
                                const struct cvm_export_request *request, struct cvm_arena *arena,
                                struct cvm_export_result *out_result, struct cvm_error *err)
{
    struct cvm_export_result result = {0};
    struct export_job job = {.engine = engine, .request = request, .arena = arena};
    job.salt = cvm_hash(request->run->run_id, strlen(request->run->run_id));
    cvm_text_init(&job.head, 0);
    cvm_text_init(&job.row, 0);
    enum cvm_status status = cvm_folder_create(request->folder, err);
    if (status == CVM_OK) {
        status =
            request->is_again ? add_old_sinks(&job, writer, err) : add_new_sinks(&job, writer, err);
    }
    if (status == CVM_OK) {
        status = check_layouts(&job, err);
    }
    if (status == CVM_OK) {
        status = check_recipients(&job, err);
    }
    if (status == CVM_OK) {
        status = take_all(&job, err);
    }
    if (status == CVM_OK) {
        result.left = job.left;
        status = cvm_export_sinks_commit(&job.sinks, writer, &result, err);
    }
    cvm_export_sinks_finish(&job.sinks, status == CVM_OK);
    cvm_text_finish(&job.row);
    cvm_text_finish(&job.head);
    if (status == CVM_OK) {
        *out_result = result;
    }
    return status;
}
