/* problem_fuzz.c - any bytes as PROBLEM.json, a line "%%", and values.csv. What reads well is a
 * sound problem, the same in small pieces, and the plan for it keeps its certificate. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "allocation/solver.h"
#include "cli/problem_rows.h"

#define ARENA_BYTES   ((size_t)256 << 20)
#define INPUT_MAX     65536
#define SOLVED_MAX    48 /* customers: more would be tests of the solver */
#define PIECE_BYTES   7
#define SEPARATOR     "\n%%\n"
#define SEPARATOR_LEN (sizeof(SEPARATOR) - 1)

static const char default_problem[] =
    "{\"treatments\": [\"call\", \"sms\"], \"values\": \"v.csv\", \"cost\": {\"call\": 2.5},\n"
    " \"cost_rate\": {\"sms\": 0.01}, \"max_per_customer\": 2, \"exclusions\": [[\"call\", "
    "\"sms\"]],\n"
    " \"rows\": [{\"name\": \"c\", \"kind\": \"capacity\", \"treatments\": [\"call\"], \"limit\": "
    "2},\n"
    "  {\"name\": \"s\", \"kind\": \"shared\", \"units\": {\"call\": 1.5}, \"limit\": 4},\n"
    "  {\"name\": \"b\", \"kind\": \"budget\", \"limit\": 5.25},\n"
    "  {\"name\": \"m\", \"kind\": \"segment_min\", \"segment\": \"n\", \"limit\": 1},\n"
    "  {\"name\": \"x\", \"kind\": \"segment_max\", \"segment\": \"region=w\", \"limit\": 2},\n"
    "  {\"name\": \"f\", \"kind\": \"share_min\", \"segment\": \"n\", \"limit\": 0.25},\n"
    "  {\"name\": \"g\", \"kind\": \"share_max\", \"segment\": \"n\", \"limit\": 0.75},\n"
    "  {\"name\": \"r\", \"kind\": \"reserve\", \"treatments\": [\"call\"], \"limit\": 1}]}";
static const char default_values[] =
    "customer_id,segment,high_value,amount,group,seg:region,call,sms\n"
    "C1,n,1,10,h,w,5,1\nC2,s,0,20,h,e,4,\nC3,n,0,,,w,,2\n";

static const char *find_separator(const char *text, size_t size)
{
    return size < SEPARATOR_LEN ? NULL : memmem(text, size, SEPARATOR, SEPARATOR_LEN);
}

/* In pieces of so many bytes. */
static enum cvm_status read_values(const struct cvm_problem_file *file, const char *csv,
                                   size_t length, size_t piece, struct cvm_problem_values *values,
                                   struct cvm_error *err)
{
    struct cvm_values_reader *reader = cvm_values_reader_create(file, 16);
    enum cvm_status status = CVM_OK;
    size_t held = 0;
    REQUIRE(reader != NULL);
    memset(values, 0, sizeof(*values));
    for (size_t end = piece < length ? piece : length; status == CVM_OK; end += piece) {
        end = end < length ? end : length;
        size_t used = 0;
        status = cvm_values_reader_add(reader, csv + held, end - held, end == length, &used, err);
        REQUIRE(status != CVM_OK || used <= end - held);
        held += used;
        if (end == length) {
            break;
        }
    }
    if (status == CVM_OK) {
        status = cvm_values_reader_end(reader, values, err);
    }
    cvm_values_reader_destroy(reader);
    return status;
}

static void check_same(const struct cvm_problem_file *file, const struct cvm_problem_values *a,
                       const struct cvm_problem_values *b)
{
    size_t pairs = (a->customer_count + CVM_PROBLEM_BLOCK - 1) / CVM_PROBLEM_BLOCK *
                   CVM_PROBLEM_BLOCK * file->treatment_count;
    REQUIRE(a->customer_count == b->customer_count && a->class_count == b->class_count);
    REQUIRE(a->group_count == b->group_count);
    REQUIRE(memcmp(a->keys.data, b->keys.data, a->customer_count * sizeof(uint64_t)) == 0);
    REQUIRE(memcmp(a->exact.data, b->exact.data, pairs * sizeof(double)) == 0);
}

static void solve(struct cvm_arena *arena, const struct cvm_problem *problem)
{
    static struct cvm_pool *pool;
    struct cvm_context context = {.clock = cvm_clock_system};
    struct cvm_plan *plan = CVM_NEW(arena, struct cvm_plan);
    struct cvm_error err = {.message = ""};
    REQUIRE(pool != NULL || cvm_pool_create(1, &pool, NULL) == CVM_OK);
    REQUIRE(plan != NULL);
    plan->treatments =
        cvm_arena_alloc(arena, problem->customer_count + 1, cvm_problem_per_customer(problem));
    REQUIRE(plan->treatments != NULL);
    enum cvm_status status =
        cvm_solve(problem, &(struct cvm_solver_options){0}, pool, &context, plan, &err);
    if (status != CVM_OK) {
        fprintf(stderr, "%s\n", err.message);
    }
    REQUIRE(status == CVM_OK);
    double scale = fabs(plan->value) + fabs(plan->dual_bound) + 1.0;
    REQUIRE(!plan->is_feasible || plan->dual_bound >= plan->value - 1e-9 * scale);
}

static void check_problem(struct cvm_arena *arena, const struct cvm_problem_file *file,
                          const struct cvm_problem_values *values)
{
    double limits[CVM_PROBLEM_ROWS_MAX];
    struct cvm_problem problem;
    const struct cvm_row *rows = NULL;
    struct cvm_error err = {.message = ""};
    cvm_problem_limits(file, limits);
    enum cvm_status status = cvm_problem_rows_make(arena, file, values, limits, &rows, &err);
    if (status != CVM_OK) {
        REQUIRE(err.message[0] != '\0');
        return;
    }
    REQUIRE(cvm_problem_make(arena, file, values, &problem, &err) == CVM_OK);
    problem.rows = rows;
    problem.row_count = file->row_count;
    status = cvm_problem_check(&problem, &err);
    if (status != CVM_OK) {
        REQUIRE(strstr(err.message, "money") != NULL); /* cost x amount: found by the solver */
        return;
    }
    if (problem.customer_count <= SOLVED_MAX) {
        solve(arena, &problem);
    }
}

static void check_input(struct cvm_arena *arena, const char *json, size_t json_length,
                        const char *csv, size_t csv_length)
{
    struct cvm_problem_file *file = CVM_NEW(arena, struct cvm_problem_file);
    struct cvm_problem_values *whole = CVM_NEW(arena, struct cvm_problem_values);
    struct cvm_problem_values *pieces = CVM_NEW(arena, struct cvm_problem_values);
    struct cvm_error err = {.message = ""};
    REQUIRE(file != NULL && whole != NULL && pieces != NULL);
    if (cvm_problem_file_parse(arena, "p.json", json, json_length, file, &err) != CVM_OK) {
        REQUIRE(err.message[0] != '\0');
        return;
    }
    enum cvm_status status = read_values(file, csv, csv_length, csv_length + 1, whole, &err);
    REQUIRE(status == CVM_OK || err.message[0] != '\0');
    enum cvm_status again = read_values(file, csv, csv_length, PIECE_BYTES, pieces, &err);
    REQUIRE(again == status);
    if (status == CVM_OK) {
        check_same(file, whole, pieces);
        check_problem(arena, file, whole);
    }
    cvm_problem_values_finish(whole);
    cvm_problem_values_finish(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cvm_arena *arena;
    arena = arena == NULL ? cvm_arena_create(ARENA_BYTES) : arena;
    REQUIRE(arena != NULL);
    if (size > INPUT_MAX) {
        return 0;
    }
    cvm_arena_reset(arena);
    char *input = malloc(size == 0 ? 1 : size); /* exact: reading past the end is seen */
    REQUIRE(input != NULL);
    if (size > 0) {
        memcpy(input, data, size);
    }
    const char *separator = find_separator(input, size);
    size_t left = separator == NULL ? size : (size_t)(separator - input);
    const char *csv = separator == NULL ? default_values : separator + SEPARATOR_LEN;
    size_t csv_length =
        separator == NULL ? sizeof(default_values) - 1 : size - left - SEPARATOR_LEN;
    if (left == 0) {
        check_input(arena, default_problem, sizeof(default_problem) - 1, csv, csv_length);
    } else {
        check_input(arena, input, left, csv, csv_length);
    }
    free(input);
    return 0;
}
