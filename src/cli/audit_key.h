/* audit_key.h - the key file of a deployment. */
#ifndef CVM_CLI_AUDIT_KEY_H
#define CVM_CLI_AUDIT_KEY_H

#include "base/signing.h"
#include "cli/command.h"

/* *out_has_key is false when there is no key file, or no cvm.yaml that would name one. */
CVM_MUST_CHECK enum cvm_status cvm_audit_key_read(const struct cvm_session *session,
                                                  struct cvm_signing_key *out_key,
                                                  bool *out_has_key, struct cvm_error *err);

#endif
