/* problem_file.h - PROBLEM.json of `cvm allocate`, read and checked: treatments, rows and costs as
 * their writer speaks of them.
 *
 * Treatments and rows stand in byte order of their names, so that the order in which a file lists
 * them changes nothing; `listed` has that order for who shows them.
 */
#ifndef CVM_CLI_PROBLEM_FILE_H
#define CVM_CLI_PROBLEM_FILE_H

#include "allocation/problem.h"
#include "base/arena.h"

#define CVM_PROBLEM_FILE_BYTES_MAX ((size_t)16 << 20)
#define CVM_PROBLEM_LIMIT_MAX      1e12
#define CVM_PROBLEM_MEASURES_MAX   64

struct cvm_problem_measure {
    const char *name; /* "" = the one of the top of the file */
    double flat[CVM_PROBLEM_TREATMENTS_MAX];
    double rate[CVM_PROBLEM_TREATMENTS_MAX];
};

struct cvm_problem_file_row {
    const char *name;
    enum cvm_row_kind kind;
    int line;
    uint64_t treatments;                      /* bit per covered treatment */
    double units[CVM_PROBLEM_TREATMENTS_MAX]; /* CVM_ROW_SHARED; 1 where none are named */
    const char *segment;                      /* NULL where the kind has none */
    size_t measure;                           /* CVM_ROW_BUDGET */
    double limit;
    size_t listed; /* its place in the file */
};

struct cvm_problem_file {
    const char *name;        /* the path as given */
    const char *values_path; /* ready to open */
    size_t treatment_count;
    const char *treatments[CVM_PROBLEM_TREATMENTS_MAX];
    size_t listed[CVM_PROBLEM_TREATMENTS_MAX]; /* k-th of the file -> its number */
    size_t row_count;
    struct cvm_problem_file_row *rows;
    size_t rows_listed[CVM_PROBLEM_ROWS_MAX];
    size_t measure_count;
    struct cvm_problem_measure *measures;
    size_t per_customer_max;
    size_t group_max;
    bool has_group_max; /* the file names it */
    bool has_exclusions;
    uint64_t exclusions[CVM_PROBLEM_TREATMENTS_MAX];
};

extern const char *const cvm_problem_kind_words[]; /* by enum cvm_row_kind, NULL at the end */

/* Everything lives in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_problem_file_read(struct cvm_arena *arena, const char *path,
                                                     struct cvm_problem_file *out_file,
                                                     struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_problem_file_parse(struct cvm_arena *arena, const char *name,
                                                      const char *text, size_t length,
                                                      struct cvm_problem_file *out_file,
                                                      struct cvm_error *err);

/* Number of the treatment or row, or -1. */
int cvm_problem_file_treatment(const struct cvm_problem_file *file, const char *name);
int cvm_problem_file_row(const struct cvm_problem_file *file, const char *name);

/* The smallest capacity of exactly the treatment of a row of kind reserve, under these limits per
 * row; -1 if there is none. */
double cvm_problem_reserved_of(const struct cvm_problem_file *file, const double *limits,
                               size_t reserve);

/* What may stand in "limit" of a row of this kind. */
double cvm_problem_limit_max(enum cvm_row_kind kind);

#endif
