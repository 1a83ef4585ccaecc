#include "cli/paths.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const char sqlite_scheme[] = "sqlite:";

static enum cvm_status keep(struct cvm_arena *arena, struct cvm_text *text, const char **out_path,
                            struct cvm_error *err)
{
    const char *path =
        text->failed ? NULL : cvm_arena_copy(arena, cvm_text_string(text), text->length);
    cvm_text_finish(text);
    if (path == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a path");
    }
    *out_path = path;
    return CVM_OK;
}

enum cvm_status cvm_path_join(struct cvm_arena *arena, const char *folder, const char *name,
                              const char **out_path, struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    if (name[0] != '/' && folder != NULL && folder[0] != '\0') {
        cvm_text_add(&text, folder);
        cvm_text_add(&text, folder[strlen(folder) - 1] == '/' ? "" : "/");
    }
    cvm_text_add(&text, name);
    return keep(arena, &text, out_path, err);
}

enum cvm_status cvm_path_folder(struct cvm_arena *arena, const char *path, const char **out_folder,
                                struct cvm_error *err)
{
    const char *slash = strrchr(path, '/');
    struct cvm_text text;
    cvm_text_init(&text, 0);
    if (slash == NULL) {
        cvm_text_add(&text, ".");
    } else {
        cvm_text_add_bytes(&text, path, slash == path ? 1 : (size_t)(slash - path));
    }
    return keep(arena, &text, out_folder, err);
}

static bool is_file(const char *store_url)
{
    return strncmp(store_url, sqlite_scheme, sizeof(sqlite_scheme) - 1) == 0 &&
           store_url[sizeof(sqlite_scheme) - 1] != ':';
}

enum cvm_status cvm_store_folder(struct cvm_arena *arena, const char *store_url,
                                 const char **out_folder, struct cvm_error *err)
{
    const char *path = is_file(store_url) ? store_url + sizeof(sqlite_scheme) - 1 : "";
    return cvm_path_folder(arena, path, out_folder, err);
}

enum cvm_status cvm_store_url_join(struct cvm_arena *arena, const char *folder,
                                   const char *store_url, const char **out_url,
                                   struct cvm_error *err)
{
    const char *path = NULL;
    if (!is_file(store_url)) {
        *out_url = store_url;
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_path_join(arena, folder, store_url + sizeof(sqlite_scheme) - 1, &path, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, sqlite_scheme);
    cvm_text_add(&text, path);
    return keep(arena, &text, out_url, err);
}

enum cvm_status cvm_keys_url_default(struct cvm_arena *arena, const char *folder,
                                     const char *store_url, const char **out_url,
                                     struct cvm_error *err)
{
    if (strncmp(store_url, sqlite_scheme, sizeof(sqlite_scheme) - 1) == 0) {
        *out_url = NULL;
        return CVM_OK;
    }
    return cvm_store_url_join(arena, folder, "sqlite:cvm-keys.db", out_url, err);
}

const char *cvm_temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder != NULL && folder[0] != '\0' ? folder : "/tmp";
}
