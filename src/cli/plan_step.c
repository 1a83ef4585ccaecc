#include "cli/plan_step.h"

#include <string.h>

#define LISTED_MAX  1000
#define PRINTED_MAX 10
#define PERSON_MAX  64

struct cvm_withdrawn_item {
    const char *customer_id;
    const char *treatment;
    enum cvm_reason reason;
    struct cvm_withdrawn_item *next;
};

static bool is_person(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < ' ') {
            return false;
        }
    }
    return length > 0 && length <= PERSON_MAX && strstr(name, " as ") == NULL;
}

enum cvm_status cvm_plan_step_init(struct cvm_plan_step *step, struct cvm_session *session,
                                   const struct cvm_arguments *arguments, bool needs_why,
                                   struct cvm_error *err)
{
    const char *name = cvm_argument(arguments, "--as");
    const char *why = cvm_argument(arguments, "--why");
    struct cvm_text who;
    *step = (struct cvm_plan_step){.session = session, .arguments = arguments, .who = session->who};
    if (needs_why && (why == NULL || why[0] == '\0')) {
        return cvm_session_usage(
            session, CVM_FAIL(err, CVM_E_INVALID, "say why: --why \"TEXT\" goes into the audit"));
    }
    step->why = why == NULL ? "" : why;
    if (name == NULL) {
        return CVM_OK;
    }
    if (!is_person(name)) {
        return cvm_session_usage(
            session, CVM_FAIL(err, CVM_E_INVALID,
                              "option '--as': found '%s', the name of a person is wanted", name));
    }
    cvm_text_init(&who, 0);
    cvm_text_add_format(&who, "%s as %s", session->who, name);
    step->who = cvm_arena_string(session->arena, cvm_text_string(&who));
    cvm_text_finish(&who);
    return step->who == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a name") : CVM_OK;
}

const char *cvm_plan_person(const char *who)
{
    const char *as = strstr(who, " as ");
    const char *name = as == NULL ? who : as + strlen(" as ");
    const char *colon = strchr(name, ':');
    return colon == NULL ? name : colon + 1;
}

enum cvm_status cvm_plan_step_find(struct cvm_plan_step *step, struct cvm_store *store,
                                   struct cvm_error *err)
{
    const char *run_id =
        step->arguments->positional_count > 0 ? step->arguments->positional[0] : "latest";
    enum cvm_status status = cvm_run_get(store, step->session->arena, run_id, &step->run, err);
    if (status == CVM_OK && strcmp(step->run.state, "done") != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' is %s: it has no plan yet",
                          step->run.run_id, step->run.state);
    }
    return status;
}

enum cvm_status cvm_plan_step_is_plan(const struct cvm_plan_step *step, struct cvm_error *err)
{
    if (step->run.summary != NULL) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_CONFLICT,
                 "run '%s' holds decisions of single customers, which were answered at once",
                 step->run.run_id);
    return cvm_error_hint(err, status, "`cvm stop add` stops a treatment or a channel at once.");
}

static const char *hint_of(const char *from, const char *to)
{
    static const struct {
        const char *from;
        const char *to;
        const char *hint;
    } hints[] = {
        {"draft", "released", "Approve it first: `cvm plan approve RUN`."},
        {"held", "released",
         "`cvm plan show RUN` says why it is held, `cvm plan approve RUN` lets it go."},
        {"released", "held", "It is out already: `cvm plan recall RUN --why TEXT` takes it back."},
        {"released", "draft", "It is out already: `cvm plan recall RUN --why TEXT` takes it back."},
        {"recalled", "", "A recalled plan stays so; `cvm run --replace` makes a new one."},
        {"closed", "", "A closed plan stays so."},
    };
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (strcmp(from, hints[i].from) == 0 &&
            (hints[i].to[0] == '\0' || strcmp(to, hints[i].to) == 0)) {
            return hints[i].hint;
        }
    }
    return NULL;
}

enum cvm_status cvm_plan_step_set(struct cvm_plan_step *step, struct cvm_store *writer,
                                  const char *state, const char *why, struct cvm_error *err)
{
    enum cvm_status status =
        cvm_plan_set_state(writer, step->run.run_id, state, step->who, why, err);
    const char *hint = hint_of(step->run.plan_state, state);
    return status == CVM_E_CONFLICT && hint != NULL ? cvm_error_hint(err, status, "%s", hint)
                                                    : status;
}

/* ---- what a check took out ---- */

enum cvm_status cvm_withdrawn_add(void *state, const struct cvm_decision *decision,
                                  struct cvm_error *err)
{
    struct cvm_withdrawn *withdrawn = state;
    withdrawn->count++;
    withdrawn->by_reason[decision->reason]++;
    if (withdrawn->shown == LISTED_MAX) {
        return CVM_OK;
    }
    struct cvm_withdrawn_item *item = CVM_NEW(withdrawn->arena, struct cvm_withdrawn_item);
    if (item == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a list of decisions");
    }
    item->customer_id = cvm_arena_string(withdrawn->arena, decision->customer_id);
    item->treatment = cvm_arena_string(withdrawn->arena, decision->treatment);
    item->reason = (enum cvm_reason)decision->reason;
    if (item->customer_id == NULL || item->treatment == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a list of decisions");
    }
    if (withdrawn->last == NULL) {
        withdrawn->first = item;
    } else {
        withdrawn->last->next = item;
    }
    withdrawn->last = item;
    withdrawn->shown++;
    return CVM_OK;
}

void cvm_withdrawn_write(const struct cvm_withdrawn *withdrawn, struct cvm_json_writer *json)
{
    cvm_json_key_object(json, "withdrawn");
    cvm_json_key_int(json, "count", withdrawn->count);
    cvm_json_key_object(json, "by_reason");
    for (int r = 0; r < CVM_REASON_COUNT; r++) {
        if (withdrawn->by_reason[r] > 0) {
            cvm_json_key_int(json, cvm_reason_name((enum cvm_reason)r), withdrawn->by_reason[r]);
        }
    }
    cvm_json_object_end(json);
    cvm_json_key_array(json, "decisions");
    for (const struct cvm_withdrawn_item *item = withdrawn->first; item != NULL;
         item = item->next) {
        cvm_json_object(json);
        cvm_json_key_string(json, "customer_id", item->customer_id);
        cvm_json_key_string(json, "treatment", item->treatment);
        cvm_json_key_string(json, "reason", cvm_reason_name(item->reason));
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_object_end(json);
}

void cvm_withdrawn_print(const struct cvm_withdrawn *withdrawn, FILE *out)
{
    static const char *const headers[] = {"customer", "treatment", "withdrawn because"};
    struct cvm_table table;
    char number[CVM_NUMBER_TEXT_SIZE];
    int64_t printed = 0;
    if (withdrawn->count == 0) {
        return;
    }
    fprintf(out, "\nWithdrawn, with their capacity returned: %s\n",
            cvm_grouped(withdrawn->count, number));
    for (int r = 0; r < CVM_REASON_COUNT; r++) {
        if (withdrawn->by_reason[r] > 0) {
            fprintf(out, "  %12s  %s\n", cvm_grouped(withdrawn->by_reason[r], number),
                    cvm_reason_sentence((enum cvm_reason)r));
        }
    }
    fputc('\n', out);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (const struct cvm_withdrawn_item *item = withdrawn->first;
         item != NULL && printed < PRINTED_MAX; item = item->next, printed++) {
        char words[CVM_REASON_WORDS_SIZE];
        cvm_table_add(&table, item->customer_id);
        cvm_table_add(&table, item->treatment);
        cvm_table_add(&table, cvm_reason_words(cvm_reason_name(item->reason), words));
    }
    cvm_table_print(&table, out);
    if (printed < withdrawn->count) {
        fprintf(out, "... and %s more; --json lists up to %d\n",
                cvm_grouped(withdrawn->count - printed, number), LISTED_MAX);
    }
}

/* ---- the check ---- */

static enum cvm_status withdraw(struct cvm_plan_step *step, struct cvm_work *work,
                                const struct cvm_release_request *request,
                                const struct cvm_release_check *check, const char *state,
                                struct cvm_withdrawn *withdrawn, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(work->store);
    if (check->failures.count == 0 && state == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_release_withdraw(work->engine, work->store, request, check, cvm_withdrawn_add,
                                      withdrawn, err);
    }
    if (status == CVM_OK && state != NULL) {
        status = cvm_plan_step_set(step, work->store, state, step->why, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

enum cvm_status cvm_plan_step_check(struct cvm_plan_step *step, struct cvm_work *work,
                                    struct cvm_release_request *request, const char *state,
                                    struct cvm_withdrawn *withdrawn, int64_t *out_checked,
                                    struct cvm_error *err)
{
    struct cvm_release_check check;
    cvm_release_check_init(&check);
    request->run_id = step->run.run_id;
    request->as_of_day = step->run.as_of_day;
    withdrawn->arena = step->session->arena;
    enum cvm_status status =
        cvm_release_day(work->store, step->run.as_of_day, cvm_session_today(step->session),
                        &request->check_day, err);
    if (status == CVM_OK) {
        status = cvm_release_check(work->engine, request, &check, err);
    }
    if (status == CVM_OK) {
        status = withdraw(step, work, request, &check, state, withdrawn, err);
    }
    if (status == CVM_OK) {
        *out_checked = check.checked;
    }
    cvm_release_check_finish(&check);
    return status;
}
