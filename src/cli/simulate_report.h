/* simulate_report.h - what `cvm simulate` prints. Included by cmd_simulate.c and the files below.
 */
#ifndef CVM_CLI_SIMULATE_REPORT_H
#define CVM_CLI_SIMULATE_REPORT_H

#include "cli/simulate_input.h"

struct cvm_simulate_report {
    const struct cvm_simulation *simulation;
    const struct cvm_simulate_input *input;
    const char *currency;
};

/* A limit as it is set: "retention_email.max_per_day", "incentive_budget". Returns text. */
#define CVM_LIMIT_NAME_SIZE 128
const char *cvm_simulate_limit_name(const struct cvm_catalogue *catalogue, size_t constraint,
                                    char text[CVM_LIMIT_NAME_SIZE]);
/* As people count: an amount, a price per unit, and what was used of the limit (of a share: the
 * share that it came to). */
double cvm_simulate_amount(const struct cvm_constraint *constraint, int64_t amount);
double cvm_simulate_price(const struct cvm_constraint *constraint, double price);
double cvm_simulate_used(const struct cvm_constraint *constraint,
                         const struct cvm_simulated_limit *limit);

/* simulate_text.c: for people. */
void cvm_simulate_print(const struct cvm_simulate_report *report, struct cvm_session *session);
/* simulate_json.c: for programs. */
CVM_MUST_CHECK enum cvm_status cvm_simulate_print_json(const struct cvm_simulate_report *report,
                                                       struct cvm_session *session,
                                                       struct cvm_error *err);
/* simulate_sweep.c: of a sweep. A line per point; the curves of value and price as a picture. */
void cvm_simulate_write_csv(const struct cvm_simulate_report *report, struct cvm_text *out);
void cvm_simulate_write_svg(const struct cvm_simulate_report *report, struct cvm_text *out);

#endif
