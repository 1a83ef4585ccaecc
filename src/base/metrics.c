#include "base/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_COUNT 16 /* upper bounds 4^0 .. 4^15 millionths; above them only the total */

struct cvm_metric {
    struct cvm_metric *next; /* sorted by name, then labels: the order they are written in */
    enum cvm_metric_kind kind;
    char *name;
    char *labels;
    char *help;
    _Atomic double value; /* of a histogram, the sum */
    _Atomic uint64_t buckets[BUCKET_COUNT + 1];
};

struct cvm_metrics {
    pthread_mutex_t lock; /* guards the list; values are atomics */
    struct cvm_metric *first;
};

struct cvm_metrics *cvm_metrics_create(void)
{
    struct cvm_metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics != NULL && pthread_mutex_init(&metrics->lock, NULL) != 0) {
        free(metrics);
        return NULL;
    }
    return metrics;
}

static void metric_destroy(struct cvm_metric *metric)
{
    if (metric != NULL) {
        free(metric->name);
        free(metric->labels);
        free(metric->help);
        free(metric);
    }
}

void cvm_metrics_destroy(struct cvm_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    while (metrics->first != NULL) {
        struct cvm_metric *metric = metrics->first;
        metrics->first = metric->next;
        metric_destroy(metric);
    }
    (void)pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct cvm_metric *metric_create(enum cvm_metric_kind kind, const char *name,
                                        const char *labels, const char *help)
{
    struct cvm_metric *metric = calloc(1, sizeof(*metric));
    if (metric == NULL) {
        return NULL;
    }
    metric->kind = kind;
    metric->name = strdup(name);
    metric->labels = strdup(labels);
    metric->help = strdup(help);
    atomic_init(&metric->value, 0.0);
    for (int i = 0; i <= BUCKET_COUNT; i++) {
        atomic_init(&metric->buckets[i], 0);
    }
    if (metric->name == NULL || metric->labels == NULL || metric->help == NULL) {
        metric_destroy(metric);
        return NULL;
    }
    return metric;
}

struct cvm_metric *cvm_metrics_get(struct cvm_metrics *metrics, enum cvm_metric_kind kind,
                                   const char *name, const char *labels, const char *help)
{
    if (metrics == NULL) {
        return NULL;
    }
    labels = labels == NULL ? "" : labels;
    help = help == NULL ? "" : help;
    struct cvm_metric *found = NULL;
    (void)pthread_mutex_lock(&metrics->lock);
    struct cvm_metric **link = &metrics->first;
    int order = 1;
    while (*link != NULL) {
        order = strcmp((*link)->name, name);
        order = order != 0 ? order : strcmp((*link)->labels, labels);
        if (order >= 0) {
            break;
        }
        link = &(*link)->next;
    }
    if (*link != NULL && order == 0) {
        found = *link;
        assert(found->kind == kind);
    } else {
        found = metric_create(kind, name, labels, help);
        if (found != NULL) {
            found->next = *link;
            *link = found;
        }
    }
    (void)pthread_mutex_unlock(&metrics->lock);
    return found;
}

static void add_to(struct cvm_metric *metric, double amount)
{
    double old = atomic_load_explicit(&metric->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&metric->value, &old, old + amount,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void cvm_metric_add(struct cvm_metric *metric, double amount)
{
    if (metric != NULL) {
        assert(metric->kind != CVM_METRIC_HISTOGRAM);
        add_to(metric, amount);
    }
}

void cvm_metric_set(struct cvm_metric *metric, double value)
{
    if (metric != NULL) {
        assert(metric->kind == CVM_METRIC_GAUGE);
        atomic_store_explicit(&metric->value, value, memory_order_relaxed);
    }
}

static double bucket_bound(int bucket)
{
    return (double)((uint64_t)1 << (2 * bucket)) / 1e6;
}

void cvm_metric_observe(struct cvm_metric *metric, double value)
{
    if (metric == NULL) {
        return;
    }
    assert(metric->kind == CVM_METRIC_HISTOGRAM);
    int bucket = 0;
    while (bucket < BUCKET_COUNT && !(value <= bucket_bound(bucket))) {
        bucket++;
    }
    (void)atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
    add_to(metric, value);
}

double cvm_metric_value(const struct cvm_metric *metric)
{
    return metric == NULL ? 0.0 : atomic_load_explicit(&metric->value, memory_order_relaxed);
}

/* Prometheus spells them NaN, +Inf and -Inf. */
static void add_number(struct cvm_text *out, double value)
{
    if (value != value) {
        cvm_text_add(out, "NaN");
    } else if (value - value != 0.0) {
        cvm_text_add(out, value > 0 ? "+Inf" : "-Inf");
    } else {
        cvm_text_add_double(out, value);
    }
}

static void add_help(struct cvm_text *out, const char *help)
{
    for (const char *at = help; *at != '\0'; at++) {
        if (*at == '\\' || *at == '\n') {
            cvm_text_add_char(out, '\\');
            cvm_text_add_char(out, *at == '\n' ? 'n' : '\\');
        } else {
            cvm_text_add_char(out, *at);
        }
    }
}

static void write_head(const struct cvm_metric *metric, struct cvm_text *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    if (metric->help[0] != '\0') {
        cvm_text_add_format(out, "# HELP %s ", metric->name);
        add_help(out, metric->help);
        cvm_text_add_char(out, '\n');
    }
    cvm_text_add_format(out, "# TYPE %s %s\n", metric->name, kinds[metric->kind]);
}

/* name_suffix{labels,extra} */
static void write_series(const struct cvm_metric *metric, const char *suffix, const char *extra,
                         struct cvm_text *out)
{
    cvm_text_add(out, metric->name);
    cvm_text_add(out, suffix);
    if (metric->labels[0] != '\0' || extra[0] != '\0') {
        bool has_both = metric->labels[0] != '\0' && extra[0] != '\0';
        cvm_text_add_format(out, "{%s%s%s}", metric->labels, has_both ? "," : "", extra);
    }
    cvm_text_add_char(out, ' ');
}

static void write_histogram(struct cvm_metric *metric, struct cvm_text *out)
{
    uint64_t count = 0;
    for (int i = 0; i <= BUCKET_COUNT; i++) {
        count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        struct cvm_text bound;
        cvm_text_init(&bound, 0);
        cvm_text_add(&bound, "le=\"");
        add_number(&bound, i < BUCKET_COUNT ? bucket_bound(i) : 1.0 / 0.0);
        cvm_text_add(&bound, "\"");
        write_series(metric, "_bucket", cvm_text_string(&bound), out);
        cvm_text_add_int(out, (int64_t)count);
        cvm_text_add_char(out, '\n');
        out->failed = out->failed || bound.failed;
        cvm_text_finish(&bound);
    }
    write_series(metric, "_sum", "", out);
    add_number(out, cvm_metric_value(metric));
    cvm_text_add_char(out, '\n');
    write_series(metric, "_count", "", out);
    cvm_text_add_int(out, (int64_t)count);
    cvm_text_add_char(out, '\n');
}

void cvm_metrics_write(struct cvm_metrics *metrics, struct cvm_text *out)
{
    if (metrics == NULL) {
        return;
    }
    const char *name = "";
    (void)pthread_mutex_lock(&metrics->lock);
    for (struct cvm_metric *metric = metrics->first; metric != NULL; metric = metric->next) {
        if (strcmp(name, metric->name) != 0) {
            name = metric->name;
            write_head(metric, out);
        }
        if (metric->kind == CVM_METRIC_HISTOGRAM) {
            write_histogram(metric, out);
        } else {
            write_series(metric, "", "", out);
            add_number(out, cvm_metric_value(metric));
            cvm_text_add_char(out, '\n');
        }
    }
    (void)pthread_mutex_unlock(&metrics->lock);
}
