#include <string.h>

#include "cli/catalogue_edit.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/treatment_file.h"
#include "cli/treatment_report.h"
#include "cli/work.h"

struct import_job {
    struct cvm_session *session;
    struct cvm_store *store;
    struct cvm_catalogue_edit edit;
    const char **ids;
    bool *is_new;
    size_t count;
    struct cvm_text warnings;
    struct cvm_text not_used;
    struct cvm_catalogue_update update;
};

/* Does the file say anything else than the catalogue? Then its text is written anew. */
static bool is_same(const struct cvm_catalogue *catalogue, const struct cvm_treatment *treatment)
{
    int known = cvm_catalogue_treatment(catalogue, treatment->id);
    const struct cvm_treatment *before =
        known == CVM_INDEX_NONE ? &catalogue->ignore : &catalogue->treatments[known];
    return strcmp(before->id, treatment->id) == 0 &&
           strcmp(before->display_name, treatment->display_name) == 0 &&
           strcmp(before->description, treatment->description) == 0 &&
           before->enabled == treatment->enabled && before->max_per_day == treatment->max_per_day &&
           before->priority == treatment->priority && before->cost_micro == treatment->cost_micro &&
           before->created_at == treatment->created_at;
}

/* Each file builds on the catalogue as the files before it left it. */
static enum cvm_status take_file(struct import_job *job, const char *path, struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_treatment_file file;
    enum cvm_status status = cvm_catalogue_edit_check(&job->edit, &catalogue, err);
    if (status == CVM_OK) {
        status = cvm_treatment_file_read(arena, catalogue, path, &file, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; status == CVM_OK && i < file.count; i++) {
        if (!is_same(catalogue, &file.treatments[i])) {
            status =
                cvm_catalogue_edit_put_treatment(&job->edit, catalogue, &file.treatments[i], err);
        }
        if (job->count < 2 * CVM_TREATMENTS_MAX) {
            job->ids[job->count] = file.treatments[i].id;
            job->is_new[job->count++] = file.is_new[i];
        }
    }
    cvm_text_add(&job->warnings, cvm_text_string(&file.warnings));
    cvm_text_add(&job->not_used, cvm_text_string(&file.not_used));
    cvm_treatment_file_finish(&file);
    return status;
}

static enum cvm_status take_files(struct import_job *job, const struct cvm_arguments *arguments,
                                  struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    enum cvm_status status = cvm_catalogue_edit_begin(session, job->store, &job->edit, err);
    job->ids = CVM_NEW_ARRAY(session->arena, 2 * CVM_TREATMENTS_MAX, const char *);
    job->is_new = CVM_NEW_ARRAY(session->arena, 2 * CVM_TREATMENTS_MAX, bool);
    if (status == CVM_OK && (job->ids == NULL || job->is_new == NULL)) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for treatments");
    }
    for (size_t i = 0; status == CVM_OK && i < arguments->positional_count; i++) {
        status = take_file(job, arguments->positional[i], err);
    }
    return status;
}

/* ---- report ---- */

static enum cvm_status print_document(struct import_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    const struct cvm_catalogue *catalogue = job->update.catalogue;
    cvm_document_init(&document);
    cvm_json_key_int(json, "catalogue_version", job->update.version);
    cvm_json_key_bool(json, "changed", job->update.version != job->update.version_before);
    cvm_json_key_array(json, "treatments");
    for (size_t i = 0; i < job->count; i++) {
        int known = cvm_catalogue_treatment(catalogue, job->ids[i]);
        cvm_json_object(json);
        cvm_treatment_json_write(
            catalogue, known == CVM_INDEX_NONE ? &catalogue->ignore : &catalogue->treatments[known],
            json);
        cvm_json_key_bool(json, "added", job->is_new[i]);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_key(json, "changes");
    cvm_catalogue_changes_write(json, job->update.changes, job->update.change_count);
    cvm_json_key_lines(json, "warnings", &job->warnings);
    cvm_json_key_lines(json, "not_used", &job->not_used);
    return cvm_document_print(&document, job->session, err);
}

static enum cvm_status report(struct import_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    if (session->is_json) {
        return print_document(job, err);
    }
    cvm_catalogue_changes_print(session->out, job->update.changes, job->update.change_count, 0);
    if (job->update.version == job->update.version_before) {
        fprintf(session->out, "%zu treatments read, nothing changed.\n", job->count);
    } else {
        fprintf(session->out, "%zu treatments read. Catalogue version %lld is in force.\n",
                job->count, (long long)job->update.version);
    }
    fflush(session->out);
    if (!session->is_quiet) {
        cvm_lines_print(session->err, "warning: ", &job->warnings);
        cvm_lines_print(session->err, "not used: ", &job->not_used);
    }
    return CVM_OK;
}

static enum cvm_status run_import(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct import_job job = {.session = session};
    cvm_text_init(&job.warnings, 0);
    cvm_text_init(&job.not_used, 0);
    enum cvm_status status = cvm_session_store(session, CVM_DB_WRITE, &job.store, err);
    if (status == CVM_OK) {
        status = take_files(&job, arguments, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_store(&job.edit, "cvm treatment import", &job.update, err);
    }
    if (status == CVM_OK) {
        status = report(&job, err);
    }
    cvm_text_finish(&job.warnings);
    cvm_text_finish(&job.not_used);
    cvm_store_close(job.store);
    return status;
}

const struct cvm_command cvm_command_treatment_import = {
    .name = "treatment import",
    .arguments = "FILE...",
    .summary = "Take treatments and limits from an older configuration",
    .details = "YAML or JSON with the sections treatments and constraints, or a JSON file of one\n"
               "treatment. Known ids keep channel, purpose and class of the catalogue; limits,\n"
               "costs, priorities and names come from the file. Unknown ids become custom\n"
               "treatments. The difference is shown and becomes the next catalogue version.\n\n"
               "  cvm treatment import cvm_config.yaml custom_treatments.json",
    .positional_min = 1,
    .positional_max = 1000,
    .run = run_import,
};
