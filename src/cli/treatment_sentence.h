/* treatment_sentence.h - a sentence about a treatment as tokens, and its readers; for
 * treatment_text.c, treatment_settings.c and treatment_contact.c only.
 */
#ifndef CVM_CLI_TREATMENT_SENTENCE_H
#define CVM_CLI_TREATMENT_SENTENCE_H

#include "cli/treatment_text.h"

enum cvm_token_kind { CVM_TOKEN_WORD, CVM_TOKEN_NUMBER, CVM_TOKEN_CURRENCY, CVM_TOKEN_SYMBOL };

struct cvm_token {
    enum cvm_token_kind kind;
    size_t start, length;
    bool is_quoted;
    bool is_setting; /* part of a limit, priority or cost: not of the description */
};

struct cvm_treatment_sentence {
    struct cvm_arena *arena;
    const char *text;
    struct cvm_token *tokens; /* room for one per byte */
    size_t count;
    struct cvm_treatment_text *out;
};

void cvm_sentence_read_tokens(struct cvm_treatment_sentence *sentence);

/* Part of a word, in any language: a byte of UTF-8 beyond ASCII counts. */
bool cvm_is_letter(char c);
/* Is the token this word, in any case? False behind the end. */
bool cvm_sentence_is(const struct cvm_treatment_sentence *sentence, size_t index, const char *word);
bool cvm_sentence_is_any(const struct cvm_treatment_sentence *sentence, size_t index,
                         const char *const *words);
#define CVM_SENTENCE_IS_ANY(sentence, index, ...)                                                  \
    cvm_sentence_is_any((sentence), (index), (const char *const[]){__VA_ARGS__, NULL})
/* How many tokens the words of the phrase match from `index` on; 0 = they do not. */
size_t cvm_sentence_match(const struct cvm_treatment_sentence *sentence, size_t index,
                          const char *phrase);
/* The text from one token to another, both included. */
struct cvm_slice cvm_sentence_part(const struct cvm_treatment_sentence *sentence, size_t first,
                                   size_t last);
/* A line of one of the two lists: "'what': ..." */
void cvm_sentence_tell(struct cvm_text *list, struct cvm_slice what, const char *format, ...)
    CVM_PRINTF(3, 4);

/* treatment_settings.c: limit, priority and cost, whose tokens are marked. */
void cvm_sentence_read_settings(struct cvm_treatment_sentence *sentence);
/* treatment_contact.c: channel, purpose and whether it keeps customers. */
CVM_MUST_CHECK enum cvm_status cvm_sentence_read_contact(struct cvm_treatment_sentence *sentence,
                                                         struct cvm_error *err);
/* Does a channel's name begin at the token? */
bool cvm_sentence_is_channel(const struct cvm_treatment_sentence *sentence, size_t index);

#endif
