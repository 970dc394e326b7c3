/*
 * config/value.c - one value of the configuration, masked; and which names have been there.
 *
 * The target's half, runner thread. No allocation: a report of a process whose malloc is stuck still has its configuration.
 */
#include "config/config.h"
#include "section/secrets.h"
#include "sys/buf.h"

#define VALUE_BYTES 8192

void gmr__config_string(struct gmr_writer *w, const char *key, const char *text, size_t bytes, bool secret)
{
    char masked[VALUE_BYTES];
    if (secret) {
        gmr_put_secret(w, key);
        return;
    }
    if (!gmr__value_has_secret(text, bytes)) {
        gmr_put_bytes(w, key, text, bytes);
        return;
    }
    gmr__mask_value(text, bytes, masked, sizeof(masked));
    gmr_put_bytes(w, key, masked, gmr__strlen(masked));
}

static uint64_t hash(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3ull; /* FNV-1a */
    return (h ^ 0xff) * 0x100000001b3ull;
}

bool gmr__names_new(struct gmr__names *names, const char *group, const char *name)
{
    uint64_t h = hash(0xcbf29ce484222325ull, group);
    if (name)
        h = hash(h, name);
    h |= 1; /* 0: an empty slot */
    if (!names->slots || names->count > GMR__NAMES_SLOTS / 4 * 3)
        return true;
    size_t slot = (h >> 1) % GMR__NAMES_SLOTS;
    for (; names->slots[slot]; slot = (slot + 1) % GMR__NAMES_SLOTS) {
        if (names->slots[slot] == h)
            return false;
    }
    names->slots[slot] = h;
    names->count++;
    return true;
}
