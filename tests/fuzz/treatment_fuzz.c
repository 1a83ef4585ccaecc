/* treatment_fuzz.c - any bytes as what a person says of a treatment: a sentence, JSON or YAML. What
 * is understood is put into a small catalogue and checked as `cvm treatment add` does. */
#include "fuzz.h"

#include <string.h>

#include "cli/treatment_draft.h"
#include "cli/treatment_text.h"
#include "model/catalogue_read.h"
#include "small_catalogue.h"

#define ARENA_BYTES ((size_t)64 << 20)

static struct {
    struct cvm_arena *arena; /* the catalogue */
    struct cvm_arena *words_arena;
    const struct cvm_catalogue *catalogue;
} fuzz;
static const struct cvm_catalogue_files files = {small_files, SMALL_FILE_COUNT};

static void start(void)
{
    struct cvm_error err;
    fuzz.arena = cvm_arena_create(ARENA_BYTES);
    fuzz.words_arena = cvm_arena_create(ARENA_BYTES);
    REQUIRE(fuzz.arena != NULL && fuzz.words_arena != NULL);
    REQUIRE(cvm_catalogue_read(fuzz.arena, &files, "", &fuzz.catalogue, &err) == CVM_OK);
}

static bool is_number(const char *text)
{
    return text == NULL || (text[0] != '\0' && strspn(text, "0123456789.,-") == strlen(text));
}

static void check_sentence(const char *words)
{
    struct cvm_treatment_text text;
    struct cvm_error err = {.message = ""};
    if (cvm_treatment_text_read(fuzz.words_arena, words, &text, &err) != CVM_OK) {
        REQUIRE(err.message[0] != '\0');
        return;
    }
    REQUIRE(is_number(text.max_per_day) && is_number(text.priority) && is_number(text.cost));
    REQUIRE(!text.is_unlimited || text.max_per_day == NULL);
    REQUIRE(cvm_utf8_is_valid(text.description, strlen(text.description)));
    REQUIRE(!text.taken.failed && !text.not_taken.failed);
    cvm_treatment_text_finish(&text);
}

/* What was checked can be written and read again. */
static void check_treatment(const struct cvm_catalogue *catalogue,
                            const struct cvm_treatment *treatment, struct cvm_session *session)
{
    struct cvm_catalogue_edit again = {.session = session, .files = files};
    const struct cvm_catalogue *read = NULL;
    struct cvm_error err;
    REQUIRE(cvm_catalogue_edit_put_treatment(&again, catalogue, treatment, &err) == CVM_OK);
    REQUIRE(cvm_catalogue_edit_check(&again, &read, &err) == CVM_OK);
    REQUIRE(cvm_catalogue_treatment(read, treatment->id) != CVM_INDEX_NONE);
}

static enum cvm_status make_draft(struct cvm_treatment_draft *draft, const char *words,
                                  struct cvm_error *err)
{
    enum cvm_status status = cvm_treatment_draft_take(draft, fuzz.catalogue, words, false, err);
    if (status == CVM_OK) {
        status = cvm_treatment_draft_name(draft, fuzz.catalogue, words, false, err);
    }
    return status == CVM_OK ? cvm_treatment_draft_fill(draft, fuzz.catalogue, err) : status;
}

static void check_draft(const char *words)
{
    struct cvm_session session = {.arena = fuzz.words_arena};
    struct cvm_catalogue_edit edit = {.session = &session, .files = files};
    struct cvm_treatment_draft draft;
    struct cvm_treatment treatment;
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {.message = ""};
    cvm_treatment_draft_init(&draft, fuzz.words_arena);
    enum cvm_status status = make_draft(&draft, words, &err);
    if (status == CVM_OK) {
        status = cvm_treatment_draft_read(&draft, &edit, &catalogue, &treatment, &err);
    }
    if (status == CVM_OK) {
        check_treatment(catalogue, &treatment, &session);
    } else {
        REQUIRE(err.message[0] != '\0' && status != CVM_E_INTERNAL);
    }
    cvm_treatment_draft_finish(&draft);
}

/* A path would make the result depend on what is in the folder. */
static bool may_be_a_path(const char *words)
{
    return words[0] == '.' || words[0] == '/' || strpbrk(words, " \n{[") == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (fuzz.arena == NULL) {
        start();
    }
    if (size > 8192) {
        return 0;
    }
    cvm_arena_reset(fuzz.words_arena);
    char *words = malloc(size + 1); /* exact: reading past the end is seen */
    REQUIRE(words != NULL);
    if (size > 0) {
        memcpy(words, data, size);
    }
    words[size] = '\0';
    check_sentence(words);
    if (!may_be_a_path(words)) {
        check_draft(words);
    }
    free(words);
    return 0;
}
