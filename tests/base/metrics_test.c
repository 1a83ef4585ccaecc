#include "base/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/threads.h"

static void the_same_name_and_labels_give_the_same_metric(void **state)
{
    (void)state;
    struct cvm_metrics *metrics = cvm_metrics_create();
    struct cvm_metric *a = cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_a_total", "", "A.");
    struct cvm_metric *b =
        cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_a_total", "stage=\"x\"", "A.");
    assert_non_null(a);
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(a, cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_a_total", "", "A."));
    cvm_metric_add(a, 2);
    cvm_metric_add(a, 0.5);
    assert_true(cvm_metric_value(a) == 2.5);
    assert_true(cvm_metric_value(b) == 0.0);
    cvm_metrics_destroy(metrics);
}

static void who_does_not_count_pays_nothing(void **state)
{
    (void)state;
    struct cvm_metric *none = cvm_metrics_get(NULL, CVM_METRIC_GAUGE, "x", "", "");
    assert_null(none);
    cvm_metric_add(none, 1);
    cvm_metric_set(none, 1);
    cvm_metric_observe(none, 1);
    assert_true(cvm_metric_value(none) == 0.0);
    cvm_metrics_write(NULL, NULL);
    cvm_metrics_destroy(NULL);
}

static void metrics_are_written_sorted_in_the_prometheus_format(void **state)
{
    (void)state;
    struct cvm_metrics *metrics = cvm_metrics_create();
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_metric_set(cvm_metrics_get(metrics, CVM_METRIC_GAUGE, "cvm_z", "", "Line\nand \\."), -1.5);
    cvm_metric_add(
        cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_a_total", "stage=\"b\"", "Things."), 2);
    cvm_metric_add(
        cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_a_total", "stage=\"a\"", "Things."), 1);
    cvm_metric_set(cvm_metrics_get(metrics, CVM_METRIC_GAUGE, "cvm_y", "", ""), INFINITY);
    cvm_metrics_write(metrics, &text);
    assert_string_equal(cvm_text_string(&text), "# HELP cvm_a_total Things.\n"
                                                "# TYPE cvm_a_total counter\n"
                                                "cvm_a_total{stage=\"a\"} 1\n"
                                                "cvm_a_total{stage=\"b\"} 2\n"
                                                "# TYPE cvm_y gauge\n"
                                                "cvm_y +Inf\n"
                                                "# HELP cvm_z Line\\nand \\\\.\n"
                                                "# TYPE cvm_z gauge\n"
                                                "cvm_z -1.5\n");
    cvm_text_finish(&text);
    cvm_metrics_destroy(metrics);
}

static void a_histogram_counts_up_to_each_bound(void **state)
{
    (void)state;
    struct cvm_metrics *metrics = cvm_metrics_create();
    struct cvm_text text;
    cvm_text_init(&text, 0);
    struct cvm_metric *metric =
        cvm_metrics_get(metrics, CVM_METRIC_HISTOGRAM, "cvm_s_seconds", "stage=\"x\"", "");
    cvm_metric_observe(metric, 1e-6);
    cvm_metric_observe(metric, 3e-6);
    cvm_metric_observe(metric, 5000);
    cvm_metrics_write(metrics, &text);
    const char *written = cvm_text_string(&text);
    assert_non_null(strstr(written, "cvm_s_seconds_bucket{stage=\"x\",le=\"1e-06\"} 1\n"));
    assert_non_null(strstr(written, "cvm_s_seconds_bucket{stage=\"x\",le=\"4e-06\"} 2\n"));
    assert_non_null(strstr(written, "cvm_s_seconds_bucket{stage=\"x\",le=\"1073.741824\"} 2\n"));
    assert_non_null(strstr(written, "cvm_s_seconds_bucket{stage=\"x\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(written, "cvm_s_seconds_sum{stage=\"x\"} 5000.000004\n"));
    assert_non_null(strstr(written, "cvm_s_seconds_count{stage=\"x\"} 3\n"));
    cvm_text_finish(&text);
    cvm_metrics_destroy(metrics);
}

static enum cvm_status count_up(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    (void)worker;
    (void)err;
    const char *labels = item % 2 == 0 ? "half=\"even\"" : "half=\"odd\"";
    struct cvm_metric *metric =
        cvm_metrics_get(state, CVM_METRIC_COUNTER, "cvm_n_total", labels, "");
    cvm_metric_add(metric, 1);
    cvm_metric_observe(cvm_metrics_get(state, CVM_METRIC_HISTOGRAM, "cvm_h", "", ""), 1);
    return CVM_OK;
}

static void no_count_is_lost_between_threads(void **state)
{
    (void)state;
    struct cvm_metrics *metrics = cvm_metrics_create();
    struct cvm_pool *pool = NULL;
    assert_int_equal(cvm_pool_create(4, &pool, NULL), CVM_OK);
    assert_int_equal(cvm_pool_run(pool, 20000, count_up, metrics, NULL), CVM_OK);
    struct cvm_metric *even =
        cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_n_total", "half=\"even\"", "");
    assert_true(cvm_metric_value(even) == 10000.0);
    struct cvm_metric *sum = cvm_metrics_get(metrics, CVM_METRIC_HISTOGRAM, "cvm_h", "", "");
    assert_true(cvm_metric_value(sum) == 20000.0);
    cvm_pool_destroy(pool);
    cvm_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_name_and_labels_give_the_same_metric),
        cmocka_unit_test(who_does_not_count_pays_nothing),
        cmocka_unit_test(metrics_are_written_sorted_in_the_prometheus_format),
        cmocka_unit_test(a_histogram_counts_up_to_each_bound),
        cmocka_unit_test(no_count_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
