#include "cli/treatment_text.h"

#include <string.h>

#include "cli/treatment_sentence.h"

static bool is_own_word(const struct cvm_treatment_sentence *sentence, size_t index)
{
    return sentence->tokens[index].kind == CVM_TOKEN_WORD &&
           !CVM_SENTENCE_IS_ANY(sentence, index, "a", "an", "the", "and", "or", "by", "via", "with",
                                "of", "to", "in", "on", "at", "now", "instead", "not", "no", "but",
                                "only", "it", "is") &&
           !cvm_sentence_is_channel(sentence, index);
}

/* The tokens that are no setting, with the white space and quotes that stood between them. */
static enum cvm_status write_description(struct cvm_treatment_sentence *sentence,
                                         struct cvm_error *err)
{
    struct cvm_text text;
    size_t from = 0;
    size_t i = 0;
    cvm_text_init(&text, 0);
    for (; i < sentence->count; i++) {
        const struct cvm_token *token = &sentence->tokens[i];
        if (token->is_setting) {
            from = token->start + token->length;
            continue;
        }
        bool is_after_setting = i > 0 && sentence->tokens[i - 1].is_setting;
        if (is_after_setting && text.length > 0 && sentence->text[from] != ' ' &&
            token->kind != CVM_TOKEN_SYMBOL) {
            cvm_text_add_char(&text, ' ');
        }
        size_t end = token->start + token->length;
        cvm_text_add_bytes(&text, sentence->text + from, end - from);
        from = end;
        sentence->out->own_words += is_own_word(sentence, i) ? 1 : 0;
    }
    cvm_text_add(&text, sentence->text + from); /* a closing quote */
    const char *start = cvm_text_string(&text);
    size_t length = text.length;
    while (length > 0 && strchr(" \t\n,;:-", start[length - 1]) != NULL) {
        length--;
    }
    size_t skip = strspn(start, " \t\n,;:-.");
    skip = skip > length ? length : skip;
    sentence->out->description = cvm_arena_copy(sentence->arena, start + skip, length - skip);
    bool failed = text.failed || sentence->out->description == NULL;
    cvm_text_finish(&text);
    return failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment") : CVM_OK;
}

enum cvm_status cvm_treatment_text_read(struct cvm_arena *arena, const char *text,
                                        struct cvm_treatment_text *out_text, struct cvm_error *err)
{
    struct cvm_treatment_text result = {
        .channel = CVM_CHANNEL_UNSET,
        .purpose = CVM_PURPOSE_UNSET,
    };
    size_t length = strlen(text);
    struct cvm_treatment_sentence sentence = {.arena = arena, .text = text, .out = &result};
    if (strspn(text, " \t\r\n") == length) {
        return CVM_FAIL(err, CVM_E_INVALID, "the text of the treatment is empty");
    }
    if (length > CVM_TREATMENT_TEXT_MAX || !cvm_utf8_is_valid(text, length)) {
        return CVM_FAIL(err, CVM_E_INVALID, "a treatment is told in at most %d bytes of UTF-8",
                        CVM_TREATMENT_TEXT_MAX);
    }
    sentence.tokens = CVM_NEW_ARRAY(arena, length + 1, struct cvm_token);
    if (sentence.tokens == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment");
    }
    cvm_text_init(&result.taken, 0);
    cvm_text_init(&result.not_taken, 0);
    cvm_sentence_read_tokens(&sentence);
    cvm_sentence_read_settings(&sentence);
    enum cvm_status status = cvm_sentence_read_contact(&sentence, err);
    if (status == CVM_OK) {
        status = write_description(&sentence, err);
    }
    if (status == CVM_OK && (result.taken.failed || result.not_taken.failed)) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the text of a treatment");
    }
    if (status != CVM_OK) {
        cvm_treatment_text_finish(&result);
        return status;
    }
    *out_text = result;
    return CVM_OK;
}

void cvm_treatment_text_finish(struct cvm_treatment_text *text)
{
    cvm_text_finish(&text->taken);
    cvm_text_finish(&text->not_taken);
}
