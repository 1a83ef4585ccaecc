#include "storage/key_rotation.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "storage/audit.h"
#include "storage/db_sql.h"

#define OBJECT_SIZE 48
#define WORDS_SIZE  96

/* The store's vault; where a rotation ended and cvm.yaml names the old key still, one opened with
 * the new key, which is the caller's. */
static enum cvm_status open_vault(struct cvm_store *store, const char *new_master_key,
                                  struct cvm_vault **out_vault, struct cvm_vault **out_own,
                                  struct cvm_error *err)
{
    struct cvm_error denied = {0};
    enum cvm_status status = cvm_store_vault(store, out_vault, &denied);
    if (status == CVM_OK) {
        return status;
    }
    struct cvm_vault_options options = {
        .url = cvm_store_keys_url(store),
        .master_key = new_master_key,
        .reads_file_only = true,
        .access = CVM_DB_WRITE,
        .now_ms = cvm_store_now_ms(store),
    };
    bool may_be_done = status == CVM_E_DENIED && cvm_store_seals(store);
    if (!may_be_done || cvm_vault_open(&options, out_own, NULL) != CVM_OK) {
        if (err != NULL) {
            *err = denied; /* of the key that cvm.yaml names */
        }
        return status;
    }
    *out_vault = *out_own;
    return CVM_OK;
}

static enum cvm_status add_audit_row(struct cvm_store *store,
                                     const struct cvm_key_rotation *rotation,
                                     const struct cvm_key_rotation_report *report,
                                     struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    char object[OBJECT_SIZE];
    char before[WORDS_SIZE];
    char after[WORDS_SIZE];
    int64_t count = 0;
    (void)snprintf(object, sizeof(object), "master key %s", report->after);
    (void)snprintf(before, sizeof(before), "{\"master_key\":\"%s\"}", report->before);
    (void)snprintf(after, sizeof(after), "{\"master_key\":\"%s\"}", report->after);
    struct cvm_audit_row row = {.who = rotation->who,
                                .action = "key",
                                .object = object,
                                .why = rotation->why,
                                .before = report->was_done_before ? NULL : before,
                                .after = after};
    struct cvm_db_value params[] = {cvm_db_text(row.action), cvm_db_text(row.object)};
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_db_get_int(db, CVM_SQL_AUDIT_COUNT, params, CVM_DB_COUNT(params), &count, err);
    }
    /* What an earlier call did and was killed before it could say so is said now. */
    if (status == CVM_OK && (count == 0 || !report->was_done_before)) {
        status = cvm_audit_add(store, &row, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

enum cvm_status cvm_master_key_rotate(struct cvm_store *store,
                                      const struct cvm_key_rotation *rotation,
                                      struct cvm_key_rotation_report *out_report,
                                      struct cvm_error *err)
{
    struct cvm_key_rotation_report report = {0};
    struct cvm_vault *vault = NULL;
    struct cvm_vault *own = NULL;
    enum cvm_status status = open_vault(store, rotation->new_master_key, &vault, &own, err);
    if (status == CVM_OK) {
        cvm_vault_master_id(vault, report.before);
        status = cvm_vault_rewrap(vault, rotation->new_master_key, &report.keys, err);
    }
    if (status == CVM_OK) {
        cvm_vault_master_id(vault, report.after);
        report.was_done_before = strcmp(report.before, report.after) == 0;
        report.before[0] = report.was_done_before ? '\0' : report.before[0];
        status = add_audit_row(store, rotation, &report, err);
    }
    cvm_vault_close(own);
    if (status == CVM_OK) {
        *out_report = report;
    }
    return status;
}
