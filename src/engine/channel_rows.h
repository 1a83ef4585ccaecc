/* channel_rows.h - a decision as a row of a channel's file, as channels/NAME.yaml says.
 *
 * Pure. CSV: RFC 4180, lines end in LF; text that a spreadsheet would take for a formula (it begins
 * with = + - @ or a control character, and is no telephone number) gets a ' in front.
 */
#ifndef CVM_ENGINE_CHANNEL_ROWS_H
#define CVM_ENGINE_CHANNEL_ROWS_H

#include "base/text.h"
#include "model/catalogue.h"
#include "model/decision.h"

struct cvm_channel_row {
    const struct cvm_catalogue *catalogue;
    const struct cvm_decision *decision;
    const char *decision_id;
    const char *customer_id;
    int32_t as_of_day;
    bool is_test;
    const double *features; /* feature f stands at features[f * stride]; NULL = not known */
    size_t stride;
};

/* The names of the columns; nothing in NDJSON. */
void cvm_channel_head_write(const struct cvm_channel_file *file, struct cvm_text *out);
void cvm_channel_row_write(const struct cvm_channel_file *file, const struct cvm_channel_row *row,
                           struct cvm_text *out);

#endif
