/* explain_report.h - what `cvm explain` prints. Included by cmd_explain.c and the files below. */
#ifndef CVM_CLI_EXPLAIN_REPORT_H
#define CVM_CLI_EXPLAIN_REPORT_H

#include "cli/work.h"
#include "engine/explain.h"
#include "engine/reasons.h"

/* The symbols of the value, as in the formula. */
#define CVM_EXPLAIN_FORMULA "value = f q [ p rho W + a (u H - g) ] - c - k"
struct cvm_explain_part {
    const char *name;
    const char *symbol;
    double value;
};
#define CVM_EXPLAIN_PARTS 12
void cvm_explain_parts_of(const struct cvm_action_value *value,
                          struct cvm_explain_part parts[CVM_EXPLAIN_PARTS]);

/* explain_text.c: one customer, for people. */
void cvm_explain_print(const struct cvm_explanation *explanation, struct cvm_session *session);

/* explain_json.c: the same, and the reasons, for programs. */
CVM_MUST_CHECK enum cvm_status cvm_explain_print_json(const struct cvm_explanation *explanation,
                                                      struct cvm_session *session,
                                                      struct cvm_error *err);

/* explain_all.c: how many customers each check excluded. */
CVM_MUST_CHECK enum cvm_status cvm_explain_print_reasons(const struct cvm_reasons *reasons,
                                                         struct cvm_session *session,
                                                         struct cvm_error *err);
/* A line per customer and permitted treatment; the rows written. */
CVM_MUST_CHECK enum cvm_status cvm_explain_write_csv(struct cvm_work *work, const char *path,
                                                     struct cvm_explain_many *request,
                                                     int64_t *out_rows, struct cvm_error *err);

#endif
