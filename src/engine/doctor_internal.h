/* doctor_internal.h - the parts of the examination; only doctor*.c include it. */
#ifndef CVM_ENGINE_DOCTOR_INTERNAL_H
#define CVM_ENGINE_DOCTOR_INTERNAL_H

#include "engine/doctor.h"

/* doctor_rules.c: one scan of the base. Dead clauses, treatments for nobody, triggers for nobody
 * or everybody; fills customers and churn. */
CVM_MUST_CHECK enum cvm_status cvm_doctor_rules(struct cvm_doctor *doctor, struct cvm_error *err);
/* Clauses that exclude each other, whoever the customers are. */
CVM_MUST_CHECK enum cvm_status cvm_doctor_contradictions(struct cvm_doctor *doctor,
                                                         struct cvm_error *err);
/* doctor_store.c: plans, kill switches, sources, learning, the last run. */
CVM_MUST_CHECK enum cvm_status cvm_doctor_store(struct cvm_doctor *doctor, struct cvm_error *err);

#endif
