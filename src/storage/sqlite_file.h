/* sqlite_file.h - a SQLite database as a file: copied while others use it, checked, taken out of
 * use. For backup.c. */
#ifndef CVM_STORAGE_SQLITE_FILE_H
#define CVM_STORAGE_SQLITE_FILE_H

#include "base/error.h"

/* The database at `from`, as of one moment, at `to`: only its owner may read it, it is on the disk
 * when this returns, it holds nothing of deleted rows, and its structure was checked. Readers and a
 * writer go on meanwhile. CVM_E_CONFLICT when there is a file `to`; nothing is left of a failure.
 */
CVM_MUST_CHECK enum cvm_status cvm_sqlite_file_copy(const char *from, const char *to,
                                                    struct cvm_error *err);

/* CVM_E_CORRUPT when the file is no database, or a damaged one. */
CVM_MUST_CHECK enum cvm_status cvm_sqlite_file_check(const char *path, struct cvm_error *err);

/* Fold the log into the file, so that it stands alone. CVM_E_UNAVAILABLE while anybody else has it
 * open, CVM_E_CORRUPT when it can not be read any more. */
CVM_MUST_CHECK enum cvm_status cvm_sqlite_file_settle(const char *path, struct cvm_error *err);

#endif
