#include "storage/import_table_sql.h"

#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/suggest.h"

/* ---- names ---- */

static void add_name(struct cvm_text *sql, const char *name, size_t length)
{
    cvm_text_add_char(sql, '"');
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '"') {
            cvm_text_add_char(sql, '"');
        }
        cvm_text_add_char(sql, name[i]);
    }
    cvm_text_add_char(sql, '"');
}

static void add_column(struct cvm_text *sql, const struct cvm_db_column *column)
{
    cvm_text_add(sql, "t.");
    add_name(sql, column->name, strlen(column->name));
}

/* "schema.name" or "name". */
static void add_table(struct cvm_text *sql, const char *table)
{
    const char *dot = strchr(table, '.');
    if (dot != NULL) {
        add_name(sql, table, (size_t)(dot - table));
        cvm_text_add_char(sql, '.');
        table = dot + 1;
    }
    add_name(sql, table, strlen(table));
}

static const char *keep(struct cvm_text *text, struct cvm_arena *arena, struct cvm_error *err)
{
    const char *copy = text->failed ? NULL : cvm_arena_string(arena, cvm_text_string(text));
    if (copy == NULL) {
        (void)CVM_FAIL(err, CVM_E_LIMIT, "no memory for a statement");
    }
    cvm_text_finish(text);
    return copy;
}

static enum cvm_status make_from(struct cvm_table_plan *plan, struct cvm_arena *arena,
                                 struct cvm_error *err)
{
    const char *query = plan->table->query;
    struct cvm_text sql;
    cvm_text_init(&sql, 0);
    if (query == NULL) {
        add_table(&sql, plan->table->table);
    } else {
        size_t length = strlen(query);
        while (length > 0 && strchr("; \t\r\n", query[length - 1]) != NULL) {
            length--;
        }
        cvm_text_add_char(&sql, '(');
        cvm_text_add_bytes(&sql, query, length);
        cvm_text_add(&sql, "\n)"); /* it may end in a comment */
    }
    cvm_text_add(&sql, " AS t");
    plan->name = query == NULL ? plan->table->table : "query";
    plan->from = keep(&sql, arena, err);
    return plan->from == NULL ? CVM_E_LIMIT : CVM_OK;
}

/* ---- columns ---- */

static enum cvm_status check_columns(const struct cvm_table_plan *plan, struct cvm_error *err)
{
    for (size_t c = 0; c < plan->column_count; c++) {
        const struct cvm_db_column *column = &plan->columns[c];
        if (column->kind == CVM_DB_COLUMN_BINARY) {
            enum cvm_status status =
                CVM_FAIL(err, CVM_E_INVALID, "column '%s' of %s holds binary data", column->name,
                         plan->name);
            return cvm_error_hint(err, status, "Name the other columns: --query 'SELECT ...'.");
        }
        for (size_t d = 0; d < c; d++) {
            if (strcmp(column->name, plan->columns[d].name) == 0) {
                return CVM_FAIL(err, CVM_E_INVALID, "two columns of %s are called '%s'", plan->name,
                                column->name);
            }
        }
    }
    return CVM_OK;
}

static enum cvm_status read_columns(struct cvm_table_plan *plan, struct cvm_db *db,
                                    struct cvm_arena *arena, struct cvm_error *err)
{
    struct cvm_text sql;
    cvm_text_init(&sql, 0);
    cvm_text_add_format(&sql, "SELECT * FROM %s", plan->from);
    plan->columns = CVM_NEW_ARRAY(arena, CVM_DB_COLUMNS_MAX, struct cvm_db_column);
    enum cvm_status status =
        sql.failed || plan->columns == NULL
            ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a statement")
            : cvm_db_describe(db, cvm_text_string(&sql), plan->columns, &plan->column_count, err);
    cvm_text_finish(&sql);
    if (status == CVM_E_INTERNAL) { /* the user's words, not ours */
        (void)cvm_error_context(err, status, "cannot read %s", plan->name);
        if (err != NULL) {
            err->status = CVM_E_INVALID;
        }
        return CVM_E_INVALID;
    }
    for (size_t c = 0; status == CVM_OK && c < plan->column_count; c++) {
        plan->has_moments |= plan->columns[c].kind == CVM_DB_COLUMN_MOMENT;
    }
    return status == CVM_OK ? check_columns(plan, err) : status;
}

static const struct cvm_db_column *find_column(const struct cvm_table_plan *plan, const char *name)
{
    for (size_t c = 0; c < plan->column_count; c++) {
        if (strcmp(plan->columns[c].name, name) == 0) {
            return &plan->columns[c];
        }
    }
    return NULL;
}

static enum cvm_status find_key(struct cvm_table_plan *plan, struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = plan->table->key};
    if (plan->table->key == NULL) {
        return CVM_OK;
    }
    plan->key = find_column(plan, plan->table->key);
    if (plan->key == NULL) {
        for (size_t c = 0; c < plan->column_count; c++) {
            cvm_suggestion_try(&suggestion, plan->columns[c].name);
        }
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "%s has no column '%s'", plan->name, plan->table->key);
        return suggestion.best == NULL
                   ? status
                   : cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
    }
    switch (plan->key->kind) {
    case CVM_DB_COLUMN_ANY:
    case CVM_DB_COLUMN_INTEGER:
    case CVM_DB_COLUMN_NUMBER:
    case CVM_DB_COLUMN_DECIMAL:
    case CVM_DB_COLUMN_TEXT:
        return CVM_OK;
    default:
        return CVM_FAIL(err, CVM_E_INVALID, "the key '%s' of %s is neither a number nor text",
                        plan->key->name, plan->name);
    }
}

bool cvm_table_is_json(enum cvm_db_column_kind kind)
{
    return kind == CVM_DB_COLUMN_DECIMAL || kind == CVM_DB_COLUMN_DATE ||
           kind == CVM_DB_COLUMN_TIME || kind == CVM_DB_COLUMN_MOMENT ||
           kind == CVM_DB_COLUMN_OTHER;
}

/* What keys are ordered by: their bytes, where a column might say otherwise without our knowing. */
static void add_order(struct cvm_text *sql, const struct cvm_db_column *key)
{
    add_column(sql, key);
    cvm_text_add(sql, key->kind == CVM_DB_COLUMN_ANY ? " COLLATE BINARY" : "");
}

/* A decimal does not fit a double: it travels as text. */
static void add_key(struct cvm_text *sql, const struct cvm_db_column *key)
{
    bool is_decimal = key->kind == CVM_DB_COLUMN_DECIMAL;
    cvm_text_add(sql, is_decimal ? "CAST(" : "");
    add_column(sql, key);
    cvm_text_add(sql, is_decimal ? " AS TEXT)" : "");
}

static enum cvm_status make_list(struct cvm_table_plan *plan, struct cvm_arena *arena,
                                 struct cvm_error *err)
{
    struct cvm_text sql;
    cvm_text_init(&sql, 0);
    if (plan->key != NULL) {
        add_key(&sql, plan->key);
    }
    for (size_t c = 0; c < plan->column_count; c++) {
        /* Only a server with types of its own has such columns, and it has this function. */
        bool is_json = cvm_table_is_json(plan->columns[c].kind);
        cvm_text_add(&sql, c > 0 || plan->key != NULL ? ", " : "");
        cvm_text_add(&sql, is_json ? "CAST(to_jsonb(" : "");
        add_column(&sql, &plan->columns[c]);
        cvm_text_add(&sql, is_json ? ") AS TEXT)" : "");
    }
    plan->list = keep(&sql, arena, err);
    return plan->list == NULL ? CVM_E_LIMIT : CVM_OK;
}

/* ---- the window ---- */

/* The only column from which the mapping can take its date. With several it takes the first that is
 * there in each record, which SQL is not asked to know. */
static const struct cvm_db_column *date_column(const struct cvm_table_plan *plan,
                                               const struct cvm_source *source)
{
    const struct cvm_db_column *found = NULL;
    for (size_t p = 0; p < source->date_path_count; p++) {
        const struct cvm_path *path = &source->date_paths[p];
        const struct cvm_db_column *column = find_column(plan, path->steps[0]);
        if (column != NULL && (found != NULL || path->step_count != 1 || path->is_list[0])) {
            return NULL;
        }
        found = column == NULL ? found : column;
    }
    return found;
}

static const char *date_type(enum cvm_db_column_kind kind)
{
    switch (kind) {
    case CVM_DB_COLUMN_DATE:
        return "DATE";
    case CVM_DB_COLUMN_TIME:
        return "TIMESTAMP";
    case CVM_DB_COLUMN_MOMENT:
        return "TIMESTAMPTZ";
    case CVM_DB_COLUMN_ANY:
    case CVM_DB_COLUMN_TEXT:
        return "TEXT"; /* YYYY-MM-DD sorts as its days do, whatever time of day follows */
    default:
        return NULL;
    }
}

static void add_day(struct cvm_table_plan *plan, struct cvm_text *sql,
                    const struct cvm_db_column *column, const char *sign, const char *day)
{
    plan->days[plan->day_count++] = cvm_db_text(day);
    add_column(sql, column);
    cvm_text_add_format(sql, " %s CAST(CAST($%zu AS TEXT) AS %s)", sign, plan->day_count,
                        date_type(column->kind));
}

static enum cvm_status make_where(struct cvm_table_plan *plan,
                                  const struct cvm_table_input_options *options,
                                  const struct cvm_source *source, struct cvm_arena *arena,
                                  struct cvm_error *err)
{
    const struct cvm_import_window *window = options->window;
    const struct cvm_db_column *column = window == NULL ? NULL : date_column(plan, source);
    bool has_since = window != NULL && window->since_day != CVM_DAY_NONE;
    bool has_until = window != NULL && window->until_day != CVM_DAY_NONE;
    char(*days)[CVM_DAY_TEXT_SIZE] = cvm_arena_alloc(arena, 2, sizeof(*days));
    struct cvm_text sql;
    plan->where = "";
    if (column == NULL || date_type(column->kind) == NULL || (!has_since && !has_until)) {
        return CVM_OK;
    }
    if (days == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a statement");
    }
    cvm_text_init(&sql, 0);
    cvm_text_add(&sql, "("); /* a record without a date is for the mapping to judge */
    add_column(&sql, column);
    cvm_text_add(&sql, " IS NULL OR (");
    if (has_since) {
        add_day(plan, &sql, column, ">=", cvm_day_format(window->since_day, days[0]));
    }
    cvm_text_add(&sql, has_since && has_until ? " AND " : "");
    if (has_until) {
        add_day(plan, &sql, column, "<", cvm_day_format(window->until_day + 1, days[1]));
    }
    cvm_text_add(&sql, "))");
    plan->where = keep(&sql, arena, err);
    return plan->where == NULL ? CVM_E_LIMIT : CVM_OK;
}

/* ---- the plan ---- */

enum cvm_status cvm_table_connect(const struct cvm_table_plan *plan,
                                  const struct cvm_retry_policy *retry, struct cvm_db **out_db,
                                  struct cvm_error *err)
{
    struct cvm_db_options options = {.access = CVM_DB_READ, .retry = *retry};
    struct cvm_db_value zone =
        cvm_db_text(plan->table->time_zone == NULL ? "UTC" : plan->table->time_zone);
    struct cvm_db *db = NULL;
    enum cvm_status status = cvm_db_open(plan->table->url, &options, &db, err);
    if (status == CVM_OK && plan->has_moments) {
        status = cvm_db_exec(db, "SELECT set_config('TimeZone', $1, false)", &zone, 1, NULL, err);
    }
    if (status != CVM_OK) {
        cvm_db_close(db);
        return status;
    }
    *out_db = db;
    return CVM_OK;
}

enum cvm_status cvm_table_plan_make(const struct cvm_table_input_options *options,
                                    struct cvm_db *db, struct cvm_arena *arena,
                                    struct cvm_table_plan *out_plan, struct cvm_error *err)
{
    struct cvm_table_plan plan = {.table = options->table};
    int number = cvm_catalogue_source(options->catalogue, options->table->source);
    enum cvm_status status =
        number < 0 ? CVM_FAIL(err, CVM_E_NOT_FOUND, "the catalogue has no source '%s'",
                              options->table->source)
                   : make_from(&plan, arena, err);
    if (status == CVM_OK) {
        status = read_columns(&plan, db, arena, err);
    }
    if (status == CVM_OK) {
        status = find_key(&plan, err);
    }
    if (status == CVM_OK) {
        status = make_list(&plan, arena, err);
    }
    if (status == CVM_OK) {
        status = make_where(&plan, options, &options->catalogue->sources[number], arena, err);
    }
    if (status == CVM_OK) {
        *out_plan = plan;
    }
    return status;
}

/* ---- ranges ---- */

struct cutting {
    struct cvm_table_plan *plan;
    struct cvm_arena *arena;
    size_t room;
    size_t count; /* of firsts */
    struct cvm_db_value *firsts;
    struct cvm_db_value least;
    struct cvm_db_value most;
};

static enum cvm_status take_ends(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct cutting *cutting = state;
    (void)column_count;
    (void)err;
    bool are_integers = columns[0].type == CVM_DB_INT && columns[1].type == CVM_DB_INT;
    cutting->least = are_integers ? columns[0] : cvm_db_null();
    cutting->most = are_integers ? columns[1] : cvm_db_null();
    return CVM_OK;
}

static enum cvm_status take_first(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct cutting *cutting = state;
    struct cvm_db_value value = columns[0];
    (void)column_count;
    if (value.type == CVM_DB_BLOB) {
        return CVM_FAIL(err, CVM_E_INVALID, "the key '%s' of %s holds binary data",
                        cutting->plan->key->name, cutting->plan->name);
    }
    if (value.type == CVM_DB_TEXT) {
        value.bytes.data = cvm_arena_copy(cutting->arena, value.bytes.data, value.bytes.length);
    }
    if (cutting->count == cutting->room ||
        (value.type == CVM_DB_TEXT && value.bytes.data == NULL)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for ranges of the key");
    }
    cutting->firsts[cutting->count++] = value;
    return CVM_OK;
}

static enum cvm_status ask(struct cutting *cutting, struct cvm_db *db, struct cvm_text *sql,
                           cvm_db_row_fn on_row, struct cvm_error *err)
{
    struct cvm_table_plan *plan = cutting->plan;
    enum cvm_status status = sql->failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a statement")
                                         : cvm_db_query(db, cvm_text_string(sql), plan->days,
                                                        plan->day_count, on_row, cutting, err);
    cvm_text_finish(sql);
    return status;
}

/* Integers are cut into equal widths between the least and the greatest, which an index knows. */
static enum cvm_status cut_by_width(struct cutting *cutting, struct cvm_db *db,
                                    struct cvm_error *err)
{
    struct cvm_table_plan *plan = cutting->plan;
    struct cvm_text sql;
    cvm_text_init(&sql, 0);
    cvm_text_add(&sql, "SELECT min(");
    add_column(&sql, plan->key);
    cvm_text_add(&sql, "), max(");
    add_column(&sql, plan->key);
    cvm_text_add_format(&sql, ") FROM %s%s%s", plan->from, plan->day_count > 0 ? " WHERE " : "",
                        plan->where);
    enum cvm_status status = ask(cutting, db, &sql, take_ends, err);
    if (status != CVM_OK || cutting->least.type != CVM_DB_INT) {
        return status;
    }
    uint64_t span = (uint64_t)cutting->most.integer - (uint64_t)cutting->least.integer;
    uint64_t count = span < cutting->room ? span + 1 : cutting->room;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t step = span / count * i + span % count * i / count;
        cutting->firsts[cutting->count++] =
            cvm_db_int((int64_t)((uint64_t)cutting->least.integer + step));
    }
    return CVM_OK;
}

/* Anything else into equal numbers of rows, which costs one pass over the key. */
static enum cvm_status cut_by_rows(struct cutting *cutting, struct cvm_db *db,
                                   struct cvm_error *err)
{
    struct cvm_table_plan *plan = cutting->plan;
    bool is_decimal = plan->key->kind == CVM_DB_COLUMN_DECIMAL;
    struct cvm_text sql;
    cvm_text_init(&sql, 0);
    cvm_text_add_format(&sql, "SELECT %smin(x.k)%s FROM (SELECT ", is_decimal ? "CAST(" : "",
                        is_decimal ? " AS TEXT)" : "");
    add_order(&sql, plan->key);
    cvm_text_add_format(&sql, " AS k, ntile(%zu) OVER (ORDER BY ", cutting->room);
    add_order(&sql, plan->key);
    cvm_text_add_format(&sql, ") AS n FROM %s WHERE %s%s", plan->from, plan->where,
                        plan->day_count > 0 ? " AND " : "");
    add_column(&sql, plan->key);
    cvm_text_add(&sql, " IS NOT NULL) AS x GROUP BY x.n ORDER BY x.n");
    return ask(cutting, db, &sql, take_first, err);
}

/* The ends are open, so that rows which come while others are read are in some range; then those
 * that have no key. */
static void set_ranges(struct cvm_table_plan *plan, const struct cutting *cutting)
{
    size_t count = cutting->count == 0 ? 1 : cutting->count;
    for (size_t r = 0; r < count; r++) {
        plan->ranges[r] = (struct cvm_table_range){
            .first = r == 0 ? cvm_db_null() : cutting->firsts[r],
            .last = r + 1 < count ? cutting->firsts[r + 1] : cvm_db_null(),
        };
    }
    if (plan->key != NULL) {
        plan->ranges[count++] = (struct cvm_table_range){.has_no_key = true};
    }
    plan->range_count = count;
}

enum cvm_status cvm_table_plan_cut(struct cvm_table_plan *plan, struct cvm_db *db,
                                   struct cvm_arena *arena, size_t count, struct cvm_error *err)
{
    struct cutting cutting = {.plan = plan, .arena = arena, .room = count};
    enum cvm_status status = CVM_OK;
    plan->ranges = CVM_NEW_ARRAY(arena, count + 1, struct cvm_table_range);
    cutting.firsts = CVM_NEW_ARRAY(arena, count, struct cvm_db_value);
    if (plan->ranges == NULL || cutting.firsts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for ranges of the key");
    }
    if (plan->key != NULL &&
        (plan->key->kind == CVM_DB_COLUMN_INTEGER || plan->key->kind == CVM_DB_COLUMN_ANY)) {
        status = cut_by_width(&cutting, db, err);
    }
    if (status == CVM_OK && plan->key != NULL && cutting.count == 0) {
        status = cut_by_rows(&cutting, db, err);
    }
    if (status == CVM_OK) {
        set_ranges(plan, &cutting);
    }
    return status;
}

/* ---- the rows of a range ---- */

static void add_end(struct cvm_text *sql, const struct cvm_table_plan *plan, const char *sign,
                    size_t number)
{
    cvm_text_add(sql, " AND ");
    add_order(sql, plan->key);
    cvm_text_add_format(sql, " %s ", sign);
    switch (plan->key->kind) {
    case CVM_DB_COLUMN_INTEGER:
        cvm_text_add_format(sql, "CAST($%zu AS BIGINT)", number);
        break;
    case CVM_DB_COLUMN_NUMBER:
        cvm_text_add_format(sql, "CAST($%zu AS DOUBLE PRECISION)", number);
        break;
    case CVM_DB_COLUMN_DECIMAL:
        cvm_text_add_format(sql, "CAST(CAST($%zu AS TEXT) AS NUMERIC)", number);
        break;
    default:
        cvm_text_add_format(sql, "$%zu", number);
    }
}

enum cvm_status cvm_table_scan(const struct cvm_table_plan *plan, struct cvm_db *db,
                               const struct cvm_table_range *range, struct cvm_text *sql,
                               struct cvm_db_cursor **out_cursor, struct cvm_error *err)
{
    struct cvm_db_value params[4];
    size_t count = plan->day_count;
    memcpy(params, plan->days, sizeof(plan->days));
    cvm_text_clear(sql);
    cvm_text_add_format(sql, "SELECT %s FROM %s WHERE %s", plan->list, plan->from,
                        count > 0 ? plan->where : "1 = 1");
    if (range->has_no_key) {
        cvm_text_add(sql, " AND ");
        add_column(sql, plan->key);
        cvm_text_add(sql, " IS NULL");
    } else if (plan->key != NULL) {
        if (range->first.type != CVM_DB_NULL) {
            params[count++] = range->first;
            add_end(sql, plan, range->is_after_first ? ">" : ">=", count);
        }
        if (range->last.type != CVM_DB_NULL) {
            params[count++] = range->last;
            add_end(sql, plan, "<", count);
        }
        cvm_text_add(sql, " AND ");
        add_column(sql, plan->key);
        cvm_text_add(sql, " IS NOT NULL ORDER BY ");
        add_order(sql, plan->key);
    }
    return sql->failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a statement")
                       : cvm_db_scan(db, cvm_text_string(sql), params, count, out_cursor, err);
}
