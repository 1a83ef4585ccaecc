#include "engine/channel_rows.h"

#include <math.h>
#include <string.h>

#include "base/date.h"
#include "base/json_writer.h"
#include "journey/summary.h"

enum cell_kind { CELL_MISSING, CELL_TEXT, CELL_NUMBER, CELL_BOOL };
struct cell {
    enum cell_kind kind;
    const char *text;
    double number;
    bool is_true;
};

/* What a formatted cell is written into: dates, moments, words of features. */
struct cell_room {
    char text[CVM_MOMENT_TEXT_SIZE];
    struct cvm_text words;
};

static struct cell text_cell(const char *text)
{
    return (struct cell){.kind = text == NULL ? CELL_MISSING : CELL_TEXT, .text = text};
}

static struct cell moment_cell(int64_t moment_ms, struct cell_room *room)
{
    return text_cell(moment_ms == 0 ? NULL : cvm_moment_format(moment_ms, room->text));
}

/* A treatment that the catalogue no longer has is told by its id. */
static struct cell treatment_cell(const struct cvm_channel_row *row, const char *field)
{
    const char *id = row->decision->treatment;
    int t = cvm_catalogue_treatment(row->catalogue, id);
    if (t == CVM_INDEX_NONE) {
        return text_cell(id);
    }
    const struct cvm_treatment *treatment = &row->catalogue->treatments[t];
    return text_cell(strcmp(field, "action") == 0 ? treatment->action : treatment->display_name);
}

static struct cell field_cell(const struct cvm_channel_row *row, const char *field,
                              struct cell_room *room)
{
    const struct cvm_decision *decision = row->decision;
    const struct {
        const char *name;
        const char *text;
    } texts[] = {
        {"decision_id", row->decision_id},  {"customer_id", row->customer_id},
        {"treatment", decision->treatment}, {"offer", decision->offer},
        {"language", decision->language},   {"run_id", decision->run_id},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(field, texts[i].name) == 0) {
            return text_cell(texts[i].text);
        }
    }
    if (strcmp(field, "earliest_at") == 0) {
        return moment_cell(decision->earliest_at_ms, room);
    }
    if (strcmp(field, "latest_at") == 0) {
        return moment_cell(decision->latest_at_ms, room);
    }
    if (strcmp(field, "as_of") == 0) {
        return text_cell(cvm_day_format(row->as_of_day, room->text));
    }
    if (strcmp(field, "value") == 0) {
        return (struct cell){.kind = CELL_NUMBER, .number = decision->value};
    }
    if (strcmp(field, "is_test") == 0) {
        return (struct cell){.kind = CELL_BOOL, .is_true = row->is_test};
    }
    return treatment_cell(row, field);
}

static bool is_number(const struct cvm_catalogue *catalogue, const struct cvm_feature *feature)
{
    if (feature->rule.clause_count > 0) {
        return feature->rule.type == CVM_RULE_NUMBER;
    }
    bool keeps_attribute =
        feature->attribute != CVM_INDEX_NONE &&
        (feature->aggregate == CVM_AGGREGATE_LAST || feature->aggregate == CVM_AGGREGATE_FIRST ||
         feature->aggregate == CVM_AGGREGATE_MIN || feature->aggregate == CVM_AGGREGATE_MAX);
    return !keeps_attribute ||
           catalogue->attributes[feature->attribute].type == CVM_ATTRIBUTE_NUMBER;
}

/* Words, dates and answers as journeys show them; numbers in full. */
static struct cell feature_cell(const struct cvm_channel_row *row, size_t feature,
                                struct cell_room *room)
{
    double value = row->features == NULL ? NAN : row->features[feature * row->stride];
    const struct cvm_feature *declared = &row->catalogue->features[feature];
    if (isnan(value)) {
        return (struct cell){.kind = CELL_MISSING};
    }
    if (is_number(row->catalogue, declared)) {
        return (struct cell){.kind = CELL_NUMBER, .number = value};
    }
    cvm_text_clear(&room->words);
    cvm_feature_format(row->catalogue, feature, value, &room->words);
    return text_cell(cvm_text_string(&room->words));
}

static struct cell cell_of(const struct cvm_channel_row *row, const struct cvm_file_column *column,
                           struct cell_room *room)
{
    if (column->constant != NULL) {
        return text_cell(column->constant);
    }
    return column->field != NULL ? field_cell(row, column->field, room)
                                 : feature_cell(row, (size_t)column->feature, room);
}

/* ---- CSV ---- */

/* What a spreadsheet would compute; "+447700900123" is but a number. */
static bool is_formula(const char *text)
{
    bool is_signed = text[0] == '+' || text[0] == '-';
    bool is_number =
        is_signed && text[1] != '\0' && text[strspn(text + 1, "0123456789") + 1] == '\0';
    return text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL && !is_number;
}

static void add_csv_text(const char *text, char delimiter, struct cvm_text *out)
{
    const char quoted[] = {delimiter, '"', '\r', '\n', '\0'};
    bool is_quoted = strpbrk(text, quoted) != NULL || text[0] == ' ';
    cvm_text_add(out, is_quoted ? "\"" : "");
    cvm_text_add(out, is_formula(text) ? "'" : "");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"') {
            cvm_text_add_char(out, '"');
        }
        cvm_text_add_char(out, *c);
    }
    cvm_text_add(out, is_quoted ? "\"" : "");
}

static void add_csv_cell(const struct cell *cell, char delimiter, struct cvm_text *out)
{
    switch (cell->kind) {
    case CELL_MISSING:
        break;
    case CELL_TEXT:
        add_csv_text(cell->text, delimiter, out);
        break;
    case CELL_NUMBER:
        cvm_text_add_double(out, cell->number);
        break;
    case CELL_BOOL:
        cvm_text_add(out, cell->is_true ? "true" : "false");
        break;
    }
}

void cvm_channel_head_write(const struct cvm_channel_file *file, struct cvm_text *out)
{
    for (size_t c = 0; file->format == CVM_FILE_CSV && c < file->column_count; c++) {
        if (c > 0) {
            cvm_text_add_char(out, file->delimiter);
        }
        add_csv_text(file->columns[c].name, file->delimiter, out);
    }
    cvm_text_add(out, file->format == CVM_FILE_CSV ? "\n" : "");
}

/* ---- NDJSON ---- */

static void add_json_cell(const struct cell *cell, struct cvm_json_writer *json)
{
    switch (cell->kind) {
    case CELL_MISSING:
        cvm_json_null(json);
        break;
    case CELL_TEXT:
        cvm_json_string(json, cell->text);
        break;
    case CELL_NUMBER:
        cvm_json_double(json, cell->number);
        break;
    case CELL_BOOL:
        cvm_json_bool(json, cell->is_true);
        break;
    }
}

void cvm_channel_row_write(const struct cvm_channel_file *file, const struct cvm_channel_row *row,
                           struct cvm_text *out)
{
    struct cell_room room = {{0}, {0}};
    struct cvm_json_writer json;
    bool is_json = file->format == CVM_FILE_NDJSON;
    cvm_text_init(&room.words, 0);
    cvm_json_init(&json, out, false);
    if (is_json) {
        cvm_json_object(&json);
    }
    for (size_t c = 0; c < file->column_count; c++) {
        struct cell cell = cell_of(row, &file->columns[c], &room);
        if (is_json) {
            cvm_json_key(&json, file->columns[c].name);
            add_json_cell(&cell, &json);
            continue;
        }
        if (c > 0) {
            cvm_text_add_char(out, file->delimiter);
        }
        add_csv_cell(&cell, file->delimiter, out);
    }
    if (is_json) {
        cvm_json_object_end(&json);
    }
    cvm_text_add_char(out, '\n');
    out->failed |= room.words.failed;
    cvm_text_finish(&room.words);
}
