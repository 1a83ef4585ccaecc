/* The canonical description of a catalogue's data half. */
#include "model/catalogue_reading.h"

static void add_path(struct cvm_text *out, const struct cvm_path *path)
{
    cvm_text_add_format(out, " %s", path->text == NULL ? "-" : path->text);
    cvm_text_add_char(out, '*');
    cvm_text_add_double(out, path->scale);
}

static void add_paths(struct cvm_text *out, const char *what, const struct cvm_path *paths,
                      size_t count)
{
    cvm_text_add_format(out, " %s", what);
    for (size_t i = 0; i < count; i++) {
        add_path(out, &paths[i]);
    }
    cvm_text_add_char(out, '\n');
}

static void add_words(struct cvm_text *out, const char *const *words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        cvm_text_add_format(out, " '%s'", words[i]);
    }
    cvm_text_add_char(out, '\n');
}

static void add_field(struct cvm_text *out, const struct cvm_mapped_field *field)
{
    cvm_text_add_format(out, " field %d list %d required %d constant %d ", field->attribute,
                        (int)field->aggregate, field->required ? 1 : 0,
                        field->has_constant ? 1 : 0);
    cvm_text_add_double(out, field->constant);
    for (size_t i = 0; i < field->sum_of_count; i++) {
        cvm_text_add_format(out, " +%d", field->sum_of[i]);
    }
    for (size_t i = 0; i < field->word_count; i++) {
        cvm_text_add_format(out, " '%s'=", field->words[i].raw);
        cvm_text_add_double(out, field->words[i].value);
    }
    add_paths(out, "from", field->paths, field->path_count);
}

static void add_source(struct cvm_text *out, const struct cvm_source *source)
{
    cvm_text_add_format(out, "source %s kind %d rank %d\n", source->name, (int)source->kind,
                        source->rank);
    add_paths(out, "customer", source->customer_paths, source->customer_path_count);
    add_paths(out, "date", source->date_paths, source->date_path_count);
    add_paths(out, "identity", source->identity_paths, source->identity_path_count);
    for (size_t i = 0; i < source->field_count; i++) {
        add_field(out, &source->fields[i]);
    }
    add_paths(out, "consent", &source->consent_path, 1);
    add_paths(out, "quiet", &source->quiet_path, 1);
    add_paths(out, "preferred", &source->preferred_path, 1);
    add_paths(out, "language", &source->language_path, 1);
}

void cvm_catalogue_describe_some(const struct cvm_catalogue *catalogue, size_t topic_count,
                                 struct cvm_text *out)
{
    for (size_t i = 0; i < catalogue->source_count; i++) {
        add_source(out, &catalogue->sources[i]);
    }
    for (size_t i = 0; i < catalogue->attribute_count; i++) {
        const struct cvm_attribute *attribute = &catalogue->attributes[i];
        cvm_text_add_format(out, "attribute %s type %d personal %d", attribute->name,
                            (int)attribute->type, attribute->personal ? 1 : 0);
        add_words(out, attribute->words);
    }
    for (size_t i = 0; i < topic_count; i++) {
        cvm_text_add_format(out, "topic %s", catalogue->topics[i].name);
        add_words(out, catalogue->topics[i].phrases);
    }
}

void cvm_catalogue_describe_data(const struct cvm_catalogue *catalogue, struct cvm_text *out)
{
    cvm_catalogue_describe_some(catalogue, catalogue->topic_count, out);
}
