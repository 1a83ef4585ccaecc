/* dead-letter list, dead-letter show, dead-letter replay, dead-letter discard */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "storage/audit.h"
#include "storage/dead_letter.h"
#include "workflows/flow.h"

#define DEFAULT_LIMIT 20
#define BYTES_SHOWN   4096

static const char *const states[] = {"waiting", "replayed", "discarded", "all", NULL};

/* ---- list ---- */

struct list_job {
    struct cvm_session *session;
    struct cvm_document document;
    struct cvm_table table;
    int64_t count;
    int64_t last;
};

static void write_letter(struct cvm_json_writer *json, const struct cvm_dead_letter *letter)
{
    char id[2 * CVM_TURN_MESSAGE_ID_BYTES + 1];
    for (size_t i = 0; i < CVM_TURN_MESSAGE_ID_BYTES; i++) {
        (void)!snprintf(id + 2 * i, 3, "%02x", letter->message_id[i]);
    }
    cvm_json_key_int(json, "dead_letter", letter->dead_letter);
    cvm_json_key_string(json, "state", letter->state);
    cvm_json_key_string(json, "destination", letter->destination);
    cvm_json_key_string(json, "message_id", id);
    cvm_json_key_string(json, "workflow_id", letter->workflow_id);
    cvm_json_key(json, "step_no");
    if (letter->step_no < 0) {
        cvm_json_null(json);
    } else {
        cvm_json_int(json, letter->step_no);
    }
    cvm_json_key_int(json, "shard", letter->shard_no);
    cvm_json_key_string(json, "error_class", letter->error_class);
    cvm_json_key_string(json, "error", letter->error);
    cvm_json_key_int(json, "attempts", letter->attempts);
    cvm_json_key_moment(json, "first_at", letter->first_ms);
    cvm_json_key_moment(json, "last_at", letter->last_ms);
    cvm_json_key_moment(json, "settled_at", letter->settled_ms);
    cvm_json_key_string(json, "who", letter->who);
    cvm_json_key_string(json, "why", letter->why);
    cvm_json_key_int(json, "bytes", (int64_t)letter->length);
}

static enum cvm_status take_letter(void *state, const struct cvm_dead_letter *letter,
                                   struct cvm_error *err)
{
    struct list_job *job = state;
    char moment[CVM_MOMENT_TEXT_SIZE];
    (void)err;
    job->count++;
    job->last = letter->dead_letter;
    if (job->session->is_json) {
        cvm_json_object(&job->document.json);
        write_letter(&job->document.json, letter);
        cvm_json_object_end(&job->document.json);
        return CVM_OK;
    }
    cvm_table_add_format(&job->table, "%lld", (long long)letter->dead_letter);
    cvm_table_add(&job->table, letter->state);
    cvm_table_add(&job->table, letter->destination);
    cvm_table_add(&job->table, letter->workflow_id == NULL ? "-" : letter->workflow_id);
    cvm_table_add(&job->table, cvm_moment_format(letter->last_ms, moment));
    cvm_table_add_format(&job->table, "%lld", (long long)letter->attempts);
    cvm_table_add_format(&job->table, "%s: %.80s", letter->error_class, letter->error);
    return CVM_OK;
}

static enum cvm_status check_state(const char *state, struct cvm_error *err)
{
    for (int i = 0; states[i] != NULL; i++) {
        if (strcmp(states[i], state) == 0) {
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_INVALID,
                    "option --state: found '%s', one of waiting, replayed, discarded and all is "
                    "allowed",
                    state);
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {">letter", "state",     "for",  "workflow",
                                          "when",    ">attempts", "error"};
    struct list_job job = {.session = session};
    struct cvm_store *store = NULL;
    const char *state = cvm_argument(arguments, "--state");
    int64_t limit = DEFAULT_LIMIT;
    int64_t before = 0;
    state = state == NULL ? "waiting" : state;
    enum cvm_status status = cvm_session_page(session, arguments, &limit, &before, err);
    if (status == CVM_OK) {
        status = cvm_session_usage(session, check_state(state, err));
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&job.document);
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&job.document.json, "dead_letters");
    status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_dead_letter_list(store, strcmp(state, "all") == 0 ? NULL : state, before,
                                      limit, take_letter, &job, err);
    }
    cvm_store_close(store);
    cvm_json_array_end(&job.document.json);
    cvm_json_key_number(&job.document.json, "next_before", job.count == limit ? job.last : 0);
    return cvm_document_or_table(&job.document, &job.table, session, status, err);
}

static const struct cvm_option list_options[] = {
    {"--state", "S", "waiting (the default), replayed, discarded or all"},
    {"--limit", "N", "how many, newest first (default 20)"},
    {"--before", "LETTER", "only letters older than this one"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_dead_letter_list = {
    .name = "dead-letter list",
    .arguments = "",
    .summary = "Messages and workflows that were given up",
    .details = "  cvm dead-letter list\n  cvm dead-letter list --state all --limit 100",
    .options = list_options,
    .run = run_list,
};

/* ---- one ---- */

static enum cvm_status parse_number(const char *text, int64_t *out_number, struct cvm_error *err)
{
    bool is_number =
        text[0] != '\0' && strlen(text) < 18 && strspn(text, "0123456789") == strlen(text);
    if (!is_number) {
        return CVM_FAIL(err, CVM_E_INVALID, "found '%s', the number of a dead letter is expected",
                        text);
    }
    *out_number = strtoll(text, NULL, 10);
    return CVM_OK;
}

/* Printable characters as they are, runs of others as one dot: what it holds, not what it is. */
static void print_bytes(FILE *out, const unsigned char *bytes, size_t length)
{
    bool was_dot = false;
    for (size_t i = 0; i < length && i < BYTES_SHOWN; i++) {
        bool is_printable = bytes[i] >= ' ' && bytes[i] < 0x7F;
        if (is_printable || !was_dot) {
            (void)fputc(is_printable ? bytes[i] : '.', out);
        }
        was_dot = !is_printable;
    }
    fputs(length > BYTES_SHOWN ? "...\n" : "\n", out);
}

static void print_letter(FILE *out, const struct cvm_dead_letter *letter)
{
    char first[CVM_MOMENT_TEXT_SIZE];
    char last[CVM_MOMENT_TEXT_SIZE];
    fprintf(out, "letter %lld, %s, for '%s'\n", (long long)letter->dead_letter, letter->state,
            letter->destination);
    if (letter->workflow_id != NULL && letter->step_no >= 0) {
        fprintf(out, "of workflow %s, step %lld, shard %lld\n", letter->workflow_id,
                (long long)letter->step_no, (long long)letter->shard_no);
    } else if (letter->workflow_id != NULL) {
        fprintf(out, letter->envelope == NULL ? "workflow %s was given up\n" : "of workflow %s\n",
                letter->workflow_id);
    }
    fprintf(out, "%s: %s\n%lld attempts, given up %s", letter->error_class, letter->error,
            (long long)letter->attempts, cvm_moment_format(letter->first_ms, first));
    fprintf(out, letter->last_ms == letter->first_ms ? "\n" : ", again %s\n",
            cvm_moment_format(letter->last_ms, last));
    if (letter->settled_ms != 0) {
        fprintf(out, "%s %s by %s: %s\n", letter->state,
                cvm_moment_format(letter->settled_ms, first), letter->who, letter->why);
    }
    if (letter->envelope != NULL) {
        fprintf(out, "\n%zu bytes\n", letter->length);
        print_bytes(out, letter->envelope, letter->length);
    }
}

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_dead_letter letter;
    int64_t number = 0;
    enum cvm_status status =
        cvm_session_usage(session, parse_number(arguments->positional[0], &number, err));
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_READ, &store, err);
    }
    if (status == CVM_OK) {
        status = cvm_dead_letter_get(store, session->arena, number, &letter, err);
    }
    cvm_store_close(store);
    if (status == CVM_OK && session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        write_letter(&document.json, &letter);
        return cvm_document_print(&document, session, err);
    }
    if (status == CVM_OK) {
        print_letter(session->out, &letter);
    }
    return status;
}

const struct cvm_command cvm_command_dead_letter_show = {
    .name = "dead-letter show",
    .arguments = "LETTER",
    .summary = "Why a message was given up, and what it holds",
    .details = "Messages hold references and no customers' data.\n\n  cvm dead-letter show 3",
    .positional_min = 1,
    .positional_max = 1,
    .run = run_show,
};

/* ---- replay, discard ---- */

struct settle_job {
    struct cvm_session *session;
    int64_t number;
    const char *why;
    bool is_replay;
    struct cvm_dead_letter letter;
};

static enum cvm_status replay(struct settle_job *job, struct cvm_store *store,
                              struct cvm_error *err)
{
    enum cvm_workflow_state after = CVM_WORKFLOW_STATES;
    enum cvm_status status =
        cvm_dead_letter_replay(store, &job->letter, job->session->who, job->why, err);
    return status == CVM_OK && job->letter.envelope == NULL
               ? cvm_flow_order(store, job->session->arena, job->letter.workflow_id,
                                CVM_WORKFLOW_RESUME, &after, err)
               : status;
}

static enum cvm_status settle(void *state, struct cvm_store *store, struct cvm_error *err)
{
    struct settle_job *job = state;
    char object[48];
    enum cvm_status status =
        cvm_dead_letter_get(store, job->session->arena, job->number, &job->letter, err);
    if (status == CVM_OK) {
        status = job->is_replay ? replay(job, store, err)
                                : cvm_dead_letter_discard(store, job->number, job->session->who,
                                                          job->why, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    (void)snprintf(object, sizeof(object), "dead letter %lld", (long long)job->number);
    struct cvm_audit_row row = {
        .who = job->session->who,
        .action = "dead_letter",
        .object = object,
        .why = job->why,
        .before = "{\"state\":\"waiting\"}",
        .after = job->is_replay ? "{\"state\":\"replayed\"}" : "{\"state\":\"discarded\"}",
    };
    return cvm_audit_add(store, &row, err);
}

static enum cvm_status run_settle(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, bool is_replay,
                                  struct cvm_error *err)
{
    struct settle_job job = {
        .session = session, .why = cvm_argument(arguments, "--why"), .is_replay = is_replay};
    enum cvm_status status = CVM_OK;
    if (job.why == NULL && !is_replay) {
        status = CVM_FAIL(err, CVM_E_INVALID, "a letter is discarded with a reason");
        status = cvm_error_hint(err, status, "Say it with --why TEXT.");
        return cvm_session_usage(session, status);
    }
    job.why = job.why == NULL ? "" : job.why;
    status = cvm_session_usage(session, parse_number(arguments->positional[0], &job.number, err));
    if (status == CVM_OK) {
        status = cvm_session_change(session, settle, &job, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_int(&document.json, "dead_letter", job.number);
        cvm_json_key_string(&document.json, "state", is_replay ? "replayed" : "discarded");
        return cvm_document_print(&document, session, err);
    }
    if (!is_replay) {
        fprintf(session->out, "Letter %lld is discarded.\n", (long long)job.number);
    } else if (job.letter.envelope == NULL) {
        fprintf(session->out, "Workflow %s goes on.\n", job.letter.workflow_id);
    } else {
        fprintf(session->out, "Letter %lld is sent again, as it was.\n", (long long)job.number);
    }
    return CVM_OK;
}

static enum cvm_status run_replay(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_settle(session, arguments, true, err);
}

static enum cvm_status run_discard(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_settle(session, arguments, false, err);
}

static const struct cvm_option settle_options[] = {
    {"--why", "TEXT", "why, for the audit"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_dead_letter_replay = {
    .name = "dead-letter replay",
    .arguments = "LETTER",
    .summary = "Send a message again, or let a workflow go on",
    .details = "The message keeps its id and its key: work that was done meanwhile is not done\n"
               "twice.\n\n  cvm dead-letter replay 3 --why \"mended in 1.4\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = settle_options,
    .run = run_replay,
};

const struct cvm_command cvm_command_dead_letter_discard = {
    .name = "dead-letter discard",
    .arguments = "LETTER",
    .summary = "Give a message up for good, with a reason",
    .details = "  cvm dead-letter discard 3 --why \"of a test\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = settle_options,
    .run = run_discard,
};
