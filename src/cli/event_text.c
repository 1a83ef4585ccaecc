#include "cli/event_text.h"

#include <string.h>

#include "journey/summary.h"

#define ROW_BYTES_MAX ((size_t)64 << 20)

enum cvm_status cvm_event_texts_open(const struct cvm_catalogue *catalogue,
                                     struct cvm_event_texts *out_texts, struct cvm_error *err)
{
    struct cvm_event_texts texts = {.catalogue = catalogue};
    texts.reader = cvm_json_reader_create(ROW_BYTES_MAX);
    texts.scratch = cvm_arena_create(8 * ROW_BYTES_MAX);
    if (texts.reader == NULL || texts.scratch == NULL) {
        cvm_event_texts_close(&texts);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    *out_texts = texts;
    return CVM_OK;
}

void cvm_event_texts_close(struct cvm_event_texts *texts)
{
    cvm_json_reader_destroy(texts->reader);
    cvm_arena_destroy(texts->scratch);
    texts->reader = NULL;
    texts->scratch = NULL;
}

static enum cvm_status read_object(struct cvm_event_texts *texts, const char *json,
                                   const struct cvm_json_value **out_object, struct cvm_error *err)
{
    *out_object = NULL;
    if (json == NULL || json[0] == '\0') {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_json_read(texts->reader, texts->scratch, json, strlen(json), false, out_object, err);
    return status == CVM_OK ? status : cvm_error_context(err, CVM_E_CORRUPT, "stored event");
}

struct lookup {
    const struct cvm_json_value *objects[3]; /* attributes, text, personal */
};

static const struct cvm_json_value *find(const struct cvm_json_value *object, struct cvm_slice name)
{
    const struct cvm_json_value *member = object == NULL ? NULL : object->first_child;
    while (member != NULL && (member->key.length != name.length ||
                              memcmp(member->key.data, name.data, name.length) != 0)) {
        member = member->next;
    }
    return member;
}

static bool write_attribute(const void *state, struct cvm_slice name, struct cvm_text *out)
{
    const struct lookup *lookup = state;
    const struct cvm_json_value *value = NULL;
    for (size_t i = 0; i < 3 && value == NULL; i++) {
        value = find(lookup->objects[i], name);
    }
    if (value == NULL || value->type == CVM_JSON_NULL) {
        cvm_text_add(out, "unknown");
    } else if (value->type == CVM_JSON_STRING) {
        cvm_text_add_bytes(out, value->string.data, value->string.length);
    } else {
        cvm_text_add_bytes(out, value->raw.data, value->raw.length);
    }
    return true;
}

enum cvm_status cvm_event_text_write(struct cvm_event_texts *texts, const struct cvm_event_row *row,
                                     struct cvm_text *out, struct cvm_error *err)
{
    struct lookup lookup = {0};
    const struct cvm_json_value *private = NULL;
    if (row->source == CVM_INDEX_NONE) {
        cvm_text_add(out, "(the catalogue no longer has this source)");
        return CVM_OK;
    }
    cvm_arena_reset(texts->scratch);
    enum cvm_status status = read_object(texts, row->attributes, &lookup.objects[0], err);
    if (status == CVM_OK) {
        status = read_object(texts, row->private, &private, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    lookup.objects[1] = cvm_json_member(private, "text");
    lookup.objects[2] = cvm_json_member(private, "personal");
    const struct cvm_source *source = &texts->catalogue->sources[row->source];
    bool has_sentence = source->sentence != NULL && source->sentence[0] != '\0';
    cvm_sentence_write(has_sentence ? source->sentence : source->display_name, write_attribute,
                       &lookup, out);
    return CVM_OK;
}

enum cvm_status cvm_event_attributes_read(struct cvm_event_texts *texts,
                                          const struct cvm_event_row *row,
                                          const struct cvm_json_value **out_object,
                                          struct cvm_error *err)
{
    cvm_arena_reset(texts->scratch);
    return read_object(texts, row->attributes, out_object, err);
}

const char *cvm_event_source_label(const struct cvm_catalogue *catalogue,
                                   const struct cvm_event_row *row)
{
    return row->source == CVM_INDEX_NONE ? row->source_name
                                         : catalogue->sources[row->source].display_name;
}
