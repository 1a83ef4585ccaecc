/* document.h - the one JSON document that a command prints with --json. */
#ifndef CVM_CLI_DOCUMENT_H
#define CVM_CLI_DOCUMENT_H

#include "cli/command.h"

struct cvm_document {
    struct cvm_text text;
    struct cvm_json_writer json;
};
/* An object is open afterwards. */
void cvm_document_init(struct cvm_document *document);
void cvm_document_finish(struct cvm_document *document);
/* Close the object, print it, finish the document. */
CVM_MUST_CHECK enum cvm_status cvm_document_print(struct cvm_document *document,
                                                  struct cvm_session *session,
                                                  struct cvm_error *err);

/* The end of a command that filled both: the document with --json, else the table; after an error
 * neither. Both are finished. Returns `status`, or what went wrong with printing. */
CVM_MUST_CHECK enum cvm_status cvm_document_or_table(struct cvm_document *document,
                                                     struct cvm_table *table,
                                                     struct cvm_session *session,
                                                     enum cvm_status status, struct cvm_error *err);

/* "2024-03-20", null for no day. */
void cvm_json_key_day(struct cvm_json_writer *json, const char *key, int32_t day);
void cvm_json_key_moment(struct cvm_json_writer *json, const char *key, int64_t moment_ms);
/* Stored JSON as it is; null for NULL. */
void cvm_json_key_raw(struct cvm_json_writer *json, const char *key, const char *text);
/* The key, then "{" */
void cvm_json_key_object(struct cvm_json_writer *json, const char *key);
void cvm_json_key_array(struct cvm_json_writer *json, const char *key);

/* Each line of the text an element of an array. */
void cvm_json_key_lines(struct cvm_json_writer *json, const char *key,
                        const struct cvm_text *lines);
/* Each line behind the label. */
void cvm_lines_print(FILE *out, const char *label, const struct cvm_text *lines);

/* "12,345" and "12,345.67", for people; return text. */
#define CVM_NUMBER_TEXT_SIZE 48
const char *cvm_grouped(int64_t value, char text[CVM_NUMBER_TEXT_SIZE]);
const char *cvm_money(double amount, char text[CVM_NUMBER_TEXT_SIZE]);
/* "250 ms", "3.2 s", "12 min"; "-" for less than none. */
const char *cvm_span(int64_t ms, char text[CVM_NUMBER_TEXT_SIZE]);

#endif
