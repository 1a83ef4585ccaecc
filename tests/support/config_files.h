/* config_files.h - the shipped catalogue in memory, scaled to 100,000 customers, for tests.
 *
 * CVM_CONFIG is the folder config/ of the source tree, given by the build.
 */
#ifndef CVM_TESTS_CONFIG_FILES_H
#define CVM_TESTS_CONFIG_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/catalogue_read.h"

#define CONFIG_FILES_MAX 128

struct config_files {
    struct cvm_catalogue_file files[CONFIG_FILES_MAX];
    size_t count;
};

static inline void config_check(enum cvm_status status, const struct cvm_error *err)
{
    if (status != CVM_OK) {
        (void)fprintf(stderr, "%s: %s\n", err->where, err->message);
        abort();
    }
}

/* One file's text for so many customers. */
static inline struct cvm_catalogue_file config_scale(struct cvm_arena *arena, const char *name,
                                                     const char *text, size_t length,
                                                     int64_t customers)
{
    struct cvm_text scaled;
    struct cvm_error err = {0};

    cvm_text_init(&scaled, 0);
    config_check(cvm_catalogue_scale(text, length, customers, &scaled, &err), &err);
    struct cvm_catalogue_file file = {
        .name = name,
        .text = cvm_arena_copy(arena, cvm_text_string(&scaled), scaled.length),
        .length = scaled.length};
    cvm_text_finish(&scaled);
    return file;
}

static inline struct config_files config_load(struct cvm_arena *arena, int64_t customers)
{
    struct config_files config = {.count = 0};
    struct cvm_file_list list;
    struct cvm_error err = {0};

    config_check(cvm_folder_list(arena, CVM_CONFIG, 1, &list, &err), &err);
    for (size_t i = 0; i < list.count && config.count < CONFIG_FILES_MAX; i++) {
        char path[1024];
        char *text = NULL;
        size_t length = 0;
        (void)snprintf(path, sizeof(path), "%s/%s", CVM_CONFIG, list.paths[i]);
        config_check(cvm_file_read(arena, path, (size_t)4 << 20, &text, &length, &err), &err);
        config.files[config.count++] = config_scale(arena, list.paths[i], text, length, customers);
    }
    return config;
}

static inline struct cvm_catalogue_file *config_file(struct config_files *config, const char *name)
{
    for (size_t i = 0; i < config->count; i++) {
        if (strcmp(config->files[i].name, name) == 0) {
            return &config->files[i];
        }
    }
    return NULL;
}

/* Replace the first `from` of a file by `to`; the line on which it stood. */
static inline int config_replace(struct cvm_arena *arena, struct config_files *config,
                                 const char *name, const char *from, const char *to)
{
    struct cvm_catalogue_file *file = config_file(config, name);
    const char *at = file == NULL ? NULL : strstr(file->text, from);
    int line = 1;

    if (at == NULL) {
        (void)fprintf(stderr, "'%s' does not stand in %s\n", from, name);
        abort();
    }
    for (const char *p = file->text; p < at; p++) {
        line += *p == '\n' ? 1 : 0;
    }
    size_t head = (size_t)(at - file->text);
    size_t length = file->length - strlen(from) + strlen(to);
    char *text = cvm_arena_alloc(arena, length + 1, 1);
    if (text == NULL) {
        abort();
    }
    memcpy(text, file->text, head);
    memcpy(text + head, to, strlen(to));
    memcpy(text + head + strlen(to), at + strlen(from), file->length - head - strlen(from));
    file->text = text;
    file->length = length;
    return line;
}

static inline void config_add(struct config_files *config, const char *name, const char *text)
{
    config->files[config->count++] =
        (struct cvm_catalogue_file){.name = name, .text = text, .length = strlen(text)};
}

static inline void config_remove(struct config_files *config, const char *name)
{
    struct cvm_catalogue_file *file = config_file(config, name);
    for (; file + 1 < config->files + config->count; file++) {
        file[0] = file[1];
    }
    config->count--;
}

static inline enum cvm_status config_read(struct cvm_arena *arena,
                                          const struct config_files *config,
                                          const struct cvm_catalogue **out_catalogue,
                                          struct cvm_error *err)
{
    const struct cvm_catalogue_files files = {config->files, config->count};
    return cvm_catalogue_read(arena, &files, "config", out_catalogue, err);
}

#endif
