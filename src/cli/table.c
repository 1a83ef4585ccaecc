#include <stdarg.h>
#include <string.h>

#include "cli/command.h"

#define COLUMNS_MAX 24

void cvm_table_init(struct cvm_table *table, const char *const *headers, size_t column_count)
{
    *table = (struct cvm_table){.headers = headers, .column_count = column_count};
    cvm_text_init(&table->cells, 0);
}

void cvm_table_add(struct cvm_table *table, const char *cell)
{
    cvm_text_add(&table->cells, cell == NULL ? "" : cell);
    cvm_text_add_char(&table->cells, '\0');
    table->cell_count++;
}

void cvm_table_add_format(struct cvm_table *table, const char *format, ...)
{
    char cell[256];
    va_list arguments;
    va_start(arguments, format);
    (void)!vsnprintf(cell, sizeof(cell), format, arguments);
    va_end(arguments);
    cvm_table_add(table, cell);
}

/* Characters, not bytes: continuation bytes of UTF-8 take no room. */
static size_t width_of(const char *cell)
{
    size_t width = 0;
    for (; *cell != '\0'; cell++) {
        width += ((unsigned char)*cell & 0xc0) != 0x80;
    }
    return width;
}

static void print_cell(FILE *out, const char *cell, size_t width, bool is_right, bool is_last)
{
    size_t padding = width > width_of(cell) ? width - width_of(cell) : 0;
    if (is_right) {
        fprintf(out, "%*s%s", (int)padding, "", cell);
    } else {
        fprintf(out, "%s%*s", cell, is_last ? 0 : (int)padding, "");
    }
    fputs(is_last ? "\n" : "  ", out);
}

static void print_row(const struct cvm_table *table, FILE *out, const char **cell,
                      const size_t *widths)
{
    for (size_t c = 0; c < table->column_count; c++) {
        bool is_right = table->headers[c][0] == '>';
        print_cell(out, *cell, widths[c], is_right, c + 1 == table->column_count);
        *cell += strlen(*cell) + 1;
    }
}

void cvm_table_print(struct cvm_table *table, FILE *out)
{
    size_t widths[COLUMNS_MAX] = {0};
    size_t rows = table->cell_count / table->column_count;
    const char *cell = cvm_text_string(&table->cells);
    for (size_t c = 0; c < table->column_count; c++) {
        const char *header = table->headers[c];
        widths[c] = width_of(header + (header[0] == '>'));
    }
    for (size_t i = 0; i < rows * table->column_count; i++) {
        size_t width = width_of(cell);
        size_t c = i % table->column_count;
        widths[c] = width > widths[c] ? width : widths[c];
        cell += strlen(cell) + 1;
    }
    fputs(table->has_colour ? "\033[1m" : "", out);
    for (size_t c = 0; c < table->column_count; c++) {
        const char *header = table->headers[c];
        print_cell(out, header + (header[0] == '>'), widths[c], header[0] == '>',
                   c + 1 == table->column_count);
    }
    fputs(table->has_colour ? "\033[0m" : "", out);
    cell = cvm_text_string(&table->cells);
    for (size_t r = 0; r < rows; r++) {
        print_row(table, out, &cell, widths);
    }
    cvm_text_finish(&table->cells);
}
