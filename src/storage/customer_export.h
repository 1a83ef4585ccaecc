/* customer_export.h - everything that the store holds of one customer, as members of an open JSON
 * object: customer_id, events, consents, decisions, outcomes, control_group, audit.
 *
 * All versions, also those that no longer count. Sealed parts are opened. Packed journeys are left
 * out: they are made from these rows.
 */
#ifndef CVM_STORAGE_CUSTOMER_EXPORT_H
#define CVM_STORAGE_CUSTOMER_EXPORT_H

#include "base/arena.h"
#include "base/json_writer.h"
#include "storage/store.h"

/* CVM_E_NOT_FOUND for an id that is not there, or no longer. */
CVM_MUST_CHECK enum cvm_status
cvm_customer_export_write(struct cvm_store *store, struct cvm_arena *arena, const char *customer_id,
                          struct cvm_json_writer *json, struct cvm_error *err);

#endif
