#include "cli/evaluation_text.h"

#include <string.h>

#include "base/json_reader.h"
#include "cli/document.h"
#include "storage/step_store.h"

typedef const struct cvm_json_value *value_ptr;

/* "waiting", "for_end": a member of a member; second NULL = of the object itself. */
static double number_at(value_ptr object, const char *first, const char *second)
{
    value_ptr value = cvm_json_member(object, first);
    value = second == NULL || value == NULL ? value : cvm_json_member(value, second);
    bool is_number =
        value != NULL && (value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE);
    return is_number ? value->number : 0;
}

static void add_count(struct cvm_table *table, double count)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_add(table, cvm_grouped((int64_t)count, text));
}

/* "7 (5.5)": churned, and expected to. */
static void add_ended(struct cvm_table *table, value_ptr tally, const char *group)
{
    value_ptr ended = cvm_json_member(cvm_json_member(tally, "ended"), group);
    if (number_at(ended, "decisions", NULL) == 0) {
        cvm_table_add(table, "-");
        return;
    }
    cvm_table_add_format(table, "%.0f (%.1f)", number_at(ended, "churned", NULL),
                         number_at(ended, "churn_expected", NULL));
}

static void add_tally(struct cvm_table *table, struct cvm_slice name, value_ptr tally)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    value_ptr until = cvm_json_member(cvm_json_member(tally, "waiting"), "ends_until");
    cvm_table_add_format(table, "%.*s", (int)name.length, name.data);
    add_count(table, number_at(tally, "decisions", NULL));
    add_count(table, number_at(tally, "controls", NULL));
    add_count(table, number_at(tally, "contacts", NULL));
    add_count(table, number_at(tally, "outcomes", "reached"));
    add_count(table, number_at(tally, "outcomes", "accepted"));
    add_count(table, number_at(tally, "waiting", "for_end"));
    if (until != NULL && until->type == CVM_JSON_STRING) {
        cvm_table_add_format(table, "%.*s", (int)until->string.length, until->string.data);
    } else {
        cvm_table_add(table, "-");
    }
    cvm_table_add(table, cvm_money(number_at(tally, "value", NULL), text));
    cvm_table_add(table, cvm_money(number_at(tally, "value_lost", NULL), text));
    cvm_table_add(table, cvm_money(number_at(tally, "spent", NULL), text));
    add_ended(table, tally, "treated");
    add_ended(table, tally, "controls");
}

static void print_report(struct cvm_session *session, value_ptr report)
{
    static const char *const headers[] = {
        "treatment",   ">decisions", ">controls", ">contacts", ">reached", ">accepted",
        ">open",       "until",      ">value",    ">lost",     ">spent",   ">churned (expected)",
        ">of controls"};
    static const char all[] = "all";
    struct cvm_table table;
    value_ptr treatments = cvm_json_member(report, "treatments");
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    table.has_colour = session->has_colour;
    for (value_ptr one = treatments->first_child; one != NULL; one = one->next) {
        value_ptr name = cvm_json_member(one, "treatment");
        add_tally(&table, name == NULL ? (struct cvm_slice){0} : name->string, one);
    }
    add_tally(&table, (struct cvm_slice){all, sizeof(all) - 1}, report);
    fputs("\nwhat became of the decisions\n", session->out);
    cvm_table_print(&table, session->out);
    double overdue = number_at(report, "waiting", "overdue");
    if (overdue > 0) {
        fprintf(session->out, "Of %.0f whose outcome window is over nobody said how it ended.\n",
                overdue);
    }
}

enum cvm_status cvm_evaluation_print(struct cvm_session *session, const char *output,
                                     struct cvm_error *err)
{
    value_ptr report = NULL;
    struct cvm_json_reader *reader = cvm_json_reader_create(CVM_STEP_OUTPUT_MAX + 1);
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the report of a step");
    }
    (void)!cvm_json_read(reader, session->arena, output, strlen(output), false, &report, NULL);
    value_ptr treatments = cvm_json_member(report, "treatments");
    if (treatments != NULL && cvm_json_member(report, "ended") != NULL) {
        print_report(session, report);
    }
    cvm_json_reader_destroy(reader);
    return CVM_OK;
}
