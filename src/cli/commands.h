/* commands.h - every command, one constant each; the files cmd_*.c define them. */
#ifndef CVM_CLI_COMMANDS_H
#define CVM_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct cvm_command cvm_command_init;
extern const struct cvm_command cvm_command_apply;
extern const struct cvm_command cvm_command_catalogue_show;
extern const struct cvm_command cvm_command_catalogue_export;
extern const struct cvm_command cvm_command_catalogue_diff;
extern const struct cvm_command cvm_command_diff;
extern const struct cvm_command cvm_command_history;
extern const struct cvm_command cvm_command_batch_list;
extern const struct cvm_command cvm_command_batch_retract;
extern const struct cvm_command cvm_command_rollback;
extern const struct cvm_command cvm_command_import;
extern const struct cvm_command cvm_command_generate;
extern const struct cvm_command cvm_command_customer_list;
extern const struct cvm_command cvm_command_customer_show;
extern const struct cvm_command cvm_command_customer_export;
extern const struct cvm_command cvm_command_customer_erase;
extern const struct cvm_command cvm_command_journey;
extern const struct cvm_command cvm_command_run;
extern const struct cvm_command cvm_command_plan_list;
extern const struct cvm_command cvm_command_plan_show;
extern const struct cvm_command cvm_command_plan_diff;
extern const struct cvm_command cvm_command_plan_approve;
extern const struct cvm_command cvm_command_plan_hold;
extern const struct cvm_command cvm_command_plan_release;
extern const struct cvm_command cvm_command_plan_export;
extern const struct cvm_command cvm_command_plan_recall;
extern const struct cvm_command cvm_command_plan_close;
extern const struct cvm_command cvm_command_stop_list;
extern const struct cvm_command cvm_command_stop_add;
extern const struct cvm_command cvm_command_stop_lift;
extern const struct cvm_command cvm_command_decide;
extern const struct cvm_command cvm_command_allocate;
extern const struct cvm_command cvm_command_explain;
extern const struct cvm_command cvm_command_simulate;
extern const struct cvm_command cvm_command_report;
extern const struct cvm_command cvm_command_outcome_import;
extern const struct cvm_command cvm_command_outcome_show;
extern const struct cvm_command cvm_command_contact_import;
extern const struct cvm_command cvm_command_treatment_list;
extern const struct cvm_command cvm_command_treatment_show;
extern const struct cvm_command cvm_command_treatment_import;
extern const struct cvm_command cvm_command_treatment_add;
extern const struct cvm_command cvm_command_treatment_update;
extern const struct cvm_command cvm_command_treatment_remove;
extern const struct cvm_command cvm_command_treatment_enable;
extern const struct cvm_command cvm_command_treatment_disable;
extern const struct cvm_command cvm_command_trigger_list;
extern const struct cvm_command cvm_command_trigger_show;
extern const struct cvm_command cvm_command_trigger_match;
extern const struct cvm_command cvm_command_trigger_add;
extern const struct cvm_command cvm_command_trigger_remove;
extern const struct cvm_command cvm_command_trigger_enable;
extern const struct cvm_command cvm_command_trigger_disable;
extern const struct cvm_command cvm_command_rule_check;
extern const struct cvm_command cvm_command_capacity_show;
extern const struct cvm_command cvm_command_capacity_reprice;
extern const struct cvm_command cvm_command_capacity_reset;
extern const struct cvm_command cvm_command_bench;
extern const struct cvm_command cvm_command_migrate;
extern const struct cvm_command cvm_command_audit_list;
extern const struct cvm_command cvm_command_audit_verify;
extern const struct cvm_command cvm_command_audit_seal;
extern const struct cvm_command cvm_command_audit_key;
extern const struct cvm_command cvm_command_completion;
extern const struct cvm_command cvm_command_doctor;
extern const struct cvm_command cvm_command_workflow_list;
extern const struct cvm_command cvm_command_workflow_show;
extern const struct cvm_command cvm_command_workflow_start;
extern const struct cvm_command cvm_command_workflow_pause;
extern const struct cvm_command cvm_command_workflow_resume;
extern const struct cvm_command cvm_command_workflow_cancel;
extern const struct cvm_command cvm_command_workflow_definition;
extern const struct cvm_command cvm_command_dead_letter_list;
extern const struct cvm_command cvm_command_dead_letter_show;
extern const struct cvm_command cvm_command_dead_letter_replay;
extern const struct cvm_command cvm_command_dead_letter_discard;
extern const struct cvm_command cvm_command_schedule_list;

#endif
