/* migrate.h - numbered steps of a schema, each applied in a transaction and recorded with its
 * checksum in the table `migration`.
 *
 * For store.c and tests. The steps come from sql/<dialect>/NNN_name.sql and are never edited after
 * a release: a store whose record differs from this program's text is refused.
 */
#ifndef CVM_STORAGE_MIGRATE_H
#define CVM_STORAGE_MIGRATE_H

#include "storage/db.h"

struct cvm_sql_migration;

/* The newest applied step, 0 = empty database. CVM_E_CONFLICT when the database was made by a newer
 * program, or is no store at all; CVM_E_CORRUPT when a recorded checksum differs. */
CVM_MUST_CHECK enum cvm_status cvm_migration_at(struct cvm_db *db,
                                                const struct cvm_sql_migration *migrations,
                                                int *out_at, struct cvm_error *err);
/* The newest step that this program knows. */
int cvm_migration_newest(const struct cvm_sql_migration *migrations);

/* Apply what is missing. Each step is a transaction: a crash between two leaves the older one. */
CVM_MUST_CHECK enum cvm_status cvm_migrate(struct cvm_db *db,
                                           const struct cvm_sql_migration *migrations,
                                           int64_t now_ms, int *out_from, int *out_to,
                                           struct cvm_error *err);

#endif
