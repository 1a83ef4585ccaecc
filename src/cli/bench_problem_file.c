#include <stdio.h>

#include "base/file.h"
#include "cli/bench_problem.h"
#include "cli/document.h"
#include "cli/paths.h"

#define BYTES_AT_ONCE ((size_t)1 << 20)

static void write_costs(const struct cvm_bench_problem *base, struct cvm_json_writer *json)
{
    const struct cvm_row *budget = &base->rows[CVM_BENCH_TREATMENTS];
    cvm_json_key_object(json, "cost");
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        cvm_json_key_double(json, base->names[t], budget->flat[t]);
    }
    cvm_json_object_end(json);
    cvm_json_key_object(json, "cost_rate");
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        cvm_json_key_double(json, base->names[t], budget->rate[t]);
    }
    cvm_json_object_end(json);
}

static void write_row(const struct cvm_bench_problem *base, size_t number,
                      struct cvm_json_writer *json)
{
    const struct cvm_row *row = &base->rows[number];
    static const char *const kinds[] = {
        [CVM_ROW_CAPACITY] = "capacity",       [CVM_ROW_SHARED] = "shared",
        [CVM_ROW_BUDGET] = "budget",           [CVM_ROW_SEGMENT_MAX] = "segment_max",
        [CVM_ROW_SEGMENT_MIN] = "segment_min",
    };
    bool is_segment = row->kind == CVM_ROW_SEGMENT_MAX || row->kind == CVM_ROW_SEGMENT_MIN;
    cvm_json_object(json);
    cvm_json_key_string(json, "name", row->name);
    cvm_json_key_string(json, "kind", kinds[row->kind]);
    if (row->kind == CVM_ROW_CAPACITY || row->kind == CVM_ROW_SHARED) {
        cvm_json_key_array(json, "treatments");
        for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
            if (cvm_row_use(row, 0, t, 0.0) != 0) {
                cvm_json_string(json, base->names[t]);
            }
        }
        cvm_json_array_end(json);
    }
    if (is_segment) {
        char name[16];
        size_t segment = 0;
        while (row->inside[segment] == 0) {
            segment++;
        }
        (void)snprintf(name, sizeof(name), "s%zu", segment + 1);
        cvm_json_key_string(json, "segment", name);
    }
    cvm_json_key(json, "limit");
    if (row->kind == CVM_ROW_BUDGET) {
        cvm_json_micro(json, row->limit);
    } else {
        cvm_json_int(json, row->limit < 0 ? -row->limit : row->limit);
    }
    cvm_json_object_end(json);
}

static enum cvm_status write_problem(const struct cvm_bench_problem *base, const char *path,
                                     struct cvm_error *err)
{
    struct cvm_text text;
    struct cvm_json_writer json;
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, true);
    cvm_json_object(&json);
    cvm_json_key_array(&json, "treatments");
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        cvm_json_string(&json, base->names[t]);
    }
    cvm_json_array_end(&json);
    cvm_json_key_string(&json, "values", "values.csv");
    write_costs(base, &json);
    cvm_json_key_array(&json, "rows");
    for (size_t r = 0; r < base->problem.row_count; r++) {
        write_row(base, r, &json);
    }
    cvm_json_array_end(&json);
    cvm_json_object_end(&json);
    cvm_text_add_char(&text, '\n');
    enum cvm_status status = text.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to write '%s'", path)
                                 : cvm_file_write(path, cvm_text_string(&text), text.length, err);
    cvm_text_finish(&text);
    return status;
}

static void write_customer(const struct cvm_bench_problem *base, size_t i, struct cvm_text *text)
{
    cvm_text_add_format(text, "c%09zu,s%d,0,", i, base->problem.classes[i] + 1);
    cvm_text_add_double(text, base->problem.amounts[i]);
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        double value = (double)cvm_problem_value(&base->problem, i, t);
        cvm_text_add_char(text, ',');
        if (value > (double)CVM_PROBLEM_VALUE_MIN) {
            cvm_text_add_double(text, value);
        }
    }
    cvm_text_add_char(text, '\n');
}

static enum cvm_status write_values(const struct cvm_bench_problem *base, const char *path,
                                    struct cvm_error *err)
{
    struct cvm_text text;
    FILE *file = fopen(path, "wb");
    bool is_written = file != NULL;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, "customer_id,segment,high_value,amount");
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        cvm_text_add_format(&text, ",%s", base->names[t]);
    }
    cvm_text_add_char(&text, '\n');
    for (size_t i = 0; i < base->problem.customer_count && is_written; i++) {
        write_customer(base, i, &text);
        if (text.length >= BYTES_AT_ONCE || i + 1 == base->problem.customer_count) {
            is_written = !text.failed && fwrite(text.data, 1, text.length, file) == text.length;
            cvm_text_clear(&text);
        }
    }
    cvm_text_finish(&text);
    if (file == NULL || fclose(file) != 0 || !is_written) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write '%s'", path);
    }
    return CVM_OK;
}

enum cvm_status cvm_bench_problem_write(const struct cvm_bench_problem *base, const char *folder,
                                        struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 20);
    const char *problem_path = NULL;
    const char *values_path = NULL;
    enum cvm_status status = cvm_folder_create(folder, err);
    if (status == CVM_OK) {
        status = cvm_path_join(arena, folder, "problem.json", &problem_path, err);
    }
    if (status == CVM_OK) {
        status = cvm_path_join(arena, folder, "values.csv", &values_path, err);
    }
    if (status == CVM_OK) {
        status = write_values(base, values_path, err);
    }
    if (status == CVM_OK) {
        status = write_problem(base, problem_path, err);
    }
    cvm_arena_destroy(arena);
    return status;
}
