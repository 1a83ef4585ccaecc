#include "cli/problem_reading.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/csv.h"
#include "base/hash.h"
#include "base/suggest.h"

#define WINDOW_BYTES       ((size_t)4 << 20) /* and the longest record */
#define RECORD_ARENA_BYTES ((size_t)16 << 20)
#define HEADER_ARENA_BYTES ((size_t)16 << 20)
#define COLUMNS_MAX        4096
#define ID_BYTES_MAX       255
#define VALUE_MAX          1e12
#define AMOUNT_MAX         1e9
#define CUSTOMERS_MAX      ((size_t)UINT32_MAX - 2)

static const char *const fixed_columns[] = {"customer_id", "segment", "high_value", "amount",
                                            "group"};

static enum cvm_status at_line(const struct cvm_values_reader *r, struct cvm_error *err,
                               enum cvm_status status)
{
    return cvm_error_where(err, status, "%s:%lld", r->file->values_path, (long long)r->line);
}

/* ---- columns ---- */

static struct cvm_slice trim(struct cvm_slice field)
{
    while (field.length > 0 && (field.data[0] == ' ' || field.data[0] == '\t')) {
        field.data++;
        field.length--;
    }
    while (field.length > 0 &&
           (field.data[field.length - 1] == ' ' || field.data[field.length - 1] == '\t')) {
        field.length--;
    }
    return field;
}

static int find_column(const struct cvm_values_reader *r, enum cvm_values_role role,
                       const char *name)
{
    for (size_t c = 0; c < r->column_count; c++) {
        if (r->columns[c].role == role && (name == NULL || strcmp(r->columns[c].name, name) == 0)) {
            return (int)c;
        }
    }
    return -1;
}

static enum cvm_status fail_column(const struct cvm_values_reader *r, const char *name,
                                   struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = name};
    for (size_t i = 0; i < sizeof(fixed_columns) / sizeof(fixed_columns[0]); i++) {
        cvm_suggestion_try(&suggestion, fixed_columns[i]);
    }
    for (size_t t = 0; t < r->file->treatment_count; t++) {
        cvm_suggestion_try(&suggestion, r->file->treatments[t]);
    }
    enum cvm_status status = at_line(
        r, err,
        CVM_FAIL(err, CVM_E_INVALID, "column '%s' is no treatment of '%s'", name, r->file->name));
    return suggestion.best == NULL
               ? cvm_error_hint(err, status,
                                "Take it out. Beside treatments there are customer_id, segment, "
                                "high_value, amount, group and seg:NAME.")
               : cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
}

static enum cvm_status name_column(struct cvm_values_reader *r, size_t c, struct cvm_slice field,
                                   struct cvm_error *err)
{
    struct cvm_slice trimmed = trim(field);
    const char *name = cvm_arena_copy(r->header, trimmed.data, trimmed.length);
    if (name == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the header of '%s'", r->file->values_path);
    }
    for (size_t before = 0; before < c; before++) {
        if (strcmp(r->columns[before].name, name) == 0) {
            return at_line(r, err,
                           CVM_FAIL(err, CVM_E_INVALID, "column '%s' is there twice", name));
        }
    }
    r->columns[c].name = name;
    for (size_t i = 0; i < sizeof(fixed_columns) / sizeof(fixed_columns[0]); i++) {
        if (strcmp(fixed_columns[i], name) == 0) {
            r->columns[c].role = (enum cvm_values_role)i;
            return CVM_OK;
        }
    }
    int treatment = cvm_problem_file_treatment(r->file, name);
    bool is_dimension = strncmp(name, "seg:", 4) == 0 && name[4] != '\0';
    if (treatment < 0 && !is_dimension) {
        return fail_column(r, name, err);
    }
    r->columns[c].role = is_dimension ? COLUMN_DIMENSION : COLUMN_TREATMENT;
    r->columns[c].treatment = is_dimension ? 0 : (size_t)treatment;
    return CVM_OK;
}

static enum cvm_status check_columns(const struct cvm_values_reader *r, struct cvm_error *err)
{
    if (find_column(r, COLUMN_ID, NULL) < 0) {
        return at_line(r, err, CVM_FAIL(err, CVM_E_INVALID, "there is no column 'customer_id'"));
    }
    for (size_t t = 0; t < r->file->treatment_count; t++) {
        if (find_column(r, COLUMN_TREATMENT, r->file->treatments[t]) < 0) {
            enum cvm_status status =
                at_line(r, err,
                        CVM_FAIL(err, CVM_E_INVALID, "there is no column of treatment '%s'",
                                 r->file->treatments[t]));
            return cvm_error_hint(err, status,
                                  "Its fields are the customers' values; an empty "
                                  "one is for who is not eligible.");
        }
    }
    return CVM_OK;
}

/* ---- which customers a row is about ---- */

static enum cvm_status fail_missing(const struct cvm_values_reader *r,
                                    const struct cvm_problem_file_row *row, const char *column,
                                    struct cvm_error *err)
{
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "row '%s' needs the column '%s', which '%s' does not have",
                 row->name, column, r->file->values_path);
    return cvm_error_where(err, status, "%s:%d", r->file->name, row->line);
}

/* The column "seg:DIMENSION" of "DIMENSION=value". */
static int find_dimension(const struct cvm_values_reader *r, const char *dimension, size_t length)
{
    for (size_t c = 0; c < r->column_count; c++) {
        const char *name = r->columns[c].name + 4;
        if (r->columns[c].role == COLUMN_DIMENSION && strlen(name) == length &&
            memcmp(name, dimension, length) == 0) {
            return (int)c;
        }
    }
    return -1;
}

/* In a file with dimensions every "NAME=value" is of one, or a misspelt one would be a segment that
 * nobody is in; without them it is a value of the column "segment" like any other. */
static enum cvm_status add_segment(struct cvm_values_reader *r, size_t number,
                                   struct cvm_error *err)
{
    const struct cvm_problem_file_row *row = &r->file->rows[number];
    const char *equals = strchr(row->segment, '=');
    bool is_dimension = equals != NULL && find_column(r, COLUMN_DIMENSION, NULL) >= 0;
    size_t length = is_dimension ? (size_t)(equals - row->segment) : 0;
    int column = is_dimension ? find_dimension(r, row->segment, length)
                              : find_column(r, COLUMN_SEGMENT, NULL);
    const char *text = is_dimension ? equals + 1 : row->segment;
    if (column < 0) {
        char missing[160];
        (void)!snprintf(missing, sizeof(missing), "seg:%.*s", (int)length, row->segment);
        return fail_missing(r, row, is_dimension ? missing : "segment", err);
    }
    r->conditions[r->condition_count++] = (struct cvm_values_condition){
        .row = number, .column = (size_t)column, .text = text, .length = strlen(text)};
    return CVM_OK;
}

static enum cvm_status add_conditions(struct cvm_values_reader *r, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < r->file->row_count; i++) {
        const struct cvm_problem_file_row *row = &r->file->rows[i];
        if (row->segment != NULL) {
            status = add_segment(r, i, err);
        } else if (row->kind == CVM_ROW_RESERVE) {
            int column = find_column(r, COLUMN_HIGH_VALUE, NULL);
            if (column < 0) {
                return fail_missing(r, row, "high_value", err);
            }
            r->conditions[r->condition_count++] = (struct cvm_values_condition){
                .row = i, .column = (size_t)column, .is_high_value = true};
        }
    }
    return status;
}

static enum cvm_status read_header(struct cvm_values_reader *r, const char *text, size_t length,
                                   struct cvm_error *err)
{
    struct cvm_slice *fields = NULL;
    size_t count = 0;
    const char *copy = cvm_arena_copy(r->header, text, length);
    if (copy == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the header of '%s'", r->file->values_path);
    }
    r->separator = cvm_csv_separator(copy, length);
    enum cvm_status status =
        cvm_csv_split(r->header, copy, length, r->separator, &fields, &count, err);
    if (status != CVM_OK) {
        return at_line(r, err, cvm_error_context(err, status, "header"));
    }
    if (count > COLUMNS_MAX) {
        return at_line(r, err,
                       CVM_FAIL(err, CVM_E_INVALID, "%zu columns, at most %d are allowed", count,
                                COLUMNS_MAX));
    }
    r->columns = CVM_NEW_ARRAY(r->header, count, struct cvm_values_column);
    if (r->columns == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu columns", count);
    }
    for (size_t c = 0; status == CVM_OK && c < count; c++) {
        status = name_column(r, c, fields[c], err);
    }
    if (status != CVM_OK) {
        return status;
    }
    r->column_count = count;
    r->has_amounts = find_column(r, COLUMN_AMOUNT, NULL) >= 0;
    r->has_group_column = find_column(r, COLUMN_GROUP, NULL) >= 0;
    status = check_columns(r, err);
    return status == CVM_OK ? add_conditions(r, err) : status;
}

/* ---- one customer ---- */

/* One record, before it is known to be good. */
struct customer {
    struct cvm_slice id;
    double amount;
    bool is_high_value;
    struct cvm_group_hash group;
};

static enum cvm_status fail_field(const struct cvm_values_reader *r, size_t c,
                                  struct cvm_slice field, const char *allowed,
                                  struct cvm_error *err)
{
    int shown = field.length < 40 ? (int)field.length : 40;
    return at_line(r, err,
                   CVM_FAIL(err, CVM_E_INVALID, "column '%s': '%.*s' is not %s", r->columns[c].name,
                            shown, field.data, allowed));
}

static enum cvm_status read_id(const struct cvm_values_reader *r, size_t c, struct cvm_slice field,
                               struct customer *customer, struct cvm_error *err)
{
    if (field.length == 0) {
        return at_line(r, err, CVM_FAIL(err, CVM_E_INVALID, "the customer_id is empty"));
    }
    if (field.length > ID_BYTES_MAX) {
        return at_line(r, err,
                       CVM_FAIL(err, CVM_E_INVALID,
                                "the customer_id has %zu bytes, at most %d are allowed",
                                field.length, ID_BYTES_MAX));
    }
    for (size_t i = 0; i < field.length; i++) {
        if ((unsigned char)field.data[i] < 0x20) {
            return fail_field(r, c, field, "free of control characters", err);
        }
    }
    customer->id = field;
    return CVM_OK;
}

static enum cvm_status read_value(struct cvm_values_reader *r, size_t c, struct cvm_slice field,
                                  double *numbers, struct cvm_error *err)
{
    double value = NAN;
    if (field.length == 0) {
        numbers[r->columns[c].treatment] = NAN;
        return CVM_OK;
    }
    if (!cvm_text_to_double(field.data, field.length, &value)) {
        enum cvm_status status = fail_field(r, c, field, "a number", err);
        return cvm_error_hint(err, status,
                              "Write digits with a decimal point, or nothing where the customer "
                              "is not eligible.");
    }
    if (!(fabs(value) <= VALUE_MAX)) {
        return fail_field(r, c, field, "between -10^12 and 10^12", err);
    }
    numbers[r->columns[c].treatment] = value;
    return CVM_OK;
}

static enum cvm_status read_field(struct cvm_values_reader *r, size_t c, struct cvm_slice field,
                                  struct customer *customer, struct cvm_error *err)
{
    switch (r->columns[c].role) {
    case COLUMN_ID:
        return read_id(r, c, field, customer, err);
    case COLUMN_HIGH_VALUE:
        customer->is_high_value = field.length == 1 && field.data[0] == '1';
        if (field.length > 1 ||
            (field.length == 1 && field.data[0] != '0' && field.data[0] != '1')) {
            return fail_field(r, c, field, "0 or 1", err);
        }
        return CVM_OK;
    case COLUMN_AMOUNT:
        if (field.length > 0 && (!cvm_text_to_double(field.data, field.length, &customer->amount) ||
                                 !(customer->amount >= 0.0 && customer->amount <= AMOUNT_MAX))) {
            return fail_field(r, c, field, "a number from 0 to 10^9", err);
        }
        return CVM_OK;
    case COLUMN_GROUP:
        if (field.length > 0) {
            /* 128 bits, so that the names need not be kept: two alike are not to be expected. */
            customer->group = (struct cvm_group_hash){
                cvm_hash(field.data, field.length) | 1,
                cvm_hash_seeded(field.data, field.length, 1),
            };
            r->has_groups = true;
        }
        return CVM_OK;
    case COLUMN_SEGMENT:
    case COLUMN_DIMENSION:
    case COLUMN_TREATMENT:
        break;
    }
    return CVM_OK;
}

/* The class of the customers who are inside of exactly these rows. */
static enum cvm_status find_class(struct cvm_values_reader *r, const uint64_t *rows,
                                  uint16_t *out_class, struct cvm_error *err)
{
    size_t slot = cvm_hash_mix(rows[0], rows[1]) % CVM_CLASS_SLOTS;
    for (; r->class_slots[slot] != 0; slot = (slot + 1) % CVM_CLASS_SLOTS) {
        size_t number = r->class_slots[slot] - 1U;
        if (memcmp(r->class_rows[number], rows, sizeof(r->class_rows[0])) == 0) {
            *out_class = (uint16_t)number;
            return CVM_OK;
        }
    }
    if (r->class_count == CVM_PROBLEM_CLASSES_MAX) {
        enum cvm_status status = at_line(
            r, err,
            CVM_FAIL(err, CVM_E_LIMIT, "the rows tell more than %d kinds of customers apart",
                     CVM_PROBLEM_CLASSES_MAX));
        return cvm_error_hint(err, status, "Use rows on fewer segments at once.");
    }
    memcpy(r->class_rows[r->class_count], rows, sizeof(r->class_rows[0]));
    *out_class = (uint16_t)r->class_count++;
    r->class_slots[slot] = (uint16_t)(*out_class + 1U);
    return CVM_OK;
}

static enum cvm_status classify(struct cvm_values_reader *r, const struct cvm_slice *fields,
                                const struct customer *customer, uint16_t *out_class,
                                struct cvm_error *err)
{
    uint64_t rows[CVM_PROBLEM_ROWS_MAX / 64] = {0};
    for (size_t i = 0; i < r->condition_count; i++) {
        const struct cvm_values_condition *condition = &r->conditions[i];
        struct cvm_slice field = fields[condition->column];
        bool is_inside = condition->is_high_value
                             ? customer->is_high_value
                             : field.length == condition->length &&
                                   memcmp(field.data, condition->text, field.length) == 0;
        rows[condition->row / 64] |= (uint64_t)is_inside << condition->row % 64;
    }
    return find_class(r, rows, out_class, err);
}

static enum cvm_status extend(struct cvm_column *column, size_t more, const void *from,
                              struct cvm_error *err)
{
    void *place = NULL;
    enum cvm_status status = cvm_column_extend(column, more, &place, err);
    if (status == CVM_OK) {
        memcpy(place, from, more * column->element_bytes);
    }
    return status;
}

static enum cvm_status keep(struct cvm_values_reader *r, const struct customer *customer,
                            uint16_t class, struct cvm_error *err)
{
    uint64_t text_at = r->texts.count;
    uint32_t line = r->line < UINT32_MAX ? (uint32_t)r->line : UINT32_MAX;
    const struct {
        struct cvm_column *column;
        const void *from;
        size_t count;
    } parts[] = {
        {&r->texts, customer->id.data, customer->id.length},
        {&r->texts, "", 1},
        {&r->text_at, &text_at, 1},
        {&r->lines, &line, 1},
        {&r->amounts, &customer->amount, r->has_amounts ? 1 : 0},
        {&r->classes, &class, r->condition_count > 0 ? 1 : 0},
        {&r->groups, &customer->group, r->has_group_column ? 1 : 0},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].count > 0) {
            enum cvm_status status = extend(parts[i].column, parts[i].count, parts[i].from, err);
            if (status != CVM_OK) {
                return status;
            }
        }
    }
    r->amount_max = customer->amount > r->amount_max ? customer->amount : r->amount_max;
    r->count++;
    return CVM_OK;
}

static enum cvm_status read_fields(struct cvm_values_reader *r, struct cvm_slice *fields,
                                   struct cvm_error *err)
{
    struct customer customer = {0};
    uint16_t class = 0;
    void *numbers = NULL;
    if (r->count == CUSTOMERS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "more than %zu customers", CUSTOMERS_MAX);
    }
    enum cvm_status status =
        cvm_column_extend(&r->numbers, r->file->treatment_count, &numbers, err);
    for (size_t c = 0; status == CVM_OK && c < r->column_count; c++) {
        fields[c] = trim(fields[c]);
        status = r->columns[c].role == COLUMN_TREATMENT
                     ? read_value(r, c, fields[c], numbers, err)
                     : read_field(r, c, fields[c], &customer, err);
    }
    if (status == CVM_OK && r->condition_count > 0) {
        status = classify(r, fields, &customer, &class, err);
    }
    return status == CVM_OK ? keep(r, &customer, class, err) : status;
}

static bool is_blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\n' && text[i] != '\r' && text[i] != ' ' && text[i] != '\t') {
            return false;
        }
    }
    return true;
}

static enum cvm_status read_record(struct cvm_values_reader *r, const char *text, size_t length,
                                   struct cvm_error *err)
{
    struct cvm_slice *fields = NULL;
    size_t count = 0;
    if (is_blank(text, length)) {
        return CVM_OK;
    }
    if (r->columns == NULL) {
        return read_header(r, text, length, err);
    }
    cvm_arena_reset(r->record);
    enum cvm_status status =
        cvm_csv_split(r->record, text, length, r->separator, &fields, &count, err);
    if (status != CVM_OK) {
        return at_line(r, err, status);
    }
    if (count != r->column_count) {
        return at_line(r, err,
                       CVM_FAIL(err, CVM_E_INVALID, "%zu fields where the header has %zu", count,
                                r->column_count));
    }
    return read_fields(r, fields, err);
}

static int64_t count_lines(const char *text, size_t length)
{
    int64_t lines = 0;
    const char *end = text + length;
    for (const char *p = text; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
        lines++;
    }
    return lines;
}

enum cvm_status cvm_values_reader_add(struct cvm_values_reader *reader, const char *data,
                                      size_t length, bool is_last, size_t *out_used,
                                      struct cvm_error *err)
{
    size_t at = 0;
    while (at < length) {
        size_t record = cvm_csv_record_length(data + at, length - at, is_last);
        if (record == 0) {
            break;
        }
        enum cvm_status status = read_record(reader, data + at, record, err);
        if (status != CVM_OK) {
            return status;
        }
        reader->line += count_lines(data + at, record);
        at += record;
    }
    *out_used = at;
    return CVM_OK;
}

struct cvm_values_reader *cvm_values_reader_create(const struct cvm_problem_file *file,
                                                   int key_bits)
{
    struct cvm_values_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    r->file = file;
    r->line = 1;
    r->key_mask = key_bits == 0 ? UINT64_MAX : (UINT64_C(1) << key_bits) - 1;
    r->header = cvm_arena_create(HEADER_ARENA_BYTES);
    r->record = cvm_arena_create(RECORD_ARENA_BYTES);
    cvm_column_init(&r->numbers, sizeof(double));
    cvm_column_init(&r->texts, 1);
    cvm_column_init(&r->text_at, sizeof(uint64_t));
    cvm_column_init(&r->lines, sizeof(uint32_t));
    cvm_column_init(&r->amounts, sizeof(double));
    cvm_column_init(&r->classes, sizeof(uint16_t));
    cvm_column_init(&r->groups, sizeof(struct cvm_group_hash));
    if (r->header == NULL || r->record == NULL) {
        cvm_values_reader_destroy(r);
        return NULL;
    }
    return r;
}

void cvm_values_reader_destroy(struct cvm_values_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    cvm_arena_destroy(reader->header);
    cvm_arena_destroy(reader->record);
    cvm_column_finish(&reader->numbers);
    cvm_column_finish(&reader->texts);
    cvm_column_finish(&reader->text_at);
    cvm_column_finish(&reader->lines);
    cvm_column_finish(&reader->amounts);
    cvm_column_finish(&reader->classes);
    cvm_column_finish(&reader->groups);
    free(reader);
}

/* ---- the file ---- */

static enum cvm_status fail_too_long(const struct cvm_values_reader *r, struct cvm_error *err)
{
    enum cvm_status status = at_line(
        r, err,
        CVM_FAIL(err, CVM_E_INVALID, "a record of more than %zu bytes begins here", WINDOW_BYTES));
    return cvm_error_hint(err, status, "Is a quote never closed?");
}

/* One file being read. */
struct values_input {
    struct cvm_session *session;
    struct cvm_values_reader *reader;
    int fd;
    double size; /* in bytes; 0 = not known */
    double done;
};

static enum cvm_status read_windows(struct values_input *input, char *window, struct cvm_error *err)
{
    size_t held = 0;
    for (;;) {
        enum cvm_status status = cvm_context_check(&input->session->context, err);
        if (status != CVM_OK) {
            return status;
        }
        ssize_t more = read(input->fd, window + held, WINDOW_BYTES - held);
        if (more < 0 && errno == EINTR) {
            continue;
        }
        if (more < 0) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot read '%s': %s",
                            input->reader->file->values_path, strerror(errno));
        }
        size_t used = 0;
        held += (size_t)more;
        /* Short reads of a pipe are gathered, or each would cost a look at a cut record. */
        if (more > 0 && held < WINDOW_BYTES) {
            continue;
        }
        status = cvm_values_reader_add(input->reader, window, held, more == 0, &used, err);
        if (status != CVM_OK || more == 0) {
            return status;
        }
        if (used == 0) {
            return fail_too_long(input->reader, err);
        }
        memmove(window, window + used, held - used);
        held -= used;
        input->done += (double)used;
        cvm_session_progress(input->session, "read",
                             input->size > 0 ? input->done / input->size : -1,
                             (int64_t)input->reader->count);
    }
}

static enum cvm_status read_file(struct values_input *input, struct cvm_error *err)
{
    const struct cvm_problem_file *file = input->reader->file;
    struct cvm_buffer window = {0};
    struct stat info;
    input->fd = open(file->values_path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (input->fd < 0) {
        enum cvm_status status =
            CVM_FAIL(err, errno == ENOENT ? CVM_E_NOT_FOUND : CVM_E_UNAVAILABLE,
                     "cannot open '%s': %s", file->values_path, strerror(errno));
        return cvm_error_hint(err, status, "'values' of '%s' names it, relative to that file.",
                              file->name);
    }
    input->size = fstat(input->fd, &info) == 0 && S_ISREG(info.st_mode) ? (double)info.st_size : 0;
    enum cvm_status status = cvm_buffer_reserve(&window, WINDOW_BYTES, err);
    if (status == CVM_OK) {
        status = read_windows(input, window.data, err);
    }
    cvm_buffer_finish(&window);
    (void)close(input->fd); /* opened for reading: nothing left to lose */
    return status;
}

enum cvm_status cvm_problem_values_read(struct cvm_session *session,
                                        const struct cvm_problem_file *file,
                                        struct cvm_problem_values *out_values,
                                        struct cvm_error *err)
{
    struct values_input input = {.session = session, .reader = cvm_values_reader_create(file, 0)};
    memset(out_values, 0, sizeof(*out_values));
    if (input.reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read '%s'", file->values_path);
    }
    enum cvm_status status = read_file(&input, err);
    if (status == CVM_OK) {
        status = cvm_values_reader_end(input.reader, out_values, err);
    }
    cvm_values_reader_destroy(input.reader);
    cvm_session_progress_end(session);
    return status;
}
