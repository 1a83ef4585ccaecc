#include "cli/commands.h"

/* In the order of the help: from an empty folder to explained decisions, then what keeps it going.
 */
const struct cvm_command *const cvm_commands[] = {
    &cvm_command_init,
    &cvm_command_import,
    &cvm_command_generate,
    &cvm_command_run,
    &cvm_command_explain,
    &cvm_command_decide,
    &cvm_command_plan_list,
    &cvm_command_plan_show,
    &cvm_command_customer_list,
    &cvm_command_customer_show,
    &cvm_command_journey,
    &cvm_command_treatment_list,
    &cvm_command_treatment_show,
    &cvm_command_treatment_import,
    &cvm_command_capacity_show,
    &cvm_command_capacity_reset,
    &cvm_command_apply,
    &cvm_command_catalogue_show,
    &cvm_command_catalogue_export,
    &cvm_command_catalogue_diff,
    &cvm_command_audit_list,
    &cvm_command_bench,
    &cvm_command_migrate,
    NULL,
};
