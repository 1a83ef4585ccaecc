#include "engine/explain_line.h"

#include <math.h>

#include "engine/report_internal.h"
#include "engine/usage.h"

struct given {
    uint64_t key;
    int treatment;
};

struct marginal {
    uint64_t key;
    double value, margin, lead;
};

struct line_job {
    const struct cvm_explain_run *run;
    struct cvm_control_groups control;
    struct cvm_control_walk members;
    struct cvm_column given; /* struct given, ascending key */
    size_t given_at;
    uint64_t key; /* of the customer in question, who is in no line of others */
    int given_to; /* the treatment of that customer */
    double lead[CVM_TREATMENTS_MAX];
    int64_t treated[CVM_TREATMENTS_MAX];
    int64_t ahead[CVM_TREATMENTS_MAX];
    struct marginal last_in[CVM_TREATMENTS_MAX];   /* key 0 and lead INFINITY: nobody */
    struct marginal first_out[CVM_TREATMENTS_MAX]; /* -INFINITY */
};

/* ---- one customer ---- */

/* What each treatment leaves above its price; NaN where it is refused or withheld. */
struct margins {
    double of[CVM_TREATMENTS_MAX];
    double best, second; /* 0 or more: nothing leaves nothing */
    size_t best_treatment;
};

static void find_margins(const struct line_job *job, const struct cvm_values_view *view, size_t row,
                         uint64_t withheld, struct margins *margins)
{
    const struct cvm_explain_run *run = job->run;
    const struct cvm_usage_customer user = {
        .margin = (double)cvm_values_margin(view, row),
        .groups = cvm_values_groups(view, row),
    };
    *margins = (struct margins){.best_treatment = SIZE_MAX};
    for (size_t t = 0; t < view->treatment_count; t++) {
        margins->of[t] = NAN;
        if (cvm_values_reason(view, row, t) != CVM_REASON_PERMITTED || (withheld >> t & 1) != 0) {
            continue;
        }
        double margin = (double)cvm_values_value(view, row, t) -
                        cvm_usage_price(run->catalogue, run->summary.prices, t, &user);
        margins->of[t] = margin;
        if (margin > margins->best) {
            margins->second = margins->best;
            margins->best = margin;
            margins->best_treatment = t;
        } else if (margin > margins->second) {
            margins->second = margin;
        }
    }
}

/* Above the best other choice, which may be nothing. */
static double lead_of(const struct margins *margins, size_t treatment)
{
    return margins->of[treatment] -
           (margins->best_treatment == treatment ? margins->second : margins->best);
}

/* ---- everybody ---- */

static int given_to(struct line_job *job, uint64_t key)
{
    const struct given *given = CVM_COLUMN_DATA(&job->given, const struct given);
    while (job->given_at < job->given.count && given[job->given_at].key < key) {
        job->given_at++;
    }
    bool is_found = job->given_at < job->given.count && given[job->given_at].key == key;
    return is_found ? given[job->given_at].treatment : CVM_INDEX_NONE;
}

static void count_pair(struct line_job *job, size_t t, bool is_given,
                       const struct marginal *customer)
{
    bool was_given = job->given_to == (int)t;
    job->treated[t] += is_given ? 1 : 0;
    if (is_given && customer->lead < job->last_in[t].lead) {
        job->last_in[t] = *customer;
    }
    if (!is_given && customer->lead > job->first_out[t].lead) {
        job->first_out[t] = *customer;
    }
    /* Among those who got it for one of them, else among those who did not. */
    if (customer->key != job->key && is_given == was_given && customer->lead > job->lead[t]) {
        job->ahead[t]++;
    }
}

static void count_customer(struct line_job *job, const struct cvm_values_view *view, size_t row)
{
    struct margins margins;
    struct marginal customer = {.key = cvm_values_key(view, row)};
    bool is_member = cvm_control_walk_has(&job->members, customer.key);
    int given = given_to(job, customer.key);
    find_margins(job, view, row, cvm_control_withheld(&job->control, is_member, customer.key),
                 &margins);
    for (size_t t = 0; t < view->treatment_count; t++) {
        if (!isnan(margins.of[t])) {
            customer.value = (double)cvm_values_value(view, row, t);
            customer.margin = margins.of[t];
            customer.lead = lead_of(&margins, t);
            count_pair(job, t, given == (int)t, &customer);
        }
    }
}

static enum cvm_status take_block(void *state, const struct cvm_value_block *block,
                                  struct cvm_error *err)
{
    struct line_job *job = state;
    struct cvm_values_view view;
    enum cvm_status status = cvm_values_open(block->body, block->length, &view, err);
    if (status == CVM_OK && view.treatment_count != job->run->catalogue->treatment_count) {
        status = CVM_FAIL(err, CVM_E_CORRUPT,
                          "a stored block has values of %zu treatments instead of %zu",
                          view.treatment_count, job->run->catalogue->treatment_count);
    }
    for (size_t row = 0; status == CVM_OK && row < view.count; row++) {
        count_customer(job, &view, row);
    }
    return status;
}

static enum cvm_status take_decision(void *state, const struct cvm_decision *decision,
                                     struct cvm_error *err)
{
    struct line_job *job = state;
    void *slot = NULL;
    if (decision->ghost) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&job->given, 1, &slot, err);
    if (status == CVM_OK) {
        *(struct given *)slot =
            (struct given){decision->customer_key,
                           cvm_catalogue_treatment(job->run->catalogue, decision->treatment)};
    }
    return status;
}

/* ---- the answer ---- */

/* Prices may lie anywhere between low and high; what the treatment costs then. */
static void find_range(const struct cvm_explain_run *run, const struct cvm_explain_place *place,
                       size_t treatment, struct cvm_explained_line *line)
{
    const struct cvm_catalogue *catalogue = run->catalogue;
    const struct cvm_usage_customer user = {
        .margin = (double)cvm_values_margin(place->view, place->row),
        .groups = cvm_values_groups(place->view, place->row),
    };
    double low[CVM_CONSTRAINTS_MAX] = {0};
    double high[CVM_CONSTRAINTS_MAX] = {0};
    bool is_known = true;
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        const struct cvm_run_limit *solved = &run->summary.solved[c];
        if ((catalogue->constraints[c].treatments >> treatment & 1) != 0 &&
            run->summary.prices[c] > 0) {
            is_known &= solved->is_solved;
            low[c] = solved->price_low;
            high[c] = solved->price_high;
        }
    }
    double one = cvm_usage_price(catalogue, low, treatment, &user);
    double other = cvm_usage_price(catalogue, high, treatment, &user);
    line->price_low = is_known ? fmin(one, other) : NAN;
    line->price_high = is_known ? fmax(one, other) : NAN;
}

static enum cvm_status name_marginal(const struct cvm_explain_run *run,
                                     const struct marginal *marginal,
                                     struct cvm_marginal_customer *out_customer,
                                     struct cvm_error *err)
{
    if (!isfinite(marginal->lead)) {
        return CVM_OK;
    }
    out_customer->value = marginal->value;
    out_customer->margin = marginal->margin;
    out_customer->lead = marginal->lead;
    return cvm_customer_id(run->store, run->arena, marginal->key, &out_customer->customer_id, err);
}

static enum cvm_status fill_line(const struct line_job *job, const struct cvm_explain_place *place,
                                 struct cvm_explained_treatment *treatment, struct cvm_error *err)
{
    size_t t = (size_t)treatment->treatment;
    struct cvm_explained_line *line = &treatment->line;
    *line = (struct cvm_explained_line){
        .is_known = true,
        .is_binding = treatment->price > 0,
        .treated = job->treated[t],
        .lead = job->lead[t],
        .ahead = job->ahead[t],
    };
    find_range(job->run, place, t, line);
    enum cvm_status status = name_marginal(job->run, &job->last_in[t], &line->last_in, err);
    return status == CVM_OK ? name_marginal(job->run, &job->first_out[t], &line->first_out, err)
                            : status;
}

static enum cvm_status walk(struct line_job *job, const struct cvm_explain_place *place,
                            struct cvm_error *err)
{
    const struct cvm_explain_run *run = job->run;
    struct margins margins;
    enum cvm_status status =
        cvm_report_control_load(run->store, run->arena, &run->summary, &job->control, err);
    if (status == CVM_OK) {
        status = cvm_decision_scan(run->store, run->record.run_id, take_decision, job, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    /* Of the customer in question as if nothing were withheld: how they stand by their value. */
    find_margins(job, place->view, place->row, 0, &margins);
    for (size_t t = 0; t < run->catalogue->treatment_count; t++) {
        job->lead[t] = isnan(margins.of[t]) ? NAN : lead_of(&margins, t);
        job->last_in[t].lead = INFINITY;
        job->first_out[t].lead = -INFINITY;
    }
    job->members = cvm_control_walk_members(&job->control);
    return cvm_value_block_scan(run->store, run->record.run_id, take_block, job, err);
}

enum cvm_status cvm_explain_lines(const struct cvm_explain_run *run,
                                  const struct cvm_explain_place *place, int given,
                                  struct cvm_explained_treatment *treatments,
                                  size_t treatment_count, struct cvm_error *err)
{
    struct line_job *job = CVM_NEW(run->arena, struct line_job);
    if (place->row == SIZE_MAX) {
        return CVM_OK; /* nothing is kept to stand in line with */
    }
    if (job == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
    }
    job->run = run;
    job->given_to = given;
    job->key = cvm_values_key(place->view, place->row);
    cvm_column_init(&job->given, sizeof(struct given));
    enum cvm_status status = walk(job, place, err);
    for (size_t i = 0; status == CVM_OK && i < treatment_count; i++) {
        if (treatments[i].is_eligible) {
            status = fill_line(job, place, &treatments[i], err);
        }
    }
    cvm_column_finish(&job->given);
    cvm_control_groups_finish(&job->control);
    return status;
}
