#include "storage/private_text.h"

enum cvm_status cvm_private_text_read(struct cvm_store *store, struct cvm_arena *arena,
                                      const struct cvm_private_row *row, struct cvm_slice *out_text,
                                      struct cvm_error *err)
{
    struct cvm_slice stored = {0};
    struct cvm_vault *vault = NULL;
    if (row->blob->type == CVM_DB_NULL || row->blob->bytes.length == 0) {
        *out_text = stored;
        return CVM_OK;
    }
    stored = (struct cvm_slice){row->blob->bytes.data, row->blob->bytes.length};
    if (row->key_id == CVM_KEY_NONE) {
        const char *copy = cvm_arena_copy(arena, stored.data, stored.length);
        if (copy == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the private part of a record");
        }
        *out_text = (struct cvm_slice){copy, stored.length};
        return CVM_OK;
    }
    if (row->key_id != CVM_KEY_CUSTOMER) {
        return CVM_FAIL(err, CVM_E_CONFLICT,
                        "a record is sealed as a newer cvm does it: key id %lld",
                        (long long)row->key_id);
    }
    enum cvm_status status = cvm_store_vault(store, &vault, err);
    return status == CVM_OK ? cvm_vault_unseal(vault, arena, &row->place, stored, out_text, err)
                            : status;
}
