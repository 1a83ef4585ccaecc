#include "storage/catalogue_store.h"

#include <stdio.h>
#include <string.h>

#include "storage/audit.h"
#include "storage/db_sql.h"

struct newest {
    int64_t version; /* 0 = none */
    char digest[CVM_DIGEST_TEXT_SIZE];
};

static enum cvm_status read_newest(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct newest *newest = state;
    (void)column_count;
    (void)err;
    newest->version = columns[0].integer;
    (void)snprintf(newest->digest, sizeof(newest->digest), "%s", cvm_db_string(&columns[1]));
    return CVM_OK;
}

static enum cvm_status find_newest(struct cvm_db *db, struct newest *out_newest,
                                   struct cvm_error *err)
{
    *out_newest = (struct newest){0};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CATALOGUE_NEWEST), NULL, 0, read_newest,
                        out_newest, err);
}

enum cvm_status cvm_catalogue_store_newest(struct cvm_store *store, int64_t *out_version,
                                           struct cvm_error *err)
{
    struct newest newest;
    enum cvm_status status = find_newest(cvm_store_db(store), &newest, err);
    *out_version = newest.version;
    return status;
}

static enum cvm_status add_files(struct cvm_db *db, const struct cvm_catalogue_files *files,
                                 int64_t version, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < files->count; i++) {
        const struct cvm_catalogue_file *file = &files->files[i];
        struct cvm_db_value params[] = {
            cvm_db_int(version),
            cvm_db_text(file->name),
            cvm_db_text_n(file->text, file->length),
        };
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_CATALOGUE_FILE_ADD), params,
                             CVM_DB_COUNT(params), NULL, err);
    }
    return status;
}

static enum cvm_status add_version(struct cvm_store *store, const struct cvm_catalogue_files *files,
                                   const char *digest, const struct cvm_catalogue_change_note *note,
                                   int64_t version, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    const char *why = note->why == NULL ? "" : note->why;
    struct cvm_db_value params[] = {
        cvm_db_int(version),    cvm_db_text(digest), cvm_db_int(cvm_store_now_ms(store)),
        cvm_db_text(note->who), cvm_db_text(why),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_CATALOGUE_ADD), params,
                                         CVM_DB_COUNT(params), NULL, err);
    if (status == CVM_OK) {
        status = add_files(db, files, version, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    char object[48];
    (void)snprintf(object, sizeof(object), "version %lld", (long long)version);
    struct cvm_audit_row row = {
        .who = note->who,
        .action = "catalogue",
        .object = object,
        .why = why,
        .after = note->changes,
    };
    return cvm_audit_add(store, &row, err);
}

struct adding {
    struct cvm_store *store;
    const struct cvm_catalogue_files *files;
    const char *digest;
    const struct cvm_catalogue_change_note *note;
    int64_t version;
};

static enum cvm_status add_once(void *state, struct cvm_error *err)
{
    struct adding *a = state;
    struct newest newest;
    enum cvm_status status = find_newest(cvm_store_db(a->store), &newest, err);
    a->version = newest.version;
    if (status == CVM_OK && (a->version == 0 || strcmp(newest.digest, a->digest) != 0)) {
        a->version++;
        status = add_version(a->store, a->files, a->digest, a->note, a->version, err);
    }
    return status;
}

enum cvm_status cvm_catalogue_store_add(struct cvm_store *store,
                                        const struct cvm_catalogue_files *files, const char *digest,
                                        const struct cvm_catalogue_change_note *note,
                                        int64_t *out_version, struct cvm_error *err)
{
    struct adding a = {.store = store, .files = files, .digest = digest, .note = note};
    enum cvm_status status = cvm_db_transact(cvm_store_db(store), add_once, &a, err);
    if (status == CVM_OK) {
        *out_version = a.version;
    }
    return status;
}

struct reading {
    struct cvm_arena *arena;
    struct cvm_catalogue_file *files;
    size_t count;
    size_t capacity;
};

static enum cvm_status read_file(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct reading *reading = state;
    (void)column_count;
    if (reading->count == reading->capacity) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "the catalogue changed while it was read");
    }
    struct cvm_catalogue_file *file = &reading->files[reading->count++];
    file->length = columns[1].bytes.length;
    if (!cvm_db_copy_string(reading->arena, &columns[0], &file->name) ||
        !cvm_db_copy_string(reading->arena, &columns[1], &file->text)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read the catalogue");
    }
    return CVM_OK;
}

static enum cvm_status read_files(struct cvm_db *db, struct cvm_arena *arena, int64_t version,
                                  struct cvm_catalogue_files *out_files, struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int(version);
    int64_t count = 0;
    enum cvm_status status =
        cvm_db_get_int(db, CVM_SQL_CATALOGUE_FILE_COUNT, &param, 1, &count, err);
    if (status == CVM_OK && count == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no catalogue version %lld",
                          (long long)version);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct reading reading = {
        .arena = arena,
        .files = CVM_NEW_ARRAY(arena, (size_t)count, struct cvm_catalogue_file),
        .capacity = (size_t)count,
    };
    if (reading.files == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read the catalogue");
    }
    status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CATALOGUE_FILE_LIST), &param, 1, read_file,
                          &reading, err);
    if (status == CVM_OK) {
        out_files->files = reading.files;
        out_files->count = reading.count;
    }
    return status;
}

enum cvm_status cvm_catalogue_store_files(struct cvm_store *store, struct cvm_arena *arena,
                                          int64_t version, struct cvm_catalogue_files *out_files,
                                          int64_t *out_version, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    if (version == 0) {
        struct newest newest;
        enum cvm_status status = find_newest(db, &newest, err);
        if (status == CVM_OK && newest.version == 0) {
            status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the store has no catalogue");
            (void)cvm_error_hint(err, status, "Load one with `cvm apply`.");
        }
        if (status != CVM_OK) {
            return status;
        }
        version = newest.version;
    }
    /* A version never changes, so the two reads need no transaction. */
    enum cvm_status status = read_files(db, arena, version, out_files, err);
    if (status == CVM_OK) {
        *out_version = version;
    }
    return status;
}

enum cvm_status cvm_catalogue_store_load(struct cvm_store *store, struct cvm_arena *arena,
                                         int64_t version,
                                         const struct cvm_catalogue **out_catalogue,
                                         struct cvm_error *err)
{
    struct cvm_catalogue_files files;
    const struct cvm_catalogue *read = NULL;
    enum cvm_status status =
        cvm_catalogue_store_files(store, arena, version, &files, &version, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_read(arena, &files, "", &read, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_catalogue *catalogue = CVM_NEW(arena, struct cvm_catalogue);
    if (catalogue == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read the catalogue");
    }
    *catalogue = *read;
    catalogue->version = version;
    *out_catalogue = catalogue;
    return CVM_OK;
}
