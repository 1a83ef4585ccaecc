#include "storage/agent_figures.h"

#include <string.h>

#include "storage/db_sql.h"

#define ACCEPTED_MS (INT64_C(2) * 24 * 3600 * 1000)

#define WINDOW_PARAMS(window)                                                                      \
    {                                                                                              \
        cvm_db_int((window)->since_ms), cvm_db_int((window)->until_ms),                            \
            cvm_db_int((window)->since_ms - ACCEPTED_MS),                                          \
            cvm_db_text((window)->workflow_id == NULL ? "" : (window)->workflow_id),               \
    }

static int64_t number_of(const struct cvm_db_value *value)
{
    return value->type == CVM_DB_INT ? value->integer : 0;
}

struct step_scan {
    cvm_figure_step_fn on_step;
    void *state;
};

static enum cvm_status scan_step(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    const struct step_scan *scan = state;
    (void)column_count;
    struct cvm_figure_definition of = {cvm_db_string(&columns[0]), cvm_db_string(&columns[1])};
    struct cvm_step step = {
        .step_no = columns[2].integer,
        .state = strcmp(cvm_db_string(&columns[3]), "done") == 0 ? CVM_STEP_DONE : CVM_STEP_FAILED,
        .attempt = columns[4].integer,
        .customers = number_of(&columns[5]),
        .queued_ms = number_of(&columns[6]),
        .started_ms = number_of(&columns[7]),
        .finished_ms = number_of(&columns[8]),
    };
    return scan->on_step(scan->state, &of, &step, err);
}

enum cvm_status cvm_figure_steps(struct cvm_store *store, const struct cvm_figure_window *window,
                                 cvm_figure_step_fn on_step, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct step_scan scan = {on_step, state};
    struct cvm_db_value params[] = WINDOW_PARAMS(window);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_FIGURE_STEPS), params, CVM_DB_COUNT(params),
                        scan_step, &scan, err);
}

struct failures_scan {
    cvm_figure_failures_fn on_failures;
    void *state;
};

static enum cvm_status scan_failures(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    const struct failures_scan *scan = state;
    (void)column_count;
    struct cvm_figure_failures failures = {
        .of = {cvm_db_string(&columns[0]), cvm_db_string(&columns[1])},
        .step_no = columns[2].integer,
        .error_class = cvm_db_string(&columns[3]),
        .count = columns[4].integer,
    };
    return scan->on_failures(scan->state, &failures, err);
}

enum cvm_status cvm_figure_failures(struct cvm_store *store, const struct cvm_figure_window *window,
                                    cvm_figure_failures_fn on_failures, void *state,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct failures_scan scan = {on_failures, state};
    struct cvm_db_value params[] = WINDOW_PARAMS(window);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_FIGURE_FAILURES), params, CVM_DB_COUNT(params),
                        scan_failures, &scan, err);
}

struct count_scan {
    cvm_figure_count_fn on_count;
    void *state;
};

static enum cvm_status scan_count(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    const struct count_scan *scan = state;
    (void)column_count;
    return scan->on_count(scan->state, cvm_db_string(&columns[0]), columns[1].integer, err);
}

static enum cvm_status count(struct cvm_store *store, enum cvm_sql statement,
                             const struct cvm_figure_window *window, struct count_scan scan,
                             struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_int(window->since_ms), cvm_db_int(window->until_ms)};
    return cvm_db_query(db, cvm_db_sql(db, statement), params, CVM_DB_COUNT(params), scan_count,
                        &scan, err);
}

enum cvm_status cvm_figure_turns(struct cvm_store *store, const struct cvm_figure_window *window,
                                 cvm_figure_count_fn on_count, void *state, struct cvm_error *err)
{
    struct count_scan scan = {on_count, state};
    return count(store, CVM_SQL_FIGURE_TURNS, window, scan, err);
}

enum cvm_status cvm_figure_changes(struct cvm_store *store, const struct cvm_figure_window *window,
                                   cvm_figure_count_fn on_count, void *state, struct cvm_error *err)
{
    struct count_scan scan = {on_count, state};
    return count(store, CVM_SQL_FIGURE_CHANGES, window, scan, err);
}
