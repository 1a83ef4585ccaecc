#include "cli/world_respond.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/csv.h"
#include "base/file.h"
#include "storage/customers.h"
#include "world/world.h"

#define LINE_BYTES_MAX  4096
#define COLUMNS         11
#define ARENA_BYTES_MAX ((size_t)1 << 20)
#define OUT_BYTES       ((size_t)1 << 20)
#define CHECK_EVERY     65536
#define DELAY_DAYS_MAX  30

/* The run's decisions, ascending key; ids and treatments are offsets into `texts`. */
struct kept_decision {
    uint64_t key;
    size_t customer_id;
    size_t treatment; /* that was really given: "ignore" to a ghost */
    bool makes_no_contact;
    int delay_days; /* of the contact after the decision */
};

struct respond_job {
    const struct cvm_respond_request *request;
    const struct cvm_run_record *run;
    const struct cvm_context *context;
    struct cvm_column decisions;
    struct cvm_text texts;
    struct cvm_text out;
    struct cvm_arena *arena; /* of a line */
    FILE *truth;
    struct cvm_file_out *file;
    int64_t line;
    struct cvm_respond_result result;
};

static bool was_given_up(const struct cvm_decision *decision)
{
    return decision->state == CVM_DECISION_WITHDRAWN || decision->state == CVM_DECISION_NOT_SENT ||
           decision->state == CVM_DECISION_EXPIRED;
}

/* The day on which its contact window opens; that of the decision where there is none. */
static int delay_of(const struct respond_job *job, const struct cvm_decision *decision)
{
    if (decision->earliest_at_ms == 0) {
        return 0;
    }
    int32_t day = cvm_zone_day(job->request->zone, decision->earliest_at_ms);
    int delay = day - job->run->as_of_day;
    return delay > 0 && delay < DELAY_DAYS_MAX ? delay : 0;
}

static enum cvm_status keep_decision(void *state, const struct cvm_decision *decision,
                                     struct cvm_error *err)
{
    struct respond_job *job = state;
    const char *given = decision->ghost ? "ignore" : decision->treatment;
    void *slot = NULL;
    job->result.decisions++;
    if (was_given_up(decision)) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&job->decisions, 1, &slot, err);
    if (status != CVM_OK) {
        return status;
    }
    struct kept_decision *kept = slot;
    kept->key = decision->customer_key;
    kept->customer_id = job->texts.length;
    cvm_text_add_bytes(&job->texts, decision->customer_id, strlen(decision->customer_id) + 1);
    kept->treatment = job->texts.length;
    cvm_text_add_bytes(&job->texts, given, strlen(given) + 1);
    kept->makes_no_contact = decision->channel != NULL && strcmp(decision->channel, "none") == 0;
    kept->delay_days = delay_of(job, decision);
    return job->texts.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for decisions") : CVM_OK;
}

static bool has_id(const struct respond_job *job, const struct kept_decision *kept,
                   struct cvm_slice id)
{
    return cvm_slice_equals(id, job->texts.data + kept->customer_id);
}

/* Ids whose keys collided stand beside their own hash: the few next keys are looked at too. */
#define COLLISIONS_MAX 8
static const struct kept_decision *find_decision(const struct respond_job *job, struct cvm_slice id)
{
    const struct kept_decision *decisions = CVM_COLUMN_DATA(&job->decisions, struct kept_decision);
    uint64_t key = cvm_customer_key(id.data, id.length);
    size_t low = 0;
    size_t high = job->decisions.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (decisions[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (size_t i = low; i < job->decisions.count && decisions[i].key - key < COLLISIONS_MAX; i++) {
        if (has_id(job, &decisions[i], id)) {
            return &decisions[i];
        }
    }
    return NULL;
}

/* ---- one row of the truth ---- */

static enum cvm_status fail_line(const struct respond_job *job, struct cvm_error *err,
                                 const char *message)
{
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "%s", message);
    return cvm_error_where(err, status, "%s:%lld", job->request->truth_path, (long long)job->line);
}

static bool parse_number(struct cvm_slice field, double *out_number)
{
    char text[64];
    char *end = NULL;
    if (field.length == 0 || field.length >= sizeof(text)) {
        return false;
    }
    memcpy(text, field.data, field.length);
    text[field.length] = '\0';
    *out_number = strtod(text, &end);
    return *end == '\0';
}

static enum cvm_status parse_truth(const struct respond_job *job, const struct cvm_slice *fields,
                                   struct cvm_world_truth *out_truth, struct cvm_error *err)
{
    double *const numbers[COLUMNS - 2] = {
        &out_truth->churn,        &out_truth->reach, &out_truth->accept,
        &out_truth->margin,       &out_truth->worth, &out_truth->incentive,
        &out_truth->extra_margin, &out_truth->value, &out_truth->churn_cut,
    };
    for (size_t i = 0; i < COLUMNS - 2; i++) {
        if (!parse_number(fields[i + 2], numbers[i])) {
            return fail_line(job, err, "a number is expected in every column of the truth");
        }
    }
    return CVM_OK;
}

static int64_t count_words(const char *text, const char *word)
{
    int64_t count = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        count++;
    }
    return count;
}

static void play(struct respond_job *job, const struct kept_decision *kept,
                 const struct cvm_world_truth *truth)
{
    char id[CVM_DECISION_ID_SIZE];
    struct cvm_world_decision decision = {
        .decision_id = cvm_decision_id(job->run->run_id, kept->key, id),
        .customer_id = job->texts.data + kept->customer_id,
        .treatment = job->texts.data + kept->treatment,
        .day = job->run->as_of_day,
        .makes_no_contact = kept->makes_no_contact,
        .delay_days = kept->delay_days,
    };
    size_t before = job->out.length;
    cvm_world_respond(job->request->seed, &decision, truth, &job->out);
    const char *lines = cvm_text_string(&job->out) + before;
    job->result.answered++;
    job->result.outcomes += count_words(lines, "\n");
    job->result.accepted += count_words(lines, "\"accepted\"");
    job->result.churned += count_words(lines, "\"churned\"");
}

static enum cvm_status take_row(struct respond_job *job, const char *line, size_t length,
                                struct cvm_error *err)
{
    const char *comma = memchr(line, ',', length);
    struct cvm_slice *fields = NULL;
    struct cvm_world_truth truth;
    size_t count = 0;
    if (comma == NULL) {
        return fail_line(job, err, "this is no row of a truth file");
    }
    struct cvm_slice id = {line, (size_t)(comma - line)};
    const struct kept_decision *kept = find_decision(job, id);
    if (kept == NULL) {
        return CVM_OK;
    }
    cvm_arena_reset(job->arena);
    enum cvm_status status = cvm_csv_split(job->arena, line, length, ',', &fields, &count, err);
    if (status != CVM_OK || count != COLUMNS) {
        return fail_line(job, err, "this is no row of a truth file");
    }
    if (!cvm_slice_equals(fields[1], job->texts.data + kept->treatment)) {
        return CVM_OK;
    }
    status = parse_truth(job, fields, &truth, err);
    if (status == CVM_OK) {
        play(job, kept, &truth);
    }
    return status;
}

/* ---- files ---- */

static enum cvm_status flush(struct respond_job *job, struct cvm_error *err)
{
    if (job->out.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for outcomes");
    }
    FILE *stream = cvm_file_out_stream(job->file);
    if (fwrite(cvm_text_string(&job->out), 1, job->out.length, stream) != job->out.length) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write '%s': %s", job->request->out_path,
                        strerror(errno));
    }
    cvm_text_clear(&job->out);
    return CVM_OK;
}

static enum cvm_status read_truth(struct respond_job *job, struct cvm_error *err)
{
    char line[LINE_BYTES_MAX];
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && fgets(line, sizeof(line), job->truth) != NULL) {
        size_t length = strcspn(line, "\r\n");
        job->line++;
        if (job->line == 1 && strncmp(line, "customer_id,treatment,", 22) != 0) {
            return fail_line(job, err, "this is no truth file of `cvm generate --truth`");
        }
        if (job->line > 1 && length > 0) {
            status = take_row(job, line, length, err);
        }
        if (status == CVM_OK && job->out.length >= OUT_BYTES) {
            status = flush(job, err);
        }
        if (status == CVM_OK && job->line % CHECK_EVERY == 0) {
            status = cvm_context_check(job->context, err);
        }
    }
    if (status == CVM_OK && ferror(job->truth) != 0) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot read '%s': %s", job->request->truth_path,
                          strerror(errno));
    }
    return status == CVM_OK ? flush(job, err) : status;
}

static enum cvm_status open_streams(struct respond_job *job, struct cvm_error *err)
{
    job->arena = cvm_arena_create(ARENA_BYTES_MAX);
    if (job->arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for outcomes");
    }
    job->truth = fopen(job->request->truth_path, "rb");
    if (job->truth == NULL) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "cannot open '%s': %s", job->request->truth_path,
                        strerror(errno));
    }
    return cvm_file_out_open(job->request->out_path, &job->file, err);
}

enum cvm_status cvm_world_respond_run(struct cvm_store *store, const struct cvm_context *context,
                                      const struct cvm_run_record *run,
                                      const struct cvm_respond_request *request,
                                      struct cvm_respond_result *out_result, struct cvm_error *err)
{
    struct respond_job job = {.request = request, .run = run, .context = context};
    cvm_column_init(&job.decisions, sizeof(struct kept_decision));
    cvm_text_init(&job.texts, (size_t)16 << 30);
    cvm_text_init(&job.out, 0);
    enum cvm_status status = cvm_decision_scan(store, run->run_id, keep_decision, &job, err);
    if (status == CVM_OK) {
        status = open_streams(&job, err);
    }
    if (status == CVM_OK) {
        status = read_truth(&job, err);
    }
    if (status == CVM_OK) {
        status = cvm_file_out_commit(job.file, err);
    }
    cvm_file_out_close(job.file);
    if (job.truth != NULL) {
        (void)fclose(job.truth); /* opened for reading: nothing left to lose */
    }
    if (status == CVM_OK) {
        *out_result = job.result;
    }
    cvm_arena_destroy(job.arena);
    cvm_text_finish(&job.out);
    cvm_text_finish(&job.texts);
    cvm_column_finish(&job.decisions);
    return status;
}
