/* problem_scenarios.h - the scenarios of `cvm allocate`: the same problem under other limits. */
#ifndef CVM_CLI_PROBLEM_SCENARIOS_H
#define CVM_CLI_PROBLEM_SCENARIOS_H

#include "base/text.h"
#include "cli/problem_file.h"

#define CVM_SCENARIOS_MAX 1000

struct cvm_problem_scenario {
    const char *name;
    double limits[CVM_PROBLEM_ROWS_MAX];
    struct cvm_slice set; /* JSON: what it changes, as written */
    int line;
};

/* [{"name": "...", "set": {"ROW.limit": NUMBER or null, ...}}, ...]; null takes the limit away.
 * Everything lives in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_problem_scenarios_read(
    struct cvm_arena *arena, const char *path, const struct cvm_problem_file *file,
    const struct cvm_problem_scenario **out_scenarios, size_t *out_count, struct cvm_error *err);

#endif
