#include "engine/run_kind.h"

#include <string.h>

#define RUNS_LOOKED_AT 1000
#define JSON_BYTES_MAX ((size_t)64 << 20)

static bool same_member(const struct cvm_json_value *a, const struct cvm_json_value *b,
                        const char *key)
{
    const struct cvm_json_value *left = cvm_json_member(a, key);
    const struct cvm_json_value *right = cvm_json_member(b, key);
    if (left == NULL || right == NULL) {
        return left == right;
    }
    return cvm_json_hash(left) == cvm_json_hash(right);
}

enum cvm_status cvm_run_kind_same(struct cvm_json_reader *reader, struct cvm_arena *arena,
                                  const char *a, const char *b, bool *out_is_same,
                                  struct cvm_error *err)
{
    static const char *const keys[] = {"customers", "trigger", "treatment", "allowed"};
    const struct cvm_json_value *left = NULL;
    const struct cvm_json_value *right = NULL;
    bool is_same = true;
    enum cvm_status status = cvm_json_read(reader, arena, a, strlen(a), false, &left, err);
    if (status == CVM_OK) {
        status = cvm_json_read(reader, arena, b, strlen(b), false, &right, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        is_same = is_same && same_member(left, right, keys[i]);
    }
    *out_is_same = is_same;
    return CVM_OK;
}

enum cvm_status cvm_run_kind_whole(struct cvm_json_reader *reader, struct cvm_arena *arena,
                                   const char *options, bool *out_is_whole, struct cvm_error *err)
{
    const struct cvm_json_value *root = NULL;
    enum cvm_status status =
        cvm_json_read(reader, arena, options, strlen(options), false, &root, err);
    if (status == CVM_OK) {
        *out_is_whole = cvm_json_member(root, "customers") == NULL;
    }
    return status;
}

bool cvm_run_kind_stands_for(const struct cvm_run_record *run, const struct cvm_run_record *found)
{
    return run->as_of_day == found->as_of_day && run->decisions > found->decisions &&
           strcmp(run->plan_state, "recalled") != 0;
}

struct looking {
    struct cvm_json_reader *reader;
    struct cvm_arena *arena;
    const struct cvm_run_record *run;
    bool is_past; /* the list is newest first: the run itself has been seen */
    bool is_found;
    struct cvm_run_record before;
};

static enum cvm_status consider_run(void *state, const struct cvm_run_record *run,
                                    struct cvm_error *err)
{
    struct looking *looking = state;
    bool is_same = false;
    if (!looking->is_past) {
        looking->is_past = strcmp(run->run_id, looking->run->run_id) == 0;
        return CVM_OK;
    }
    if (strcmp(run->state, "done") != 0 || run->summary == NULL ||
        (looking->is_found && !cvm_run_kind_stands_for(run, &looking->before))) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_run_kind_same(looking->reader, looking->arena, run->options,
                                               looking->run->options, &is_same, err);
    if (status == CVM_OK && is_same) {
        looking->is_found = true;
        looking->before = *run;
    }
    return status;
}

enum cvm_status cvm_run_kind_before(struct cvm_store *store, struct cvm_arena *arena,
                                    const struct cvm_run_record *run,
                                    struct cvm_run_record *out_before, struct cvm_error *err)
{
    struct looking looking = {
        .reader = cvm_json_reader_create(JSON_BYTES_MAX), .arena = arena, .run = run};
    if (looking.reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for a run");
    }
    enum cvm_status status =
        cvm_run_list(store, arena, RUNS_LOOKED_AT, consider_run, &looking, err);
    cvm_json_reader_destroy(looking.reader);
    if (status == CVM_OK && !looking.is_found) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no run of the same kind before '%s'",
                          run->run_id);
        return cvm_error_hint(err, status, "Name the run to compare with: cvm plan diff %s RUN.",
                              run->run_id);
    }
    if (status == CVM_OK) {
        *out_before = looking.before;
    }
    return status;
}
