/*
 * section/secret_command_as.c - command lines with their secrets masked.
 *
 * Both halves, any context: async-signal-safe. Callers: the Processes section. A password gets into a command line as --password=x, --password x,
 * -px (to those programs where -p means that), NAME=x, in a URL, or within one argument that is a command itself (sh -c "..."). The bytes come from
 * another process and may be anything.
 */
#include "section/secrets.h"

#include "sys/buf.h"

#define ARGUMENT_MAX 4096

/* Programs whose one-letter options take a secret, attached or as the next argument. By the beginning of the file's name: "mysql" is
 * mysqldump, too. */
static const struct {
    const char *program;
    const char *letters;
    bool attached_only;
} programs[] = {
    {"mysql", "p", true},     {"mariadb", "p", true},   {"mydumper", "p", false},  {"myloader", "p", false},
    {"sshpass", "p", false},  {"curl", "uU", false},    {"redis", "a", false},     {"valkey", "a", false},
    {"mongo", "p", false},    {"ldap", "w", false},     {"smbclient", "U", false}, {"7z", "p", true},
    {"zip", "P", false},      {"unzip", "P", false},    {"snmp", "cAX", false},    {"ipmitool", "P", false},
    {"lftp", "u", false},     {"openssl", "kK", false}, {"cqlsh", "p", false},     {"mosquitto", "P", false},
    {"rdesktop", "p", false}, {"sqlcmd", "P", false},   {"bcp", "P", false},       {"rabbitmqadmin", "p", false},
};

struct command {
    const char *letters; /* of the program named last */
    bool attached_only;
    bool next;       /* the next word is a secret */
    char open_quote; /* a masked word began with this quote, and its end has not come yet */
    struct gmr__buf *out;
};

static void find_program(struct command *command, const char *word, size_t bytes)
{
    size_t base = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (word[i] == '/')
            base = i + 1;
    }
    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
        size_t n = gmr__strlen(programs[i].program);
        if (bytes - base >= n && gmr__memcmp(word + base, programs[i].program, n) == 0) {
            command->letters = programs[i].letters;
            command->attached_only = programs[i].attached_only;
            return;
        }
    }
}

static bool is_name(const char *word, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        char c = word[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
              c == '.'))
            return false;
    }
    return bytes > 0;
}

/* -pSECRET, -p SECRET, -u user:SECRET. True if the word was written. */
static bool short_option(struct command *command, const char *word, size_t bytes)
{
    if (!command->letters || bytes < 2 || word[0] != '-' || word[1] == '-')
        return false;
    for (const char *letter = command->letters; *letter; letter++) {
        if (word[1] != *letter)
            continue;
        gmr__buf_bytes(command->out, word, 2);
        if (bytes > 2)
            gmr__buf_str(command->out, "***");
        else
            command->next = !command->attached_only;
        return true;
    }
    return false;
}

/* Is the quote that a word begins with still open at its end? */
static char opened(const char *word, size_t bytes)
{
    char quote = bytes ? word[0] : '\0';
    if (quote != '"' && quote != '\'')
        return '\0';
    return bytes > 1 && word[bytes - 1] == quote ? '\0' : quote;
}

/* --name=SECRET, NAME=SECRET; --name: what follows is one. True if the word was written. */
static bool named(struct command *command, const char *word, size_t bytes)
{
    size_t dashes = 0, equals = 0;
    while (dashes < bytes && word[dashes] == '-')
        dashes++;
    for (equals = dashes; equals < bytes && word[equals] != '=';)
        equals++;
    if (!is_name(word + dashes, equals - dashes) || !gmr__secret_name_bytes(word + dashes, equals - dashes))
        return false;
    if (equals == bytes) {
        command->next = dashes > 0;
        return false;
    }
    gmr__buf_bytes(command->out, word, equals + 1);
    gmr__buf_str(command->out, "***");
    command->open_quote = opened(word + equals + 1, bytes - equals - 1);
    return true;
}

static void one_word(struct command *command, const char *word, size_t bytes)
{
    if (command->open_quote) {
        if (bytes && word[bytes - 1] == command->open_quote)
            command->open_quote = '\0';
        return;
    }
    bool secret = command->next;
    command->next = false;
    size_t before = command->out->used;
    find_program(command, word, bytes);
    /* A word that is masked may itself be an option with a secret behind it: --use-token --api-key SECRET. */
    bool written = short_option(command, word, bytes) || named(command, word, bytes);
    if (secret && bytes) {
        command->out->used = before;
        command->out->text[before] = '\0';
        gmr__buf_str(command->out, "***");
        command->open_quote = opened(word, bytes);
    } else if (!written) {
        gmr__buf_bytes(command->out, word, bytes);
    }
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* An argument, which may be a command of its own: its words one by one. */
static void words(struct command *command, const char *text, size_t bytes)
{
    size_t from = 0;
    if (bytes == 0) {
        one_word(command, text, 0);
        return;
    }
    while (from < bytes) {
        size_t end = from;
        while (end < bytes && !blank(text[end]))
            end++;
        if (end > from)
            one_word(command, text + from, end - from);
        for (from = end; from < bytes && blank(text[from]); from++)
            gmr__buf_char(command->out, text[from]);
    }
}

/* First word by word, since -pSECRET may look like anything else, then by what the text as a whole looks like. */
static void one_argument(struct command *command, const char *text, size_t bytes, gmr__argument argument,
                         void *userdata)
{
    char first[ARGUMENT_MAX], second[ARGUMENT_MAX];
    struct gmr__buf out;
    gmr__buf_init(&out, first, sizeof(first));
    command->out = &out;
    bool next = command->next;
    if (next && bytes) {
        one_word(command, text, bytes); /* as a whole, blanks and all */
    } else if (!named(command, text, bytes)) {
        command->next = next; /* words() looks again */
        words(command, text, bytes);
    }
    gmr__mask_value(first, out.used, second, sizeof(second));
    argument(userdata, second, gmr__strlen(second));
}

void gmr__each_argument(const char *cmdline, size_t bytes, bool cut, gmr__argument argument, void *userdata)
{
    struct command command = {0};
    char separator = '\0';
    size_t total = bytes;
    if (bytes == 0)
        return;
    /* psutil's rule: arguments end with NUL, unless the program has overwritten them with a title of its own. */
    if (!cut && cmdline[bytes - 1] != '\0')
        separator = ' ';
    if (!cut && cmdline[bytes - 1] == separator)
        total--;
    if (separator == '\0') {
        size_t inner = 0;
        while (inner < total && cmdline[inner])
            inner++;
        if (inner == total && !cut) {
            for (size_t i = 0; i < total; i++)
                separator = cmdline[i] == ' ' ? ' ' : separator;
        }
    }
    for (size_t from = 0; from <= total;) {
        size_t end = from;
        while (end < total && cmdline[end] != separator)
            end++;
        if (separator == '\0')
            command.open_quote = '\0'; /* such a quote was the argument's own */
        if (cut && end == total)
            argument(userdata, "...", 3);
        else
            one_argument(&command, cmdline + from, end - from, argument, userdata);
        from = end + 1;
    }
}
