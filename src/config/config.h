/*
 * config/config.h - the configuration registry and the settings file, as the rest of libgmr sees them.
 *
 * The target's half. Registration: any thread of the program. Writing: a runner thread (all of libc may be used, and it may be abandoned).
 * Reading a file: gmr_setup_autorun()'s caller.
 */
#ifndef GMR_CONFIG_CONFIG_H
#define GMR_CONFIG_CONFIG_H

#include "view/writer.h"

/*
 * Writes the body of the Configuration section: each group a map, the values as they are in force now, secrets masked. The groups and options come in no
 * particular order: the caller sorts (gmr__replay_sorted). Text style: gmr__config_style. A provider's error is returned, when all has been
 * written; a value that can't be read becomes null.
 */
int gmr__config_write(struct gmr_writer *w);
extern const struct gmr_text_style
    gmr__config_style; /* oslo.reports' ConfigModel: "group: ", a blank line before each */

/* For the atfork handlers: the registry is never copied half-changed. In the child nothing runs any more. */
void gmr__config_lock(void);
void gmr__config_unlock(void);
void gmr__config_forget_running(void);

/* What a settings file says in [oslo_reports]; "" and 0: nothing. */
struct gmr__ini {
    char log_dir[4096], watch_file[4096];
    unsigned interval_ms;
    char problem[256]; /* a sentence: what is wrong, in which line */
};
/* 0, or -errno (-EBADMSG: malformed) with the reason in problem; then nothing else is set. */
int gmr__ini_read(const char *path, struct gmr__ini *ini);

/* ------------------------------------------------------------------------------------------------ within src/config */

/* Which group and option names were written already: hashes. A table that is full knows no more. */
struct gmr__names {
    uint64_t *slots;
    size_t count;
};
#define GMR__NAMES_SLOTS ((size_t)1 << 16)
/* True the first time that this name comes in this group (name NULL: the group itself). */
bool gmr__names_new(struct gmr__names *names, const char *group, const char *name);

/* Copies memory of this process, which may be unmapped or freed: false rather than a crash. */
bool gmr__safe_read(const void *from, void *to, size_t bytes);
/* A string, cut to cap - 1: its length, or -EFAULT. */
long gmr__safe_string(const char *from, char *to, size_t cap);

/* A value under a name, masked as the name and the value demand; text is cut to 8 KiB. */
void gmr__config_string(struct gmr_writer *w, const char *key, const char *text, size_t bytes, bool secret);

/* answer.c: what a provider wrote, as events: those of one group (its own name, or "default" and what stood outside of groups), masked. */
struct gmr__answer {
    const unsigned char *events;
    size_t bytes;
};
void gmr__answer_copy(struct gmr_writer *w, const struct gmr__answer *answer, const char *group,
                      struct gmr__names *names);
/* The name of the n-th group in it, in room; false: no more. "default" where something stands outside of groups. */
bool gmr__answer_group(const struct gmr__answer *answer, size_t *at, char *room, size_t cap);

#endif
