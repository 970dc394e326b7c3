/*
 * section/green_filter.c - which green threads to show, as typed on the command line.
 *
 * Inspector only; pure text.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "section/green.h"

static bool wrong(char *problem, size_t bytes, const char *what, const char *term, size_t length)
{
    snprintf(problem, bytes, "%s: \"%.*s\"", what, (int)length, term);
    return false;
}

static bool parse_states(const char *value, uint32_t *states)
{
    while (*value) {
        size_t length = strcspn(value, "+");
        bool known = false;
        for (int state = GMR__GREEN_UNKNOWN; state <= GMR__GREEN_DONE; state++) {
            const char *name = gmr__green_state_name((enum gmr__green_state)state);
            if (strlen(name) == length && strncmp(name, value, length) == 0) {
                *states |= 1u << state;
                known = true;
            }
        }
        if (!known)
            return false;
        value += length + (value[length] == '+');
    }
    return *states != 0;
}

static bool parse_number(const char **text, uint64_t *number)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return true;
}

static bool parse_age(const char *value, uint64_t *ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ms", 1000000u}, {"s", 1000000000u}, {"", 1000000000u}, {"m", 60000000000u}, {"h", 3600000000000u}};
    uint64_t number;
    if (!parse_number(&value, &number))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(value, units[i].unit) == 0)
            return !__builtin_mul_overflow(number, units[i].ns, ns);
    return false;
}

static bool parse_range(const char *value, uint64_t *low, uint64_t *high)
{
    if (!parse_number(&value, low))
        return false;
    *high = *low;
    if (*value == '-') {
        value++;
        if (!*value)
            *high = UINT64_MAX;
        else if (!parse_number(&value, high))
            return false;
    }
    return !*value && *low && *low <= *high;
}

static bool copy_pattern(char to[GMR__GREEN_FILTER_TEXT], const char *value)
{
    return *value && snprintf(to, GMR__GREEN_FILTER_TEXT, "%s", value) < GMR__GREEN_FILTER_TEXT;
}

static bool parse_term(const char *term, struct gmr__green_filter *filter)
{
    const char *value = strchr(term, '=');
    size_t key = value ? (size_t)(value - term) : strlen(term);
    value = value ? value + 1 : NULL;
#define IS(word) (key == sizeof(word) - 1 && strncmp(term, word, key) == 0)
    if (!value) {
        filter->each = filter->each || IS("each");
        filter->idle = filter->idle || IS("idle");
        return IS("each") || IS("idle");
    }
    if (IS("state"))
        return parse_states(value, &filter->states);
    if (IS("name"))
        return copy_pattern(filter->name, value);
    if (IS("kind"))
        return copy_pattern(filter->kind, value);
    if (IS("wait"))
        return copy_pattern(filter->wait, value);
    if (IS("function"))
        return copy_pattern(filter->function, value);
    if (IS("age"))
        return parse_age(value, &filter->older_ns);
    if (IS("id"))
        return parse_range(value, &filter->id_low, &filter->id_high);
    if (IS("top"))
        return parse_number(&value, &filter->top) && !*value && filter->top;
#undef IS
    return false;
}

bool gmr__green_filter_parse(const char *text, struct gmr__green_filter *filter, char *problem, size_t problem_bytes)
{
    *filter = (struct gmr__green_filter){0};
    while (*text) {
        char term[2 * GMR__GREEN_FILTER_TEXT];
        size_t length = strcspn(text, ",");
        if (!length || length >= sizeof(term))
            return wrong(problem, problem_bytes, "empty or too long a term in the filter of green threads", text,
                         length);
        memcpy(term, text, length);
        term[length] = '\0';
        if (!parse_term(term, filter))
            return wrong(
                problem, problem_bytes,
                "no filter of green threads (state=, name=, kind=, wait=, function=, age=, id=, top=, each, idle)",
                term, length);
        text += length + (text[length] == ',');
    }
    return true;
}
