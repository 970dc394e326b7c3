/*
 * green/python_names.c - what Python calls an OS thread: the name of its threading.Thread, which logs have.
 *
 * Inspector only, after the stop. A thread made by the threading module has Thread._bootstrap as its outermost Python function, whose first local variable is
 * the Thread. Where an object keeps its attributes differs from release to release: those of 3.11 are read, others have no name. A main thread
 * has no such function; its name would be MainThread.
 */
#include <string.h>

#include "green/python.h"

#define MINOR 11
#define OBJECT_TYPE 8
#define CACHED_KEYS 872 /* PyHeapTypeObject.ht_cached_keys */
#define VALUES 32       /* in front of the object: its attributes' values, or the dictionary that has taken them over */
#define DICTIONARY 24
#define DICTIONARY_KEYS 32 /* PyDictObject.ma_keys, then ma_values */
#define KEYS_HEAD 32       /* PyDictKeysObject, without the index behind it */
#define KEYS_INDEX_LOG2 9
#define KEYS_KIND 10
#define KEYS_GENERAL 0 /* its entries have a hash in front */
#define KEYS_ENTRIES 24
#define MAX_ATTRIBUTES 256

/* The keys and values of an object's attributes; values 0: they stand beside the keys. */
static bool find_attributes(struct gmr__python *python, uint64_t object, uint64_t *keys, uint64_t *values)
{
    struct gmr__peek *peek = &python->peek;
    uint64_t dictionary = gmr__peek_word(peek, object - DICTIONARY);
    *values = gmr__peek_word(peek, object - VALUES);
    *keys = gmr__peek_word(peek, gmr__peek_word(peek, object + OBJECT_TYPE) + CACHED_KEYS);
    if (*values == 0 && dictionary != 0) {
        *keys = gmr__peek_word(peek, dictionary + DICTIONARY_KEYS);
        *values = gmr__peek_word(peek, dictionary + DICTIONARY_KEYS + 8);
        return *keys != 0;
    }
    return *keys != 0 && *values != 0;
}

/* The attribute called `name`, an object; 0: there is none. */
static uint64_t attribute(struct gmr__python *python, uint64_t object, const char *name)
{
    unsigned char head[KEYS_HEAD];
    uint64_t keys, values, count, entry[2];
    if (!find_attributes(python, object, &keys, &values) || gmr__peek(&python->peek, keys, head, sizeof(head)) != 0)
        return 0;
    memcpy(&count, head + KEYS_ENTRIES, sizeof(count));
    if (head[KEYS_INDEX_LOG2] > 16 || head[KEYS_KIND] == KEYS_GENERAL)
        return 0;
    uint64_t entries = keys + KEYS_HEAD + ((uint64_t)1 << head[KEYS_INDEX_LOG2]);
    for (uint64_t i = 0; i < count && i < MAX_ATTRIBUTES; i++) {
        char text[64];
        if (gmr__peek(&python->peek, entries + i * sizeof(entry), entry, sizeof(entry)) != 0)
            return 0;
        if (entry[0] != 0 && gmr__python_string(python, entry[0], text, sizeof(text)) > 0 && strcmp(text, name) == 0)
            return values ? gmr__peek_word(&python->peek, values + i * 8) : entry[1];
    }
    return 0;
}

const char *gmr__python_thread_name(struct gmr__python *python, const struct gmr__py_chain *chain)
{
    char name[128];
    if (python->layout.minor != MINOR || chain->count == 0 || chain->end || chain->outermost == 0)
        return NULL;
    const struct gmr__py_code *code = gmr__python_code(python, chain->frames[chain->count - 1].code);
    if (!code || !code->function || strcmp(code->function, "Thread._bootstrap") != 0)
        return NULL;
    uint64_t thread = gmr__peek_word(&python->peek, chain->outermost + python->layout.frame_locals);
    uint64_t text = thread ? attribute(python, thread, "_name") : 0;
    return text && gmr__python_string(python, text, name, sizeof(name)) > 0 ? gmr__green_intern(python->green, name)
                                                                            : NULL;
}
