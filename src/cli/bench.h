/* bench.h - one measured job per process, so that peaks of memory stand apart. */
#ifndef CVM_CLI_BENCH_H
#define CVM_CLI_BENCH_H

#include "cli/command.h"

#define CVM_BENCH_STAGES_MAX  8
#define CVM_BENCH_READERS_MAX 64
#define CVM_BENCH_RESULTS_MAX 64

struct cvm_bench {
    struct cvm_session *session; /* its store_url is the store that is measured */
    const char *folder;          /* temporary; NULL = the store was named */
    const char *data_folder;     /* NDJSON of the base, for ingest */
    const char *server_url;      /* the store is a schema of its own there; NULL = SQLite */
    const char *schema;          /* its name */
    int64_t readers;             /* read: how many at once */
    int64_t customers;           /* of the base to make */
    int64_t events_per_customer;
    int64_t threads;
    int32_t day;     /* the base's last */
    int repeat;      /* which one, from 0 */
    int64_t repeats; /* in one process, of a bench that repeats by itself */
    /* cache */
    const char *cache_url; /* of a server; NULL = none is measured */
    /* broker, agents */
    const char *broker_url; /* of a server; NULL = none is measured */
    /* allocate */
    int64_t rows;
    int64_t seed;
    const char *write_folder; /* NULL = the problem is not written */
};

struct cvm_bench_result {
    char name[48];
    double value;
    const char *unit; /* a constant */
};

struct cvm_bench_spread {
    double best, median, worst;
};
/* Sorts the values. */
struct cvm_bench_spread cvm_bench_spread_of(double *values, size_t count);

/* Filled by a job, carried from its process to the parent. */
struct cvm_bench_sample {
    double seconds;
    const char *stage_names[CVM_BENCH_STAGES_MAX]; /* constants: the same in parent and child */
    double stage_seconds[CVM_BENCH_STAGES_MAX];
    int64_t customers;
    int64_t events;
    int64_t bytes;        /* read or stored, 0 = says nothing */
    int64_t matrix_bytes; /* value matrix: customers x treatments x (value + reason) */
    int64_t chunks_bytes; /* chunks in flight: workers x chunk x features */
    int64_t rules;        /* evaluated for each customer, 0 = says nothing */
    int64_t threads;      /* that did it */
    int64_t bare_rows;    /* loaded by the bare peer, 0 = says nothing */
    int64_t peak_bytes;   /* resident: cvm_bench_note_usage() */
    double cpu_seconds;   /* of the process, user and system: the same */
    /* A job that repeats by itself tells its results. */
    struct cvm_bench_result results[CVM_BENCH_RESULTS_MAX];
    size_t result_count;
};

typedef enum cvm_status (*cvm_bench_fn)(struct cvm_bench *bench,
                                        struct cvm_bench_sample *out_sample, struct cvm_error *err);

void cvm_bench_add_stage(struct cvm_bench_sample *sample, const char *name, double seconds);
void cvm_bench_add_result(struct cvm_bench_sample *sample, const char *name, double value,
                          const char *unit);
/* Memory and processor of this process until now, unless they were noted before: a job that
 * measures a peer too notes its own first. */
void cvm_bench_note_usage(struct cvm_bench_sample *sample);

/* Run `job` in a process of its own. */
CVM_MUST_CHECK enum cvm_status cvm_bench_measure(struct cvm_bench *bench, cvm_bench_fn job,
                                                 struct cvm_bench_sample *out_sample,
                                                 struct cvm_error *err);

/* A store on a server is a schema of its own: it becomes the session's store, empty; what is left
 * of it is dropped. */
CVM_MUST_CHECK enum cvm_status cvm_bench_schema_make(struct cvm_bench *bench,
                                                     struct cvm_error *err);
enum cvm_status cvm_bench_schema_drop(struct cvm_bench *bench, struct cvm_error *err);

/* Import the generated base of this seed into the store that is there. */
CVM_MUST_CHECK enum cvm_status cvm_bench_import_world(struct cvm_bench *bench, uint64_t seed,
                                                      struct cvm_bench_sample *out_sample,
                                                      struct cvm_error *err);
/* Customers read one by one beside the bare question: results named after the phase. */
CVM_MUST_CHECK enum cvm_status cvm_bench_point_reads(struct cvm_bench *bench, const char *phase,
                                                     struct cvm_bench_sample *sample,
                                                     struct cvm_error *err);

/* The jobs (bench_agents.c, bench_jobs.c, bench_rules.c, bench_allocate.c, bench_broker.c,
 * bench_cache.c, bench_embedded.c, bench_read.c, bench_workflow.c). */
enum cvm_status cvm_bench_allocate(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                   struct cvm_error *err);
enum cvm_status cvm_bench_agents(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                 struct cvm_error *err);
enum cvm_status cvm_bench_broker(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                 struct cvm_error *err);
enum cvm_status cvm_bench_embedded(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                   struct cvm_error *err);
enum cvm_status cvm_bench_cache(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                struct cvm_error *err);
enum cvm_status cvm_bench_write_data(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                     struct cvm_error *err);
enum cvm_status cvm_bench_fill_store(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                     struct cvm_error *err);
enum cvm_status cvm_bench_ingest(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                 struct cvm_error *err);
enum cvm_status cvm_bench_journey(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                  struct cvm_error *err);
enum cvm_status cvm_bench_rules(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                struct cvm_error *err);
enum cvm_status cvm_bench_recommend(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                    struct cvm_error *err);
enum cvm_status cvm_bench_read(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                               struct cvm_error *err);
enum cvm_status cvm_bench_workflow(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                   struct cvm_error *err);
enum cvm_status cvm_bench_run(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                              struct cvm_error *err);

#endif
