/* import_support.h - imports of texts and files under the shipped catalogue, and a digest of what a
 * store holds after them. */
#ifndef CVM_TESTS_IMPORT_SUPPORT_H
#define CVM_TESTS_IMPORT_SUPPORT_H

#include "storage/customers.h"
#include "storage/import.h"
#include "support/store_support.h"

/* A folder of its own with input files and a rejects file; made anew by each call. */
void import_start(void);
/* Remove it, and free what import_start() made. */
void import_stop(void);

/* The shipped catalogue, with one mapping of the tests added: source "tickets" (files tickets*,
 * key field `ticket`), "notes" (files notes*, no key), "plans" (files plans*, undated, `updated`
 * decides) and "texts" (files texts*, a required closed word). */
const struct cvm_catalogue *import_catalogue(void);

/* Path of an input file, in a static buffer. */
const char *import_path(const char *name);
void import_write(const char *name, const char *text, size_t length);
void import_text(const char *name, const char *text);

struct import_settings {
    const char *path;                     /* NULL = the folder */
    const struct cvm_import_table *table; /* instead of files */
    const struct cvm_import_window *window;
    size_t queue_blocks;
    const char *mapping;
    size_t threads; /* 0 = 1 */
    size_t record_bytes_max;
    size_t memory_bytes;
    size_t block_bytes;
    int key_bits;
    void (*on_progress)(void *state, const char *stage, double fraction, int64_t count);
    void *progress_state;
};
enum cvm_status import_try(struct cvm_store *store, const struct import_settings *settings,
                           struct cvm_import_report *out_report, struct cvm_error *err);
struct cvm_import_report import_run(struct cvm_store *store,
                                    const struct import_settings *settings);
void import_rebuild(struct cvm_store *store);

/* The rejects file's text; "" if there is none. */
const char *import_rejects(void);

/* Digest of rows and packed bodies; batch numbers are left out. In a static buffer of which there
 * are a few. */
const char *import_digest(struct cvm_store *store);
/* The first text column of the first row; "" if there is none. In a static buffer. */
const char *import_string(struct cvm_db *db, const char *sql);

/* ../shared/data/NAME, or as CVM_SHARED says; NULL (and a word on standard error) if absent. */
const char *import_shared(const char *name);

#endif
