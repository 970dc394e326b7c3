/*
 * section/secret_names_as.c - is it a secret, by its name?
 *
 * Both halves, any context: async-signal-safe. Callers: configuration, command lines, environment. A name is cut into lower-case words at
 * everything that is no letter or digit and where camelCase turns; then a few lists decide.
 */
#include "section/secrets.h"

#include "sys/buf.h"

#define NAME_MAX_BYTES 192 /* of a longer name the end counts: that is where the meaning is */
#define WORDS_MAX 32

struct words {
    char joined[NAME_MAX_BYTES + 1]; /* all words without what was between them */
    char text[2 * NAME_MAX_BYTES + 2];
    const char *word[WORDS_MAX];
    size_t count;
};

/* Anywhere, whatever stands around. */
static const char *const parts[] = {
    "password",   "passwd",        "passphrase",       "passcode",  "secret",      "credential",
    "apikey",     "privatekey",    "accesskey",        "authkey",   "signingkey",  "sharedkey",
    "masterkey",  "encryptionkey", "connectionstring", "connstr",   "requirepass", "masterauth",
    "masterpass", "sshpass",       "userpass",         "authtoken", "accesstoken", "refreshtoken",
    "pwd",        "keypass",       "storepass",        "passin",    "passout",
};
/* As a word of their own. */
static const char *const words_anywhere[] = {"pass",   "pw",      "token", "tokens", "bearer",
                                             "cookie", "cookies", "psk",   "jwt",    "authorization"};
/* As the last word. */
static const char *const words_last[] = {"auth", "key", "otp", "totp", "pin", "salt", "sas", "userpwd"};
/* A key of this kind opens nothing. */
static const char *const harmless_keys[] = {"public", "primary", "foreign", "sort",   "partition", "routing",
                                            "row",    "group",   "unique",  "lookup", "index",     "object"};
/* A name that ends so tells about a secret, and isn't one: password_min_length, token_ttl, auth_url, key_file. */
static const char *const about[] = {
    "ttl",       "expiration", "expiry", "expires",  "timeout", "lifetime", "length",    "count",
    "size",      "policy",     "file",   "files",    "path",    "dir",      "directory", "type",
    "algorithm", "enabled",    "driver", "provider", "backend", "strategy", "format",    "interval",
    "rotation",  "url",        "uri",    "endpoint", "host",    "port",     "method",    "methods",
    "required",  "retries",    "limit",  "mode",     "scheme",  "version",  "name",
};

#define IN(list, word) in(list, sizeof(list) / sizeof(*(list)), word)

static bool in(const char *const *list, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (gmr__streq(list[i], word))
            return true;
    }
    return false;
}

static bool contains(const char *text, const char *part)
{
    for (; *text; text++) {
        if (gmr__starts_with(text, part))
            return true;
    }
    return false;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Does a new word begin at name[i] although no separator stands before it? fooBar, HTTPServer. */
static bool camel(const char *name, size_t bytes, size_t i)
{
    if (i == 0 || !is_upper(name[i]) || !is_alnum(name[i - 1]))
        return false;
    return !is_upper(name[i - 1]) || (i + 1 < bytes && name[i + 1] >= 'a' && name[i + 1] <= 'z');
}

static void cut_into_words(const char *name, size_t bytes, struct words *words)
{
    size_t text = 0, joined = 0;
    bool inside = false;
    words->count = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (!is_alnum(name[i]) || camel(name, bytes, i)) {
            if (inside)
                words->text[text++] = '\0';
            inside = false;
        }
        if (!is_alnum(name[i]))
            continue;
        char c = is_upper(name[i]) ? (char)(name[i] - 'A' + 'a') : name[i];
        if (!inside && words->count < WORDS_MAX)
            words->word[words->count++] = words->text + text;
        else if (!inside)
            words->word[WORDS_MAX - 1] = words->text + text; /* keeps the last one */
        inside = true;
        words->text[text++] = c;
        words->joined[joined++] = c;
    }
    words->text[text] = '\0';
    words->joined[joined] = '\0';
}

bool gmr__secret_name_bytes(const char *name, size_t bytes)
{
    struct words words;
    if (!name)
        return false;
    if (bytes > NAME_MAX_BYTES) {
        name += bytes - NAME_MAX_BYTES;
        bytes = NAME_MAX_BYTES;
    }
    if ((bytes == 3 && gmr__memcmp(name, "PWD", 3) == 0) || (bytes == 6 && gmr__memcmp(name, "OLDPWD", 6) == 0))
        return false; /* the shell's working directories */
    cut_into_words(name, bytes, &words);
    if (words.count == 0)
        return false;
    const char *last = words.word[words.count - 1];
    if (words.count > 1 && IN(about, last))
        return false;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (contains(words.joined, parts[i]))
            return true;
    }
    for (size_t i = 0; i < words.count; i++) {
        if (IN(words_anywhere, words.word[i]))
            return !(i > 0 && gmr__streq(words.word[i], "tokens") && gmr__streq(words.word[i - 1], "max"));
    }
    if (gmr__streq(last, "key") && words.count > 1 && IN(harmless_keys, words.word[words.count - 2]))
        return false;
    return IN(words_last, last);
}

bool gmr__secret_name(const char *name)
{
    return name && gmr__secret_name_bytes(name, gmr__strlen(name));
}
