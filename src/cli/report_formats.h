/* report_formats.h - a report as a text for the terminal, one JSON document, CSV in long form, or
 * one HTML page. Appended to `out`; failures stick in it. */
#ifndef CVM_CLI_REPORT_FORMATS_H
#define CVM_CLI_REPORT_FORMATS_H

#include "base/json_writer.h"
#include "base/text.h"
#include "cli/command.h"
#include "engine/report.h"

struct cvm_report_format {
    const struct cvm_report *report;
    const char *currency;
    int64_t made_at_ms;
    struct cvm_arena *arena; /* for working memory */
};

/* Prints. */
void cvm_report_print_text(struct cvm_session *session, const struct cvm_report_format *format);
/* Members of the open object. */
void cvm_report_write_json(const struct cvm_report_format *format, struct cvm_json_writer *json);
/* section,name,group,value,unit */
void cvm_report_write_csv(const struct cvm_report_format *format, struct cvm_text *out);
/* One self-contained page. */
void cvm_report_write_html(const struct cvm_report_format *format, struct cvm_text *out);

#endif
