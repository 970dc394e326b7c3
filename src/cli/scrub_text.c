/*
 * cli/scrub_text.c - addresses and host names within a line of text.
 *
 * The gmr command only. Recognises, at word boundaries: 0x and five or more hexadecimal digits; four decimal bytes with dots (IPv4); hexadecimal
 * groups with colons, six or more of them or with a "::" and a digit (IPv6, MAC); the names given; what stands between "://" and the next
 * slash, colon or blank.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/scrub.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static size_t memory_address(const char *at)
{
    size_t n = 2;
    if (at[0] != '0' || (at[1] != 'x' && at[1] != 'X'))
        return 0;
    while (is_hex(at[n]))
        n++;
    return n >= 7 && !is_word(at[n]) ? n : 0;
}

static size_t ipv4(const char *at)
{
    size_t n = 0;
    for (int part = 0; part < 4; part++) {
        int value = 0, digits = 0;
        if (part && at[n++] != '.')
            return 0;
        for (; is_digit(at[n]) && digits < 4; n++, digits++)
            value = value * 10 + (at[n] - '0');
        if (!digits || value > 255)
            return 0;
    }
    return is_word(at[n]) || (at[n] == '.' && is_digit(at[n + 1])) ? 0 : n;
}

static size_t colon_address(const char *at)
{
    size_t n = 0, colons = 0;
    bool twice = false, digit = false, any = false;
    for (; is_hex(at[n]) || at[n] == ':'; n++) {
        colons += at[n] == ':';
        twice |= at[n] == ':' && at[n + 1] == ':';
        digit |= is_digit(at[n]);
        any |= is_hex(at[n]);
    }
    if (is_word(at[n]))
        return 0;
    return any && colons >= 2 && (colons >= 5 || (twice && digit)) ? n : 0;
}

static size_t host_name(const char *at, const char *const *hosts, size_t host_count)
{
    size_t longest = 0;
    for (size_t i = 0; i < host_count; i++) {
        size_t n = strlen(hosts[i]);
        if (n > longest && strncasecmp(at, hosts[i], n) == 0 && !is_word(at[n]))
            longest = n;
    }
    return longest;
}

/* The host of a URL, the user in front of it left out (that is masked already). */
static size_t url_host(const char *text, const char *at)
{
    bool begins = (at - text >= 3 && memcmp(at - 3, "://", 3) == 0) || (at > text && at[-1] == '@');
    return begins ? strcspn(at, "/:@ \t\n\"'<>,;)]?#") : 0;
}

static size_t match(const char *text, const char *at, bool addresses, const char *const *hosts, size_t host_count)
{
    size_t n = addresses || hosts ? ipv4(at) : 0;
    if (!n && (addresses || hosts))
        n = colon_address(at);
    if (!n && addresses)
        n = memory_address(at);
    if (!n && hosts)
        n = host_name(at, hosts, host_count);
    if (!n && hosts)
        n = url_host(text, at);
    return n;
}

char *gmr__scrub_text(const char *text, size_t bytes, bool addresses, const char *const *hosts, size_t host_count)
{
    char *to = malloc(bytes * 3 + 4);
    size_t used = 0;
    if (!to)
        return NULL;
    for (size_t at = 0; at < bytes;) {
        bool begins = at == 0 || !is_word(text[at - 1]) || !is_word(text[at]);
        size_t n = begins ? match(text, text + at, addresses, hosts, host_count) : 0;
        if (n) {
            memcpy(to + used, "***", 3);
            used += 3;
            at += n;
        } else {
            to[used++] = text[at] ? text[at] : ' '; /* the result is a C string */
            at++;
        }
    }
    to[used] = '\0';
    return to;
}
