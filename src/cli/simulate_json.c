#include <math.h>
#include <stdlib.h>

#include "cli/document.h"
#include "cli/simulate_report.h"
#include "model/money.h"

/* ---- a limit in the units of people ---- */

const char *cvm_simulate_limit_name(const struct cvm_catalogue *catalogue, size_t constraint,
                                    char text[CVM_LIMIT_NAME_SIZE])
{
    const struct cvm_constraint *limit = &catalogue->constraints[constraint];
    bool is_capacity = limit->kind == CVM_CONSTRAINT_CAPACITY && limit->treatments != 0;
    (void)!snprintf(text, CVM_LIMIT_NAME_SIZE, "%s%s",
                    is_capacity ? catalogue->treatments[__builtin_ctzll(limit->treatments)].id
                                : limit->id,
                    is_capacity ? ".max_per_day" : "");
    return text;
}

double cvm_simulate_amount(const struct cvm_constraint *constraint, int64_t amount)
{
    return (double)amount / (double)cvm_constraint_scale(constraint);
}

double cvm_simulate_price(const struct cvm_constraint *constraint, double price)
{
    return constraint->kind == CVM_CONSTRAINT_RESOURCE ? price * 1000 : price;
}

double cvm_simulate_used(const struct cvm_constraint *constraint,
                         const struct cvm_simulated_limit *limit)
{
    if (cvm_constraint_is_share(constraint)) {
        return limit->covered == 0 ? 0 : (double)limit->inside / (double)limit->covered;
    }
    return cvm_simulate_amount(constraint, llabs(limit->used));
}

/* ---- parts ---- */

static void write_limit(struct cvm_json_writer *json, const struct cvm_constraint *constraint,
                        const struct cvm_simulated_limit *limit)
{
    cvm_json_object(json);
    if (!limit->is_limited) {
        cvm_json_key(json, "limit");
        cvm_json_null(json);
        cvm_json_object_end(json);
        return;
    }
    cvm_json_key_double(json, "limit", cvm_simulate_amount(constraint, limit->granted));
    if (!cvm_constraint_is_share(constraint)) {
        cvm_json_key_double(json, "available", cvm_simulate_amount(constraint, limit->available));
    }
    cvm_json_key_double(json, "used", cvm_simulate_used(constraint, limit));
    cvm_json_key_double(json, "price", cvm_simulate_price(constraint, limit->price));
    cvm_json_key_double(json, "price_low", cvm_simulate_price(constraint, limit->price_low));
    cvm_json_key_double(json, "price_high", cvm_simulate_price(constraint, limit->price_high));
    cvm_json_key_bool(json, "binding", limit->is_binding);
    cvm_json_key_double(json, "shortfall", cvm_simulate_amount(constraint, limit->shortfall));
    cvm_json_object_end(json);
}

static void write_prices(struct cvm_json_writer *json, const struct cvm_catalogue *catalogue,
                         const struct cvm_simulated *result)
{
    char name[CVM_LIMIT_NAME_SIZE];
    cvm_json_key_object(json, "prices");
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        cvm_json_key(json, cvm_simulate_limit_name(catalogue, c, name));
        write_limit(json, &catalogue->constraints[c], &result->limits[c]);
    }
    cvm_json_object_end(json);
}

static void write_counts(struct cvm_json_writer *json, const struct cvm_simulation *simulation,
                         const struct cvm_simulated *result)
{
    const struct cvm_catalogue *catalogue = simulation->catalogue;
    cvm_json_key_object(json, "by_treatment");
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        if (result->treatments[t].treated + simulation->base.treatments[t].treated > 0) {
            cvm_json_key_int(json, catalogue->treatments[t].id, result->treatments[t].treated);
        }
    }
    cvm_json_object_end(json);
    cvm_json_key_object(json, "by_segment");
    for (size_t s = 0; s < catalogue->segment_count; s++) {
        cvm_json_key_int(json, catalogue->segments[s].name, result->segments[s].treated);
    }
    cvm_json_object_end(json);
}

static void write_change(struct cvm_json_writer *json, const char *name,
                         const struct cvm_simulated_part *now,
                         const struct cvm_simulated_part *before)
{
    cvm_json_key_object(json, name);
    cvm_json_key_int(json, "treated", now->treated - before->treated);
    cvm_json_key_double(json, "value", now->value - before->value);
    cvm_json_object_end(json);
}

static void write_difference(struct cvm_json_writer *json, const struct cvm_simulation *simulation,
                             const struct cvm_simulated *result)
{
    const struct cvm_catalogue *catalogue = simulation->catalogue;
    const struct cvm_simulated *base = &simulation->base;
    cvm_json_key_object(json, "difference");
    cvm_json_key_double(json, "value", result->value - base->value);
    cvm_json_key(json, "spend");
    cvm_json_micro(json, result->spend_micro - base->spend_micro);
    cvm_json_key_int(json, "treated", result->treated - base->treated);
    cvm_json_key_int(json, "changed_customers", result->changed);
    cvm_json_key_object(json, "by_treatment");
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        if (result->treatments[t].treated + base->treatments[t].treated > 0) {
            write_change(json, catalogue->treatments[t].id, &result->treatments[t],
                         &base->treatments[t]);
        }
    }
    cvm_json_object_end(json);
    cvm_json_key_object(json, "by_segment");
    for (size_t s = 0; s < catalogue->segment_count; s++) {
        write_change(json, catalogue->segments[s].name, &result->segments[s], &base->segments[s]);
    }
    cvm_json_object_end(json);
    cvm_json_object_end(json);
}

static void write_settings(struct cvm_json_writer *json, const struct cvm_catalogue *catalogue,
                           const struct cvm_scenario *scenario)
{
    cvm_json_key_object(json, "set");
    for (size_t s = 0; s < scenario->setting_count; s++) {
        const struct cvm_setting *setting = &scenario->settings[s];
        const struct cvm_constraint *constraint = &catalogue->constraints[setting->constraint];
        cvm_json_key(json, setting->name);
        if (setting->is_kept) {
            cvm_json_bool(json, true);
        } else if (setting->limit < 0) {
            cvm_json_string(json, CVM_SIMULATE_UNLIMITED);
        } else {
            cvm_json_double(json, cvm_simulate_amount(constraint, setting->limit));
        }
    }
    cvm_json_object_end(json);
}

static void write_head(struct cvm_json_writer *json, const struct cvm_simulated *result)
{
    cvm_json_key_double(json, "value", result->value);
    cvm_json_key_double(json, "dual_bound", result->dual_bound);
    cvm_json_key_double(json, "gap", result->gap);
    cvm_json_key_bool(json, "feasible", result->is_feasible);
    cvm_json_key(json, "spend");
    cvm_json_micro(json, result->spend_micro);
    cvm_json_key_int(json, "treated", result->treated);
}

static void write_conflicts(struct cvm_json_writer *json, const struct cvm_simulated *result)
{
    cvm_json_key_array(json, "infeasible");
    for (size_t i = 0; i < result->conflict_count; i++) {
        cvm_json_object(json);
        cvm_json_key_string(json, "message", result->conflicts[i].message);
        cvm_json_key_string(json, "relaxation", result->conflicts[i].relaxation);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static void write_scenario(struct cvm_json_writer *json, const struct cvm_simulation *simulation,
                           const struct cvm_simulated *result)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "name", result->scenario->name);
    write_settings(json, simulation->catalogue, result->scenario);
    write_head(json, result);
    write_counts(json, simulation, result);
    write_prices(json, simulation->catalogue, result);
    write_difference(json, simulation, result);
    write_conflicts(json, result);
    cvm_json_key_double(json, "seconds", result->seconds);
    cvm_json_object_end(json);
}

/* ---- a sweep ---- */

static void write_sweep(struct cvm_json_writer *json, const struct cvm_simulate_report *report)
{
    const struct cvm_simulate_input *input = report->input;
    const struct cvm_constraint *constraint =
        &report->simulation->catalogue->constraints[input->sweep_constraint];
    cvm_json_key_object(json, "sweep");
    cvm_json_key_string(json, "limit", input->sweep);
    cvm_json_key_array(json, "points");
    for (size_t i = 0; i < report->simulation->result_count; i++) {
        const struct cvm_simulated *point = &report->simulation->results[i];
        const struct cvm_simulated_limit *limit = &point->limits[input->sweep_constraint];
        cvm_json_object(json);
        cvm_json_key_double(json, "limit", input->points[i]);
        write_head(json, point);
        cvm_json_key_double(json, "used", cvm_simulate_used(constraint, limit));
        cvm_json_key_double(json, "price", cvm_simulate_price(constraint, limit->price));
        cvm_json_key_double(json, "price_low", cvm_simulate_price(constraint, limit->price_low));
        cvm_json_key_double(json, "price_high", cvm_simulate_price(constraint, limit->price_high));
        cvm_json_key_bool(json, "binding", limit->is_binding);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_object_end(json);
}

static void write_base(struct cvm_json_writer *json, const struct cvm_simulation *simulation)
{
    cvm_json_key_object(json, "base");
    write_head(json, &simulation->base);
    write_counts(json, simulation, &simulation->base);
    write_prices(json, simulation->catalogue, &simulation->base);
    cvm_json_object_end(json);
}

enum cvm_status cvm_simulate_print_json(const struct cvm_simulate_report *report,
                                        struct cvm_session *session, struct cvm_error *err)
{
    const struct cvm_simulation *simulation = report->simulation;
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    double solving = simulation->base.seconds;
    cvm_document_init(&document);
    cvm_json_key_string(json, "run_id", simulation->run.run_id);
    cvm_json_key_day(json, "as_of", simulation->run.as_of_day);
    cvm_json_key_int(json, "catalogue_version", simulation->run.catalogue_version);
    cvm_json_key_int(json, "customers", simulation->customers);
    cvm_json_key_double(json, "run_value", simulation->run_value);
    cvm_json_key_bool(json, "reproduced", simulation->is_reproduced);
    write_base(json, simulation);
    cvm_json_key_array(json, "scenarios");
    for (size_t i = 0; i < simulation->result_count; i++) {
        solving += simulation->results[i].seconds;
        if (report->input->sweep == NULL) {
            write_scenario(json, simulation, &simulation->results[i]);
        }
    }
    cvm_json_array_end(json);
    if (report->input->sweep != NULL) {
        write_sweep(json, report);
    }
    cvm_json_key_object(json, "seconds");
    cvm_json_key_double(json, "read", simulation->read_seconds);
    cvm_json_key_double(json, "solve", solving);
    cvm_json_object_end(json);
    return cvm_document_print(&document, session, err);
}
