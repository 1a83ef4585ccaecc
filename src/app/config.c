#include "app/config.h"

#include <stddef.h>

#include "base/file.h"
#include "base/schema.h"
#include "cli/paths.h"
#include "model/chunk.h"

#define KEY(structure, name, member, ...)                                                          \
    {                                                                                              \
        .key = (name), .offset = offsetof(structure, member), .type = __VA_ARGS__                  \
    }

static const char *const release_words[] = {"auto", "manual", NULL};
static const char *const approval_words[] = {"second_person", "same_person", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"text", "json", NULL};

struct root_item {
    struct cvm_config config;
    int release;
    int approval;
    bool has_approval;
    const struct cvm_yaml_node *privacy;
    const struct cvm_yaml_node *audit;
    const struct cvm_yaml_node *log;
    const struct cvm_yaml_node *import;
    const struct cvm_yaml_node *run;
    const struct cvm_yaml_node *retry;
};
static const struct cvm_schema_field root_fields[] = {
    KEY(struct root_item, "store", config.store_url, CVM_SCHEMA_TEXT),
    KEY(struct root_item, "cache", config.cache_url, CVM_SCHEMA_TEXT),
    KEY(struct root_item, "broker", config.broker_url, CVM_SCHEMA_TEXT),
    KEY(struct root_item, "state", config.state_url, CVM_SCHEMA_TEXT),
    KEY(struct root_item, "catalogue", config.catalogue_folder, CVM_SCHEMA_TEXT),
    KEY(struct root_item, "time_zone", config.time_zone, CVM_SCHEMA_TEXT),
    KEY(struct root_item, "currency", config.currency, CVM_SCHEMA_TEXT),
    KEY(struct root_item, "release", release, CVM_SCHEMA_WORD, .words = release_words),
    KEY(struct root_item, "approval", approval, CVM_SCHEMA_WORD, .words = approval_words,
        .present_offset = offsetof(struct root_item, has_approval) + 1),
    KEY(struct root_item, "threads", config.threads, CVM_SCHEMA_INT, .min = 0, .max = 256),
    KEY(struct root_item, "chunk_size", config.chunk_size, CVM_SCHEMA_INT,
        .min = CVM_CHUNK_SIZE_MIN, .max = CVM_CHUNK_SIZE_MAX),
    KEY(struct root_item, "connections", config.connections, CVM_SCHEMA_INT, .min = 4,
        .max = 10000),
    KEY(struct root_item, "keep_runs", config.keep_runs, CVM_SCHEMA_INT, .min = 1, .max = 1000),
    KEY(struct root_item, "realtime_share", config.realtime_share, CVM_SCHEMA_NUMBER, .min = 0,
        .max = 1),
    KEY(struct root_item, "privacy", privacy, CVM_SCHEMA_NODE),
    KEY(struct root_item, "audit", audit, CVM_SCHEMA_NODE),
    KEY(struct root_item, "schedule", config.schedule, CVM_SCHEMA_NODE),
    KEY(struct root_item, "log", log, CVM_SCHEMA_NODE),
    KEY(struct root_item, "import", import, CVM_SCHEMA_NODE),
    KEY(struct root_item, "run", run, CVM_SCHEMA_NODE),
    KEY(struct root_item, "retry", retry, CVM_SCHEMA_NODE),
    {.key = NULL},
};
static const struct cvm_schema root_schema = {"cvm.yaml", root_fields};

static const struct cvm_schema_field privacy_fields[] = {
    KEY(struct cvm_config, "master_key", privacy.master_key, CVM_SCHEMA_TEXT),
    KEY(struct cvm_config, "keys", privacy.keys_url, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema privacy_schema = {"privacy", privacy_fields};

static const struct cvm_schema_field audit_fields[] = {
    KEY(struct cvm_config, "key", audit_key, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema audit_schema = {"audit", audit_fields};

struct log_item {
    int level;
    int format;
};
static const struct cvm_schema_field log_fields[] = {
    KEY(struct log_item, "level", level, CVM_SCHEMA_WORD, .words = level_words),
    KEY(struct log_item, "format", format, CVM_SCHEMA_WORD, .words = format_words),
    {.key = NULL},
};
static const struct cvm_schema log_schema = {"log", log_fields};

static const struct cvm_schema_field import_fields[] = {
    KEY(struct cvm_config, "record_bytes_max", record_bytes_max, CVM_SCHEMA_INT, .min = 1024,
        .max = 1 << 30),
    KEY(struct cvm_config, "memory_mb", import_memory_mb, CVM_SCHEMA_INT, .min = 16,
        .max = 1 << 20),
    KEY(struct cvm_config, "queue_blocks", import_queue_blocks, CVM_SCHEMA_INT, .min = 2,
        .max = 4096),
    KEY(struct cvm_config, "readers", import_readers, CVM_SCHEMA_INT, .min = 1, .max = 64),
    {.key = NULL},
};
static const struct cvm_schema import_schema = {"import", import_fields};

static const struct cvm_schema_field run_fields[] = {
    KEY(struct cvm_config, "memory_mb", run_memory_mb, CVM_SCHEMA_INT, .min = 1, .max = 1 << 24),
    {.key = NULL},
};
static const struct cvm_schema run_schema = {"run", run_fields};

static const struct cvm_schema_field retry_fields[] = {
    KEY(struct cvm_config, "attempts", retry.attempts, CVM_SCHEMA_INT, .min = 1, .max = 1000),
    KEY(struct cvm_config, "base_ms", retry.base_ms, CVM_SCHEMA_INT, .min = 1, .max = 60000),
    KEY(struct cvm_config, "cap_ms", retry.cap_ms, CVM_SCHEMA_INT, .min = 1, .max = 600000),
    {.key = NULL},
};
static const struct cvm_schema retry_schema = {"retry", retry_fields};

struct cvm_config cvm_config_default(void)
{
    return (struct cvm_config){
        .cache_url = "memory:",
        .broker_url = "local:",
        .state_url = "memory:",
        .time_zone = "UTC",
        .currency = "GBP",
        .release = "auto",
        .approval = "same_person",
        .log_level = "warn",
        .log_format = "text",
        .record_bytes_max = 1 << 20,
        .import_memory_mb = 512,
        .run_memory_mb = 8192,
        .keep_runs = 3,
    };
}

static enum cvm_status check_currency(const struct cvm_yaml_node *root, const char *currency,
                                      struct cvm_error *err)
{
    bool is_code = true;
    for (size_t i = 0; i < 3; i++) {
        is_code = is_code && currency[i] >= 'A' && currency[i] <= 'Z';
    }
    if (is_code && currency[3] == '\0') {
        return CVM_OK;
    }
    return cvm_schema_fail(cvm_yaml_member(root, "currency"), err,
                           "found '%s', a currency's three letters such as GBP are allowed",
                           currency);
}

static enum cvm_status read_maps(struct cvm_arena *arena, struct root_item *item,
                                 struct cvm_error *err)
{
    struct log_item log = {.level = 2, .format = 0};
    enum cvm_status status = CVM_OK;
    if (item->log != NULL) {
        status = cvm_schema_read(arena, &log_schema, item->log, &log, err);
    }
    if (status == CVM_OK && item->privacy != NULL) {
        status = cvm_schema_read(arena, &privacy_schema, item->privacy, &item->config, err);
    }
    if (status == CVM_OK && item->audit != NULL) {
        status = cvm_schema_read(arena, &audit_schema, item->audit, &item->config, err);
    }
    if (status == CVM_OK && item->import != NULL) {
        status = cvm_schema_read(arena, &import_schema, item->import, &item->config, err);
    }
    if (status == CVM_OK && item->run != NULL) {
        status = cvm_schema_read(arena, &run_schema, item->run, &item->config, err);
    }
    if (status == CVM_OK && item->retry != NULL) {
        status = cvm_schema_read(arena, &retry_schema, item->retry, &item->config, err);
    }
    item->config.log_level = level_words[log.level];
    item->config.log_format = format_words[log.format];
    item->config.release = release_words[item->release];
    /* A plan that waits for a person waits for a second one, unless it is said otherwise. */
    bool is_same = item->has_approval ? item->approval == 1 : item->release == 0;
    item->config.approval = approval_words[is_same ? 1 : 0];
    return status;
}

static enum cvm_status resolve_paths(struct cvm_arena *arena, const char *path,
                                     struct cvm_config *config, struct cvm_error *err)
{
    const char *folder = NULL;
    config->path = path;
    enum cvm_status status = cvm_path_folder(arena, path, &folder, err);
    if (status == CVM_OK) {
        status = cvm_store_url_join(arena, folder, config->store_url, &config->store_url, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_path_join(arena, folder, config->catalogue_folder, &config->catalogue_folder, err);
    }
    struct cvm_store_privacy *privacy = &config->privacy;
    if (status == CVM_OK && privacy->master_key != NULL) {
        status = cvm_path_join(arena, folder, privacy->master_key, &privacy->master_key, err);
    }
    if (status == CVM_OK && privacy->keys_url != NULL) {
        status = cvm_store_url_join(arena, folder, privacy->keys_url, &privacy->keys_url, err);
    } else if (status == CVM_OK) {
        status = cvm_keys_url_default(arena, folder, config->store_url, &privacy->keys_url, err);
    }
    if (status == CVM_OK) {
        status = cvm_path_join(arena, folder, config->audit_key, &config->audit_key, err);
    }
    return status;
}

enum cvm_status cvm_config_read(struct cvm_arena *arena, const char *path,
                                struct cvm_config *out_config, struct cvm_error *err)
{
    struct root_item item = {.config = cvm_config_default()};
    const struct cvm_yaml_node *root = NULL;
    char *text = NULL;
    size_t length = 0;
    item.config.store_url = "sqlite:cvm.db";
    item.config.catalogue_folder = "catalogue";
    item.config.audit_key = CVM_AUDIT_KEY_FILE;
    enum cvm_status status = cvm_file_read(arena, path, CVM_YAML_BYTES_MAX, &text, &length, err);
    if (status == CVM_OK) {
        status = cvm_yaml_read(arena, path, text, length, &root, err);
    }
    if (status == CVM_OK) {
        status = cvm_schema_read(arena, &root_schema, root, &item, err);
    }
    if (status == CVM_OK) {
        status = read_maps(arena, &item, err);
    }
    if (status == CVM_OK) {
        status = check_currency(root, item.config.currency, err);
    }
    if (status == CVM_OK) {
        status = resolve_paths(arena, path, &item.config, err);
    }
    if (status == CVM_OK) {
        *out_config = item.config;
    }
    return status;
}
