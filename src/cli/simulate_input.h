/* simulate_input.h - the scenarios of `cvm simulate`: from the command line, a file, or a sweep. */
#ifndef CVM_CLI_SIMULATE_INPUT_H
#define CVM_CLI_SIMULATE_INPUT_H

#include "cli/command.h"
#include "engine/simulate.h"

#define CVM_SCENARIOS_MAX    64
#define CVM_SWEEP_POINTS_MAX 1001

struct cvm_simulate_input {
    const struct cvm_scenario *scenarios; /* one per point of a sweep */
    size_t scenario_count;
    const char *sweep; /* the limit that is swept; NULL = no sweep */
    int sweep_constraint;
    const double *points; /* of the sweep, as people count */
};

/* Everything lives in the arena. CVM_E_INVALID is of the command line, or of the file. */
CVM_MUST_CHECK enum cvm_status cvm_simulate_input_read(const struct cvm_arguments *arguments,
                                                       const struct cvm_catalogue *catalogue,
                                                       struct cvm_arena *arena,
                                                       struct cvm_simulate_input *out_input,
                                                       struct cvm_error *err);

#endif
