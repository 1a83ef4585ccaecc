/* capacity show, capacity reset */
#include <math.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "engine/prices.h"
#include "storage/audit.h"
#include "storage/ledger.h"

static enum cvm_status parse(struct cvm_session *session, const struct cvm_arguments *arguments,
                             int32_t *out_day, struct cvm_error *err)
{
    *out_day = cvm_session_today(session);
    return cvm_session_usage(session, cvm_argument_day(arguments, "--as-of", out_day, err));
}

struct capacity {
    const struct cvm_constraint *constraint;
    struct cvm_ledger_row row;
    bool is_limited;
    double price; /* of one unit, on this day; NaN = not known */
    struct cvm_run_limit solved;
};

/* A capacity of nothing is used up. */
static double usage_percent(const struct capacity *capacity)
{
    int64_t taken = capacity->row.held + capacity->row.confirmed;
    if (!capacity->is_limited) {
        return 0;
    }
    return capacity->row.granted == 0 ? 100 : 100 * (double)taken / (double)capacity->row.granted;
}

static int64_t remaining(const struct capacity *capacity)
{
    return capacity->row.granted - capacity->row.held - capacity->row.confirmed;
}

/* Prices of a resource are per thousandth inside. */
static double price_scale(const struct capacity *capacity)
{
    return capacity->constraint->kind == CVM_CONSTRAINT_RESOURCE ? 1000 : 1;
}

/* Of the day's run for everybody, if there was one. */
static enum cvm_status load_prices(struct cvm_work *work, int32_t day, struct capacity *capacities,
                                   struct cvm_error *err)
{
    const struct cvm_prices *prices = NULL;
    enum cvm_status status =
        cvm_prices_load(work->store, work->catalogue, day, work->session->arena, &prices, err);
    for (size_t c = 0; status == CVM_OK && c < work->catalogue->constraint_count; c++) {
        capacities[c].price = prices->result.prices[c] * price_scale(&capacities[c]);
        capacities[c].solved = prices->result.solved[c];
    }
    return status == CVM_E_NOT_FOUND ? CVM_OK : status;
}

static enum cvm_status load(struct cvm_work *work, int32_t day,
                            struct capacity capacities[CVM_CONSTRAINTS_MAX], struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t c = 0; status == CVM_OK && c < work->catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &work->catalogue->constraints[c];
        capacities[c] = (struct capacity){
            .constraint = constraint,
            .is_limited = constraint->limit >= 0 && constraint->period != CVM_PERIOD_RUN,
            .price = NAN,
        };
        if (capacities[c].is_limited) {
            status = cvm_ledger_row(work->store, constraint, day, NULL, &capacities[c].row, err);
        }
    }
    return status == CVM_OK ? load_prices(work, day, capacities, err) : status;
}

/* ---- JSON ---- */

static void write_amount(struct cvm_json_writer *json, const char *key,
                         const struct capacity *capacity, int64_t amount)
{
    cvm_json_key(json, key);
    if (!capacity->is_limited) {
        cvm_json_null(json);
        return;
    }
    cvm_constraint_write_amount(capacity->constraint, amount, json);
}

/* What the day's solve found one unit to be worth. */
static void write_price(struct cvm_json_writer *json, const struct capacity *capacity)
{
    const struct cvm_run_limit *solved = &capacity->solved;
    double scale = price_scale(capacity);
    cvm_json_key_double(json, "shadow_price", capacity->price);
    cvm_json_key_double(json, "price_low", solved->is_solved ? solved->price_low * scale : NAN);
    cvm_json_key_double(json, "price_high", solved->is_solved ? solved->price_high * scale : NAN);
    cvm_json_key(json, "binding");
    if (solved->is_solved) {
        cvm_json_bool(json, solved->is_binding);
    } else {
        cvm_json_null(json);
    }
}

static void write_capacity(struct cvm_json_writer *json, const char *name,
                           const struct capacity *capacity)
{
    bool is_treatment = capacity->constraint->kind == CVM_CONSTRAINT_CAPACITY;
    cvm_json_key_object(json, name);
    write_amount(json, is_treatment ? "max_per_day" : "limit", capacity,
                 capacity->constraint->limit);
    write_amount(json, "granted", capacity, capacity->row.granted);
    write_amount(json, "held", capacity, capacity->row.held);
    write_amount(json, "confirmed", capacity, capacity->row.confirmed);
    write_amount(json, "remaining", capacity, remaining(capacity));
    cvm_json_key_double(json, "usage_percent", usage_percent(capacity));
    cvm_json_key_bool(json, "available", !capacity->is_limited || remaining(capacity) > 0);
    cvm_json_key_string(json, "period", capacity->is_limited ? capacity->row.period : NULL);
    write_price(json, capacity);
    cvm_json_object_end(json);
}

static void write_kind(struct cvm_json_writer *json, const struct cvm_catalogue *catalogue,
                       const struct capacity *capacities, enum cvm_constraint_kind kind)
{
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        bool is_treatment = c < catalogue->treatment_count;
        if (capacities[c].constraint->kind == kind) {
            write_capacity(
                json, is_treatment ? catalogue->treatments[c].id : capacities[c].constraint->id,
                &capacities[c]);
        }
    }
}

static enum cvm_status print_document(struct cvm_session *session,
                                      const struct cvm_catalogue *catalogue,
                                      const struct capacity *capacities, int32_t day,
                                      struct cvm_error *err)
{
    static const struct {
        const char *key;
        enum cvm_constraint_kind kind;
    } groups[] = {
        {"treatments", CVM_CONSTRAINT_CAPACITY},
        {"resources", CVM_CONSTRAINT_RESOURCE},
        {"budgets", CVM_CONSTRAINT_BUDGET},
    };
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_day(&document.json, "date", day);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        cvm_json_key_object(&document.json, groups[i].key);
        write_kind(&document.json, catalogue, capacities, groups[i].kind);
        cvm_json_object_end(&document.json);
    }
    return cvm_document_print(&document, session, err);
}

/* ---- people ---- */

static const char *amount_text(const struct capacity *capacity, int64_t amount,
                               char text[CVM_NUMBER_TEXT_SIZE])
{
    int64_t scale = cvm_constraint_scale(capacity->constraint);
    return scale == 1 ? cvm_grouped(amount, text) : cvm_money((double)amount / (double)scale, text);
}

static void add_price(struct cvm_table *table, const struct capacity *capacity)
{
    const struct cvm_run_limit *solved = &capacity->solved;
    double scale = price_scale(capacity);
    if (!solved->is_solved || isnan(capacity->price)) {
        cvm_table_add(table, "");
        cvm_table_add(table, "");
        cvm_table_add(table, "");
        return;
    }
    cvm_table_add_format(table, "%.4g", capacity->price);
    cvm_table_add_format(table, "%.4g to %.4g", solved->price_low * scale,
                         solved->price_high * scale);
    cvm_table_add(table, solved->is_binding ? "binding" : "not binding");
}

static void print_capacities(struct cvm_session *session, const struct cvm_catalogue *catalogue,
                             const struct capacity *capacities)
{
    static const char *const headers[] = {"what",   ">granted", ">held",  ">used",  ">remaining",
                                          ">usage", "period",   ">price", ">range", ""};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        const struct capacity *capacity = &capacities[c];
        const int64_t amounts[] = {capacity->row.granted, capacity->row.held,
                                   capacity->row.confirmed, remaining(capacity)};
        cvm_table_add(&table, c < catalogue->treatment_count ? catalogue->treatments[c].display_name
                                                             : capacity->constraint->display_name);
        for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
            cvm_table_add(&table,
                          capacity->is_limited ? amount_text(capacity, amounts[i], text) : "any");
        }
        cvm_table_add_format(&table, "%.1f %%", usage_percent(capacity));
        cvm_table_add(&table, capacity->is_limited ? capacity->row.period : "");
        add_price(&table, capacity);
    }
    cvm_table_print(&table, session->out);
}

/* Both commands end with the state of everything scarce; `act` loads or changes it first. */
static enum cvm_status run_with(struct cvm_session *session, const struct cvm_arguments *arguments,
                                enum cvm_db_access access,
                                enum cvm_status (*act)(struct cvm_work *work, int32_t day,
                                                       struct capacity *capacities,
                                                       struct cvm_error *err),
                                struct cvm_error *err)
{
    struct cvm_work_options options = {.access = access};
    struct cvm_work work;
    struct capacity capacities[CVM_CONSTRAINTS_MAX];
    int32_t day = 0;
    enum cvm_status status = parse(session, arguments, &day, err);
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = act(&work, day, capacities, err);
    if (status == CVM_OK && session->is_json) {
        status = print_document(session, work.catalogue, capacities, day, err);
    } else if (status == CVM_OK) {
        print_capacities(session, work.catalogue, capacities);
    }
    cvm_work_close(&work);
    return status;
}

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    return run_with(session, arguments, CVM_DB_READ, load, err);
}

static const struct cvm_option show_options[] = {
    {"--as-of", "D", "of the periods that this day lies in (default: today)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_capacity_show = {
    .name = "capacity show",
    .arguments = "",
    .summary = "What is granted, held, used and left of everything scarce, and its price",
    .details = "  cvm capacity show --as-of 2024-03-20",
    .options = show_options,
    .run = run_show,
};

/* ---- reset ---- */

static void write_state(const struct cvm_catalogue *catalogue, const struct capacity *capacities,
                        struct cvm_text *out)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, out, false);
    cvm_json_object(&json);
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        if (capacities[c].is_limited) {
            write_capacity(&json, capacities[c].constraint->id, &capacities[c]);
        }
    }
    cvm_json_object_end(&json);
}

static enum cvm_status audit(struct cvm_work *work, int32_t day, const struct capacity *before,
                             const struct capacity *after, struct cvm_error *err)
{
    struct cvm_text texts[2];
    char date[CVM_DAY_TEXT_SIZE];
    cvm_text_init(&texts[0], 0);
    cvm_text_init(&texts[1], 0);
    write_state(work->catalogue, before, &texts[0]);
    write_state(work->catalogue, after, &texts[1]);
    struct cvm_audit_row row = {
        .at_ms = cvm_context_now_ms(&work->session->context),
        .who = work->session->who,
        .action = "capacity",
        .object = cvm_day_format(day, date),
        .why = "cvm capacity reset",
        .before = cvm_text_string(&texts[0]),
        .after = cvm_text_string(&texts[1]),
    };
    enum cvm_status status = texts[0].failed || texts[1].failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the audit row")
                                 : cvm_audit_add(work->store, &row, err);
    cvm_text_finish(&texts[0]);
    cvm_text_finish(&texts[1]);
    return status;
}

static enum cvm_status reset(struct cvm_work *work, int32_t day, struct capacity *after,
                             struct cvm_error *err)
{
    struct capacity before[CVM_CONSTRAINTS_MAX];
    struct cvm_db *db = cvm_store_db(work->store);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = load(work, day, before, err);
    }
    if (status == CVM_OK) {
        status = cvm_ledger_reset(work->store, work->catalogue, day, err);
    }
    if (status == CVM_OK) {
        status = load(work, day, after, err);
    }
    if (status == CVM_OK) {
        status = audit(work, day, before, after, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

static enum cvm_status run_reset(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    return run_with(session, arguments, CVM_DB_WRITE, reset, err);
}

const struct cvm_command cvm_command_capacity_reset = {
    .name = "capacity reset",
    .arguments = "",
    .summary = "Drop holds of nobody alive; what is confirmed stays",
    .details = "Granted becomes the limit again. Audited.\n\n"
               "  cvm capacity reset --as-of 2024-03-20",
    .options = show_options,
    .run = run_reset,
};
