/* report_internal.h - what the files of the report share, and what-if (simulate.c, explain_line.c),
 * which starts from the same columns; nobody else includes it. */
#ifndef CVM_ENGINE_REPORT_INTERNAL_H
#define CVM_ENGINE_REPORT_INTERNAL_H

#include "allocation/problem.h"
#include "base/columns.h"
#include "engine/control.h"
#include "engine/groups.h"
#include "engine/report.h"
#include "engine/run.h"

/* A run's customers in columns, ascending key, as the solver had them. */
struct cvm_report_base {
    size_t count;
    size_t capacity;              /* customers that the columns have room for; a multiple of 16 */
    bool has_matrix;              /* the values are wanted too; said before loading */
    bool keeps_households;        /* also those that were refused for another member's sake: for who
                                     chooses in households again; said before loading */
    struct cvm_buffer matrix;     /* float, blocks of 16 */
    struct cvm_buffer keys;       /* uint64_t */
    struct cvm_buffer margins;    /* double */
    struct cvm_buffer churns;     /* float */
    struct cvm_buffer segments;   /* unsigned char */
    struct cvm_buffer groups;     /* uint64_t: engine/groups.h */
    struct cvm_buffer households; /* uint32_t and */
    struct cvm_buffer allowances; /* unsigned char: engine/values.h */
    struct cvm_buffer flags;      /* unsigned char: enum cvm_report_flag */
    struct cvm_buffer given;      /* unsigned char: the treatment; CVM_NOTHING, ghosts too */
};
enum cvm_report_flag {
    CVM_REPORT_PERMITTED = 1,
    CVM_REPORT_TREATED = 2,
    CVM_REPORT_GHOST = 4,
    CVM_REPORT_UNDECIDED = 8,
};
void cvm_report_base_finish(struct cvm_report_base *base);

/* Figures of one run: of the one that is reported, or of the one before. */
struct cvm_report_side {
    struct cvm_run_record run;
    const struct cvm_catalogue *catalogue; /* with the responses that the run used */
    struct cvm_run_result summary;         /* prices, limits, remaining */
    bool has_values;
    struct cvm_report_sum total;
    struct cvm_report_funnel funnel;
    struct cvm_report_treatment treatments[CVM_TREATMENTS_MAX]; /* by index */
    struct cvm_report_segment segments[CVM_SEGMENTS_MAX];
    int64_t refusals[CVM_REASON_COUNT];
    double used[CVM_CONSTRAINTS_MAX]; /* by this run, in units of the ledger */
    double value_by_source[CVM_REPORT_SOURCE_KINDS];
};

struct cvm_report_job {
    struct cvm_engine *engine;
    struct cvm_store *store;
    struct cvm_arena *arena;
    struct cvm_report *report;
    struct cvm_report_side *now;
    struct cvm_report_side *before; /* NULL = there is none */
    struct cvm_report_base base;    /* of `now` */
};

/* report_side.c: catalogue, responses, summary, value blocks and decisions of side->run; `base` is
 * empty before. */
CVM_MUST_CHECK enum cvm_status cvm_report_side_load(const struct cvm_report_job *job,
                                                    const struct cvm_catalogue *catalogue,
                                                    struct cvm_report_side *side,
                                                    struct cvm_report_base *base,
                                                    struct cvm_error *err);
/* report_values.c: the value blocks, and with them all of the side but its decisions. */
CVM_MUST_CHECK enum cvm_status cvm_report_values_load(struct cvm_store *store,
                                                      struct cvm_report_side *side,
                                                      struct cvm_report_base *base,
                                                      struct cvm_error *err);

/* report_problem.c: the problem that the run solved. Zeroed before it is made. */
struct cvm_report_problem {
    struct cvm_problem of;
    struct cvm_row *rows;
    int constraint[CVM_PROBLEM_ROWS_MAX]; /* of each row */
    struct cvm_group_classes classes;
    unsigned char *inside; /* per group and class */
};
enum cvm_report_ghosts {
    CVM_REPORT_GHOSTS_AS_IN_RUN,  /* they get what is not withheld from them */
    CVM_REPORT_GHOSTS_GET_NOTHING /* no more than they got, whatever the prices */
};
/* Who was withheld from what, as the run had it. */
CVM_MUST_CHECK enum cvm_status cvm_report_control_load(struct cvm_store *store,
                                                       struct cvm_arena *arena,
                                                       const struct cvm_run_result *summary,
                                                       struct cvm_control_groups *out_groups,
                                                       struct cvm_error *err);
/* Withholds in the columns of `job`, which the problem is made of, and which need the matrix.
 * Without rows. Finish it in any case. */
CVM_MUST_CHECK enum cvm_status cvm_report_problem_make(struct cvm_report_job *job,
                                                       enum cvm_report_ghosts ghosts,
                                                       struct cvm_report_problem *out_problem,
                                                       struct cvm_error *err);
void cvm_report_problem_finish(struct cvm_report_problem *problem);

#define CVM_REPORT_NO_ROW (-1)
/* What the run had of each constraint, groups behind the others, as cvm_usage_row() takes it;
 * CVM_REPORT_NO_ROW where it was not limited. */
void cvm_report_available(const struct cvm_report_side *side, int64_t *out_available);
/* The rows, by the limits of the catalogue (which may be others than the run's), and these. */
void cvm_report_problem_limit(struct cvm_report_problem *problem,
                              const struct cvm_catalogue *catalogue, const int64_t *available);

/* report_baselines.c: simpler rules on the problem that the run solved. */
CVM_MUST_CHECK enum cvm_status cvm_report_baselines_make(struct cvm_report_job *job,
                                                         struct cvm_error *err);
/* report_groups.c: one scan. */
CVM_MUST_CHECK enum cvm_status cvm_report_groups_make(struct cvm_report_job *job,
                                                      struct cvm_error *err);
/* report_change.c */
CVM_MUST_CHECK enum cvm_status cvm_report_changes_make(struct cvm_report_job *job,
                                                       struct cvm_error *err);
/* report_outcomes.c */
CVM_MUST_CHECK enum cvm_status cvm_report_outcomes_make(struct cvm_report_job *job,
                                                        struct cvm_error *err);

/* A sentence in the arena; NULL when it is full. */
const char *cvm_report_sentence(struct cvm_arena *arena, const char *format, ...) CVM_PRINTF(2, 3);

#endif
