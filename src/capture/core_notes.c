/*
 * capture/core_notes.c - the notes of a core file: threads, process, signal, auxiliary vector, mapped files.
 *
 * Inspector only. Formats: fs/binfmt_elf.c of Linux and <sys/procfs.h>. A core may come from anywhere, so no count or offset is believed
 * before it is compared with the bytes that are there.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "capture/core_internal.h"
#include "snapshot/arena.h"

struct note {
    unsigned type;
    const char *name;
    size_t name_bytes;
    const unsigned char *bytes;
    size_t count;
};

static bool is_named(const struct note *note, const char *name)
{
    size_t bytes = strlen(name);
    return note->name_bytes >= bytes && memcmp(note->name, name, bytes) == 0 &&
           (note->name_bytes == bytes || note->name[bytes] == 0);
}

static int add_thread(struct gmr__core *core, const struct note *note)
{
    struct elf_prstatus status;
    struct gmr__snapshot *s = core->snapshot;
    if (note->count < sizeof(status) || s->thread_count == GMR__CORE_MAX_THREADS)
        return 0;
    memcpy(&status, note->bytes, sizeof(status));
    if (!gmr__snapshot_grow(s, &s->threads, sizeof(*s->threads), &core->thread_cap, s->thread_count + 1))
        return -ENOMEM;
    struct gmr__thread *thread = &s->threads[s->thread_count];
    long ticks = sysconf(_SC_CLK_TCK);
    memset(thread, 0, sizeof(*thread));
    thread->tid = status.pr_pid;
    thread->syscall = -1;
    thread->processor = -1;
    thread->utime_ticks =
        (uint64_t)status.pr_utime.tv_sec * (uint64_t)ticks + (uint64_t)status.pr_utime.tv_usec / 10000;
    thread->stime_ticks =
        (uint64_t)status.pr_stime.tv_sec * (uint64_t)ticks + (uint64_t)status.pr_stime.tv_usec / 10000;
    if (!gmr__arch_regs_from_prstatus(&thread->regs, &status.pr_reg, sizeof(status.pr_reg))) {
        thread->quality = GMR__THREAD_NO_STACK;
        thread->reason = "the core has no registers of this thread";
    }
    if (s->thread_count++ == 0) { /* the kernel writes the thread that died first */
        core->info.signal_tid = status.pr_pid;
        core->info.signal = status.pr_cursig;
        if (!core->info.pid)
            core->info.pid = status.pr_pid;
    }
    return 0;
}

static void take_process(struct gmr__core *core, const struct note *note)
{
    struct elf_prpsinfo process;
    if (note->count < sizeof(process))
        return;
    memcpy(&process, note->bytes, sizeof(process));
    struct gmr__core_info *info = &core->info;
    info->has_process = true;
    info->pid = process.pr_pid;
    info->ppid = process.pr_ppid;
    info->uid = process.pr_uid;
    info->gid = process.pr_gid;
    info->state = process.pr_sname;
    memcpy(info->name, process.pr_fname, sizeof(process.pr_fname));
    memcpy(info->command, process.pr_psargs, sizeof(process.pr_psargs));
}

static void take_signal(struct gmr__core *core, const struct note *note)
{
    siginfo_t signal;
    if (note->count < sizeof(signal))
        return;
    memcpy(&signal, note->bytes, sizeof(signal));
    core->info.signal = signal.si_signo;
    core->info.signal_code = signal.si_code;
    if (signal.si_code > 0 && (signal.si_signo == SIGSEGV || signal.si_signo == SIGBUS || signal.si_signo == SIGILL ||
                               signal.si_signo == SIGFPE || signal.si_signo == SIGTRAP)) {
        core->info.has_address = true;
        core->info.signal_address = (uint64_t)(uintptr_t)signal.si_addr;
    }
}

static void take_auxv(struct gmr__core *core, struct gmr__core_notes *notes, const struct note *note)
{
    for (size_t at = 0; note->count - at >= sizeof(Elf64_auxv_t); at += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t entry;
        memcpy(&entry, note->bytes + at, sizeof(entry));
        if (entry.a_type == AT_NULL)
            return;
        if (entry.a_type == AT_SYSINFO_EHDR)
            notes->vdso = entry.a_un.a_val;
        else if (entry.a_type == AT_ENTRY)
            core->info.entry = entry.a_un.a_val;
        else if (entry.a_type == AT_RANDOM)
            core->info.random = entry.a_un.a_val;
    }
}

static int by_start(const void *a, const void *b)
{
    const struct gmr__core_file *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* count, page size, count times (start, end, offset in pages), then as many names. */
static int take_files(struct gmr__core_notes *notes, const struct note *note)
{
    uint64_t head[2], entry[3];
    if (note->count < sizeof(head) || notes->files)
        return 0;
    memcpy(head, note->bytes, sizeof(head));
    if (head[0] > (note->count - sizeof(head)) / sizeof(entry) || head[0] == 0)
        return 0;
    notes->files = calloc(head[0], sizeof(*notes->files));
    if (!notes->files)
        return -ENOMEM;
    const char *name = (const char *)note->bytes + sizeof(head) + head[0] * sizeof(entry);
    const char *end = (const char *)note->bytes + note->count;
    for (uint64_t i = 0; i < head[0]; i++) {
        const char *stop = memchr(name, 0, (size_t)(end - name));
        if (!stop)
            break;
        memcpy(entry, note->bytes + sizeof(head) + i * sizeof(entry), sizeof(entry));
        if (entry[0] < entry[1])
            notes->files[notes->file_count++] = (struct gmr__core_file){entry[0], entry[1], entry[2] * head[1], name};
        name = stop + 1;
    }
    qsort(notes->files, notes->file_count, sizeof(*notes->files), by_start);
    return 0;
}

static int take(struct gmr__core *core, struct gmr__core_notes *notes, const struct note *note)
{
    if (!is_named(note, "CORE"))
        return 0;
    switch (note->type) {
    case NT_PRSTATUS:
        return add_thread(core, note);
    case NT_PRPSINFO:
        take_process(core, note);
        return 0;
    case NT_SIGINFO:
        take_signal(core, note);
        return 0;
    case NT_AUXV:
        take_auxv(core, notes, note);
        return 0;
    case NT_FILE:
        return take_files(notes, note);
    default:
        return 0;
    }
}

int gmr__core_read_notes(struct gmr__core *core, struct gmr__core_notes *notes, const unsigned char *bytes,
                         size_t count, size_t align)
{
    size_t at = 0;
    while (at < count && count - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr header;
        memcpy(&header, bytes + at, sizeof(header));
        at += sizeof(header);
        if (header.n_namesz > count - at)
            return 0;
        struct note note = {.type = header.n_type, .name = (const char *)bytes + at, .name_bytes = header.n_namesz};
        at = (at + header.n_namesz + align - 1) & ~(align - 1);
        if (at > count || header.n_descsz > count - at)
            return 0;
        note.bytes = bytes + at;
        note.count = header.n_descsz;
        int error = take(core, notes, &note);
        if (error)
            return error;
        at = (at + header.n_descsz + align - 1) & ~(align - 1);
    }
    return 0;
}
