#include "cli/workflow_definitions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/suggest.h"
#include "cli/paths.h"
#include "cli/shipped.h"

#define FOLDER "workflows"
#define PREFIX "workflow/"
#define ENDING ".yaml"

/* ---- names ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct cvm_definition_name *)a)->name,
                  ((const struct cvm_definition_name *)b)->name);
}

/* "batch" of "batch.yaml"; NULL for any other file. */
static const char *stem_of(struct cvm_arena *arena, const char *file)
{
    size_t length = strlen(file);
    size_t ending = strlen(ENDING);
    bool is_definition = length > ending && strcmp(file + length - ending, ENDING) == 0;
    return is_definition ? cvm_arena_copy(arena, file, length - ending) : NULL;
}

/* A file of the folder stands for what ships under its name. */
static void add_name(struct cvm_definition_names *names, const char *name, const char *where)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].name, name) == 0) {
            return;
        }
    }
    names->items[names->count++] = (struct cvm_definition_name){name, where};
}

static enum cvm_status find_folder(struct cvm_session *session, const char **out_folder,
                                   struct cvm_error *err)
{
    const char *folder = NULL;
    *out_folder = NULL;
    if (session->config.path == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_path_folder(session->arena, session->config.path, &folder, err);
    if (status == CVM_OK) {
        status = cvm_path_join(session->arena, folder, FOLDER, &folder, err);
    }
    if (status == CVM_OK && cvm_file_is_folder(folder)) {
        *out_folder = folder;
    }
    return status;
}

enum cvm_status cvm_session_definition_names(struct cvm_session *session,
                                             struct cvm_definition_names *out_names,
                                             struct cvm_error *err)
{
    const char *folder = NULL;
    struct cvm_file_list files = {NULL, 0};
    struct cvm_definition_names names = {NULL, 0};
    size_t shipped = 0;
    enum cvm_status status = find_folder(session, &folder, err);
    if (status == CVM_OK && folder != NULL) {
        status = cvm_folder_list(session->arena, folder, 0, &files, err);
    }
    for (const struct cvm_embedded_file *f = cvm_embedded_files; f->name != NULL; f++) {
        shipped++;
    }
    names.items =
        CVM_NEW_ARRAY(session->arena, files.count + shipped + 1, struct cvm_definition_name);
    if (status == CVM_OK && names.items == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the names of workflows");
    }
    for (size_t i = 0; status == CVM_OK && i < files.count; i++) {
        const char *path = NULL;
        const char *name = stem_of(session->arena, files.paths[i]);
        status = cvm_path_join(session->arena, folder, files.paths[i], &path, err);
        if (status == CVM_OK && name != NULL) {
            add_name(&names, name, path);
        }
    }
    for (const struct cvm_embedded_file *f = cvm_embedded_files;
         status == CVM_OK && f->name != NULL; f++) {
        bool is_definition = strncmp(f->name, PREFIX, strlen(PREFIX)) == 0;
        const char *name = is_definition ? stem_of(session->arena, f->name + strlen(PREFIX)) : NULL;
        if (name != NULL) {
            add_name(&names, name, NULL);
        }
    }
    if (status == CVM_OK) {
        qsort(names.items, names.count, sizeof(names.items[0]), compare);
        *out_names = names;
    }
    return status;
}

/* ---- one ---- */

static enum cvm_status fail_unknown(const struct cvm_definition_names *names, const char *name,
                                    struct cvm_error *err)
{
    char known[200] = "";
    size_t used = 0;
    struct cvm_suggestion near = {.typed = name};
    for (size_t i = 0; i < names->count; i++) {
        cvm_suggestion_try(&near, names->items[i].name);
        int added = snprintf(known + used, sizeof(known) - used, "%s%s", i == 0 ? "" : ", ",
                             names->items[i].name);
        used = used + (size_t)added < sizeof(known) ? used + (size_t)added : used;
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_NOT_FOUND, "no workflow is called '%s'", name);
    return near.best != NULL ? cvm_error_hint(err, status, "Did you mean '%s'?", near.best)
                             : cvm_error_hint(err, status, "There are: %s.", known);
}

enum cvm_status cvm_session_definition(struct cvm_session *session, const char *name,
                                       const struct cvm_definition **out_definition,
                                       struct cvm_error *err)
{
    struct cvm_definition_names names;
    enum cvm_status status = cvm_session_definition_names(session, &names, err);
    for (size_t i = 0; status == CVM_OK && i < names.count; i++) {
        char file[200];
        char *text = NULL;
        size_t length = 0;
        if (strcmp(names.items[i].name, name) != 0) {
            continue;
        }
        if (names.items[i].where != NULL) {
            status = cvm_file_read(session->arena, names.items[i].where, CVM_DEFINITION_BYTES_MAX,
                                   &text, &length, err);
            return status == CVM_OK ? cvm_definition_read(session->arena, names.items[i].where,
                                                          text, length, out_definition, err)
                                    : status;
        }
        (void)snprintf(file, sizeof(file), PREFIX "%.100s" ENDING, name);
        const struct cvm_embedded_file *shipped = cvm_shipped_file(file);
        return cvm_definition_read(session->arena, file + strlen(PREFIX), shipped->bytes,
                                   shipped->length, out_definition, err);
    }
    return status == CVM_OK ? fail_unknown(&names, name, err) : status;
}
