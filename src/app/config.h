/* config.h - cvm.yaml to a struct cvm_config, checked against a schema. */
#ifndef CVM_APP_CONFIG_H
#define CVM_APP_CONFIG_H

#include "cli/command.h"

/* What counts without a cvm.yaml; store and catalogue folder are NULL. */
struct cvm_config cvm_config_default(void);

/* Relative paths are against the folder of the file. Texts live in `arena`. */
CVM_MUST_CHECK enum cvm_status cvm_config_read(struct cvm_arena *arena, const char *path,
                                               struct cvm_config *out_config,
                                               struct cvm_error *err);

#endif
