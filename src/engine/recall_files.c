/* recall_files.c - files that take back what a recalled plan had handed over. */
#include <string.h>

#include "base/file.h"
#include "base/json_writer.h"
#include "engine/export_file.h"

struct recall_job {
    const struct cvm_export_request *request;
    struct cvm_arena *arena;
    struct cvm_store *writer;
    const struct cvm_plan_export *exports;
    size_t export_count;
    struct cvm_export_sinks sinks;
    struct cvm_text row;
};

static const struct cvm_plan_export *export_of(const struct recall_job *job, int64_t number)
{
    for (size_t i = 0; i < job->export_count; i++) {
        if (job->exports[i].export == number) {
            return &job->exports[i];
        }
    }
    return NULL;
}

static struct cvm_export_sink *sink_of(struct recall_job *job, const char *channel)
{
    for (size_t i = 0; i < job->sinks.count; i++) {
        if (strcmp(job->sinks.sinks[i].file.channel, channel) == 0) {
            return &job->sinks.sinks[i];
        }
    }
    return NULL;
}

static enum cvm_status add_sinks(struct recall_job *job, struct cvm_error *err)
{
    int64_t next = 0;
    enum cvm_status status = cvm_export_next(job->writer, &next, err);
    if (status == CVM_OK) {
        status =
            cvm_export_sinks_init(&job->sinks, job->request, job->arena, job->export_count, err);
    }
    for (size_t i = 0; status == CVM_OK && i < job->export_count; i++) {
        if (sink_of(job, job->exports[i].channel) == NULL) {
            struct cvm_export_sink_plan plan = {
                .export = next++,
                .channel = job->exports[i].channel,
                .kind = "recall",
                .extension = "ndjson",
            };
            status = cvm_export_sink_add(&job->sinks, &plan, err);
        }
    }
    return status;
}

/* One form for all channels: whatever took the file in finds its row again by the decision. */
static enum cvm_status take_decision(void *state, const struct cvm_decision *decision,
                                     struct cvm_error *err)
{
    struct recall_job *job = state;
    struct cvm_json_writer json;
    char id[CVM_DECISION_ID_SIZE];
    const struct cvm_plan_export *export = export_of(job, decision->export);
    if (export == NULL) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a decision points to export %lld, which is not there",
                        (long long)decision->export);
    }
    cvm_text_clear(&job->row);
    cvm_json_init(&json, &job->row, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "decision_id",
                        cvm_decision_id(decision->run_id, decision->customer_key, id));
    cvm_json_key_string(&json, "customer_id", decision->customer_id);
    cvm_json_key_string(&json, "treatment", decision->treatment);
    cvm_json_key_string(&json, "file", export->file);
    cvm_json_object_end(&json);
    cvm_text_add_char(&job->row, '\n');
    struct cvm_export_sink *sink = sink_of(job, export->channel);
    enum cvm_status status = cvm_export_sink_put(sink, "", &job->row, err);
    return status == CVM_OK ? cvm_export_sink_note(sink, decision, err) : status;
}

enum cvm_status cvm_export_recall(struct cvm_store *writer,
                                  const struct cvm_export_request *request, struct cvm_arena *arena,
                                  struct cvm_export_result *out_result, struct cvm_error *err)
{
    struct cvm_export_result result = {0};
    struct recall_job job = {.request = request, .arena = arena, .writer = writer};
    cvm_text_init(&job.row, 0);
    enum cvm_status status = cvm_folder_create(request->folder, err);
    if (status == CVM_OK) {
        status = cvm_export_list(writer, arena, request->run->run_id, &job.exports,
                                 &job.export_count, err);
    }
    if (status == CVM_OK) {
        status = add_sinks(&job, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_decision_scan_handed_over(writer, request->run->run_id, take_decision, &job, err);
    }
    if (status == CVM_OK) {
        status = cvm_export_sinks_commit(&job.sinks, writer, &result, err);
    }
    cvm_export_sinks_finish(&job.sinks, status == CVM_OK);
    cvm_text_finish(&job.row);
    if (status == CVM_OK) {
        *out_result = result;
    }
    return status;
}
