/* outcome import, outcome show */
#include <math.h>

#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "engine/outcome.h"
#include "recommend/learning.h"
#include "storage/outcome_store.h"

#define INTERVAL_SD 1.96 /* 95 % */

/* ---- import ---- */

static void write_returned(struct cvm_text *out, const struct cvm_outcome_report *report,
                           const struct cvm_catalogue *catalogue)
{
    struct cvm_json_writer json;
    bool has_any = false;
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        if (report->returned[c] > 0) {
            cvm_text_add(out, has_any ? ", " : "Given back: ");
            cvm_json_init(&json, out, false);
            cvm_constraint_write_amount(&catalogue->constraints[c], report->returned[c], &json);
            cvm_text_add_format(out, " of %s", catalogue->constraints[c].display_name);
            has_any = true;
        }
    }
    cvm_text_add(out, has_any ? ".\n" : "");
}

static void write_states(struct cvm_text *out, const struct cvm_outcome_report *report)
{
    bool has_any = false;
    for (int state = 0; state < CVM_OUTCOME_STATE_COUNT; state++) {
        if (report->by_state[state] > 0) {
            cvm_text_add(out, has_any ? ", " : "New: ");
            cvm_text_add_grouped(out, report->by_state[state]);
            cvm_text_add_format(out, " %s", cvm_outcome_name(state));
            has_any = true;
        }
    }
    cvm_text_add(out, has_any ? ".\n" : "");
}

static enum cvm_status print_lines(struct cvm_session *session,
                                   const struct cvm_outcome_report *report,
                                   const struct cvm_catalogue *catalogue, struct cvm_error *err)
{
    struct cvm_text out;
    cvm_text_init(&out, 0);
    cvm_text_add_grouped(&out, report->read);
    cvm_text_add(&out, " reports read: ");
    cvm_text_add_grouped(&out, report->applied);
    cvm_text_add(&out, " applied, ");
    cvm_text_add_grouped(&out, report->duplicate);
    cvm_text_add(&out, " known already, ");
    cvm_text_add_grouped(&out, report->rejected);
    cvm_text_add(&out, " rejected.\n");
    write_states(&out, report);
    if (report->late > 0) {
        cvm_text_add_grouped(&out, report->late);
        cvm_text_add(&out, " came after their window: kept, not learned from.\n");
    }
    write_returned(&out, report, catalogue);
    if (report->contacts + report->opt_outs > 0) {
        cvm_text_add_grouped(&out, report->contacts);
        cvm_text_add(&out, " contacts are in the journeys, ");
        cvm_text_add_grouped(&out, report->opt_outs);
        cvm_text_add(&out, " customers opted out.\n");
    }
    if (report->rejects_path != NULL) {
        cvm_text_add_format(&out, "Rejected records with their reasons: %s\n",
                            report->rejects_path);
    }
    if (report->applied > 0) {
        cvm_text_add(&out, "What was learned: cvm outcome show\n");
    }
    fputs(cvm_text_string(&out), session->out);
    bool failed = out.failed;
    cvm_text_finish(&out);
    return failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the report") : CVM_OK;
}

static enum cvm_status print_report(struct cvm_session *session,
                                    const struct cvm_outcome_report *report,
                                    const struct cvm_catalogue *catalogue, struct cvm_error *err)
{
    struct cvm_document document;
    session->is_partial = report->rejected > 0 || report->failed_file_count > 0;
    for (size_t f = 0; f < report->failed_file_count; f++) {
        cvm_session_warn(session, "%s", report->failed_files[f]);
    }
    if (!session->is_json) {
        return session->is_quiet ? CVM_OK : print_lines(session, report, catalogue, err);
    }
    cvm_document_init(&document);
    cvm_outcome_report_write(report, catalogue, &document.json);
    return cvm_document_print(&document, session, err);
}

static enum cvm_status run_import(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_work_options work_options = {.access = CVM_DB_WRITE};
    struct cvm_work work = {0};
    struct cvm_import_options options;
    struct cvm_pool *pool = NULL;
    struct cvm_outcome_report report;
    int64_t threads = 0;
    enum cvm_status status =
        cvm_session_usage(session, cvm_session_threads(session, arguments, &threads, err));
    if (status == CVM_OK) {
        status = cvm_session_import_options(session, cvm_argument(arguments, "--rejects"), &options,
                                            err);
    }
    if (status == CVM_OK) {
        status =
            cvm_session_usage(session, cvm_argument_day(arguments, "--today", &options.today, err));
    }
    if (status == CVM_OK) {
        status = cvm_pool_create((size_t)threads, &pool, err);
    }
    if (status == CVM_OK) {
        status = cvm_work_open(session, &work_options, &work, err);
    }
    if (status == CVM_OK) {
        struct cvm_import_work import = {work.store, work.catalogue, &options, pool,
                                         &session->context};
        status = cvm_outcome_import(&import, arguments->positional, arguments->positional_count,
                                    session->arena, &report, err);
        cvm_session_progress_end(session);
        if (status == CVM_OK) {
            status = print_report(session, &report, work.catalogue, err);
        }
        cvm_work_close(&work);
    }
    cvm_pool_destroy(pool);
    return status;
}

static const struct cvm_option import_options[] = {
    {"--today", "D", "reports of later dates are rejected (default: today)"},
    {"--rejects", "FILE", "where rejected reports go (default: beside the store)"},
    {"--threads", "N", "threads (default: as configured; 0 = one per core)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_outcome_import = {
    .name = "outcome import",
    .arguments = "FILE...",
    .summary = "Take in what became of decisions",
    .details =
        "Reports {decision_id, state, date}, with minutes, reason and customer_id if known; "
        "NDJSON,\n"
        "JSON arrays, {\"data\": []} or CSV. States: sent, delivered, reached, accepted, "
        "declined,\n"
        "no_answer, fulfilled, kept, reversed, not_sent, bounced, opted_out, expired, and churned\n"
        "or stayed when the outcome window ends. In any order, twice, late: the furthest state\n"
        "counts. What was not sent gives its capacity back, what was sent counts as a contact, an\n"
        "opt-out changes the permission at once. What can not be goes to the rejects file (exit "
        "3).\n\n"
        "  cvm outcome import responses.ndjson\n"
        "  cvm outcome import --today 2024-03-21 dialler.csv mailer.json",
    .positional_min = 1,
    .positional_max = 100000,
    .options = import_options,
    .run = run_import,
};

/* ---- show ---- */

struct estimate {
    const char *name;
    double prior, prior_sd, now, now_sd;
    double low, high; /* of any value */
};
#define ESTIMATES 3

struct shown {
    const struct cvm_treatment *treatment;
    struct cvm_learning learning;
    struct cvm_response now;
    struct estimate estimates[ESTIMATES];
};

static enum cvm_status load_shown(struct cvm_store *store, const struct cvm_treatment *treatment,
                                  struct shown *shown, struct cvm_error *err)
{
    const struct cvm_response *prior = &treatment->response;
    shown->treatment = treatment;
    enum cvm_status status = cvm_learning_get(store, treatment->id, &shown->learning, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_response_learn(prior, &shown->learning, &shown->now);
    const struct cvm_response *now = &shown->now;
    shown->estimates[0] =
        (struct estimate){"reach", prior->reach, prior->reach_sd, now->reach, now->reach_sd, 0, 1};
    shown->estimates[1] = (struct estimate){
        "accept", prior->accept, prior->accept_sd, now->accept, now->accept_sd, 0, 1};
    shown->estimates[2] = (struct estimate){"churn_cut",
                                            prior->churn_cut,
                                            prior->churn_cut_sd,
                                            now->churn_cut,
                                            now->churn_cut_sd,
                                            -INFINITY,
                                            1};
    return CVM_OK;
}

static double low_of(const struct estimate *estimate)
{
    return fmax(estimate->now - INTERVAL_SD * estimate->now_sd, estimate->low);
}

static double high_of(const struct estimate *estimate)
{
    return fmin(estimate->now + INTERVAL_SD * estimate->now_sd, estimate->high);
}

static void write_estimate(const struct estimate *estimate, struct cvm_json_writer *json)
{
    cvm_json_key_object(json, estimate->name);
    cvm_json_key_double(json, "prior", estimate->prior);
    cvm_json_key_double(json, "prior_sd", estimate->prior_sd);
    cvm_json_key_double(json, "now", estimate->now);
    cvm_json_key_double(json, "sd", estimate->now_sd);
    cvm_json_key_double(json, "low", low_of(estimate));
    cvm_json_key_double(json, "high", high_of(estimate));
    cvm_json_object_end(json);
}

static void write_learning(const struct cvm_learning *learning, struct cvm_json_writer *json)
{
    cvm_json_key_object(json, "counts");
    cvm_json_key_int(json, "contacts", learning->contacts);
    cvm_json_key_int(json, "reached", learning->reached);
    cvm_json_key_int(json, "answers", learning->answers);
    cvm_json_key_int(json, "accepted", learning->accepted);
    cvm_json_key_int(json, "treated", learning->treated);
    cvm_json_key_int(json, "treated_churned", learning->treated_churned);
    cvm_json_key_double(json, "treated_expected", learning->treated_expected);
    cvm_json_key_int(json, "controls", learning->controls);
    cvm_json_key_int(json, "controls_churned", learning->controls_churned);
    cvm_json_key_double(json, "controls_expected", learning->controls_expected);
    cvm_json_object_end(json);
}

static void write_shown(const struct shown *shown, struct cvm_json_writer *json)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "treatment", shown->treatment->id);
    cvm_json_key_string(json, "display_name", shown->treatment->display_name);
    cvm_json_key_string(json, "source", shown->now.source);
    cvm_json_key_int(json, "outcomes", shown->now.outcomes);
    for (size_t e = 0; e < ESTIMATES; e++) {
        write_estimate(&shown->estimates[e], json);
    }
    write_learning(&shown->learning, json);
    cvm_json_object_end(json);
}

/* "35 -> 41 % (38 to 44)" */
static void add_row(const struct shown *shown, struct cvm_table *table)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add(table, shown->treatment->id);
    for (size_t e = 0; e < ESTIMATES; e++) {
        const struct estimate *estimate = &shown->estimates[e];
        if (estimate->prior == 0 && estimate->now == 0) {
            cvm_table_add(table, "-");
        } else {
            cvm_table_add_format(table, "%.1f -> %.1f %% (%.1f to %.1f)", 100 * estimate->prior,
                                 100 * estimate->now, 100 * low_of(estimate),
                                 100 * high_of(estimate));
        }
    }
    cvm_table_add(table, cvm_grouped(shown->now.outcomes, text));
    cvm_table_add(table, shown->now.source);
}

static enum cvm_status show_all(struct cvm_work *work, struct cvm_document *document,
                                struct cvm_table *table, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    cvm_json_key_array(&document->json, "treatments");
    for (size_t t = 0; status == CVM_OK && t < work->catalogue->treatment_count; t++) {
        struct shown shown;
        status = load_shown(work->store, &work->catalogue->treatments[t], &shown, err);
        if (status == CVM_OK) {
            write_shown(&shown, &document->json);
            add_row(&shown, table);
        }
    }
    cvm_json_array_end(&document->json);
    return status;
}

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {
        "Treatment", "Reached prior -> now (95 %)", "Accepted", "Churn cut", ">Outcomes", "Source"};
    struct cvm_work_options options = {.access = CVM_DB_READ};
    struct cvm_work work;
    struct cvm_document document;
    struct cvm_table table;
    (void)arguments;
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&document);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    status = show_all(&work, &document, &table, err);
    status = cvm_document_or_table(&document, &table, session, status, err);
    cvm_work_close(&work);
    return status;
}

static const struct cvm_option show_options[] = {{NULL, NULL, NULL}};

const struct cvm_command cvm_command_outcome_show = {
    .name = "outcome show",
    .arguments = "",
    .summary = "What outcomes have taught: prior and now, per treatment",
    .details =
        "The share of contacts that reach the customer, the share of those reached that accept,\n"
        "and by how much the contact cuts churn; each with its 95 % interval and the number of\n"
        "decisions behind it. prior: from the catalogue; learned: from outcomes; calibrated: also\n"
        "against a control group.\n\n"
        "  cvm outcome show\n"
        "  cvm outcome show --json",
    .options = show_options,
    .run = run_show,
};
