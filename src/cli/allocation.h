/* allocation.h - one solve of `cvm allocate`: the problem as its file has it, or a scenario. */
#ifndef CVM_CLI_ALLOCATION_H
#define CVM_CLI_ALLOCATION_H

#include "allocation/conflict.h"
#include "base/hash.h"
#include "cli/command.h"
#include "cli/problem_rows.h"
#include "cli/problem_scenarios.h"

struct cvm_allocation {
    const struct cvm_problem_scenario *scenario; /* NULL = the problem itself */
    double limits[CVM_PROBLEM_ROWS_MAX];
    const struct cvm_row *rows;
    struct cvm_plan plan; /* treatments of a customer in ascending order */
    char plan_digest[CVM_DIGEST_TEXT_SIZE];
    struct cvm_conflict conflicts[2 * CVM_CONFLICTS_MAX];
    size_t conflict_count;
    int64_t changed; /* customers who get something else than in the problem itself */
    double solve_s, verify_s;
};

/* What the command opened. */
struct cvm_allocations {
    struct cvm_session *session;
    const struct cvm_problem_file *file;
    const struct cvm_problem_values *values;
    const struct cvm_problem_scenario *scenarios;
    size_t scenario_count;
    struct cvm_pool *pool;
    struct cvm_allocation *base;
    struct cvm_allocation **of_scenarios; /* as far as they are solved */
    double read_s;
    const char *problem_path;
    const char *plan_path; /* NULL = none was asked for */
};

/* The problem itself, then each scenario from its prices. */
CVM_MUST_CHECK enum cvm_status cvm_allocations_solve(struct cvm_allocations *all,
                                                     struct cvm_error *err);
/* customer_id,treatment in byte order of id, then of treatment; "-" is standard output. */
CVM_MUST_CHECK enum cvm_status cvm_allocation_write_plan(const struct cvm_allocations *all,
                                                         const struct cvm_allocation *allocation,
                                                         const char *path, struct cvm_error *err);

/* A row as its writer speaks of it: both sides of what it says, and what a minimum lacks. Shares
 * are shares; a reserve's are what others got, and what its capacity leaves them. */
struct cvm_row_report {
    double used, limit, shortfall;
};
struct cvm_row_report cvm_allocation_row(const struct cvm_allocations *all,
                                         const struct cvm_allocation *allocation, size_t row);

/* What a person or a program gets to see. */
CVM_MUST_CHECK enum cvm_status cvm_allocations_print(const struct cvm_allocations *all,
                                                     struct cvm_error *err);

#endif
