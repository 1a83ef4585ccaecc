#include "cli/shipped.h"

#include <string.h>

#include "cli/catalogue_folder.h"

static const char catalogue_prefix[] = "catalogue/";

const struct cvm_embedded_file *cvm_shipped_file(const char *name)
{
    for (const struct cvm_embedded_file *file = cvm_embedded_files; file->name != NULL; file++) {
        if (strcmp(file->name, name) == 0) {
            return file;
        }
    }
    return NULL;
}

static enum cvm_status scale_file(struct cvm_arena *arena, int64_t customers,
                                  const struct cvm_embedded_file *shipped,
                                  struct cvm_catalogue_file *out_file, struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    enum cvm_status status =
        cvm_catalogue_scale(shipped->bytes, shipped->length, customers, &text, err);
    struct cvm_catalogue_file file = {
        .name = shipped->name + strlen(catalogue_prefix),
        .text = cvm_arena_copy(arena, cvm_text_string(&text), text.length),
        .length = text.length,
    };
    cvm_text_finish(&text);
    if (status == CVM_OK && file.text == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the catalogue");
    }
    if (status == CVM_OK) {
        *out_file = file;
    }
    return status;
}

enum cvm_status cvm_shipped_catalogue(struct cvm_arena *arena, int64_t customers,
                                      struct cvm_catalogue_files *out_files, struct cvm_error *err)
{
    struct cvm_catalogue_files files = {0};
    enum cvm_status status = CVM_OK;
    for (const struct cvm_embedded_file *shipped = cvm_embedded_files;
         status == CVM_OK && shipped->name != NULL; shipped++) {
        struct cvm_catalogue_file file;
        if (strncmp(shipped->name, catalogue_prefix, strlen(catalogue_prefix)) != 0) {
            continue;
        }
        status = scale_file(arena, customers, shipped, &file, err);
        if (status == CVM_OK) {
            status = cvm_catalogue_files_put(arena, &files, &file, &files, err);
        }
    }
    if (status == CVM_OK) {
        *out_files = files;
    }
    return status;
}

enum cvm_status cvm_shipped_store(struct cvm_session *session, const char *store_url,
                                  const struct cvm_catalogue_files *files, const char *why,
                                  int64_t *out_version, struct cvm_error *err)
{
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE,
        .may_create = true,
        .clock = session->context.clock,
        .privacy = session->config.privacy,
    };
    struct cvm_store *store = NULL;
    struct cvm_vault *vault = NULL;
    struct cvm_catalogue_update update;
    enum cvm_status status = cvm_store_open(store_url, &options, &store, err);
    if (status == CVM_OK && cvm_store_seals(store)) { /* so that backups find its keys */
        status = cvm_store_vault(store, &vault, err);
    }
    if (status == CVM_OK) {
        status = cvm_catalogue_store_update(session, store, files, "catalogue", why, &update, err);
    }
    if (status == CVM_OK) {
        *out_version = update.version;
    }
    cvm_store_close(store);
    return status;
}
