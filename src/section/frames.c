/*
 * section/frames.c - a stack as lines of text or as data.
 *
 * Inspector only. Every name that is printed comes from the target's files: text goes through gmr__raw_text, which lets no control
 * character pass. Called by the Threads, Green Threads and stacks sections.
 */
#include "section/frames.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "section/recursion.h"
#include "view/view.h"

#define SHALLOW 8 /* frames in which no recursion is looked for */

/* ---------------------------------------------------------------------------------------- raw text */

void gmr__raw_text(struct gmr_writer *w, const char *text)
{
    size_t length = strlen(text), from = 0, at = 0;
    while (at < length) {
        uint32_t code_point;
        unsigned bytes = gmr__utf8_decode((const unsigned char *)text + at, length - at, &code_point);
        if (bytes && code_point >= 0x20 && code_point != 0x7f && (code_point < 0x80 || code_point >= 0xa0)) {
            at += bytes;
            continue;
        }
        char escaped[8];
        gmr__raw(w, text + from, at - from);
        snprintf(escaped, sizeof(escaped), "\\x%02x", bytes ? (unsigned)code_point : (unsigned char)text[at]);
        gmr__raw(w, escaped, strlen(escaped));
        at += bytes ? bytes : 1;
        from = at;
    }
    gmr__raw(w, text + from, at - from);
}

void gmr__raw_format(struct gmr_writer *w, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0)
        gmr__raw(w, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

void gmr__stack_banner(struct gmr_writer *w, const char *title)
{
    size_t length = strlen(title), room = length < 60 ? 60 - length : 0, left = room / 2;
    gmr__raw_format(w, "------%*s", (int)left, "");
    gmr__raw_text(w, title);
    gmr__raw_format(w, "%*s------\n", (int)(room - left), "");
}

/* ---------------------------------------------------------------------------------------- the lines of a stack */

struct lines {
    const struct gmr__analysis *analysis;
    const struct gmr__language_stack *language;
    uint32_t language_at;
    const struct gmr__module *machinery[2]; /* the interpreter, what switches its green threads; NULL: not known */
    bool any, folded;                       /* a line was emitted; the last one was machinery */
    bool (*emit)(void *userdata, const struct gmr__line *line);
    void *userdata;
    bool ended;
};

static void emit(struct lines *lines, const struct gmr__line *line)
{
    if (!lines->ended && !lines->emit(lines->userdata, line))
        lines->ended = true;
    lines->any = true;
    lines->folded = line->interpreter;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* C code that only says "Python runs here". Not the innermost function, where it has a name and is not the one that runs byte code: it is what
 * a thread that is busy is busy with. Behind the last frame of the language also what the C library and the interpreter's main do before. */
static bool is_machinery(const struct lines *lines, const struct gmr__module *module, uint64_t pc, const char *function)
{
    const struct gmr__language_stack *language = lines->language;
    bool behind = language && language->frame_count == lines->language_at;
    if (!module || !lines->machinery[0] || (behind && language->end))
        return false;
    if (module == lines->machinery[0])
        return lines->any || !function || (pc >= language->interpreter_low && pc < language->interpreter_high);
    if (module == lines->machinery[1])
        return true;
    const char *name = last_part(module->path);
    return lines->folded && behind &&
           (starts_with(name, "libc.") || starts_with(name, "libc-") || starts_with(name, "ld-") ||
            starts_with(name, "python"));
}

/* What the language does not tell of a frame, its native code does. */
static void name_by_pc(struct lines *lines, const struct gmr__language_frame *frame, struct gmr__line *line)
{
    const struct gmr__resolved *resolved =
        frame->pc ? gmr__symbolize(lines->analysis->symbolizer, frame->pc - !frame->pc_is_entry) : NULL;
    if (!resolved)
        return;
    line->module = resolved->module;
    if (!line->function)
        line->function = resolved->symbols[0].function;
    if (!line->file) {
        line->file = resolved->symbols[0].file;
        line->line = resolved->symbols[0].line;
    }
}

/* The language's frames, up to and including the next entry, or all that are left. */
static void emit_language(struct lines *lines, bool all)
{
    const struct gmr__language_stack *language = lines->language;
    while (language && lines->language_at < language->frame_count && !lines->ended) {
        const struct gmr__language_frame *frame = &language->frames[lines->language_at++];
        struct gmr__line line = {
            .function = frame->function,
            .file = frame->file,
            .line = frame->line,
            .language = language->language,
            .pc = frame->pc,
        };
        name_by_pc(lines, frame, &line);
        emit(lines, &line);
        if (!all && frame->entry)
            return;
    }
}

static void emit_symbols(struct lines *lines, const struct gmr__frame *frame, const struct gmr__resolved *resolved)
{
    bool exact = frame->activation || frame->signal_frame;
    struct gmr__line line = {.pc = frame->pc, .guessed = frame->guessed, .signal_frame = frame->signal_frame};
    if (!resolved) {
        emit(lines, &line);
        return;
    }
    line.module = resolved->module;
    line.interpreter = is_machinery(lines, resolved->module, frame->pc, resolved->symbols[0].function);
    for (size_t i = 0; i < resolved->symbol_count; i++) {
        const struct gmr__symbol *symbol = &resolved->symbols[i];
        line.function = symbol->function;
        line.problem = line.module && !symbol->function ? line.module->problem : symbol->problem;
        line.has_offset = symbol->function && !symbol->inlined && !symbol->tail_call;
        line.offset = line.has_offset ? symbol->offset + !exact : 0;
        line.file = symbol->file;
        line.line = symbol->line;
        line.column = symbol->column;
        line.inlined = symbol->inlined;
        line.tail_call = symbol->tail_call;
        line.guessed = frame->guessed || symbol->guessed;
        emit(lines, &line);
    }
}

static void emit_native(struct lines *lines, const struct gmr__frame *frame)
{
    /* A trampoline was returned to by nobody: its pc is looked up as it stands. */
    bool exact = frame->activation || frame->signal_frame;
    emit_symbols(lines, frame, gmr__symbolize(lines->analysis->symbolizer, frame->pc - !exact));
}

/* Functions that have jumped to the frame's before it returned to `caller`. */
static void emit_tail_calls(struct lines *lines, const struct gmr__frame *frame, const struct gmr__frame *caller)
{
    const struct gmr__tail_call *calls;
    if (frame->signal_frame || caller->signal_frame || caller->activation || caller->guessed)
        return;
    size_t count =
        gmr__symbolize_tail_calls(lines->analysis->symbolizer, caller->pc, frame->pc - !frame->activation, &calls);
    for (size_t i = 0; i < count; i++)
        emit_symbols(lines, &(struct gmr__frame){.pc = calls[i].pc}, calls[i].resolved);
}

void gmr__stack_lines(const struct gmr__analysis *analysis, struct gmr__report_stack stack,
                      bool (*to)(void *userdata, const struct gmr__line *line), void *userdata)
{
    struct lines lines = {.analysis = analysis, .language = stack.language, .emit = to, .userdata = userdata};
    const struct gmr__language_stack *language = stack.language;
    bool between = language && language->interpreter_high > language->interpreter_low && stack.native;
    if (!between)
        emit_language(&lines, true);
    if (between && language->frame_count > 0) {
        lines.machinery[0] = gmr__modules_find(analysis->modules, language->interpreter_low);
        lines.machinery[1] = language->switcher ? gmr__modules_find(analysis->modules, language->switcher) : NULL;
    }
    for (uint32_t i = 0; stack.native && i < stack.native->frame_count && !lines.ended; i++) {
        const struct gmr__frame *frame = &stack.native->frames[i];
        if (between && frame->pc >= language->interpreter_low && frame->pc < language->interpreter_high)
            emit_language(&lines, false);
        emit_native(&lines, frame);
        if (i + 1 < stack.native->frame_count)
            emit_tail_calls(&lines, frame, frame + 1);
    }
    emit_language(&lines, true);
}

const char *gmr__stack_end(struct gmr__report_stack stack)
{
    if (stack.native && stack.native->end)
        return stack.native->end;
    return stack.language ? stack.language->end : NULL;
}

/* ---------------------------------------------------------------------------------------- as text */

struct lines_out {
    struct gmr_writer *w;
    const struct gmr__analysis *analysis;
    size_t count, folded;
    bool last_folded;
    struct gmr__recursion recursion;
};

static void put_place(struct gmr_writer *w, const struct gmr__line *line)
{
    if (line->file) {
        gmr__raw_text(w, line->file);
        if (line->line > 0)
            gmr__raw_format(w, ":%d", line->line);
        gmr__raw_format(w, " ");
    }
    gmr__raw_format(w, "in ");
    if (line->function)
        gmr__raw_text(w, line->function);
    else if (!line->language)
        gmr__raw_format(w, "0x%llx", (unsigned long long)line->pc);
    else
        gmr__raw_format(w, "?");
    if (line->has_offset)
        gmr__raw_format(w, "+0x%llx", (unsigned long long)line->offset);
    if (line->module) {
        gmr__raw_format(w, " [");
        gmr__raw_text(w, last_part(line->module->path));
        if (!line->function)
            gmr__raw_format(w, "+0x%llx", (unsigned long long)(line->pc - line->module->bias));
        gmr__raw_format(w, "]");
    }
}

void gmr__line_text(struct gmr_writer *w, const struct gmr__line *line, const char *source)
{
    put_place(w, line);
    if (line->language) {
        gmr__raw_format(w, " (");
        gmr__raw_text(w, line->language);
        gmr__raw_format(w, ")");
    }
    if (line->problem && !line->function) {
        gmr__raw_format(w, " (");
        gmr__raw_text(w, line->problem);
        gmr__raw_format(w, ")");
    }
    gmr__raw_format(w, "%s%s%s%s\n", line->inlined ? " (inlined)" : "", line->tail_call ? " (tail call)" : "",
                    line->signal_frame ? " (signal handler called)" : "", line->guessed ? " (guessed)" : "");
    if (source && *source) {
        gmr__raw_format(w, "    `");
        gmr__raw_text(w, source);
        gmr__raw_format(w, "`\n");
    }
}

void gmr__folded_text(struct gmr_writer *w, size_t folded)
{
    if (folded)
        gmr__raw_format(w, "(%zu C function%s of the interpreter left out)\n", folded, folded == 1 ? "" : "s");
}

void gmr__stack_end_text(struct gmr_writer *w, const char *end, bool any)
{
    if (end) {
        gmr__raw_format(w, any ? "(the stack ends here: " : "(no stack: ");
        gmr__raw_text(w, end);
        gmr__raw_format(w, ")\n");
    } else if (!any) {
        gmr__raw_format(w, "No Traceback!\n"); /* as oslo.reports says it */
    }
}

static const char *source_of(const struct gmr__analysis *analysis, const struct gmr__line *line)
{
    if (!line->file || line->line <= 0 || analysis->options.no_source)
        return NULL;
    return gmr__source_line(analysis->symbolizer, line->file, line->line);
}

static bool see_line(void *userdata, const struct gmr__line *line)
{
    struct lines_out *text = userdata;
    if (!line->interpreter)
        gmr__recursion_see(&text->recursion, line);
    return true;
}

static bool text_line(void *userdata, const struct gmr__line *line)
{
    struct lines_out *text = userdata;
    text->count++;
    text->last_folded = line->interpreter && !text->analysis->options.all_frames;
    if (line->interpreter && !text->analysis->options.all_frames) {
        text->folded++;
        return true;
    }
    if (!gmr__recursion_shows(&text->recursion, text->w))
        return true;
    gmr__line_text(text->w, line, source_of(text->analysis, line));
    return gmr__writer_error(text->w) == 0;
}

void gmr__stack_text(struct gmr_writer *w, const struct gmr__analysis *analysis, struct gmr__report_stack stack)
{
    struct lines_out text = {.w = w, .analysis = analysis};
    bool deep = (stack.native && stack.native->frame_count > SHALLOW) ||
                (stack.language && stack.language->frame_count > SHALLOW);
    gmr__raw_format(w, "\n");
    if (deep && !analysis->options.all_frames)
        gmr__stack_lines(analysis, stack, see_line, &text);
    gmr__stack_lines(analysis, stack, text_line, &text);
    gmr__recursion_end(&text.recursion);
    gmr__folded_text(w, text.folded);
    /* Why frames end that are left out anyway is of no use. */
    gmr__stack_end_text(w, text.last_folded ? NULL : gmr__stack_end(stack), text.count > 0);
}

/* ---------------------------------------------------------------------------------------- as data */

static bool data_line(void *userdata, const struct gmr__line *line)
{
    struct lines_out *out = userdata;
    struct gmr_writer *w = out->w;
    char id[65];
    gmr_begin_map(w, NULL);
    if (!line->language)
        gmr_put_format(w, "pc", "0x%llx", (unsigned long long)line->pc);
    if (line->function)
        gmr_put_string(w, "function", line->function);
    if (line->has_offset)
        gmr_put_uint(w, "offset", line->offset);
    if (line->module) {
        gmr_put_string(w, "module", line->module->path);
        gmr__module_build_id(line->module, id);
        if (id[0])
            gmr_put_string(w, "build_id", id);
        if (!line->function) /* what names it later, elsewhere */
            gmr_put_format(w, "module_offset", "0x%llx", (unsigned long long)(line->pc - line->module->bias));
    }
    if (line->file)
        gmr_put_string(w, "file", line->file);
    if (line->line > 0)
        gmr_put_int(w, "line", line->line);
    if (line->column > 0)
        gmr_put_int(w, "column", line->column);
    const char *source = source_of(out->analysis, line);
    if (source && *source)
        gmr_put_string(w, "source", source);
    if (line->inlined)
        gmr_put_bool(w, "inlined", true);
    if (line->tail_call)
        gmr_put_bool(w, "tail_call", true);
    if (line->signal_frame)
        gmr_put_bool(w, "signal_frame", true);
    if (line->guessed)
        gmr_put_bool(w, "guessed", true);
    if (line->problem)
        gmr_put_string(w, "problem", line->problem);
    if (line->interpreter)
        gmr_put_bool(w, "interpreter", true);
    if (line->language)
        gmr_put_string(w, "language", line->language);
    return gmr_end_map(w) == 0;
}

void gmr__stack_data(struct gmr_writer *w, const struct gmr__analysis *analysis, struct gmr__report_stack stack)
{
    struct lines_out out = {.w = w, .analysis = analysis};
    gmr_begin_list(w, "frames");
    gmr__stack_lines(analysis, stack, data_line, &out);
    gmr_end_list(w);
    const char *end = gmr__stack_end(stack);
    if (end)
        gmr_put_string(w, "end", end);
}
