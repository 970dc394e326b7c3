/*
 * section/secrets.h - what must never be printed, and how it is masked: ***.
 *
 * Both halves, async-signal-safe, no memory but the caller's. Callers: every section that shows text from outside, the configuration,
 * `gmr scrub`. When in doubt it masks too much: an option shown as *** costs a question, a password in a report costs the system.
 * What it can't know: a secret that stands alone, without a name, a URL or a known shape around it.
 */
#ifndef GMR_SECTION_SECRETS_H
#define GMR_SECTION_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

/* Does an option, variable or key of this name hold a secret? Any case, words apart or together (db_password, dbPassword, DBPASSWORD). */
bool gmr__secret_name(const char *name);
bool gmr__secret_name_bytes(const char *name, size_t bytes);

/* Copies value with its secret parts replaced by ***: user info of URLs, "password=...", "Authorization: ...", private keys in PEM,
 * tokens of known shapes. The result is NUL-terminated and cut to cap; NULs in value become spaces. */
void gmr__mask_value(const char *value, size_t bytes, char *to, size_t cap);
/* True if gmr__mask_value would change something: a value that needs no copy. */
bool gmr__value_has_secret(const char *value, size_t bytes);

/* The arguments of a command line as /proc/PID/cmdline holds it, secrets masked, one call each. Split as psutil splits it.
 * cut: bytes is only the beginning of it; the argument in which it ends comes as "...". */
typedef void (*gmr__argument)(void *userdata, const char *text, size_t bytes);
void gmr__each_argument(const char *cmdline, size_t bytes, bool cut, gmr__argument argument, void *userdata);

#endif
