/* key rotate */
#include "base/file.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "storage/key_rotation.h"

static enum cvm_status make_key(const char *path, bool *out_is_new, struct cvm_error *err)
{
    *out_is_new = !cvm_file_exists(path);
    return *out_is_new ? cvm_master_key_create(path, err) : CVM_OK;
}

static enum cvm_status report(struct cvm_session *session, const char *path, bool is_new,
                              const struct cvm_key_rotation_report *rotated, struct cvm_error *err)
{
    char number[CVM_NUMBER_TEXT_SIZE];
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "master_key_file", path);
        cvm_json_key_bool(&document.json, "created", is_new);
        cvm_json_key_int(&document.json, "keys", rotated->keys);
        cvm_json_key_bool(&document.json, "was_done_before", rotated->was_done_before);
        cvm_json_key_string(&document.json, "master_key", rotated->after);
        return cvm_document_print(&document, session, err);
    }
    if (rotated->was_done_before) {
        fprintf(session->out, "The keys are wrapped by %s already.\n", path);
    } else {
        fprintf(session->out,
                "%s keys are wrapped by %s now; the old master key opens none of "
                "them.\n",
                cvm_grouped(rotated->keys, number), path);
    }
    fputs(
        "Name it as privacy.master_key in cvm.yaml, and put a copy of it into its safe. Copies of\n"
        "the database of keys from before are still opened by the old master key: keep that one\n"
        "for as long as you keep them, then destroy it.\n",
        session->out);
    return CVM_OK;
}

static enum cvm_status run_rotate(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    const char *path = cvm_argument(arguments, "--new-master-key");
    struct cvm_key_rotation rotation = {
        .new_master_key = path, .who = session->who, .why = cvm_argument(arguments, "--reason")};
    struct cvm_key_rotation_report rotated;
    struct cvm_store *store = NULL;
    bool is_new = false;
    if (path == NULL) {
        enum cvm_status missing = CVM_FAIL(err, CVM_E_INVALID,
                                           "option '--new-master-key' is missing: the file of the "
                                           "key to change to");
        return cvm_session_usage(session, missing);
    }
    enum cvm_status status = cvm_session_store(session, CVM_DB_WRITE, &store, err);
    if (status == CVM_OK) {
        status = make_key(path, &is_new, err);
    }
    if (status == CVM_OK) {
        status = cvm_master_key_rotate(store, &rotation, &rotated, err);
    }
    cvm_store_close(store);
    return status == CVM_OK ? report(session, path, is_new, &rotated, err) : status;
}

static const struct cvm_option rotate_options[] = {
    {"--new-master-key", "FILE", "the key to change to; made when it is not there"},
    {"--reason", "TEXT", "why; kept in the audit log"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_key_rotate = {
    .name = "key rotate",
    .arguments = "--new-master-key FILE",
    .summary = "Wrap the keys of personal data by another master key",
    .details =
        "All keys or none: a call that is killed has changed nothing, or is completed by the\n"
        "next. Personal data are not touched, and erased keys stay erased. Afterwards cvm.yaml\n"
        "must name the new file; until then commands that open personal data fail and say so.\n\n"
        "  cvm key rotate --new-master-key new-master.key --reason \"yearly\"",
    .options = rotate_options,
    .run = run_rotate,
};
