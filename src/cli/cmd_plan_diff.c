/* plan diff */
#include <string.h>

#include "cli/commands.h"
#include "cli/document.h"
#include "cli/plan_step.h"
#include "engine/plan_diff.h"
#include "engine/run_kind.h"
#include "model/money.h"

#define CAUSES_PRINTED 30

static const char unknown_segment[] = "(not kept)";

static const char *name_of(const struct cvm_plan_diff_line *line)
{
    return line->name[0] == '\0' ? unknown_segment : line->name;
}

/* ---- JSON ---- */

static void write_sum(struct cvm_json_writer *json, const char *key, const struct cvm_plan_sum *sum)
{
    cvm_json_key_object(json, key);
    cvm_json_key_int(json, "count", sum->count);
    cvm_json_key_double(json, "value", sum->value);
    cvm_json_key(json, "spend");
    cvm_json_micro(json, sum->spend_micro);
    cvm_json_object_end(json);
}

static void write_line(struct cvm_json_writer *json, const char *key,
                       const struct cvm_plan_diff_line *line)
{
    cvm_json_object(json);
    cvm_json_key_string(json, key, line->name[0] == '\0' ? NULL : line->name);
    write_sum(json, "before", &line->before);
    write_sum(json, "after", &line->after);
    cvm_json_key_int(json, "gained", line->gained);
    cvm_json_key_int(json, "lost", line->lost);
    cvm_json_key_int(json, "came", line->came);
    cvm_json_key_int(json, "went", line->went);
    cvm_json_object_end(json);
}

static enum cvm_status print_json(struct cvm_session *session, const struct cvm_plan_diff *diff,
                                  struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_string(json, "run_id", diff->after.run_id);
    cvm_json_key_string(json, "before_run_id", diff->before.run_id);
    cvm_json_key_object(json, "customers");
    cvm_json_key_int(json, "gained", diff->total.gained);
    cvm_json_key_int(json, "lost", diff->total.lost);
    cvm_json_key_int(json, "changed", diff->total.came);
    cvm_json_key_int(json, "kept", diff->kept);
    cvm_json_object_end(json);
    cvm_json_key(json, "total");
    write_line(json, "name", &diff->total);
    cvm_json_key_array(json, "treatments");
    for (size_t i = 0; i < diff->treatment_count; i++) {
        write_line(json, "treatment", &diff->treatments[i]);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "segments");
    for (size_t i = 0; i < diff->segment_count; i++) {
        write_line(json, "segment", &diff->segments[i]);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "changes");
    for (size_t i = 0; i < diff->cause_count; i++) {
        cvm_json_object(json);
        cvm_json_key_string(json, "kind", diff->causes[i].kind);
        cvm_json_key_string(json, "text", diff->causes[i].text);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_key_int(json, "changes_more", diff->causes_more);
    return cvm_document_print(&document, session, err);
}

/* ---- CSV ---- */

/* Names of treatments and segments are plain words; a quote would do no harm either. */
static void add_csv_line(struct cvm_text *out, const char *by,
                         const struct cvm_plan_diff_line *line)
{
    const struct cvm_plan_sum *sums[] = {&line->before, &line->after};
    cvm_text_add_format(out, "%s,\"%s\"", by, name_of(line));
    for (size_t i = 0; i < 2; i++) {
        cvm_text_add_format(out, ",%lld,", (long long)sums[i]->count);
        cvm_text_add_double(out, sums[i]->value);
        cvm_text_add_char(out, ',');
        cvm_text_add_double(out, cvm_micro_to_double(sums[i]->spend_micro));
    }
    cvm_text_add_format(out, ",%lld,%lld,%lld,%lld\n", (long long)line->gained,
                        (long long)line->lost, (long long)line->came, (long long)line->went);
}

static enum cvm_status print_csv(struct cvm_session *session, const struct cvm_plan_diff *diff,
                                 struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, "by,name,count_before,value_before,spend_before,count_after,value_after,"
                        "spend_after,gained,lost,came,went\n");
    for (size_t i = 0; i < diff->treatment_count; i++) {
        add_csv_line(&text, "treatment", &diff->treatments[i]);
    }
    for (size_t i = 0; i < diff->segment_count; i++) {
        add_csv_line(&text, "segment", &diff->segments[i]);
    }
    add_csv_line(&text, "total", &diff->total);
    if (text.length > 0) {
        text.length--; /* printing adds the last line's end */
        text.data[text.length] = '\0';
    }
    enum cvm_status status = cvm_session_print(session, &text, err);
    cvm_text_finish(&text);
    return status;
}

/* ---- for people ---- */

static void add_change(struct cvm_table *table, const char *text, bool is_up)
{
    cvm_table_add_format(table, "%s%s", is_up ? "+" : "", text);
}

static void add_line(struct cvm_table *table, const struct cvm_plan_diff_line *line)
{
    int64_t count = line->after.count - line->before.count;
    double value = line->after.value - line->before.value;
    int64_t spend = line->after.spend_micro - line->before.spend_micro;
    char number[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add(table, name_of(line));
    cvm_table_add(table, cvm_grouped(line->before.count, number));
    cvm_table_add(table, cvm_grouped(line->after.count, number));
    add_change(table, cvm_grouped(count, number), count > 0);
    add_change(table, cvm_money(value, number), value >= 0.005);
    add_change(table, cvm_money(cvm_micro_to_double(spend), number), spend >= 5000);
    cvm_table_add(table, cvm_grouped(line->gained, number));
    cvm_table_add(table, cvm_grouped(line->lost, number));
    cvm_table_add(table, cvm_grouped(line->came, number));
    cvm_table_add(table, cvm_grouped(line->went, number));
}

static void print_lines(struct cvm_session *session, const char *first,
                        const struct cvm_plan_diff_line *lines, size_t count,
                        const struct cvm_plan_diff_line *total)
{
    const char *const headers[] = {first,    ">before", ">after", ">change", ">value",
                                   ">spend", ">gained", ">lost",  ">came",   ">went"};
    struct cvm_table table;
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < count; i++) {
        add_line(&table, &lines[i]);
    }
    add_line(&table, total);
    cvm_table_print(&table, session->out);
    fputc('\n', session->out);
}

static void print_causes(struct cvm_session *session, const struct cvm_plan_diff *diff)
{
    size_t shown = diff->cause_count < CAUSES_PRINTED ? diff->cause_count : CAUSES_PRINTED;
    fputs(shown == 0 ? "Nothing else changed between the two runs.\n" : "Changed in between:\n",
          session->out);
    for (size_t i = 0; i < shown; i++) {
        fprintf(session->out, "  %-10s %s\n", diff->causes[i].kind, diff->causes[i].text);
    }
    int64_t more = (int64_t)(diff->cause_count - shown) + diff->causes_more;
    if (more > 0) {
        fprintf(session->out, "  ... and %lld more; --json lists them\n", (long long)more);
    }
}

static enum cvm_status print_text(struct cvm_session *session, const struct cvm_plan_diff *diff)
{
    char numbers[4][CVM_NUMBER_TEXT_SIZE];
    fprintf(session->out, "Plan %s against %s\n\n", diff->after.run_id, diff->before.run_id);
    fprintf(session->out,
            "  %s customers get a treatment that had none, %s no longer get one, %s get another, "
            "%s the same.\n\n",
            cvm_grouped(diff->total.gained, numbers[0]), cvm_grouped(diff->total.lost, numbers[1]),
            cvm_grouped(diff->total.came, numbers[2]), cvm_grouped(diff->kept, numbers[3]));
    print_lines(session, "treatment", diff->treatments, diff->treatment_count, &diff->total);
    print_lines(session, "segment", diff->segments, diff->segment_count, &diff->total);
    print_causes(session, diff);
    return CVM_OK;
}

/* ---- the command ---- */

static enum cvm_status find_before(struct cvm_session *session, struct cvm_store *store,
                                   const char *name, const struct cvm_run_record *after,
                                   struct cvm_run_record *out_before, struct cvm_error *err)
{
    if (name == NULL) {
        return cvm_run_kind_before(store, session->arena, after, out_before, err);
    }
    enum cvm_status status = cvm_run_get(store, session->arena, name, out_before, err);
    if (status == CVM_OK && strcmp(out_before->state, "done") != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' is %s: it has no plan yet",
                          out_before->run_id, out_before->state);
    }
    return status;
}

static enum cvm_status run_diff(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    const char *second = arguments->positional_count > 1 ? arguments->positional[1] : NULL;
    const struct cvm_plan_diff *diff = NULL;
    struct cvm_store *store = NULL;
    struct cvm_run_record before;
    struct cvm_plan_step step;
    bool is_csv = cvm_argument_given(arguments, "--csv");
    if (is_csv && session->is_json) {
        return cvm_session_usage(
            session, CVM_FAIL(err, CVM_E_INVALID, "only one of '--csv' and '--json' can be given"));
    }
    enum cvm_status status = cvm_plan_step_init(&step, session, arguments, false, err);
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_READ, &store, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_step_find(&step, store, err);
    }
    if (status == CVM_OK) {
        status = find_before(session, store, second, &step.run, &before, err);
    }
    if (status == CVM_OK) {
        status = cvm_plan_diff(store, &before, &step.run, session->arena, &diff, err);
    }
    cvm_store_close(store);
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        return print_json(session, diff, err);
    }
    return is_csv ? print_csv(session, diff, err) : print_text(session, diff);
}

static const struct cvm_option diff_options[] = {
    {"--csv", NULL, "comma-separated lines: by treatment, by segment, total"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_plan_diff = {
    .name = "plan diff",
    .arguments = "[RUN|latest] [RUN2]",
    .summary = "What a plan gives that another did not, and what changed in between",
    .details = "Against the run of the same kind before it, unless RUN2 is named. Came and went: "
               "from and\n"
               "to another treatment.\n\n"
               "  cvm plan diff latest",
    .positional_max = 2,
    .options = diff_options,
    .run = run_diff,
};
