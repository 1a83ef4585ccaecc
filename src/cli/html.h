/* html.h - HTML out, into a text builder: escaping and nesting are its business.
 *
 * Texts and attribute values are escaped here and nowhere else. Calls must nest. Failures stick in
 * the text builder.
 */
#ifndef CVM_CLI_HTML_H
#define CVM_CLI_HTML_H

#include "base/text.h"

#define CVM_HTML_DEPTH_MAX 32

struct cvm_html {
    struct cvm_text *out;
    const char *open[CVM_HTML_DEPTH_MAX];
    size_t depth;
};

void cvm_html_init(struct cvm_html *html, struct cvm_text *out);
/* <name key="value" ...>: pairs of texts, ended by NULL. The names are constants of the program. */
void cvm_html_open(struct cvm_html *html, const char *name, ...) __attribute__((sentinel));
void cvm_html_close(struct cvm_html *html); /* the innermost */
/* The same without content: <br>, <meta ...>, and shapes of SVG. */
void cvm_html_single(struct cvm_html *html, const char *name, ...) __attribute__((sentinel));

void cvm_html_text(struct cvm_html *html, const char *text);
void cvm_html_format(struct cvm_html *html, const char *format, ...) CVM_PRINTF(2, 3);
/* <name class="class">text</name>; class NULL = none. */
void cvm_html_element(struct cvm_html *html, const char *name, const char *class, const char *text);
/* As it is: style sheets and scripts of our own. */
void cvm_html_raw(struct cvm_html *html, const char *bytes, size_t length);

/* A table whose rows become cards on a narrow screen: each cell knows its header. A header that
 * starts with '>' is right-aligned. */
struct cvm_html_table {
    struct cvm_html *html;
    const char *const *headers;
    size_t column_count;
    size_t column; /* of the next cell */
};
void cvm_html_table_open(struct cvm_html_table *table, struct cvm_html *html, const char *caption,
                         const char *const *headers, size_t column_count);
void cvm_html_cell(struct cvm_html_table *table, const char *text);
void cvm_html_cell_format(struct cvm_html_table *table, const char *format, ...) CVM_PRINTF(2, 3);
void cvm_html_table_close(struct cvm_html_table *table);

#endif
