/* command.h - one table of subcommands, one file each (cmd_<name>.c).
 *
 * A command gets its arguments parsed by its option table and a session: configuration, output,
 * clock. It returns a status; main() prints the error (or the {"error": ...} document) and makes
 * the exit code: 0 success, 1 failure, 2 usage, 3 partial (session->is_partial).
 */
#ifndef CVM_CLI_COMMAND_H
#define CVM_CLI_COMMAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/context.h"
#include "base/json_writer.h"
#include "base/yaml.h"
#include "base/zone.h"
#include "model/catalogue.h"
#include "storage/store.h"

/* Beside cvm.yaml, unless it names another. */
#define CVM_AUDIT_KEY_FILE "audit.key"

/* cvm.yaml: wiring. */
struct cvm_config {
    const char *path;                 /* of cvm.yaml, or NULL when there is none */
    const char *store_url;            /* made absolute against the folder of cvm.yaml */
    const char *catalogue_folder;     /* the same */
    struct cvm_store_privacy privacy; /* paths and URL the same */
    const char *cache_url;            /* storage/cache.h */
    const char *state_url;            /* storage/state.h */
    const char *broker_url;           /* messaging/broker.h */
    const char *audit_key;            /* signs the audit log; NULL when there is no cvm.yaml */
    const char *time_zone;            /* IANA */
    const char *currency;             /* ISO 4217 */
    const char *release;              /* "auto" or "manual" */
    const char *approval;             /* "second_person" or "same_person" */
    const char *log_level;
    const char *log_format; /* "text" or "json" */
    int64_t threads;        /* 0 = one per core */
    int64_t chunk_size;     /* customers; 0 = CVM_CHUNK_SIZE */
    int64_t connections;    /* to the store, at most; 0 = threads + 2 */
    struct cvm_retry_policy retry;
    int64_t import_readers;      /* of a table, each with a connection; 0 = 4 */
    int64_t import_queue_blocks; /* between readers and mapping threads; 0 = 2 per thread + 2 */
    int64_t record_bytes_max;
    int64_t import_memory_mb;
    int64_t run_memory_mb; /* for the solver's matrix; a larger one lives in a temporary file */
    int64_t keep_runs;
    double realtime_share;
    const struct cvm_yaml_node *schedule; /* workflows/schedule.h; NULL = none */
};

/* The bar that is on the screen. */
struct cvm_progress_line {
    atomic_flag is_busy; /* reports come from any thread; one draws, the others go on */
    const char *stage;
    double started_s;
    double drawn_s;
    bool is_drawn;
};

struct cvm_session {
    struct cvm_config config;
    struct cvm_context context;
    struct cvm_zone *zone;
    struct cvm_arena *arena; /* of the command */
    FILE *in;                /* answers, when a question may be asked */
    FILE *out;               /* results */
    FILE *err;               /* progress, warnings */
    bool is_json;
    bool is_quiet;
    bool has_progress;     /* standard error is a terminal, and not quiet */
    bool has_colour;       /* standard output is a terminal, NO_COLOR is unset, TERM not dumb */
    bool has_error_colour; /* the same of standard error */
    bool can_ask;          /* a person is at both ends: standard input and output are terminals */
    bool is_store_named;   /* by --store */
    bool is_partial;       /* exit 3 */
    bool is_refuted;       /* exit 1: the command ran, and what it checked does not hold */
    bool is_cut_off;       /* exit 1 in silence: who read standard output has gone */
    bool is_usage;         /* the failure is of the command line: exit 2 */
    const char *who;       /* "cli:<user>" */
    const char *version;   /* of the program */
    struct cvm_progress_line progress;
};

struct cvm_option {
    const char *name;  /* "--as-of"; NULL ends the table */
    const char *value; /* name of its value in the help, "D"; NULL = a switch */
    const char *help;
};

struct cvm_given {
    const struct cvm_option *option;
    const char *value;
};

struct cvm_arguments {
    const char *const *positional;
    size_t positional_count;
    const struct cvm_option *options;
    const char *const
        *values; /* per option: NULL = not given; "" for switches; the last one given counts */
    const struct cvm_given *given; /* all of them in their order, for options that repeat */
    size_t given_count;
};
/* NULL when not given. The name must be in the table. */
const char *cvm_argument(const struct cvm_arguments *arguments, const char *name);
bool cvm_argument_given(const struct cvm_arguments *arguments, const char *name);
/* Whole numbers and dates with messages that name the option; *out_value keeps its value when not
 * given. */
CVM_MUST_CHECK enum cvm_status cvm_argument_int(const struct cvm_arguments *arguments,
                                                const char *name, int64_t min, int64_t max,
                                                int64_t *out_value, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_argument_day(const struct cvm_arguments *arguments,
                                                const char *name, int32_t *out_day,
                                                struct cvm_error *err);
/* "A,B" into a list in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_argument_list(struct cvm_arena *arena, const char *text,
                                                 const char *const **out_items, size_t *out_count,
                                                 struct cvm_error *err);

struct cvm_command {
    const char *name;      /* "customer list"; the longest match wins */
    const char *arguments; /* "PATH..." */
    const char *summary;   /* one line */
    const char *details;   /* paragraphs and examples for --help */
    size_t positional_min, positional_max;
    const struct cvm_option *options;
    enum cvm_status (*run)(struct cvm_session *session, const struct cvm_arguments *arguments,
                           struct cvm_error *err);
};

extern const struct cvm_command *const cvm_commands[]; /* NULL-terminated: commands.c */

/* ---- what most commands need (session.c) ---- */

/* Mark a failure as one of the command line. Returns status. */
enum cvm_status cvm_session_usage(struct cvm_session *session, enum cvm_status status);
/* A line for people on standard error ("warning: ..."); nothing with --quiet. */
void cvm_session_warn(struct cvm_session *session, const char *format, ...) CVM_PRINTF(2, 3);

/* The store of the configuration; the error names `cvm init` when there is none. */
CVM_MUST_CHECK enum cvm_status cvm_session_store(struct cvm_session *session,
                                                 enum cvm_db_access access,
                                                 struct cvm_store **out_store,
                                                 struct cvm_error *err);
/* The same for reading all of it once, with a small cache. */
CVM_MUST_CHECK enum cvm_status cvm_session_store_to_scan(struct cvm_session *session,
                                                         struct cvm_store **out_store,
                                                         struct cvm_error *err);
/* Before a store is closed that was opened for writing: note the configuration that it was written
 * under, and seal the rows that the audit log got. */
void cvm_session_seal(void *session, struct cvm_store *store);
/* The catalogue in force; warns on standard error when the folder differs from it. */
CVM_MUST_CHECK enum cvm_status cvm_session_catalogue(struct cvm_session *session,
                                                     struct cvm_store *store,
                                                     const struct cvm_catalogue **out_catalogue,
                                                     struct cvm_error *err);
/* Ask on the terminal; true without one: who scripts has said yes. Only a "y" is a yes. */
CVM_MUST_CHECK bool cvm_session_ask(struct cvm_session *session, const char *question);
int32_t cvm_session_today(const struct cvm_session *session); /* in the deployment's zone */

/* Progress on standard error, one line rewritten; nothing when there is no terminal. */
void cvm_session_progress(void *session, const char *stage, double fraction, int64_t count);
void cvm_session_progress_end(struct cvm_session *session);

/* Print a finished JSON text and a newline. */
CVM_MUST_CHECK enum cvm_status
cvm_session_print(struct cvm_session *session, const struct cvm_text *text, struct cvm_error *err);

/* A table for people: columns padded (UTF-8 aware), numbers right-aligned. */
struct cvm_table {
    struct cvm_text cells; /* each ended by '\0' */
    size_t column_count;
    size_t cell_count;
    const char *const *headers; /* a header that starts with '>' is right-aligned */
    bool has_colour;            /* headers in bold */
};
void cvm_table_init(struct cvm_table *table, const char *const *headers, size_t column_count);
void cvm_table_add(struct cvm_table *table, const char *cell);
void cvm_table_add_format(struct cvm_table *table, const char *format, ...) CVM_PRINTF(2, 3);
void cvm_table_print(struct cvm_table *table, FILE *out); /* and finishes it */

#endif
