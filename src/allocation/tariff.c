#include "allocation/tariff.h"

#include <math.h>
#include <string.h>

bool cvm_row_forbids(const struct cvm_row *row, size_t customer_class, size_t treatment)
{
    switch (row->kind) {
    case CVM_ROW_CAPACITY:
    case CVM_ROW_SHARED:
    case CVM_ROW_SEGMENT_MAX:
    case CVM_ROW_RESERVE:
        return row->limit == 0 && cvm_row_use(row, customer_class, treatment, 0.0) > 0;
    case CVM_ROW_BUDGET:
    case CVM_ROW_SEGMENT_MIN:
    case CVM_ROW_SHARE_MIN:
    case CVM_ROW_SHARE_MAX:
        break;
    }
    return false;
}

static bool is_forbidden(const struct cvm_problem *problem, size_t customer_class, size_t treatment)
{
    for (size_t r = 0; r < problem->row_count; r++) {
        if (cvm_row_forbids(&problem->rows[r], customer_class, treatment)) {
            return true;
        }
    }
    return false;
}

static bool comes_before(const struct cvm_problem *problem, size_t a, size_t b)
{
    if (problem->tie_cost_micro != NULL &&
        problem->tie_cost_micro[a] != problem->tie_cost_micro[b]) {
        return problem->tie_cost_micro[a] < problem->tie_cost_micro[b];
    }
    if (problem->priorities != NULL && problem->priorities[a] != problem->priorities[b]) {
        return problem->priorities[a] < problem->priorities[b];
    }
    return a < b;
}

static bool can_be_given(const struct cvm_problem *problem, size_t treatment)
{
    size_t class_count = problem->class_count > 0 ? problem->class_count : 1;
    for (size_t c = 0; c < class_count; c++) {
        if (!is_forbidden(problem, c, treatment)) {
            return true;
        }
    }
    return false;
}

size_t cvm_tariff_order(const struct cvm_problem *problem,
                        unsigned char treatments[CVM_PROBLEM_TREATMENTS_MAX])
{
    size_t count = 0;
    for (size_t t = 0; t < problem->treatment_count; t++) {
        if (!can_be_given(problem, t)) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && comes_before(problem, t, treatments[at - 1]); at--) {
            treatments[at] = treatments[at - 1];
        }
        treatments[at] = (unsigned char)t;
    }
    return count;
}

enum cvm_status cvm_tariff_init(struct cvm_tariff *tariff, const struct cvm_problem *problem,
                                struct cvm_arena *arena, struct cvm_error *err)
{
    size_t treatment_count = problem->treatment_count;
    memset(tariff, 0, sizeof(*tariff));
    tariff->problem = problem;
    tariff->class_count = problem->class_count > 0 ? problem->class_count : 1;
    size_t padded = (tariff->class_count + 15) / 16 * 16;
    tariff->flat = CVM_NEW_ARRAY(arena, treatment_count * tariff->class_count + 1, double);
    /* Look-ups of up to 32 classes read two registers. */
    tariff->fare_flats = CVM_NEW_ARRAY(arena, treatment_count * padded + 32, float);
    tariff->flat_of_class = CVM_NEW_ARRAY(arena, treatment_count * tariff->class_count + 1, double);
    if (tariff->flat == NULL || tariff->flat_of_class == NULL || tariff->fare_flats == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the prices of %zu classes",
                        tariff->class_count);
    }
    tariff->count = cvm_tariff_order(problem, tariff->treatments);
    for (size_t place = 0; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        tariff->fares[place] = (struct cvm_fare){
            .flat = tariff->fare_flats + place * padded,
            .factor = (float)(2 * t + 1),
            .column = (uint32_t)(t * CVM_PROBLEM_BLOCK),
        };
    }
    double prices[CVM_PROBLEM_ROWS_MAX] = {0};
    cvm_tariff_set(tariff, prices);
    return CVM_OK;
}

static void add_row(struct cvm_tariff *tariff, const struct cvm_row *row, double price)
{
    size_t class_count = tariff->class_count;
    for (size_t t = 0; t < tariff->problem->treatment_count; t++) {
        double *flat = tariff->flat + t * class_count;
        if (!cvm_row_touches(row, t)) {
            continue;
        }
        double inside = price * cvm_row_natural(row, row->units[t]);
        double outside = price * cvm_row_natural(row, row->outside[t]);
        if (cvm_row_is_money(row)) {
            inside = price * row->flat[t];
            tariff->rate[t] += price * row->rate[t];
        }
        for (size_t c = 0; c < class_count; c++) {
            flat[c] += row->inside == NULL || row->inside[c] != 0 ? inside : outside;
        }
    }
}

static void set_fare(struct cvm_tariff *tariff, size_t place)
{
    struct cvm_fare *fare = &tariff->fares[place];
    size_t t = tariff->treatments[place];
    float *flats = tariff->fare_flats + (fare->flat - tariff->fare_flats);
    bool is_free = tariff->rate[t] == 0.0 && tariff->blur[t] == 0.0;
    for (size_t c = 0; c < tariff->class_count; c++) {
        double *flat = &tariff->flat[t * tariff->class_count + c];
        if (is_forbidden(tariff->problem, c, t)) {
            *flat = CVM_TARIFF_FORBIDDEN;
        }
        flats[c] = (float)*flat;
        is_free = is_free && *flat == 0.0;
    }
    fare->rate = (float)tariff->rate[t];
    fare->blur = (float)tariff->blur[t];
    fare->is_free = is_free;
}

void cvm_tariff_set(struct cvm_tariff *tariff, const double *prices)
{
    const struct cvm_problem *problem = tariff->problem;
    memset(tariff->flat, 0, problem->treatment_count * tariff->class_count * sizeof(*tariff->flat));
    memset(tariff->rate, 0, sizeof(tariff->rate));
    for (size_t r = 0; r < problem->row_count; r++) {
        if (prices[r] != 0.0) {
            add_row(tariff, &problem->rows[r], prices[r]);
        }
    }
    for (size_t place = 0; place < tariff->count; place++) {
        set_fare(tariff, place);
    }
    for (size_t t = 0; t < problem->treatment_count; t++) {
        for (size_t c = 0; c < tariff->class_count; c++) {
            tariff->flat_of_class[c * problem->treatment_count + t] =
                tariff->flat[t * tariff->class_count + c];
        }
    }
}
