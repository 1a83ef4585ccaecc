#include "cli/catalogue_folder.h"

#include <string.h>

#include "base/file.h"
#include "base/yaml.h"
#include "cli/paths.h"
#include "storage/catalogue_store.h"

#define FOLDER_DEPTH 2

static bool is_yaml(const char *name)
{
    return cvm_text_matches_pattern(name, "*.yaml");
}

static enum cvm_status read_file(struct cvm_arena *arena, const char *folder, const char *name,
                                 struct cvm_catalogue_file *out_file, struct cvm_error *err)
{
    const char *path = NULL;
    char *text = NULL;
    size_t length = 0;
    enum cvm_status status = cvm_path_join(arena, folder, name, &path, err);
    if (status == CVM_OK) {
        status = cvm_file_read(arena, path, CVM_YAML_BYTES_MAX, &text, &length, err);
    }
    if (status == CVM_OK) {
        *out_file = (struct cvm_catalogue_file){.name = name, .text = text, .length = length};
    }
    return status;
}

enum cvm_status cvm_catalogue_folder_read(struct cvm_arena *arena, const char *folder,
                                          struct cvm_catalogue_files *out_files,
                                          struct cvm_error *err)
{
    struct cvm_file_list list;
    size_t count = 0;
    enum cvm_status status = cvm_folder_list(arena, folder, FOLDER_DEPTH, &list, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_catalogue_file *files =
        CVM_NEW_ARRAY(arena, list.count + 1, struct cvm_catalogue_file);
    if (files == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the folder '%s'", folder);
    }
    for (size_t i = 0; status == CVM_OK && i < list.count; i++) {
        if (is_yaml(list.paths[i])) {
            status = read_file(arena, folder, list.paths[i], &files[count++], err);
        }
    }
    if (status == CVM_OK && count == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the folder '%s' has no *.yaml files", folder);
    }
    if (status == CVM_OK) {
        *out_files = (struct cvm_catalogue_files){.files = files, .count = count};
    }
    return status;
}

enum cvm_status cvm_catalogue_folder_write(struct cvm_arena *arena, const char *folder,
                                           const struct cvm_catalogue_files *files,
                                           struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < files->count; i++) {
        const char *path = NULL;
        const char *parent = NULL;
        status = cvm_path_join(arena, folder, files->files[i].name, &path, err);
        if (status == CVM_OK) {
            status = cvm_path_folder(arena, path, &parent, err);
        }
        if (status == CVM_OK) {
            status = cvm_folder_create(parent, err);
        }
        if (status == CVM_OK) {
            status = cvm_file_write(path, files->files[i].text, files->files[i].length, err);
        }
    }
    return status;
}

bool cvm_catalogue_files_equal(const struct cvm_catalogue_files *a,
                               const struct cvm_catalogue_files *b)
{
    bool is_equal = a->count == b->count;
    for (size_t i = 0; is_equal && i < a->count; i++) {
        const struct cvm_catalogue_file *left = &a->files[i];
        const struct cvm_catalogue_file *right = &b->files[i];
        is_equal = strcmp(left->name, right->name) == 0 && left->length == right->length &&
                   memcmp(left->text, right->text, left->length) == 0;
    }
    return is_equal;
}

enum cvm_status cvm_catalogue_files_put(struct cvm_arena *arena,
                                        const struct cvm_catalogue_files *files,
                                        const struct cvm_catalogue_file *file,
                                        struct cvm_catalogue_files *out_files,
                                        struct cvm_error *err)
{
    struct cvm_catalogue_file *all =
        CVM_NEW_ARRAY(arena, files->count + 1, struct cvm_catalogue_file);
    size_t count = 0;
    size_t i = 0;
    if (all == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the catalogue's files");
    }
    for (; i < files->count && strcmp(files->files[i].name, file->name) < 0; i++) {
        all[count++] = files->files[i];
    }
    all[count++] = *file;
    i += i < files->count && strcmp(files->files[i].name, file->name) == 0 ? 1 : 0;
    for (; i < files->count; i++) {
        all[count++] = files->files[i];
    }
    *out_files = (struct cvm_catalogue_files){.files = all, .count = count};
    return CVM_OK;
}

static enum cvm_status add_version(struct cvm_session *session, struct cvm_store *store,
                                   const struct cvm_catalogue_files *files, const char *why,
                                   struct cvm_catalogue_update *update, struct cvm_error *err)
{
    struct cvm_text changes;
    struct cvm_json_writer json;
    cvm_text_init(&changes, 0);
    cvm_json_init(&json, &changes, false);
    cvm_catalogue_changes_write(&json, update->changes, update->change_count);
    struct cvm_catalogue_change_note note = {
        .who = session->who,
        .why = why,
        .changes = cvm_text_string(&changes),
    };
    enum cvm_status status = changes.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the difference")
                                 : cvm_catalogue_store_add(store, files, update->catalogue->digest,
                                                           &note, &update->version, err);
    cvm_text_finish(&changes);
    return status;
}

enum cvm_status cvm_catalogue_store_update(struct cvm_session *session, struct cvm_store *store,
                                           const struct cvm_catalogue_files *files,
                                           const char *root, const char *why,
                                           struct cvm_catalogue_update *out_update,
                                           struct cvm_error *err)
{
    struct cvm_catalogue_update update = {0};
    struct cvm_catalogue_files before = {0};
    enum cvm_status status =
        cvm_catalogue_read(session->arena, files, root, &update.catalogue, err);
    if (status != CVM_OK) {
        return status;
    }
    status =
        cvm_catalogue_store_files(store, session->arena, 0, &before, &update.version_before, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_diff(session->arena, &before, files, &update.changes,
                                    &update.change_count, err);
    } else if (status == CVM_E_NOT_FOUND) {
        status = CVM_OK; /* the first version */
    }
    if (status == CVM_OK) {
        status = add_version(session, store, files, why, &update, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_catalogue_store_load(store, session->arena, update.version, &update.catalogue, err);
    }
    if (status == CVM_OK) {
        *out_update = update;
    }
    return status;
}

void cvm_catalogue_changes_print(FILE *out, const struct cvm_catalogue_change *changes,
                                 size_t count, size_t lines_max)
{
    size_t shown = lines_max > 0 && count > lines_max ? lines_max : count;
    for (size_t i = 0; i < shown; i++) {
        const struct cvm_catalogue_change *change = &changes[i];
        if (change->before == NULL) {
            fprintf(out, "  + %s: %s\n", change->path, change->after);
        } else if (change->after == NULL) {
            fprintf(out, "  - %s: %s\n", change->path, change->before);
        } else {
            fprintf(out, "  ~ %s: %s -> %s\n", change->path, change->before, change->after);
        }
    }
    if (shown < count) {
        fprintf(out, "  ... and %zu more\n", count - shown);
    }
}

void cvm_catalogue_changes_write(struct cvm_json_writer *json,
                                 const struct cvm_catalogue_change *changes, size_t count)
{
    cvm_json_array(json);
    for (size_t i = 0; i < count; i++) {
        cvm_json_object(json);
        cvm_json_key_string(json, "path", changes[i].path);
        cvm_json_key_string(json, "before", changes[i].before);
        cvm_json_key_string(json, "after", changes[i].after);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}
