/*
 * section/secret_values_as.c - masks the secret parts of a text: *** in their place.
 *
 * Both halves, any context: async-signal-safe. Callers: configuration, command lines, `gmr scrub`. One pass from left to right; at each place
 * the matchers below are asked in turn, and the first that knows what stands there writes the masked form and moves on. Where a secret's end is
 * unclear, more is masked rather than less. Nothing here trusts the text: it may be cut, hold NULs or be made to be slow (each
 * look ahead is remembered, so the work stays linear).
 */
#include "section/secrets.h"

#include "sys/buf.h"

struct scan {
    const char *text;
    size_t bytes, at;
    struct gmr__buf *out; /* NULL: only look */
    bool found;
    /* What was found looking ahead, so that a long word is searched once. */
    size_t word_end, word_at,
        word_colon;         /* of the word that s->at is in: its end, its last '@', the next ':'; 0: none */
    size_t url_end, url_at; /* the same for a URL's word, which ends at quotes, too */
    size_t line_end, line_at;
};

static const char mask[] = "***";

static void put(struct scan *s, const char *bytes, size_t count)
{
    if (!s->out)
        return;
    for (size_t i = 0; i < count; i++)
        gmr__buf_char(s->out, bytes[i] ? bytes[i] : ' ');
}

/* Writes text up to `to` as it is and moves there. */
static void copy_to(struct scan *s, size_t to)
{
    put(s, s->text + s->at, to - s->at);
    s->at = to;
}

/* Writes *** for the text up to `to` and moves there. */
static void mask_to(struct scan *s, size_t to)
{
    put(s, mask, sizeof(mask) - 1);
    s->found = true;
    s->at = to;
}

static char at(const struct scan *s, size_t i)
{
    return i < s->bytes ? s->text[i] : '\0';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool space(char c)
{
    return blank(c) || c == '\n' || c == '\r' || c == '\v' || c == '\f' || c == '\0';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool alnum(char c)
{
    return digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

static bool name_char(char c)
{
    return alnum(c) || c == '_' || c == '-' || c == '.';
}

static bool is_at(const struct scan *s, size_t i, const char *word) /* word in lower case */
{
    for (; *word; word++, i++) {
        if (lower(at(s, i)) != *word)
            return false;
    }
    return true;
}

static bool is_one_of(char c, const char *list)
{
    while (*list && *list != c)
        list++;
    return c && *list;
}

static size_t skip(const struct scan *s, size_t i, bool (*what)(char))
{
    while (i < s->bytes && what(s->text[i]))
        i++;
    return i;
}

static bool not_space(char c)
{
    return !space(c);
}

static bool in_line(char c)
{
    return c != '\n' && c != '\r' && c != '\0';
}

static bool in_url(char c)
{
    return !space(c) && c != '"' && c != '<' && c != '>' && c != '`';
}

/* ------------------------------------------------------------------------------------------------ private keys */

static bool match_pem(struct scan *s)
{
    if (s->text[s->at] != '-' || !is_at(s, s->at, "-----begin "))
        return false;
    size_t end = s->at + 11;
    bool private_key = false;
    for (; end < s->bytes && s->text[end] != '-' && end < s->at + 80; end++)
        private_key |= is_at(s, end, "private key");
    if (!private_key)
        return false;
    for (int dashes = 0; dashes < 5 && at(s, end) == '-'; dashes++)
        end++;
    copy_to(s, end);
    while (end < s->bytes && !(s->text[end] == '-' && is_at(s, end, "-----end ")))
        end++;
    mask_to(s, end);
    return true;
}

/* ------------------------------------------------------------------------------------------------ user:password@host */

static size_t last_at(const struct scan *s, size_t from, size_t end)
{
    while (end > from && s->text[end - 1] != '@')
        end--;
    return end > from ? end - 1 : 0;
}

static void mask_user_info(struct scan *s, size_t at_sign, bool password)
{
    if (password) {
        put(s, mask, sizeof(mask) - 1);
        put(s, ":", 1);
    }
    mask_to(s, at_sign);
}

/* Behind "scheme://". A password may hold '/', '@' and worse unescaped, so with a ':' everything up to the last '@' is user info; the price is
 * a path that holds an '@' behind a port. */
static bool match_url(struct scan *s)
{
    if (s->text[s->at] != ':' || at(s, s->at + 1) != '/' || at(s, s->at + 2) != '/' || s->at == 0 ||
        !name_char(at(s, s->at - 1)))
        return false;
    size_t from = s->at + 3, authority = from, colon = 0;
    if (from >= s->url_end) {
        s->url_end = skip(s, from, in_url);
        s->url_at = last_at(s, from, s->url_end);
    }
    for (; authority < s->url_end && !is_one_of(s->text[authority], "/?#"); authority++) {
        if (!colon && s->text[authority] == ':')
            colon = authority;
    }
    size_t at_sign = colon ? (s->url_at >= from ? s->url_at : 0) : last_at(s, from, authority);
    bool port = colon && skip(s, colon + 1, digit) == authority;
    copy_to(s, from);
    if (at_sign) {
        mask_user_info(s, at_sign, colon && colon < at_sign);
    } else if (colon && !port && at(s, from) != '[') {
        /* No port, so it was a password, and a blank or quote in it, or the end of what was read, hides the '@'. */
        if (from >= s->line_end) {
            s->line_end = skip(s, from, in_line);
            s->line_at = last_at(s, from, s->line_end);
        }
        mask_user_info(s, s->line_at >= from ? s->line_at : s->url_end, true);
    }
    return true;
}

static bool word_start(const struct scan *s, size_t i)
{
    return i == 0 || space(s->text[i - 1]) || s->text[i - 1] == '"' || s->text[i - 1] == '\'' ||
           s->text[i - 1] == '=' || s->text[i - 1] == ',';
}

/* "user:password@host" without a scheme. */
static bool match_user_info(struct scan *s)
{
    if (!word_start(s, s->at) || space(s->text[s->at]))
        return false;
    if (s->at >= s->word_end) {
        s->word_end = skip(s, s->at, not_space);
        s->word_at = last_at(s, s->at, s->word_end);
        s->word_colon = s->at;
    }
    if (s->word_at <= s->at || s->word_at + 1 == s->word_end)
        return false;
    if (s->word_colon < s->at)
        s->word_colon = s->at;
    while (s->word_colon < s->word_at && !is_one_of(s->text[s->word_colon], ":\"'{[("))
        s->word_colon++;
    if (s->text[s->word_colon] != ':' || is_at(s, s->word_colon, "://") || is_at(s, s->word_at + 1, "sha256:"))
        return false;
    mask_user_info(s, s->word_at, true);
    return true;
}

/* ------------------------------------------------------------------------------------------------ name = value */

/* Masks a quoted value, of which the opening quote (maybe escaped) is at s->at. */
static void mask_quoted(struct scan *s)
{
    bool escaped = s->text[s->at] == '\\';
    size_t open = s->at + escaped, close = open + 1;
    char quote = s->text[open];
    for (; close < s->bytes; close++) {
        if (escaped && s->text[close] == '\\' && at(s, close + 1) == quote)
            break;
        if (!escaped && s->text[close] == '\\')
            close++;
        else if (!escaped && s->text[close] == quote)
            break;
    }
    if (close > s->bytes)
        close = s->bytes;
    copy_to(s, open + 1);
    mask_to(s, close);
}

static bool quote_at(const struct scan *s, size_t i)
{
    char c = at(s, i) == '\\' ? at(s, i + 1) : at(s, i);
    return c == '"' || c == '\'';
}

/* The end of an unquoted word, in which a backslash may hold blanks together. */
static size_t word_end(const struct scan *s, size_t i)
{
    while (i < s->bytes && not_space(s->text[i]))
        i += s->text[i] == '\\' && i + 1 < s->bytes ? 2 : 1;
    return i;
}

static void mask_named(struct scan *s, size_t separator)
{
    size_t value = separator;
    bool colon = s->text[separator] == ':', blanks = separator > s->at && blank(s->text[separator - 1]);
    while (at(s, value) == '=' || at(s, value) == ':' || at(s, value) == '>')
        value++;
    size_t first = skip(s, value, blank);
    blanks |= first > value;
    copy_to(s, first);
    if (first >= s->bytes || !in_line(s->text[first]))
        return; /* nothing there */
    if (quote_at(s, first))
        mask_quoted(s);
    else
        mask_to(s, colon || blanks ? skip(s, first, in_line) : word_end(s, first));
}

/* `name value`, where the name alone tells that a value follows: an option in a command, redis' requirepass, SQL's PASSWORD '...'. */
static bool mask_following(struct scan *s, size_t name, size_t end)
{
    size_t value = skip(s, end, blank);
    if (value == end || value >= s->bytes || !in_line(s->text[value]))
        return false;
    bool option = s->text[name] == '-', quoted = quote_at(s, value);
    if (!option && !quoted && !is_at(s, name, "requirepass") && !is_at(s, name, "masterauth") &&
        !is_at(s, name, "masterpass"))
        return false;
    copy_to(s, value);
    if (quoted)
        mask_quoted(s);
    else
        mask_to(s, word_end(s, value));
    return true;
}

static bool separator_at(const struct scan *s, size_t i)
{
    return at(s, i) == '=' || (at(s, i) == ':' && !(at(s, i + 1) == '/' && at(s, i + 2) == '/'));
}

static bool match_named(struct scan *s)
{
    size_t name = s->at, end = skip(s, name, name_char);
    if (end == name || (name > 0 && name_char(s->text[name - 1])))
        return false;
    size_t separator = end;
    bool secret = gmr__secret_name_bytes(s->text + name, end - name);
    if (!secret && at(s, end) == ' ') { /* "API key: ..." is a name of two words */
        size_t second = skip(s, end + 1, name_char);
        if (second > end + 1 && separator_at(s, skip(s, second, blank))) {
            secret = gmr__secret_name_bytes(s->text + name, second - name);
            separator = second;
        }
    }
    if (!secret) {
        if (is_at(s, name, "identified by ") && quote_at(s, name + 14)) {
            copy_to(s, name + 14);
            mask_quoted(s);
            return true;
        }
        return false;
    }
    if (quote_at(s, separator))
        separator += at(s, separator) == '\\' ? 2 : 1;
    separator = skip(s, separator, blank);
    if (separator_at(s, separator)) {
        mask_named(s, separator);
        return true;
    }
    return mask_following(s, name, end);
}

/* ------------------------------------------------------------------------------------------------ by shape */

/* Authorization schemes outside of a header. */
static bool match_scheme(struct scan *s)
{
    bool bearer = is_at(s, s->at, "bearer "), basic = is_at(s, s->at, "basic ");
    if (!bearer && !basic)
        return false;
    size_t from = skip(s, s->at + (bearer ? 7 : 6), blank), end = from, figures = 0;
    for (; end < s->bytes && in_url(s->text[end]) && s->text[end] != '\''; end++)
        figures += digit(s->text[end]) || s->text[end] == '=';
    if (end - from < 6 || (basic && !figures))
        return false;
    copy_to(s, from);
    mask_to(s, end);
    return true;
}

/* Tokens that say what they are by their first letters. */
static bool match_token(struct scan *s)
{
    static const struct {
        const char *prefix;
        size_t more; /* at least so many letters follow */
    } shapes[] = {
        {"AKIA", 16},     {"ASIA", 16},
        {"ghp_", 20},     {"gho_", 20},
        {"ghu_", 20},     {"ghs_", 20},
        {"ghr_", 20},     {"github_pat_", 20},
        {"glpat-", 16},   {"xoxb-", 10},
        {"xoxa-", 10},    {"xoxp-", 10},
        {"xoxr-", 10},    {"xoxs-", 10},
        {"sk_live_", 10}, {"rk_live_", 10},
        {"AIza", 30},     {"sk-", 20},
        {"SG.", 20},      {"npm_", 30},
        {"eyJ", 20},      {"AGE-SECRET-KEY-", 10},
        {"$2a$", 20},     {"$2b$", 20},
        {"$2y$", 20},     {"$1$", 10},
        {"$5$", 20},      {"$6$", 20},
        {"$y$", 20},      {"$argon2", 20},
        {"hvs.", 20},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        size_t n = gmr__strlen(shapes[i].prefix), end = s->at + n;
        if (s->bytes - s->at < n || gmr__memcmp(s->text + s->at, shapes[i].prefix, n) != 0)
            continue;
        while (end < s->bytes && (name_char(s->text[end]) || (*shapes[i].prefix == '$' && not_space(s->text[end]))))
            end++;
        if (end - s->at - n < shapes[i].more)
            continue;
        mask_to(s, end);
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------ */

static void run(struct scan *s)
{
    while (s->at < s->bytes) {
        bool start = s->at == 0 || !name_char(s->text[s->at - 1]);
        if (match_pem(s) || match_url(s) || (start && match_named(s)) || match_user_info(s))
            continue;
        if (start && (match_token(s) || match_scheme(s)))
            continue;
        copy_to(s, s->at + 1);
    }
}

void gmr__mask_value(const char *value, size_t bytes, char *to, size_t cap)
{
    struct gmr__buf out;
    gmr__buf_init(&out, to, cap);
    struct scan scan = {.text = value, .bytes = value ? bytes : 0, .out = &out};
    run(&scan);
}

bool gmr__value_has_secret(const char *value, size_t bytes)
{
    struct scan scan = {.text = value, .bytes = value ? bytes : 0};
    run(&scan);
    return scan.found;
}
