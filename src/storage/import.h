/* import.h - files and tables to rows and packed journeys: read, map, sort, insert; bounded memory,
 * idempotent.
 *
 * Records are mapped by the catalogue's sources, sorted by (customer key, source, identity) through
 * temporary files when they exceed the memory limit, merged with what the store holds for the
 * customer, and inserted in key order while the packed journey is written beside. A record that
 * cannot be mapped goes to the rejects file; the import goes on. One open batch at a time: one that
 * a dead process left is abandoned first, and journeys that are not current are rebuilt first.
 */
#ifndef CVM_STORAGE_IMPORT_H
#define CVM_STORAGE_IMPORT_H

#include "base/arena.h"
#include "base/context.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "base/threads.h"
#include "model/catalogue.h"
#include "storage/store.h"

/* Where records come from: blocks of whole records. Files (import_file.c), tables of other
 * databases (import_table.c) and the generator implement it. */
enum cvm_record_format { CVM_RECORDS_NDJSON, CVM_RECORDS_CSV };
struct cvm_record_block {
    int source;           /* in the catalogue */
    const char *file;     /* for messages */
    int64_t first_record; /* number of the first record in the file, from 1 */
    enum cvm_record_format format;
    const char *header; /* CSV: the header line, else NULL */
    size_t header_length;
    char *data; /* newline-separated records, followed by 64 readable bytes */
    size_t length;
};
struct cvm_record_input {
    /* The next block into *out_block, data in a buffer that `take` hands over; *out_has_block false
     * at the end. A record that is too long or broken at this level is reported through `reject`.
     * Called from one thread. */
    enum cvm_status (*next)(struct cvm_record_input *input, struct cvm_record_block *out_block,
                            bool *out_has_block, struct cvm_error *err);
    /* Give a block's buffer back; may be called from any thread. */
    void (*release)(struct cvm_record_input *input, struct cvm_record_block *block);
    /* 0..1 for the progress bar, negative = unknown; may be called from any thread */
    double (*progress)(const struct cvm_record_input *input);

    /* Set by the import before it first calls next(); to be called from within next() only. */
    struct cvm_import_rejecting *rejecting;
};

/* A record that next() could not hand over, with the first bytes of its text. It counts as read
 * and rejected. */
struct cvm_record_reject {
    int source;
    const char *file;
    int64_t record;
    const char *reason;
    const char *text;
    size_t length;
};
CVM_MUST_CHECK enum cvm_status cvm_record_input_reject(struct cvm_record_input *input,
                                                       const struct cvm_record_reject *reject,
                                                       struct cvm_error *err);

/* Days whose records are taken, both ends included; CVM_DAY_NONE = no end on that side. */
struct cvm_import_window {
    int32_t since_day;
    int32_t until_day;
};

struct cvm_import_options {
    const char *who; /* audit */
    const char
        *rejects_path; /* NDJSON of {file, record, reason, text}; written only if there are any */
    size_t record_bytes_max;      /* 0 = 1 MiB */
    size_t memory_bytes;          /* for sorting; 0 = 512 MiB */
    const char *temporary_folder; /* for sorting; NULL = /var/tmp */
    int key_bits;                 /* 0 = 63; tests make collisions with fewer */
    size_t block_bytes;           /* of reading; 0 = 1 MiB; tests make blocks small */
    size_t queue_blocks;          /* between reading and mapping; 0 = 2 per thread + 2 */
    /* NULL = all. Records of other days are passed over; those without a date are taken. */
    const struct cvm_import_window *window;
    int32_t today;         /* freshness counts from here */
    bool allows_erased;    /* take records of customers that were erased */
    bool follows_outcomes; /* what our own decisions became, not a delivery of the source */
    void (*on_progress)(void *state, const char *stage, double fraction, int64_t records);
    void *progress_state;
    /* Told of each record that is rejected, by one thread at a time; .text NULL where it may not be
     * kept. NULL = nobody is. */
    void (*on_reject)(void *state, const struct cvm_record_reject *reject);
    void *reject_state;
};

struct cvm_import_source_report {
    int source;
    int64_t read, stored, duplicate, rejected, changed; /* changed: new versions, part of stored */
    int64_t outside;                                    /* of the window */
    int64_t too_old; /* part of rejected: of days that the source no longer keeps */
    int32_t first_day, last_day;
    int64_t unclear_quiet_hours; /* consent: given, and not understood */
    int64_t *attribute_missing;  /* per mapped field of the source: records without a value */
    int64_t bytes;
};

struct cvm_import_report {
    int64_t batch;
    int64_t read, stored, duplicate, rejected, outside, changed, too_old, unmapped_fields;
    int64_t customers; /* in the store after the import */
    int64_t new_customers;
    struct cvm_import_source_report *sources; /* those with records, in catalogue order */
    size_t source_count;
    const char *rejects_path;   /* NULL if nothing was rejected */
    const char **skipped_files; /* no source matches */
    size_t skipped_file_count;
    const char **failed_files; /* "path: message": could not be read as a whole; others went on */
    size_t failed_file_count;
    double seconds_parse, seconds_store; /* reading and mapping, then merging: wall clock */
    /* Of merging: how long the thread of each was at work; they work side by side. */
    double seconds_sort, seconds_insert, seconds_pack;
    bool follows_outcomes;
    int64_t bytes;         /* of records */
    int64_t spilled_bytes; /* to temporary files */
};

/* What an import works with: all borrowed. */
struct cvm_import_work {
    struct cvm_store *store; /* opened for writing */
    const struct cvm_catalogue *catalogue;
    const struct cvm_import_options *options;
    struct cvm_pool *pool;
    const struct cvm_context *context;
};

/* Files and folders. mapping NULL = any source whose file pattern matches; "name" = only sources of
 * that mapping (then a single file with one source needs no matching name). source, when given, is
 * the name of the source that takes them all. */
struct cvm_import_paths {
    const char *const *paths;
    size_t count;
    const char *mapping;
    const char *source;
};

/* The report's texts live in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_import_files(const struct cvm_import_work *work,
                                                const struct cvm_import_paths *paths,
                                                struct cvm_arena *arena,
                                                struct cvm_import_report *out_report,
                                                struct cvm_error *err);
/* Rows of a database that is not ours: each is a record whose members are the columns that are not
 * null, numbers as numbers, dates as text. */
struct cvm_import_table {
    const char *url;   /* sqlite:FILE or postgresql://... */
    const char *table; /* "name" or "schema.name", or else ... */
    const char *query; /* ... one SELECT */
    /* A number or text, best with an index: ranges of it are read at once, each by a connection of
     * its own, and one that broke off goes on behind its last key. NULL = one reader, in whatever
     * order the rows come. */
    const char *key;
    const char *source;    /* of the catalogue */
    const char *time_zone; /* in which a moment has its date; NULL = UTC */
    size_t readers;        /* 0 = 4 */
    struct cvm_retry_policy retry;
};
/* The window of the options goes into the SQL where a column is the mapping's date. CVM_E_INVALID:
 * what can not be read so (a column with binary data, a key that is neither number nor text).
 * CVM_E_UNAVAILABLE: the database stayed away. */
CVM_MUST_CHECK enum cvm_status cvm_import_rows(const struct cvm_import_work *work,
                                               const struct cvm_import_table *table,
                                               struct cvm_arena *arena,
                                               struct cvm_import_report *out_report,
                                               struct cvm_error *err);
/* The same from any input. */
CVM_MUST_CHECK enum cvm_status cvm_import_records(const struct cvm_import_work *work,
                                                  struct cvm_record_input *input,
                                                  struct cvm_arena *arena,
                                                  struct cvm_import_report *out_report,
                                                  struct cvm_error *err);

/* What the import would know a JSON record of a source by: whom it is about, and whether it was
 * there before. */
struct cvm_record_identity {
    const char *customer_id;
    uint64_t customer_hash;
    uint64_t identity; /* 0 = one line per customer */
    uint64_t content;  /* another one under the same identity is a new version */
};
/* Of records up to so many bytes. The catalogue outlives it. */
struct cvm_identifier;
CVM_MUST_CHECK enum cvm_status cvm_identifier_create(const struct cvm_catalogue *catalogue,
                                                     size_t record_bytes_max,
                                                     struct cvm_identifier **out_identifier,
                                                     struct cvm_error *err);
void cvm_identifier_destroy(struct cvm_identifier *identifier); /* NULL is fine */
/* Customer id in the arena. CVM_E_INVALID says why the import would reject it; so does CVM_E_LIMIT
 * unless memory is short. */
CVM_MUST_CHECK enum cvm_status cvm_import_identify(struct cvm_identifier *identifier,
                                                   struct cvm_arena *arena, int source,
                                                   struct cvm_slice text,
                                                   struct cvm_record_identity *out_identity,
                                                   struct cvm_error *err);

/* The report as JSON, one object: what `cvm import --json` prints and what the batch keeps. */
void cvm_import_report_write(const struct cvm_import_report *report,
                             const struct cvm_catalogue *catalogue, int32_t today,
                             struct cvm_json_writer *writer);

/* Write packed journeys anew from the rows: after a crash, a retraction, or a catalogue that maps
 * otherwise. */
CVM_MUST_CHECK enum cvm_status cvm_import_rebuild(struct cvm_store *store,
                                                  const struct cvm_catalogue *catalogue,
                                                  const struct cvm_import_options *options,
                                                  const struct cvm_context *context,
                                                  struct cvm_error *err);

/* The same as of an earlier batch, from rows of `db` into a journey file of its own. */
struct cvm_import_rebuild {
    const struct cvm_catalogue *catalogue;
    const struct cvm_import_options *options;
    const struct cvm_context *context;
};
CVM_MUST_CHECK enum cvm_status cvm_import_rebuild_at(struct cvm_store *store,
                                                     struct cvm_db *journeys, int64_t last_batch,
                                                     const struct cvm_import_rebuild *how,
                                                     struct cvm_error *err);

#endif
