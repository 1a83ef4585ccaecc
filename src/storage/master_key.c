#include "storage/master_key.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "base/file.h"
#include "storage/vault.h"

#define CREDENTIAL_NAME "cvm-master-key"

enum cvm_status cvm_master_key_create(const char *path, struct cvm_error *err)
{
    unsigned char key[CVM_MASTER_KEY_BYTES];
    enum cvm_status status = cvm_key_file_create(path, key, err);
    sodium_memzero(key, sizeof(key));
    return status == CVM_OK ? status : cvm_error_context(err, status, "master key");
}

static bool find_credential(char path[PATH_MAX])
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    return folder != NULL && folder[0] != '\0' &&
           snprintf(path, PATH_MAX, "%s/" CREDENTIAL_NAME, folder) < PATH_MAX &&
           cvm_file_exists(path);
}

static enum cvm_status read_key(const char *path, bool is_guarded,
                                unsigned char key[CVM_MASTER_KEY_BYTES], struct cvm_error *err)
{
    enum cvm_status status = cvm_key_file_read(path, is_guarded, key, err);
    if (status == CVM_E_NOT_FOUND) {
        status = cvm_error_hint(err, status,
                                "Personal data are sealed under it: restore the file that "
                                "privacy.master_key names from its own safe.");
    }
    return status == CVM_OK ? status : cvm_error_context(err, status, "master key");
}

enum cvm_status cvm_master_key_read_file(const char *path, unsigned char key[CVM_MASTER_KEY_BYTES],
                                         struct cvm_error *err)
{
    return read_key(path, false, key, err);
}

enum cvm_status cvm_master_key_read(const char *path, unsigned char key[CVM_MASTER_KEY_BYTES],
                                    struct cvm_error *err)
{
    char credential[PATH_MAX];
    return find_credential(credential) ? read_key(credential, true, key, err)
                                       : read_key(path, false, key, err);
}
