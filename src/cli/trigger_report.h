/* trigger_report.h - triggers as the commands show them. */
#ifndef CVM_CLI_TRIGGER_REPORT_H
#define CVM_CLI_TRIGGER_REPORT_H

#include "cli/command.h"

/* Unknown names fail with the nearest one as a hint. */
CVM_MUST_CHECK enum cvm_status cvm_find_trigger(const struct cvm_catalogue *catalogue,
                                                const char *name, int *out_trigger,
                                                struct cvm_error *err);

/* The members of a trigger; the caller opens and closes its object. */
void cvm_trigger_json_write(const struct cvm_trigger *trigger, struct cvm_json_writer *json);
void cvm_trigger_print(FILE *out, const struct cvm_trigger *trigger);

#endif
