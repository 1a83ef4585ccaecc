#include "cli/catalogue_edit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/yaml.h"
#include "cli/paths.h"
#include "storage/catalogue_store.h"

enum cvm_status cvm_catalogue_edit_begin(struct cvm_session *session, struct cvm_store *store,
                                         struct cvm_catalogue_edit *out_edit, struct cvm_error *err)
{
    struct cvm_catalogue_edit edit = {.session = session, .store = store};
    enum cvm_status status =
        cvm_catalogue_store_files(store, session->arena, 0, &edit.before, &edit.version, err);
    if (status == CVM_E_NOT_FOUND) {
        return cvm_error_hint(err, status, "Load the folder of the catalogue with `cvm apply`.");
    }
    if (status == CVM_OK) {
        edit.files = edit.before;
        *out_edit = edit;
    }
    return status;
}

static const struct cvm_catalogue_file *find_file(const struct cvm_catalogue_files *files,
                                                  const char *name)
{
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(files->files[i].name, name) == 0) {
            return &files->files[i];
        }
    }
    return NULL;
}

const struct cvm_catalogue_file *cvm_catalogue_edit_file(const struct cvm_catalogue_edit *edit,
                                                         const char *name)
{
    return find_file(&edit->files, name);
}

enum cvm_status cvm_catalogue_edit_put(struct cvm_catalogue_edit *edit, const char *name,
                                       const char *text, size_t length, struct cvm_error *err)
{
    struct cvm_arena *arena = edit->session->arena;
    struct cvm_catalogue_file file = {
        .name = cvm_arena_string(arena, name),
        .text = cvm_arena_copy(arena, text, length),
        .length = length,
    };
    if (file.name == NULL || file.text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for '%s'", name);
    }
    enum cvm_status status = cvm_catalogue_files_put(arena, &edit->files, &file, &edit->files, err);
    return status == CVM_OK
               ? cvm_catalogue_files_put(arena, &edit->changed, &file, &edit->changed, err)
               : status;
}

enum cvm_status cvm_catalogue_edit_remove(struct cvm_catalogue_edit *edit, const char *name,
                                          struct cvm_error *err)
{
    struct cvm_arena *arena = edit->session->arena;
    const struct cvm_catalogue_file *file = find_file(&edit->files, name);
    if (file == NULL) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "the catalogue has no file '%s'", name);
    }
    struct cvm_catalogue_file *rest =
        CVM_NEW_ARRAY(arena, edit->files.count, struct cvm_catalogue_file);
    size_t at = (size_t)(file - edit->files.files);
    if (rest == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the catalogue's files");
    }
    enum cvm_status status =
        cvm_catalogue_files_put(arena, &edit->removed, file, &edit->removed, err);
    if (status == CVM_OK) {
        memcpy(rest, edit->files.files, at * sizeof(*rest));
        memcpy(rest + at, file + 1, (edit->files.count - at - 1) * sizeof(*rest));
        edit->files = (struct cvm_catalogue_files){.files = rest, .count = edit->files.count - 1};
    }
    return status;
}

enum cvm_status cvm_catalogue_edit_put_treatment(struct cvm_catalogue_edit *edit,
                                                 const struct cvm_catalogue *catalogue,
                                                 const struct cvm_treatment *treatment,
                                                 struct cvm_error *err)
{
    struct cvm_text text;
    struct cvm_text name;
    cvm_text_init(&text, 0);
    cvm_text_init(&name, 0);
    cvm_text_add_format(&name, "treatments/%s.yaml", treatment->id);
    enum cvm_status status = cvm_treatment_write(treatment, catalogue, &text, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_put(edit, cvm_text_string(&name), cvm_text_string(&text),
                                        text.length, err);
    }
    cvm_text_finish(&text);
    cvm_text_finish(&name);
    return status;
}

enum cvm_status cvm_catalogue_edit_check(const struct cvm_catalogue_edit *edit,
                                         const struct cvm_catalogue **out_catalogue,
                                         struct cvm_error *err)
{
    return cvm_catalogue_read(edit->session->arena, &edit->files, "", out_catalogue, err);
}

/* ---- the folder ---- */

static bool is_text(const struct cvm_catalogue_file *file, const char *text, size_t length)
{
    return file != NULL && file->length == length && memcmp(file->text, text, length) == 0;
}

/* Before the version in force: an edit that was broken off between store and folder left it so. */
static enum cvm_status is_behind(const struct cvm_catalogue_edit *edit, const char *name,
                                 const char *text, size_t length, bool *out_is,
                                 struct cvm_error *err)
{
    struct cvm_catalogue_files files = {0};
    int64_t version = 0;
    if (edit->version <= 1) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_catalogue_store_files(edit->store, edit->session->arena,
                                                       edit->version - 1, &files, &version, err);
    *out_is = status == CVM_OK && is_text(find_file(&files, name), text, length);
    return status;
}

/* The folder's file must be what was in force, or what it becomes. */
static enum cvm_status check_unedited(const struct cvm_catalogue_edit *edit, const char *folder,
                                      const struct cvm_catalogue_file *becomes,
                                      struct cvm_error *err)
{
    struct cvm_arena *arena = edit->session->arena;
    const char *path = NULL;
    char *text = NULL;
    size_t length = 0;
    enum cvm_status status = cvm_path_join(arena, folder, becomes->name, &path, err);
    if (status != CVM_OK || !cvm_file_exists(path)) {
        return status;
    }
    status = cvm_file_read(arena, path, CVM_YAML_BYTES_MAX, &text, &length, err);
    if (status != CVM_OK) {
        return status;
    }
    bool is_known = is_text(find_file(&edit->before, becomes->name), text, length) ||
                    is_text(becomes, text, length);
    if (!is_known) {
        status = is_behind(edit, becomes->name, text, length, &is_known, err);
    }
    if (status == CVM_OK && !is_known) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "'%s' was edited and is not in force: it would be overwritten", path);
        return cvm_error_hint(err, status, "Put it in force first: `cvm apply`.");
    }
    return status;
}

static enum cvm_status check_folder(const struct cvm_catalogue_edit *edit, const char *folder,
                                    struct cvm_error *err)
{
    const struct cvm_catalogue_files *sets[] = {&edit->changed, &edit->removed};
    enum cvm_status status = CVM_OK;
    for (size_t s = 0; s < 2; s++) {
        for (size_t i = 0; status == CVM_OK && i < sets[s]->count; i++) {
            status = check_unedited(edit, folder, &sets[s]->files[i], err);
        }
    }
    return status;
}

static enum cvm_status write_folder(const struct cvm_catalogue_edit *edit, const char *folder,
                                    struct cvm_error *err)
{
    struct cvm_arena *arena = edit->session->arena;
    enum cvm_status status = cvm_catalogue_folder_write(arena, folder, &edit->changed, err);
    for (size_t i = 0; status == CVM_OK && i < edit->removed.count; i++) {
        const char *path = NULL;
        status = cvm_path_join(arena, folder, edit->removed.files[i].name, &path, err);
        if (status == CVM_OK && remove(path) != 0 && errno != ENOENT) {
            status =
                CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot remove '%s': %s", path, strerror(errno));
        }
    }
    if (status != CVM_OK) {
        (void)cvm_error_context(err, status, "stored, but the folder is behind");
        return cvm_error_hint(err, status, "`cvm catalogue diff` shows what the folder lacks.");
    }
    return CVM_OK;
}

enum cvm_status cvm_catalogue_edit_store(struct cvm_catalogue_edit *edit, const char *why,
                                         struct cvm_catalogue_update *out_update,
                                         struct cvm_error *err)
{
    struct cvm_session *session = edit->session;
    const char *folder = session->config.catalogue_folder;
    struct cvm_catalogue_update update;
    bool has_folder = folder != NULL && cvm_file_is_folder(folder);
    enum cvm_status status = has_folder ? check_folder(edit, folder, err) : CVM_OK;
    if (status == CVM_OK) {
        status =
            cvm_catalogue_store_update(session, edit->store, &edit->files, "", why, &update, err);
    }
    if (status == CVM_OK && has_folder) {
        status = write_folder(edit, folder, err);
    }
    if (status == CVM_OK) {
        *out_update = update;
    }
    return status;
}
