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

bool cvm_store_is_server(const char *store_url)
{
    return strncmp(store_url, "postgres", strlen("postgres")) == 0;
}

enum cvm_status cvm_store_url_shown(struct cvm_arena *arena, const char *store_url,
                                    const char **out_shown, struct cvm_error *err)
{
    static const char hidden[] = "***";
    static const char option[] = "password=";
    struct cvm_text text;
    const char *at = store_url;
    const char *user = strstr(store_url, "://");
    const char *host = user == NULL ? NULL : user + 3 + strcspn(user + 3, "@/?");
    cvm_text_init(&text, 0);
    if (host != NULL && *host == '@') {
        const char *colon = memchr(user + 3, ':', (size_t)(host - user - 3));
        if (colon != NULL) {
            cvm_text_add_bytes(&text, at, (size_t)(colon + 1 - at));
            cvm_text_add(&text, hidden);
            at = host;
        }
    }
    for (const char *found = NULL; user != NULL && (found = strstr(at, option)) != NULL;) {
        const char *value = found + strlen(option);
        cvm_text_add_bytes(&text, at, (size_t)(value - at));
        cvm_text_add(&text, hidden);
        at = value + strcspn(value, "&");
    }
    cvm_text_add(&text, at);
    return keep(arena, &text, out_shown, err);
}

const char *cvm_temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder != NULL && folder[0] != '\0' ? folder : "/tmp";
}
