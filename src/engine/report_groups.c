/* How often each group is treated: one scan of the features that make the groups. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/report_internal.h"

/* Words of a feature that get a line of their own; the last is for all others. */
#define VALUES_MAX     48
#define LANGUAGES_MAX  48
#define VALUE_MISSING  (VALUES_MAX - 1)
#define LANGUAGE_OTHER (LANGUAGES_MAX - 1)

struct tally {
    int64_t customers, permitted, treated;
};

/* Per worker, so that nobody waits. */
struct group_worker {
    struct tally features[CVM_REPORT_GROUPS_MAX][VALUES_MAX];
    struct tally languages[LANGUAGES_MAX];
    char codes[LANGUAGES_MAX][CVM_LANGUAGE_SIZE];
    size_t language_count;
};

struct group_scan {
    struct cvm_report_job *job;
    struct group_worker *workers;
};

static void count(struct tally *tally, unsigned char flags)
{
    tally->customers++;
    tally->permitted += (flags & CVM_REPORT_PERMITTED) != 0 ? 1 : 0;
    tally->treated += (flags & CVM_REPORT_TREATED) != 0 ? 1 : 0;
}

static void add_tally(struct tally *total, const struct tally *part)
{
    total->customers += part->customers;
    total->permitted += part->permitted;
    total->treated += part->treated;
}

/* Codes beyond the room go under the last one. */
static struct tally *language_of(struct group_worker *worker, const char *code)
{
    for (size_t i = 0; i < worker->language_count; i++) {
        if (strcmp(worker->codes[i], code) == 0) {
            return &worker->languages[i];
        }
    }
    if (worker->language_count == LANGUAGE_OTHER) {
        return &worker->languages[LANGUAGE_OTHER];
    }
    size_t added = worker->language_count++;
    (void)!snprintf(worker->codes[added], CVM_LANGUAGE_SIZE, "%s", code);
    return &worker->languages[added];
}

static size_t value_of(double number)
{
    return number >= 0 && number < VALUE_MISSING ? (size_t)number : VALUE_MISSING;
}

static void count_customer(const struct group_scan *scan, struct group_worker *mine,
                           const struct cvm_chunk *chunk, size_t i, unsigned char flags)
{
    const struct cvm_catalogue *catalogue = scan->job->engine->catalogue;
    for (size_t g = 0; g < catalogue->report_group_count; g++) {
        size_t feature = (size_t)catalogue->report_groups[g];
        double number = chunk->features[feature * chunk->capacity + i];
        count(&mine->features[g][value_of(number)], flags);
    }
    const struct cvm_consent *consent = &chunk->consents[i];
    count(language_of(mine, consent->has_record ? consent->language : ""), flags);
}

static enum cvm_status count_chunk(void *state, size_t shard, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    const struct group_scan *scan = state;
    const struct cvm_report_base *base = &scan->job->base;
    const uint64_t *keys = base->keys.data;
    const unsigned char *flags = base->flags.data;
    size_t at = 0;
    size_t end = base->count;
    (void)shard;
    (void)err;
    while (at < end) { /* the first customer of the chunk */
        size_t middle = at + (end - at) / 2;
        if (keys[middle] < chunk->keys[0]) {
            at = middle + 1;
        } else {
            end = middle;
        }
    }
    for (size_t i = 0; i < chunk->count; i++) {
        while (at < base->count && keys[at] < chunk->keys[i]) {
            at++;
        }
        if (at == base->count) {
            break;
        }
        if (keys[at] == chunk->keys[i] && (flags[at] & CVM_REPORT_UNDECIDED) != 0) {
            count_customer(scan, &scan->workers[worker], chunk, i, flags[at]);
        }
    }
    return CVM_OK;
}

static enum cvm_status scan_groups(struct group_scan *scan, struct cvm_error *err)
{
    struct cvm_report_job *job = scan->job;
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    struct cvm_feature_set needed = {0};
    for (size_t g = 0; g < catalogue->report_group_count; g++) {
        cvm_feature_set_add(&needed, catalogue, (size_t)catalogue->report_groups[g]);
    }
    const struct cvm_scan_request request = {
        .window = {job->now->run.as_of_day, job->now->summary.since_day, &needed},
        .on_chunk = count_chunk,
        .state = scan,
    };
    return cvm_engine_scan(job->engine, &request, err);
}

/* ---- lines of the report ---- */

static int compare_groups(const void *a, const void *b)
{
    const struct cvm_report_group *left = a;
    const struct cvm_report_group *right = b;
    if (left->customers != right->customers) {
        return left->customers > right->customers ? -1 : 1;
    }
    return strcmp(left->value, right->value);
}

/* The groups of one feature stand at the end of the report's: largest first, rates and ratios. */
static void finish_feature(struct cvm_report *report, size_t first)
{
    struct cvm_report_group *groups = report->groups + first;
    size_t group_count = report->group_count - first;
    qsort(groups, group_count, sizeof(*groups), compare_groups);
    for (size_t i = 0; i < group_count; i++) {
        struct cvm_proportion largest =
            cvm_proportion_of((double)groups[0].treated, (double)groups[0].customers);
        struct cvm_proportion mine =
            cvm_proportion_of((double)groups[i].treated, (double)groups[i].customers);
        groups[i].is_reference = i == 0;
        groups[i].rate = cvm_proportion_interval(mine);
        groups[i].ratio =
            i == 0 ? (struct cvm_interval){1, 1, 1} : cvm_proportion_ratio(mine, largest);
    }
}

static void add_group(struct cvm_report *report, const struct cvm_report_group *group,
                      const struct tally *tally)
{
    if (tally->customers == 0) {
        return;
    }
    struct cvm_report_group *added = &report->groups[report->group_count++];
    *added = *group;
    added->customers = tally->customers;
    added->permitted = tally->permitted;
    added->treated = tally->treated;
}

static const char *word_of(const struct cvm_feature *feature, size_t value)
{
    static const char *const answers[] = {"no", "yes"};
    if (feature->words == NULL) {
        return value < 2 ? answers[value] : "not known";
    }
    for (size_t w = 0; feature->words[w] != NULL; w++) {
        if (w == value) {
            return feature->words[w];
        }
    }
    return "not known";
}

static enum cvm_status write_groups(const struct group_scan *scan, struct group_worker *total,
                                    struct cvm_error *err)
{
    struct cvm_report_job *job = scan->job;
    struct cvm_report *report = job->report;
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    size_t room = catalogue->report_group_count * VALUES_MAX + LANGUAGES_MAX;
    report->groups = CVM_NEW_ARRAY(job->arena, room, struct cvm_report_group);
    if (report->groups == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the groups of a report");
    }
    for (size_t g = 0; g < catalogue->report_group_count; g++) {
        const struct cvm_feature *feature = &catalogue->features[catalogue->report_groups[g]];
        bool has_words = feature->description != NULL && feature->description[0] != '\0';
        size_t first = report->group_count;
        for (size_t v = 0; v < VALUES_MAX; v++) {
            struct cvm_report_group group = {
                .feature = feature->name,
                .display_name = has_words ? feature->description : feature->name,
                .value = word_of(feature, v),
            };
            add_group(report, &group, &total->features[g][v]);
        }
        finish_feature(report, first);
    }
    size_t first = report->group_count;
    for (size_t i = 0; i < LANGUAGES_MAX; i++) {
        const char *code = i == LANGUAGE_OTHER          ? "others"
                           : total->codes[i][0] == '\0' ? "not known"
                                                        : total->codes[i];
        code = cvm_arena_string(job->arena, code);
        if (code == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the groups of a report");
        }
        struct cvm_report_group group = {
            .feature = "language",
            .display_name = "Language of the permission record",
            .value = code,
        };
        add_group(report, &group, &total->languages[i]);
    }
    finish_feature(report, first);
    return CVM_OK;
}

static void merge(struct group_worker *total, const struct group_worker *part, size_t features)
{
    for (size_t g = 0; g < features; g++) {
        for (size_t v = 0; v < VALUES_MAX; v++) {
            add_tally(&total->features[g][v], &part->features[g][v]);
        }
    }
    for (size_t i = 0; i < part->language_count; i++) {
        add_tally(language_of(total, part->codes[i]), &part->languages[i]);
    }
    add_tally(&total->languages[LANGUAGE_OTHER], &part->languages[LANGUAGE_OTHER]);
}

enum cvm_status cvm_report_groups_make(struct cvm_report_job *job, struct cvm_error *err)
{
    struct group_scan scan = {.job = job};
    size_t worker_count = job->engine->worker_count;
    if (!job->now->has_values) {
        return CVM_OK;
    }
    scan.workers = CVM_NEW_ARRAY(job->arena, worker_count + 1, struct group_worker);
    if (scan.workers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the groups of a report");
    }
    enum cvm_status status = scan_groups(&scan, err);
    if (status != CVM_OK) {
        return status;
    }
    struct group_worker *total = &scan.workers[worker_count];
    for (size_t w = 0; w < worker_count; w++) {
        merge(total, &scan.workers[w], job->engine->catalogue->report_group_count);
    }
    return write_groups(&scan, total, err);
}
