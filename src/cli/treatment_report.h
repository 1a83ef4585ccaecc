/* treatment_report.h - a treatment as members of an open JSON object. */
#ifndef CVM_CLI_TREATMENT_REPORT_H
#define CVM_CLI_TREATMENT_REPORT_H

#include "cli/command.h"
#include "model/catalogue_read.h"
#include "model/money.h"

void cvm_treatment_json_write(const struct cvm_catalogue *catalogue,
                              const struct cvm_treatment *treatment, struct cvm_json_writer *json);
/* Validity, rules, response, moments. */
void cvm_treatment_details_write(const struct cvm_treatment *treatment,
                                 struct cvm_json_writer *json);

#endif
