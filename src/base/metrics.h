/* metrics.h - counters, gauges and histograms by name and labels, written out in the Prometheus
 * text format.
 *
 * Register once (a lock), then add without one: a metric is an atomic. Names follow Prometheus:
 * cvm_<what>_<unit>_total.
 */
#ifndef CVM_BASE_METRICS_H
#define CVM_BASE_METRICS_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct cvm_metrics;
struct cvm_metric;

enum cvm_metric_kind { CVM_METRIC_COUNTER, CVM_METRIC_GAUGE, CVM_METRIC_HISTOGRAM };

struct cvm_metrics *cvm_metrics_create(void); /* NULL when out of memory */
void cvm_metrics_destroy(struct cvm_metrics *metrics);

/* The same name and labels give the same metric. `labels` is the inside of the braces,
 * `stage="journey"`, or "". Histograms have fixed buckets, powers of 4 from 1e-6 to 1e3 (seconds).
 * Metric is owned by the registry; NULL when metrics is NULL or memory ran out: cvm_metric_* accept
 * NULL. */
struct cvm_metric *cvm_metrics_get(struct cvm_metrics *metrics, enum cvm_metric_kind kind,
                                   const char *name, const char *labels, const char *help);
void cvm_metric_add(struct cvm_metric *metric, double amount);
void cvm_metric_set(struct cvm_metric *metric, double value);
void cvm_metric_observe(struct cvm_metric *metric, double value);
double cvm_metric_value(const struct cvm_metric *metric); /* of a histogram, the sum */
void cvm_metrics_write(struct cvm_metrics *metrics, struct cvm_text *out);

#endif
