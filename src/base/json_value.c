/* json_value.c - what callers ask of a tree that json_reader.cc built. */
#include "base/json_reader.h"

#include <string.h>

#include "base/hash.h"

const struct cvm_json_value *cvm_json_member(const struct cvm_json_value *object, const char *key)
{
    if (object == NULL || object->type != CVM_JSON_OBJECT) {
        return NULL;
    }
    size_t length = strlen(key);
    for (const struct cvm_json_value *m = object->first_child; m != NULL; m = m->next) {
        if (m->key.length == length && memcmp(m->key.data, key, length) == 0) {
            return m;
        }
    }
    return NULL;
}

/* The depth of a tree is bounded by the reader, hence the recursion. */
uint64_t cvm_json_hash(const struct cvm_json_value *value)
{
    uint64_t hash = value->child_count;
    switch (value->type) {
    case CVM_JSON_STRING:
        hash = cvm_hash(value->string.data, value->string.length);
        break;
    case CVM_JSON_INT:
    case CVM_JSON_DOUBLE:
        hash = cvm_hash(value->raw.data, value->raw.length);
        break;
    case CVM_JSON_BOOL:
        hash = value->boolean ? 1 : 0;
        break;
    case CVM_JSON_NULL:
        break;
    case CVM_JSON_ARRAY:
        for (const struct cvm_json_value *c = value->first_child; c != NULL; c = c->next) {
            hash = cvm_hash_mix(hash, cvm_json_hash(c));
        }
        break;
    case CVM_JSON_OBJECT:
        /* A sum: members may come in any order. */
        for (const struct cvm_json_value *m = value->first_child; m != NULL; m = m->next) {
            hash += cvm_hash_mix(cvm_hash(m->key.data, m->key.length), cvm_json_hash(m));
        }
        break;
    }
    return cvm_hash_mix((uint64_t)value->type, hash);
}
