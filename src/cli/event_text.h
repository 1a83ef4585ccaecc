/* event_text.h - one stored event as a sentence for people. */
#ifndef CVM_CLI_EVENT_TEXT_H
#define CVM_CLI_EVENT_TEXT_H

#include "base/json_reader.h"
#include "storage/customers.h"

struct cvm_event_texts {
    const struct cvm_catalogue *catalogue;
    struct cvm_json_reader *reader;
    struct cvm_arena *scratch; /* reset with every event */
};

CVM_MUST_CHECK enum cvm_status cvm_event_texts_open(const struct cvm_catalogue *catalogue,
                                                    struct cvm_event_texts *out_texts,
                                                    struct cvm_error *err);
void cvm_event_texts_close(struct cvm_event_texts *texts);

/* The sentence of the event's source, "{attribute}" replaced by its value (text and personal
 * attributes too: the reader is the one who may see them), "unknown" when missing. */
CVM_MUST_CHECK enum cvm_status cvm_event_text_write(struct cvm_event_texts *texts,
                                                    const struct cvm_event_row *row,
                                                    struct cvm_text *out, struct cvm_error *err);

/* The attributes of the row that may be shown, as members of the open object. */
CVM_MUST_CHECK enum cvm_status cvm_event_attributes_read(struct cvm_event_texts *texts,
                                                         const struct cvm_event_row *row,
                                                         const struct cvm_json_value **out_object,
                                                         struct cvm_error *err);

/* The catalogue's name of the row's source for people. */
const char *cvm_event_source_label(const struct cvm_catalogue *catalogue,
                                   const struct cvm_event_row *row);

#endif
