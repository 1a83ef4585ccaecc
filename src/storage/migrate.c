#include "storage/migrate.h"

#include <string.h>

#include "base/hash.h"
#include "storage/db_backend.h"
#include "storage/db_sql.h"

static void checksum_of(const struct cvm_sql_migration *migration,
                        char checksum[CVM_DIGEST_TEXT_SIZE])
{
    struct cvm_digest digest;
    cvm_digest_init(&digest);
    for (const char *const *statement = migration->statements; *statement != NULL; statement++) {
        cvm_digest_add(&digest, *statement, strlen(*statement));
    }
    cvm_digest_finish(&digest, checksum);
}

int cvm_migration_newest(const struct cvm_sql_migration *migrations)
{
    int newest = 0;
    for (; migrations->number != 0; migrations++) {
        newest = migrations->number;
    }
    return newest;
}

struct table_counts {
    int64_t all;
    int64_t migration;
};

static enum cvm_status read_table_counts(void *state, const struct cvm_db_value *columns,
                                         size_t column_count, struct cvm_error *err)
{
    struct table_counts *counts = state;
    (void)column_count;
    (void)err;
    counts->all = columns[0].integer;
    counts->migration = columns[1].integer;
    return CVM_OK;
}

struct check {
    const struct cvm_sql_migration *next; /* the step that must come next */
    int newest_known;
    int at;
};

static enum cvm_status check_row(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct check *check = state;
    (void)column_count;
    int64_t number = columns[0].integer;
    if (number > check->newest_known) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_CONFLICT,
                     "made by a newer cvm: its schema is %lld, this program knows up to %d",
                     (long long)number, check->newest_known);
        return cvm_error_hint(err, status, "Use the newer program.");
    }
    if (number != check->next->number) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "schema change %d is missing before %lld",
                        check->next->number, (long long)number);
    }
    char checksum[CVM_DIGEST_TEXT_SIZE];
    checksum_of(check->next, checksum);
    if (strcmp(columns[2].bytes.data, checksum) != 0) {
        return CVM_FAIL(err, CVM_E_CORRUPT,
                        "schema change %lld '%s' is not the one that this program knows",
                        (long long)number, check->next->name);
    }
    check->at = (int)number;
    check->next++;
    return CVM_OK;
}

enum cvm_status cvm_migration_at(struct cvm_db *db, const struct cvm_sql_migration *migrations,
                                 int *out_at, struct cvm_error *err)
{
    struct table_counts counts = {0};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_MIGRATION_TABLES), NULL, 0,
                                          read_table_counts, &counts, err);
    if (status != CVM_OK) {
        return status;
    }
    if (counts.migration == 0 && counts.all > 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "a database, but not one of cvm");
        return cvm_error_hint(err, status, "Name another database, or a new one.");
    }
    struct check check = {.next = migrations, .newest_known = cvm_migration_newest(migrations)};
    if (counts.migration > 0) {
        status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_MIGRATION_LIST), NULL, 0, check_row,
                              &check, err);
    }
    if (status == CVM_OK) {
        *out_at = check.at;
    }
    return status;
}

static enum cvm_status apply_in_transaction(struct cvm_db *db,
                                            const struct cvm_sql_migration *migration,
                                            int64_t now_ms, struct cvm_error *err)
{
    enum cvm_status status =
        cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_MIGRATION_TABLE), NULL, 0, NULL, err);
    for (size_t i = 0; status == CVM_OK && migration->statements[i] != NULL; i++) {
        status = cvm_db_exec(db, migration->statements[i], NULL, 0, NULL, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    char checksum[CVM_DIGEST_TEXT_SIZE];
    checksum_of(migration, checksum);
    struct cvm_db_value row[] = {cvm_db_int(migration->number), cvm_db_text(migration->name),
                                 cvm_db_text(checksum), cvm_db_int(now_ms)};
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_MIGRATION_ADD), row, CVM_DB_COUNT(row), NULL,
                       err);
}

static enum cvm_status apply(struct cvm_db *db, const struct cvm_sql_migration *migration,
                             int64_t now_ms, struct cvm_error *err)
{
    enum cvm_status status = cvm_db_begin(db, err);
    if (status != CVM_OK) {
        return status;
    }
    status = apply_in_transaction(db, migration, now_ms, err);
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status == CVM_OK ? status
                            : cvm_error_context(err, status, "schema change %d '%s'",
                                                migration->number, migration->name);
}

enum cvm_status cvm_migrate(struct cvm_db *db, const struct cvm_sql_migration *migrations,
                            int64_t now_ms, int *out_from, int *out_to, struct cvm_error *err)
{
    int from = 0;
    enum cvm_status status = cvm_migration_at(db, migrations, &from, err);
    int at = from;
    for (size_t i = 0; status == CVM_OK && migrations[i].number != 0; i++) {
        if (migrations[i].number > at) {
            status = apply(db, &migrations[i], now_ms, err);
            at = migrations[i].number;
        }
    }
    if (status == CVM_OK) {
        *out_from = from;
        *out_to = at;
    }
    return status;
}
