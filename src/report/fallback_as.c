/*
 * report/fallback_as.c - see report/fallback.h: the sections of the inspector, made by the process itself.
 *
 * Reporter thread of the target, or its crash thread; async-signal-safe. Each thread is asked in turn by signal to copy its own stack; frames have
 * names from the dynamic symbol tables, else module, offset and build id, which `gmr symbolize` resolves elsewhere.
 */
#include "report/fallback.h"

#include <errno.h>

#include "report/runtime.h"
#include "section/recursion.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define MOST_MODULES 512
#define MOST_STACKS 4096
#define MOST_FRAMES (1u << 18)
#define THREAD_WAIT_NS 50000000u
#define SHORT_WAIT_NS 3000000u
#define MOST_LATE 20
#define HIGHEST_TID 4194304 /* PID_MAX_LIMIT, include/linux/threads.h */

struct kept_stack {
    uint64_t hash;
    uint32_t first, count;
    const char *end;
};

struct gmr__fallback {
    struct gmr__slot_capture slot;
    struct gmr__slot_capture crashed;
    pid_t crashed_tid;
    struct gmr__peek peek;
    struct gmr__self_modules modules;
    struct gmr__self_module module[MOST_MODULES];
    struct gmr__self_stack stack;
    bool prepared, used, slot_lost;
    uint64_t deadline_ns, pause_max_ns, copied_bytes;
    unsigned late, threads, without;
    int cut; /* why the list of threads ended early: -errno, else 0 */
    /* kept for JSON and XML, which list every stack once */
    uint32_t stack_count, frame_count;
    struct kept_stack kept[MOST_STACKS];
    uint64_t pc[MOST_FRAMES];
    uint8_t flags[MOST_FRAMES];
};

#define FLAG_EXACT 1
#define FLAG_GUESSED 2

struct gmr__fallback *gmr__fallback_new(void)
{
    return gmr__map_memory(sizeof(struct gmr__fallback));
}

void gmr__fallback_free(struct gmr__fallback *f)
{
    if (f)
        gmr__unmap_memory(f, sizeof(*f));
}

void gmr__fallback_begin(struct gmr__fallback *f, uint64_t deadline_ns)
{
    f->deadline_ns = deadline_ns;
    f->prepared = f->used = false;
    f->crashed_tid = 0;
    f->pause_max_ns = f->copied_bytes = 0;
    f->late = f->threads = f->without = f->stack_count = f->frame_count = 0;
    f->cut = 0;
}

void gmr__fallback_crashed(struct gmr__fallback *f, pid_t tid, const void *ucontext)
{
    f->crashed_tid = tid;
    gmr__capture_context(&f->crashed, ucontext);
}

bool gmr__fallback_used(const struct gmr__fallback *f)
{
    return f->used;
}

void gmr__fallback_cost(const struct gmr__fallback *f, struct gmr__cost *cost)
{
    cost->known_pause = true;
    cost->pause_max_ns = f->pause_max_ns;
    cost->copied_bytes = f->copied_bytes;
}

static void prepare(struct gmr__fallback *f)
{
    if (f->prepared)
        return;
    gmr__memset(f->peek.page, 0, sizeof(f->peek.page));
    f->modules = (struct gmr__self_modules){.peek = &f->peek, .module = f->module, .cap = MOST_MODULES};
    gmr__self_modules_read(&f->modules);
    f->prepared = true;
}

/* ---- one thread ---- */

/* NULL: f->stack is filled; else why not. */
static const char *take(struct gmr__fallback *f, pid_t tid, char state)
{
    if (tid == f->crashed_tid) {
        prepare(f);
        gmr__self_unwind(&f->modules, &f->crashed, &f->stack);
        f->copied_bytes += f->crashed.stack_bytes;
        return NULL;
    }
    if (f->slot_lost)
        return "the memory that stacks are copied to is lost to a thread that never finished copying";
    if (tid == gmr__gettid())
        return "this thread makes the report";
    if (state == 'Z' || state == 'X')
        return "it has ended";
    if (state == 'D')
        return "it is in an uninterruptible sleep and takes no signal";
    if (gmr__now_ns() >= f->deadline_ns)
        return "the report's time was over";
    uint64_t until_ns = gmr__now_ns() + (f->late < MOST_LATE ? THREAD_WAIT_NS : SHORT_WAIT_NS);
    int error = gmr__capture_thread(&f->slot, tid, until_ns);
    if (error == -ETIMEDOUT || (error == -EBUSY && gmr__now_ns() >= until_ns))
        f->late++;
    if (error == -EBUSY)
        return "it blocks the signal by which it would copy its own stack";
    if (error == -ETIMEDOUT)
        return "it did not answer the signal in time: not scheduled, stopped or traced";
    if (error == -EDEADLK)
        f->slot_lost = true;
    if (error)
        return error == -ESRCH    ? "it has ended"
               : error == -ENOSYS ? "the program handles SIGSTKFLT itself, by which threads copy their stacks"
                                  : "it could not be signalled";
    f->copied_bytes += f->slot.stack_bytes;
    if (f->slot.pause_ns > f->pause_max_ns)
        f->pause_max_ns = f->slot.pause_ns;
    gmr__self_unwind(&f->modules, &f->slot, &f->stack);
    return NULL;
}

/* The number of f->stack among those kept, -1: no room. */
static int64_t keep(struct gmr__fallback *f)
{
    const struct gmr__self_stack *s = &f->stack;
    uint64_t hash = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < s->count; i++)
        hash = (hash ^ s->pc[i]) * 0x100000001b3u;
    for (uint32_t i = 0; i < f->stack_count; i++)
        if (f->kept[i].hash == hash && f->kept[i].count == s->count)
            return i;
    if (f->stack_count == MOST_STACKS || f->frame_count + s->count > MOST_FRAMES)
        return -1;
    f->kept[f->stack_count] = (struct kept_stack){hash, f->frame_count, s->count, s->end};
    for (unsigned i = 0; i < s->count; i++) {
        f->pc[f->frame_count + i] = s->pc[i];
        f->flags[f->frame_count + i] = (uint8_t)((s->exact[i] ? FLAG_EXACT : 0) | (s->guessed[i] ? FLAG_GUESSED : 0));
    }
    f->frame_count += s->count;
    return f->stack_count++;
}

/* ---- frames ---- */

static const char *last_part(const char *path)
{
    const char *last = path;
    for (const char *c = path; *c; c++)
        if (*c == '/' && c[1])
            last = c + 1;
    return last;
}

/* "in poll+0x4f [libc.so.6]", "in 0x55f0 [daemon+0x15f0]" */
static void describe(struct gmr__fallback *f, struct gmr__buf *line, uint64_t pc, bool exact, bool guessed)
{
    char name[256];
    uint64_t offset = 0;
    const struct gmr__self_module *m = gmr__self_module_at(&f->modules, pc - !exact);
    bool named = m && gmr__self_symbol(&f->peek, m, pc - !exact, name, sizeof(name), &offset);
    gmr__buf_str(line, "in ");
    if (named) {
        gmr__buf_str(line, name);
        gmr__buf_str(line, "+0x");
        gmr__buf_hex(line, offset + !exact);
    } else {
        gmr__buf_str(line, "0x");
        gmr__buf_hex(line, pc);
    }
    if (m) {
        gmr__buf_str(line, " [");
        gmr__buf_str(line, last_part(m->path));
        if (!named) {
            gmr__buf_str(line, "+0x");
            gmr__buf_hex(line, pc - m->bias);
        }
        gmr__buf_char(line, ']');
    }
    if (guessed)
        gmr__buf_str(line, " (guessed)");
}

static void put_frame(struct gmr__fallback *f, struct gmr_writer *w, uint64_t pc, uint8_t flags)
{
    char text[300];
    struct gmr__buf buf;
    uint64_t offset = 0;
    uint64_t lookup = pc - !(flags & FLAG_EXACT);
    const struct gmr__self_module *m = gmr__self_module_at(&f->modules, lookup);
    gmr_begin_map(w, NULL);
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_str(&buf, "0x");
    gmr__buf_hex(&buf, pc);
    gmr_put_string(w, "pc", text);
    if (m && gmr__self_symbol(&f->peek, m, lookup, text, sizeof(text), &offset)) {
        gmr_put_string(w, "function", text);
        gmr_put_uint(w, "offset", offset + (pc - lookup));
    }
    if (m) {
        gmr_put_string(w, "module", m->path);
        gmr__buf_init(&buf, text, sizeof(text));
        gmr__buf_str(&buf, "0x");
        gmr__buf_hex(&buf, pc - m->bias);
        gmr_put_string(w, "module_offset", text); /* what `gmr symbolize` needs, elsewhere */
    }
    if (m && m->build_id_bytes) {
        gmr__buf_init(&buf, text, sizeof(text));
        for (unsigned i = 0; i < m->build_id_bytes; i++) {
            gmr__buf_hex(&buf, m->build_id[i] >> 4);
            gmr__buf_hex(&buf, m->build_id[i] & 15);
        }
        gmr_put_string(w, "build_id", text);
    }
    if (flags & FLAG_GUESSED)
        gmr_put_bool(w, "guessed", true);
    gmr_end_map(w);
}

/* ---- threads ---- */

static void thread_data(struct gmr__fallback *f, struct gmr_writer *w, pid_t tid, const struct gmr__proc_stat *stat,
                        const char *problem)
{
    int64_t stack = problem ? -1 : keep(f);
    gmr_begin_map(w, NULL);
    gmr_put_int(w, "id", tid);
    gmr_put_string(w, "name", stat->name);
    gmr_put_string(w, "state", gmr__proc_state_name(stat->state));
    if (stack >= 0)
        gmr_put_int(w, "stack", stack);
    else
        gmr_put_string(w, "problem", problem ? problem : "there was no room for one more stack");
    if (tid == f->crashed_tid)
        gmr_put_bool(w, "crashed", true);
    gmr_end_map(w);
}

static void banner(struct gmr__buf *line, pid_t tid)
{
    char title[40];
    struct gmr__buf buf;
    gmr__buf_init(&buf, title, sizeof(title));
    gmr__buf_str(&buf, " Thread #");
    gmr__buf_int(&buf, tid);
    gmr__buf_char(&buf, ' ');
    size_t room = buf.used < 60 ? 60 - buf.used : 0, left = room / 2;
    gmr__buf_str(line, "------");
    for (size_t i = 0; i < left; i++)
        gmr__buf_char(line, ' ');
    gmr__buf_str(line, title);
    for (size_t i = left; i < room; i++)
        gmr__buf_char(line, ' ');
    gmr__buf_str(line, "------\n");
}

/* Names of threads and files are anybody's bytes. */
static void raw_line(struct gmr_writer *w, struct gmr__buf *line)
{
    for (size_t i = 0; i + 1 < line->used; i++)
        if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
            line->text[i] = '?';
    gmr__raw(w, line->text, line->used);
    line->used = 0;
}

static void frames_text(struct gmr__fallback *f, struct gmr_writer *w, struct gmr__buf *line)
{
    const struct gmr__self_stack *s = &f->stack;
    size_t left_out = 0, period = 0, round_end = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!left_out) {
            left_out = gmr__repeated_frames(s->pc, s->count, i, &period);
            round_end = i + period;
        }
        describe(f, line, s->pc[i], s->exact[i], s->guessed[i]);
        gmr__buf_char(line, '\n');
        raw_line(w, line);
        if (!left_out || i + 1 < round_end)
            continue;
        gmr__buf_str(line, "(... ");
        gmr__buf_uint(line, left_out);
        gmr__buf_str(line, " more of the same frames ...)\n");
        raw_line(w, line);
        i += left_out;
        left_out = 0;
    }
}

static void thread_text(struct gmr__fallback *f, struct gmr_writer *w, pid_t tid, const struct gmr__proc_stat *stat,
                        const char *problem)
{
    char text[700];
    struct gmr__buf line;
    const struct gmr__self_stack *s = &f->stack;
    gmr__buf_init(&line, text, sizeof(text));
    banner(&line, tid);
    raw_line(w, &line);
    gmr__buf_str(&line, stat->name);
    gmr__buf_str(&line, ", ");
    gmr__buf_str(&line, tid == f->crashed_tid ? "crashed" : gmr__proc_state_name(stat->state));
    gmr__buf_char(&line, '\n');
    raw_line(w, &line);
    gmr__raw(w, "\n", 1);
    if (!problem)
        frames_text(f, w, &line);
    const char *why = problem ? problem : s->end;
    if (why) {
        gmr__buf_str(&line, problem ? "No Traceback!\n(" : "(the stack ends here: ");
        gmr__raw(w, line.text, line.used);
        line.used = 0;
        gmr__buf_str(&line, why);
        gmr__buf_str(&line, ")\n");
        raw_line(w, &line);
    }
    gmr__raw(w, "\n", 1);
}

static void one_thread(struct gmr__fallback *f, struct gmr_writer *w, pid_t tid)
{
    struct gmr__proc_stat stat = {.state = '?'};
    int known = gmr__proc_stat("/proc", gmr__getpid(), tid, &stat);
    if (known == -ENOENT && gmr__tgkill(gmr__getpid(), tid, 0) == -ESRCH)
        return; /* ended since */
    const char *problem = take(f, tid, stat.state);
    f->threads++;
    f->without += problem != NULL && tid != gmr__gettid();
    if (gmr__writer_text(w))
        thread_text(f, w, tid, &stat, problem);
    else
        thread_data(f, w, tid, &stat, problem);
}

/* Without /proc: whoever takes signal 0 in our thread group is a thread of it. */
static void probe_threads(struct gmr__fallback *f, struct gmr_writer *w)
{
    pid_t pid = gmr__getpid();
    for (pid_t tid = 1; tid < HIGHEST_TID; tid++) {
        if (tid % 1024 == 0 && gmr__now_ns() >= f->deadline_ns)
            return;
        if (gmr__tgkill(pid, tid, 0) == 0 && tid != f->crashed_tid)
            one_thread(f, w, tid);
    }
}

/* libgmr's own threads come last in text. */
static bool is_ours(pid_t tid)
{
    struct gmr__proc_stat stat;
    return gmr__proc_stat("/proc", gmr__getpid(), tid, &stat) == 0 && gmr__is_own_thread(stat.name);
}

static int listed_threads(struct gmr__fallback *f, struct gmr_writer *w, bool all, bool ours)
{
    struct gmr__dir dir;
    int tid, error = gmr__proc_tasks_open(&dir, "/proc", gmr__getpid());
    if (error < 0)
        return error;
    while (gmr__dir_next(&dir, &tid) && !gmr__writer_error(w))
        if (tid != f->crashed_tid && (all || is_ours(tid) == ours))
            one_thread(f, w, tid);
    if (dir.error)
        f->cut = dir.error;
    gmr__dir_close(&dir);
    return 0;
}

static void all_threads(struct gmr__fallback *f, struct gmr_writer *w)
{
    struct gmr__proc_status status;
    bool text = gmr__writer_text(w);
    f->used = true;
    gmr__capture_begin(gmr__proc_status("/proc", gmr__getpid(), gmr__getpid(), &status) == 0 && status.tracer != 0);
    if (f->crashed_tid)
        one_thread(f, w, f->crashed_tid);
    if (listed_threads(f, w, !text, false) < 0)
        probe_threads(f, w);
    else if (text)
        listed_threads(f, w, false, true);
    gmr__capture_end();
}

static void all_stacks(struct gmr__fallback *f, struct gmr_writer *w)
{
    for (uint32_t i = 0; i < f->stack_count && !gmr__writer_error(w); i++) {
        const struct kept_stack *stack = &f->kept[i];
        gmr_begin_map(w, NULL);
        gmr_begin_list(w, "frames");
        for (uint32_t k = 0; k < stack->count; k++)
            put_frame(f, w, f->pc[stack->first + k], f->flags[stack->first + k]);
        gmr_end_list(w);
        if (stack->end)
            gmr_put_string(w, "end", stack->end);
        gmr_end_map(w);
    }
}

/* ---- sections ---- */

bool gmr__fallback_section(struct gmr__fallback *f, struct gmr_writer *w, const char *name, const char *title,
                           const char *why)
{
    bool stacks = gmr__streq(name, "stacks"), threads = gmr__streq(name, "threads");
    struct gmr__section_head head = {
        .name = name, .title = title, .shape = GMR__SHAPE_LIST, .flags = stacks ? GMR__SECTION_STRUCTURED : 0};
    char reason[400];
    struct gmr__buf buf;
    if (!stacks && !threads && !gmr__streq(name, "green_threads"))
        return false;
    if (gmr__section_begin(w, &head))
        return true;
    /* Stacks of threads that the inspector has told are not to be had here. */
    if ((!stacks && !threads) || (stacks && !f->used)) {
        gmr__section_end(w, GMR__FAILED, why, "run `gmr doctor PID`, or `gmr report PID` as root");
        return true;
    }
    prepare(f);
    if (threads)
        all_threads(f, w);
    else
        all_stacks(f, w);
    gmr__buf_init(&buf, reason, sizeof(reason));
    gmr__buf_str(&buf, why);
    gmr__buf_str(&buf, "; each thread copied its own stack, names are those of dynamic symbol tables");
    if (f->without) {
        gmr__buf_str(&buf, "; ");
        gmr__buf_uint(&buf, f->without);
        gmr__buf_str(&buf, " of ");
        gmr__buf_uint(&buf, f->threads);
        gmr__buf_str(&buf, " threads without a stack");
    }
    if (f->cut) {
        char place[32];
        gmr__buf_str(&buf, "; the list of threads ended early: ");
        gmr__buf_str(&buf, gmr__errno_text(-f->cut, place));
    }
    if (stacks && f->stack_count)
        gmr__section_end(w, GMR__OK, NULL, NULL);
    else if (stacks)
        gmr__section_end(w, GMR__FAILED, "no thread's stack could be copied", NULL);
    else
        gmr__section_end(w, GMR__PARTIAL, reason, "run `gmr doctor PID` for what is missing");
    return true;
}

void gmr__fallback_put_thread(struct gmr__fallback *f, struct gmr_writer *w, const char *key, pid_t tid)
{
    char text[700];
    struct gmr__buf line;
    struct gmr__proc_stat stat = {.state = 'S'};
    prepare(f);
    gmr__proc_stat("/proc", gmr__getpid(), tid, &stat);
    const char *problem = take(f, tid, stat.state);
    gmr_begin_list(w, key);
    if (problem)
        gmr_put_string(w, NULL, problem);
    for (unsigned i = 0; !problem && i < f->stack.count; i++) {
        gmr__buf_init(&line, text, sizeof(text));
        describe(f, &line, f->stack.pc[i], f->stack.exact[i], f->stack.guessed[i]);
        gmr_put_string(w, NULL, text);
    }
    gmr_end_list(w);
}
