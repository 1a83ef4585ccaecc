/* What was measured: churn of treated against control groups, over all runs so far; and responses.
 */
#include <math.h>
#include <string.h>

#include "engine/report_internal.h"
#include "evaluation/weighted.h"
#include "storage/outcome_store.h"
#include "storage/report_store.h"

/* Below this a difference is not shown as one: intervals hold, readers do not. */
#define GROUP_LEAST 100
#define CHURN_LEAST 10

/* Both groups of one comparison. */
struct comparison {
    struct cvm_weighted treated, controls;
    double treated_churned, controls_churned;
    double treated_expected, controls_expected;
};

struct measuring {
    const struct cvm_catalogue *catalogue;
    struct comparison universal;
    struct comparison holdouts[CVM_TREATMENTS_MAX];
};

/* Of values 0 and 1 the squares are the values. */
static void add_group(struct cvm_weighted *sums, const struct cvm_report_measured *measured)
{
    sums->count += measured->count;
    sums->weight += measured->weight;
    sums->weight2 += measured->weight2;
    sums->value += measured->value;
    sums->weight2_value += measured->weight2_value;
    sums->weight2_value2 += measured->weight2_value;
}

static void add_treated(struct comparison *comparison, const struct cvm_report_measured *measured)
{
    add_group(&comparison->treated, measured);
    comparison->treated_churned += measured->churned;
    comparison->treated_expected += measured->expected;
}

static void add_controls(struct comparison *comparison, const struct cvm_report_measured *measured)
{
    add_group(&comparison->controls, measured);
    comparison->controls_churned += measured->churned;
    comparison->controls_expected += measured->expected;
}

/* A ghost is compared by the treatment that it would have got. The universal control group
 * withholds marketing only, so only that is set against it. */
static enum cvm_status take_measured(void *state, const struct cvm_report_measured *measured,
                                     struct cvm_error *err)
{
    struct measuring *measuring = state;
    int treatment = cvm_catalogue_treatment(measuring->catalogue, measured->treatment);
    (void)err;
    if (treatment == CVM_INDEX_NONE) {
        return CVM_OK; /* it is no longer in the catalogue */
    }
    bool is_marketing =
        measuring->catalogue->treatments[treatment].purpose == CVM_PURPOSE_MARKETING;
    struct comparison *of_treatment = &measuring->holdouts[treatment];
    if (!measured->is_ghost && strcmp(measured->arm, "treated") == 0) {
        add_treated(of_treatment, measured);
        if (is_marketing) {
            add_treated(&measuring->universal, measured);
        }
    } else if (measured->is_ghost && strcmp(measured->arm, "universal_control") == 0) {
        if (is_marketing) {
            add_controls(&measuring->universal, measured);
        }
    } else if (measured->is_ghost) {
        add_controls(of_treatment, measured);
    }
    return CVM_OK;
}

static void add_outcome(struct cvm_report *report, const struct comparison *comparison,
                        const struct cvm_treatment *treatment)
{
    if (comparison->treated.count == 0 && comparison->controls.count == 0) {
        return;
    }
    struct cvm_proportion treated = cvm_weighted_proportion(&comparison->treated);
    struct cvm_proportion controls = cvm_weighted_proportion(&comparison->controls);
    struct cvm_report_outcome outcome = {
        .treatment = treatment == NULL ? NULL : treatment->id,
        .display_name = treatment == NULL ? "All marketing" : treatment->display_name,
        .treated = comparison->treated.count,
        .controls = comparison->controls.count,
        .treated_churned = comparison->treated_churned,
        .controls_churned = comparison->controls_churned,
        .treated_expected = comparison->treated_expected / (double)comparison->treated.count,
        .controls_expected = comparison->controls_expected / (double)comparison->controls.count,
        .treated_rate = cvm_proportion_interval(treated),
        .control_rate = cvm_proportion_interval(controls),
        .difference = cvm_proportion_difference(treated, controls),
        .smallest_fall = cvm_smallest_fall(controls.rate, treated.size, controls.size),
    };
    outcome.is_too_few = outcome.treated < GROUP_LEAST || outcome.controls < GROUP_LEAST ||
                         outcome.treated_churned + outcome.controls_churned < CHURN_LEAST;
    report->outcomes[report->outcome_count++] = outcome;
}

static enum cvm_status add_responses(struct cvm_report_job *job, struct cvm_error *err)
{
    struct cvm_report *report = job->report;
    const struct cvm_catalogue *catalogue = job->now->catalogue;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        struct cvm_learning learning;
        enum cvm_status status = cvm_learning_get(job->store, treatment->id, &learning, err);
        if (status != CVM_OK) {
            return status;
        }
        if (learning.contacts > 0) {
            report->responses[report->response_count++] = (struct cvm_report_response){
                .treatment = treatment->id,
                .display_name = treatment->display_name,
                .contacts = learning.contacts,
                .reached = learning.reached,
                .answers = learning.answers,
                .accepted = learning.accepted,
            };
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_report_outcomes_make(struct cvm_report_job *job, struct cvm_error *err)
{
    struct cvm_report *report = job->report;
    size_t count = job->now->catalogue->treatment_count;
    struct measuring *measuring = CVM_NEW(job->arena, struct measuring);
    report->outcomes = CVM_NEW_ARRAY(job->arena, count + 1, struct cvm_report_outcome);
    report->responses = CVM_NEW_ARRAY(job->arena, count + 1, struct cvm_report_response);
    if (measuring == NULL || report->outcomes == NULL || report->responses == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the outcomes of a report");
    }
    measuring->catalogue = job->now->catalogue;
    enum cvm_status status =
        cvm_report_measured(job->store, job->now->run.as_of_day, take_measured, measuring, err);
    if (status != CVM_OK) {
        return status;
    }
    add_outcome(report, &measuring->universal, NULL);
    for (size_t t = 0; t < count; t++) {
        add_outcome(report, &measuring->holdouts[t], &job->now->catalogue->treatments[t]);
    }
    return add_responses(job, err);
}
