/* store_support.h - stores for tests: one suite runs on every database.
 *
 * STORE_URL in the environment picks one database; without it a suite runs on SQLite in memory and
 * on SQLite in a file of a temporary folder.
 */
#ifndef CVM_TESTS_STORE_SUPPORT_H
#define CVM_TESTS_STORE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/catalogue.h"
#include "storage/store.h"

/* Run the tests once per database; the sum of failures. */
int support_run(const char *name, const struct CMUnitTest *tests, size_t count);
#define SUPPORT_RUN(name, tests) support_run(name, tests, sizeof(tests) / sizeof((tests)[0]))

/* The URL of this pass; a file is removed before each test by support_fresh(). */
const char *support_url(void);
/* True when several connections see one database: not in memory. */
bool support_is_shared(void);
/* True when the database is a server's. */
bool support_is_server(void);
/* A question that is asked in other words there: JSON, joined texts. */
const char *support_words(const char *sqlite, const char *postgres);
/* The temporary folder of this program. */
const char *support_folder(void);
/* "sqlite:<folder>/<name>" in a static buffer, whatever the pass; files of that name are removed.
 */
const char *support_file_url(const char *name);

/* A new store of this pass. The clock stands at SUPPORT_NOW_MS until support_now is changed. */
#define SUPPORT_NOW_MS INT64_C(1710930000000)
extern int64_t support_now_ms;
struct cvm_store *support_fresh(void);
/* Another connection to it. */
struct cvm_store *support_open(enum cvm_db_access access);
struct cvm_store *support_open_url(const char *url, enum cvm_db_access access, bool may_create);

void support_begin(struct cvm_store *store);
void support_commit(struct cvm_store *store);

/* The number that a query gives. */
int64_t support_number(struct cvm_db *db, const char *sql);
void support_exec(struct cvm_db *db, const char *sql);

/* assert_int_equal that shows the message of the error. */
#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        struct cvm_error support_err = {0};                                                        \
        enum cvm_status support_status = (call);                                                   \
        if (support_status != CVM_OK) {                                                            \
            fail_msg("%s: %s (%s)", #call, support_err.message, cvm_status_name(support_status));  \
        }                                                                                          \
    } while (0)
#define ERR (&support_err)

#endif
