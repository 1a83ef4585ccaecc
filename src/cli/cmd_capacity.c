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

/* Everything scarce on a day. */
struct state {
    const struct cvm_catalogue *catalogue;
    int32_t day;
    struct capacity capacities[CVM_CONSTRAINTS_MAX];
    const struct cvm_prices *prices; /* NULL = none of that day */
};

/* Prices of a resource are per thousandth inside. */
static double price_scale(const struct capacity *capacity)
{
    return capacity->constraint->kind == CVM_CONSTRAINT_RESOURCE ? 1000 : 1;
}

/* Of the day's run for everybody, if there was one, or made anew on this day. */
static enum cvm_status load_prices(struct cvm_work *work, struct state *state,
                                   struct cvm_error *err)
{
    enum cvm_status status = cvm_prices_of_day(work->store, work->catalogue, state->day,
                                               work->session->arena, &state->prices, err);
    for (size_t c = 0; status == CVM_OK && c < work->catalogue->constraint_count; c++) {
        struct capacity *capacity = &state->capacities[c];
        capacity->price = state->prices->result.prices[c] * price_scale(capacity);
        capacity->solved = state->prices->result.solved[c];
    }
    return status == CVM_E_NOT_FOUND ? CVM_OK : status;
}

static enum cvm_status load(struct cvm_work *work, int32_t day, struct state *state,
                            struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    *state = (struct state){.catalogue = work->catalogue, .day = day};
    for (size_t c = 0; status == CVM_OK && c < work->catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &work->catalogue->constraints[c];
        struct capacity *capacity = &state->capacities[c];
        *capacity = (struct capacity){
            .constraint = constraint,
            .is_limited = constraint->limit >= 0 && constraint->period != CVM_PERIOD_RUN,
            .price = NAN,
        };
        if (capacity->is_limited) {
            status = cvm_ledger_row(work->store, constraint, day, NULL, &capacity->row, err);
        }
    }
    return status == CVM_OK ? load_prices(work, state, err) : status;
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

static void write_kind(struct cvm_json_writer *json, const struct state *state,
                       enum cvm_constraint_kind kind)
{
    const struct cvm_catalogue *catalogue = state->catalogue;
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        bool is_treatment = c < catalogue->treatment_count;
        if (constraint->kind == kind) {
            write_capacity(json, is_treatment ? catalogue->treatments[c].id : constraint->id,
                           &state->capacities[c]);
        }
    }
}

static enum cvm_status print_document(struct cvm_session *session, const struct state *state,
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
    const struct cvm_prices *prices = state->prices;
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_day(&document.json, "date", state->day);
    cvm_json_key_string(&document.json, "prices_of", prices == NULL ? NULL : prices->run_id);
    cvm_json_key_moment(&document.json, "priced_at", prices == NULL ? 0 : prices->made_at_ms);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        cvm_json_key_object(&document.json, groups[i].key);
        write_kind(&document.json, state, groups[i].kind);
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

static void print_capacities(struct cvm_session *session, const struct state *state)
{
    const struct cvm_catalogue *catalogue = state->catalogue;
    static const char *const headers[] = {"what",   ">granted", ">held",  ">used",  ">remaining",
                                          ">usage", "period",   ">price", ">range", ""};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        const struct capacity *capacity = &state->capacities[c];
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
                                                       struct state *state, struct cvm_error *err),
                                struct cvm_error *err)
{
    struct cvm_work_options options = {.access = access};
    struct cvm_work work;
    struct state state;
    int32_t day = 0;
    enum cvm_status status = parse(session, arguments, &day, err);
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = act(&work, day, &state, err);
    if (status == CVM_OK && session->is_json) {
        status = print_document(session, &state, err);
    } else if (status == CVM_OK) {
        print_capacities(session, &state);
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

/* ---- reprice ---- */

/* The run's values are in the terms of its catalogue. */
static enum cvm_status renew_prices(struct cvm_session *session, int32_t day, int64_t threads,
                                    bool *out_is_renewed, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_run_record run;
    struct cvm_work_options options = {.access = CVM_DB_WRITE};
    struct cvm_work work;
    struct cvm_pool *pool = NULL;
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_run_for_everybody(store, session->arena, CVM_DAY_NONE, &run, err);
    }
    cvm_store_close(store);
    if (status == CVM_OK) {
        options.catalogue_version = run.catalogue_version;
        status = cvm_work_open(session, &options, &work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_pool_create((size_t)threads, &pool, err);
    if (status == CVM_OK) {
        const struct cvm_prices_request request = {
            .day = day,
            .realtime_share = session->config.realtime_share,
            .who = session->who,
            .catalogue = work.catalogue,
            .pool = pool,
            .context = &session->context,
        };
        status = cvm_prices_renew(work.store, &request, session->arena, out_is_renewed, err);
    }
    cvm_pool_destroy(pool);
    cvm_work_close(&work);
    return status;
}

static enum cvm_status run_reprice(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    int32_t day = 0;
    int64_t threads = 0;
    bool is_renewed = false;
    enum cvm_status status = parse(session, arguments, &day, err);
    if (status == CVM_OK) {
        status = cvm_session_threads(session, arguments, &threads, err);
    }
    if (status == CVM_OK) {
        status = renew_prices(session, day, threads, &is_renewed, err);
    }
    if (status == CVM_OK && !session->is_json && !session->is_quiet) {
        fputs(is_renewed ? "Prices were made anew on what is left:\n\n"
                         : "What is left has changed by a tenth at most; the prices stand:\n\n",
              session->out);
    }
    return status == CVM_OK ? run_show(session, arguments, err) : status;
}

static const struct cvm_option reprice_options[] = {
    {"--as-of", "D", "on what this day has left (default: today)"},
    {"--threads", "N", "how many threads (default: as configured)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_capacity_reprice = {
    .name = "capacity reprice",
    .arguments = "",
    .summary = "Renew the prices of single decisions on what is left of the day",
    .details =
        "Where what is left of anything scarce has changed by more than a tenth, the values\n"
        "of the last run for everybody are solved again for whom the day has no decision\n"
        "of yet. Nobody is given anything; `cvm decide` then uses these prices.\n\n"
        "  cvm capacity reprice --as-of 2024-03-20",
    .options = reprice_options,
    .run = run_reprice,
};

/* ---- reset ---- */

static void write_state(const struct state *state, struct cvm_text *out)
{
    const struct cvm_catalogue *catalogue = state->catalogue;
    struct cvm_json_writer json;
    cvm_json_init(&json, out, false);
    cvm_json_object(&json);
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        if (state->capacities[c].is_limited) {
            write_capacity(&json, catalogue->constraints[c].id, &state->capacities[c]);
        }
    }
    cvm_json_object_end(&json);
}

static enum cvm_status audit(struct cvm_work *work, int32_t day, const struct state *before,
                             const struct state *after, struct cvm_error *err)
{
    struct cvm_text texts[2];
    char date[CVM_DAY_TEXT_SIZE];
    cvm_text_init(&texts[0], 0);
    cvm_text_init(&texts[1], 0);
    write_state(before, &texts[0]);
    write_state(after, &texts[1]);
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

static enum cvm_status reset(struct cvm_work *work, int32_t day, struct state *after,
                             struct cvm_error *err)
{
    struct state before;
    struct cvm_db *db = cvm_store_db(work->store);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = load(work, day, &before, err);
    }
    if (status == CVM_OK) {
        status = cvm_ledger_reset(work->store, work->catalogue, day, err);
    }
    if (status == CVM_OK) {
        status = load(work, day, after, err);
    }
    if (status == CVM_OK) {
        status = audit(work, day, &before, after, err);
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
