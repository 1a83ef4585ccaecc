/* work.h - what commands about customers open together: store, catalogue, threads, engine, with the
 * journeys up to date.
 */
#ifndef CVM_CLI_WORK_H
#define CVM_CLI_WORK_H

#include "cli/command.h"
#include "engine/engine.h"

struct cvm_work_options {
    enum cvm_db_access access;
    bool needs_engine;         /* and current journeys */
    bool uses_cache;           /* of the engine: for single customers */
    int64_t threads;           /* 0 = as configured */
    int64_t chunk_size;        /* 0 = default */
    int64_t catalogue_version; /* 0 = the one in force */
    int64_t snapshot;          /* batch to look from; 0 = the last one */
};

struct cvm_work {
    struct cvm_session *session;
    struct cvm_store *store;
    const struct cvm_catalogue *catalogue; /* of the version asked for */
    struct cvm_engine *engine;             /* NULL unless asked for */
    struct cvm_cache *cache;               /* the same */
    const char *snapshot_path; /* file of journeys of an earlier batch, removed at the end */
};

/* On failure everything is closed again. */
CVM_MUST_CHECK enum cvm_status cvm_work_open(struct cvm_session *session,
                                             const struct cvm_work_options *options,
                                             struct cvm_work *out_work, struct cvm_error *err);
void cvm_work_close(struct cvm_work *work);

/* --as-of, or today; old data end before the history of today begins: then as of their last day. */
CVM_MUST_CHECK enum cvm_status cvm_work_day(const struct cvm_work *work,
                                            const struct cvm_arguments *arguments, int32_t *out_day,
                                            struct cvm_error *err);

/* A warning where features as of the day look at events that a purge has removed. */
CVM_MUST_CHECK enum cvm_status cvm_work_warn_of_gone(const struct cvm_work *work, int32_t as_of_day,
                                                     struct cvm_error *err);

/* Where rejects files are unless named: beside the store, or beside cvm.yaml when that is a server.
 */
CVM_MUST_CHECK enum cvm_status cvm_session_rejects_folder(struct cvm_session *session,
                                                          const char **out_folder,
                                                          struct cvm_error *err);

/* Options of the import as configured, with progress. */
struct cvm_import_options;
CVM_MUST_CHECK enum cvm_status cvm_session_import_options(struct cvm_session *session,
                                                          const char *rejects_path,
                                                          struct cvm_import_options *out_options,
                                                          struct cvm_error *err);

/* One transaction beside agents that may be at work on the store; the body may be called again when
 * they were in its way. */
typedef enum cvm_status (*cvm_change_fn)(void *state, struct cvm_store *store,
                                         struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_session_change(struct cvm_session *session, cvm_change_fn body,
                                                  void *state, struct cvm_error *err);

/* --limit and --before of a list that begins with the newest: what is not given stays as it is. */
CVM_MUST_CHECK enum cvm_status cvm_session_page(struct cvm_session *session,
                                                const struct cvm_arguments *arguments,
                                                int64_t *limit, int64_t *before,
                                                struct cvm_error *err);

/* `name`, a cursor of a list of customers: the key of the last one shown, as 16 hex digits.
 * *out_key is 0, before the first, when it is not given. */
#define CVM_KEY_CURSOR_SIZE 20
CVM_MUST_CHECK enum cvm_status cvm_argument_key(const struct cvm_arguments *arguments,
                                                const char *name, uint64_t *out_key,
                                                struct cvm_error *err);
const char *cvm_key_cursor(uint64_t key, char cursor[CVM_KEY_CURSOR_SIZE]);

/* --threads, or the configured number. */
CVM_MUST_CHECK enum cvm_status cvm_session_threads(struct cvm_session *session,
                                                   const struct cvm_arguments *arguments,
                                                   int64_t *out_threads, struct cvm_error *err);

/* Unknown ids are named: "there is no treatment 'x'", with the nearest one as a hint. "ignore" is
 * CVM_INDEX_NONE with CVM_OK. */
CVM_MUST_CHECK enum cvm_status cvm_find_treatment(const struct cvm_catalogue *catalogue,
                                                  const char *id, int *out_treatment,
                                                  struct cvm_error *err);
/* "A,B" to bits; "ignore" may be in the list and adds no bit. NULL = all. */
CVM_MUST_CHECK enum cvm_status cvm_find_treatments(struct cvm_arena *arena,
                                                   const struct cvm_catalogue *catalogue,
                                                   const char *list, uint64_t *out_bits,
                                                   struct cvm_error *err);

/* A reason as the words of its name: "no consent record". */
#define CVM_REASON_WORDS_SIZE 48
const char *cvm_reason_words(const char *name, char words[CVM_REASON_WORDS_SIZE]);

#endif
