#include "cli/html.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FORMAT_MAX 512

void cvm_html_init(struct cvm_html *html, struct cvm_text *out)
{
    *html = (struct cvm_html){.out = out};
}

static void add_escaped(struct cvm_text *out, const char *text)
{
    if (!cvm_utf8_is_valid(text, strlen(text))) {
        cvm_text_add(out, "\xef\xbf\xbd"); /* the replacement character: nothing else is sure */
        return;
    }
    for (const char *at = text; *at != '\0'; at++) {
        switch (*at) {
        case '&':
            cvm_text_add(out, "&amp;");
            break;
        case '<':
            cvm_text_add(out, "&lt;");
            break;
        case '>':
            cvm_text_add(out, "&gt;");
            break;
        case '"':
            cvm_text_add(out, "&quot;");
            break;
        case '\'':
            cvm_text_add(out, "&#39;");
            break;
        default:
            /* Control characters are no text in HTML. */
            cvm_text_add_char(out, (unsigned char)*at < ' ' ? ' ' : *at);
        }
    }
}

static void add_tag(struct cvm_text *out, const char *name, va_list pairs)
{
    cvm_text_add_char(out, '<');
    cvm_text_add(out, name);
    for (const char *key = va_arg(pairs, const char *); key != NULL;
         key = va_arg(pairs, const char *)) {
        cvm_text_add_char(out, ' ');
        cvm_text_add(out, key);
        cvm_text_add(out, "=\"");
        add_escaped(out, va_arg(pairs, const char *));
        cvm_text_add_char(out, '"');
    }
    cvm_text_add_char(out, '>');
}

void cvm_html_open(struct cvm_html *html, const char *name, ...)
{
    va_list pairs;
    assert(html->depth < CVM_HTML_DEPTH_MAX);
    html->open[html->depth++] = name;
    va_start(pairs, name);
    add_tag(html->out, name, pairs);
    va_end(pairs);
}

void cvm_html_close(struct cvm_html *html)
{
    assert(html->depth > 0);
    const char *name = html->open[--html->depth];
    cvm_text_add(html->out, "</");
    cvm_text_add(html->out, name);
    cvm_text_add(html->out, ">\n");
}

void cvm_html_single(struct cvm_html *html, const char *name, ...)
{
    va_list pairs;
    va_start(pairs, name);
    add_tag(html->out, name, pairs);
    va_end(pairs);
    if (html->depth > 0 && strcmp(html->open[html->depth - 1], "svg") == 0) {
        cvm_text_add(html->out, "</"); /* shapes have no void form in HTML */
        cvm_text_add(html->out, name);
        cvm_text_add(html->out, ">");
    }
}

void cvm_html_text(struct cvm_html *html, const char *text)
{
    add_escaped(html->out, text);
}

void cvm_html_format(struct cvm_html *html, const char *format, ...)
{
    char text[FORMAT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)!vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    add_escaped(html->out, text);
}

void cvm_html_element(struct cvm_html *html, const char *name, const char *class, const char *text)
{
    if (class == NULL) {
        cvm_html_open(html, name, NULL);
    } else {
        cvm_html_open(html, name, "class", class, NULL);
    }
    cvm_html_text(html, text);
    cvm_html_close(html);
}

void cvm_html_raw(struct cvm_html *html, const char *bytes, size_t length)
{
    cvm_text_add_bytes(html->out, bytes, length);
}

/* ---- tables ---- */

void cvm_html_table_open(struct cvm_html_table *table, struct cvm_html *html, const char *caption,
                         const char *const *headers, size_t column_count)
{
    *table = (struct cvm_html_table){html, headers, column_count, 0};
    cvm_html_open(html, "table", "role", "table", NULL);
    cvm_html_element(html, "caption", NULL, caption);
    cvm_html_open(html, "thead", "role", "rowgroup", NULL);
    cvm_html_open(html, "tr", "role", "row", NULL);
    for (size_t c = 0; c < column_count; c++) {
        bool is_right = headers[c][0] == '>';
        cvm_html_open(html, "th", "role", "columnheader", "scope", "col", "class",
                      is_right ? "right" : "left", NULL);
        cvm_html_text(html, headers[c] + (is_right ? 1 : 0));
        cvm_html_close(html);
    }
    cvm_html_close(html);
    cvm_html_close(html);
    cvm_html_open(html, "tbody", "role", "rowgroup", NULL);
}

void cvm_html_cell(struct cvm_html_table *table, const char *text)
{
    const char *header = table->headers[table->column];
    bool is_right = header[0] == '>';
    if (table->column == 0) {
        cvm_html_open(table->html, "tr", "role", "row", NULL);
    }
    cvm_html_open(table->html, "td", "role", "cell", "data-label", header + (is_right ? 1 : 0),
                  "class", is_right ? "right" : "left", NULL);
    cvm_html_text(table->html, text);
    cvm_html_close(table->html);
    table->column++;
    if (table->column == table->column_count) {
        table->column = 0;
        cvm_html_close(table->html);
    }
}

void cvm_html_cell_format(struct cvm_html_table *table, const char *format, ...)
{
    char text[FORMAT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)!vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cvm_html_cell(table, text);
}

void cvm_html_table_close(struct cvm_html_table *table)
{
    assert(table->column == 0);
    cvm_html_close(table->html);
    cvm_html_close(table->html);
}
