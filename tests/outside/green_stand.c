/*
 * tests/outside/green_stand.c - see green_stand.h.
 *
 * Tests only; called by test programs of single sources. Must not be linked together with the real common code.
 */
#include "green_stand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct os_stack {
    pid_t tid;
    struct gmr__language_stack stack;
};

struct stand {
    struct gmr__snapshot snapshot;
    struct gmr__green_thread *threads;
    size_t count, room;
    struct os_stack os[4096];
    size_t os_count;
    char notes[8192];
    unsigned lie_every, lie_seed, lie_skip;
    const unsigned char *script;
    size_t script_bytes;
    uint64_t reads, deadline_ns;
    void *chunks;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct stand *of(const struct gmr__green *green)
{
    return (struct stand *)(uintptr_t)green;
}

const struct gmr__map *gmr__snapshot_map(const struct gmr__snapshot *snapshot, uint64_t address)
{
    for (size_t i = 0; i < snapshot->map_count; i++)
        if (address >= snapshot->maps[i].start && address < snapshot->maps[i].end)
            return &snapshot->maps[i];
    return NULL;
}

const struct gmr__snapshot *gmr__green_snapshot(const struct gmr__green *green)
{
    return &of(green)->snapshot;
}

#define LIE_BYTES 12

static void next_lie(struct stand *stand)
{
    stand->lie_skip = stand->script_bytes >= LIE_BYTES ? stand->script[0] | (unsigned)stand->script[1] << 8 : 0;
}

static void scripted_lie(struct stand *stand, void *to, size_t bytes)
{
    if (stand->lie_skip > 0) {
        stand->lie_skip--;
        return;
    }
    unsigned char *at = to, kind = stand->script[2] % 3;
    size_t where = stand->script[3] % bytes;
    uint64_t value;
    memcpy(&value, stand->script + 4, sizeof(value));
    if (kind == 0) {
        at[where] ^= (unsigned char)value;
    } else if ((where = where & ~(size_t)7) + sizeof(value) <= bytes) {
        uint64_t old;
        memcpy(&old, at + where, sizeof(old));
        value = kind == 1 ? value : old + value % 4096 - 2048;
        memcpy(at + where, &value, sizeof(value));
    }
    stand->script += LIE_BYTES;
    stand->script_bytes -= LIE_BYTES;
    next_lie(stand);
}

static void lie(struct stand *stand, void *to, size_t bytes)
{
    stand->reads++;
    if (stand->script_bytes >= LIE_BYTES && bytes)
        scripted_lie(stand, to, bytes);
    if (stand->lie_every == 0 || bytes == 0 || (unsigned)rand_r(&stand->lie_seed) % stand->lie_every != 0)
        return;
    unsigned char *at = to;
    int kind = rand_r(&stand->lie_seed) % 4;
    size_t where = (size_t)rand_r(&stand->lie_seed) % bytes;
    if (kind == 0)
        at[where] ^= (unsigned char)(1 << rand_r(&stand->lie_seed) % 8);
    else if (kind == 1)
        memset(to, 0xff, bytes);
    else
        for (size_t i = where & ~(size_t)7; i + 8 <= bytes; i += 8) {
            uint64_t word = (uint64_t)(kind == 2 ? rand_r(&stand->lie_seed) : (int)i) * 8;
            memcpy(at + i, &word, 8);
        }
}

int gmr__green_read(struct gmr__green *green, uint64_t address, void *to, size_t bytes)
{
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)address, bytes};
    if (process_vm_readv(of(green)->snapshot.pid, &local, 1, &remote, 1, 0) != (ssize_t)bytes)
        return -EFAULT;
    lie(of(green), to, bytes);
    return 0;
}

void gmr__green_read_many(struct gmr__green *green, struct gmr__green_piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct iovec local = {pieces[i].to, pieces[i].bytes},
                     remote = {(void *)(uintptr_t)pieces[i].address, pieces[i].bytes};
        ssize_t got = process_vm_readv(of(green)->snapshot.pid, &local, 1, &remote, 1, 0);
        pieces[i].got = got > 0 ? (uint32_t)got : 0;
        if (got > 0)
            lie(of(green), pieces[i].to, (size_t)got);
    }
}

int gmr__green_read_string(struct gmr__green *green, uint64_t address, char *to, size_t cap)
{
    for (size_t i = 0; i + 1 < cap; i++) {
        if (gmr__green_read(green, address + i, to + i, 1) != 0) {
            to[i] = 0;
            return i ? (int)i : -EFAULT;
        }
        if (to[i] == 0)
            return (int)i;
    }
    to[cap - 1] = 0;
    return (int)cap - 1;
}

static int find_in_file(const char *path, const char *name, GElf_Sym *found, uint64_t *first_vaddr)
{
    int result = -ENOENT, fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ_MMAP, NULL);
    size_t phnum = 0;
    if (elf && elf_getphdrnum(elf, &phnum) == 0)
        for (size_t i = phnum; i-- > 0;) {
            GElf_Phdr phdr;
            if (gelf_getphdr(elf, (int)i, &phdr) && phdr.p_type == PT_LOAD)
                *first_vaddr = phdr.p_vaddr - phdr.p_offset;
        }
    for (Elf_Scn *scn = NULL; elf && result != 0 && (scn = elf_nextscn(elf, scn));) {
        GElf_Shdr shdr;
        if (!gelf_getshdr(scn, &shdr) || (shdr.sh_type != SHT_DYNSYM && shdr.sh_type != SHT_SYMTAB))
            continue;
        Elf_Data *data = elf_getdata(scn, NULL);
        for (int i = 0; data && shdr.sh_entsize && i < (int)(shdr.sh_size / shdr.sh_entsize); i++) {
            GElf_Sym sym;
            const char *text;
            if (gelf_getsym(data, i, &sym) && sym.st_shndx != SHN_UNDEF &&
                (text = elf_strptr(elf, shdr.sh_link, sym.st_name)) && strcmp(text, name) == 0) {
                *found = sym;
                result = 0;
                break;
            }
        }
    }
    if (elf)
        elf_end(elf);
    if (fd >= 0)
        close(fd);
    return result;
}

int gmr__green_symbol(struct gmr__green *green, const char *module, const char *name, uint64_t *address, uint64_t *size)
{
    const struct gmr__snapshot *snapshot = &of(green)->snapshot;
    for (size_t i = 0; i < snapshot->map_count; i++) {
        const struct gmr__map *map = &snapshot->maps[i];
        const char *slash = strrchr(map->path, '/');
        if (map->path[0] != '/' || map->offset != 0)
            continue;
        if (module && *module && strncmp(slash + 1, module, strlen(module)) != 0)
            continue;
        if (module && !*module && strcmp(map->path, snapshot->exe) != 0)
            continue;
        GElf_Sym sym;
        uint64_t first = 0;
        if (find_in_file(map->path, name, &sym, &first) != 0)
            continue;
        *address = map->start - first + sym.st_value;
        if (GELF_ST_TYPE(sym.st_info) == STT_TLS) {
            *address = sym.st_value;
            return -ENOTSUP;
        }
        if (size)
            *size = sym.st_size;
        return 0;
    }
    return -ENOENT;
}

bool gmr__green_is_code(struct gmr__green *green, uint64_t address)
{
    const struct gmr__map *map = gmr__snapshot_map(&of(green)->snapshot, address);
    return map && map->exec;
}

bool gmr__green_is_return_address(struct gmr__green *green, uint64_t address)
{
    unsigned char code[8];
    if (!gmr__green_is_code(green, address) || gmr__green_read(green, address - 8, code, 8) != 0)
        return false;
    if (code[3] == 0xe8)
        return true;
    for (int bytes = 2; bytes <= 7; bytes++)
        if (code[8 - bytes] == 0xff && (code[9 - bytes] >> 3 & 7) == 2)
            return true;
    return false;
}

const struct gmr__thread *gmr__green_stopped(const struct gmr__green *green, size_t *count)
{
    *count = of(green)->snapshot.thread_count;
    return of(green)->snapshot.threads;
}

bool gmr__green_out_of_time(const struct gmr__green *green)
{
    return now_ns() > of(green)->deadline_ns;
}

int gmr__green_pointer_guard(struct gmr__green *green, uint64_t *guard)
{
    char path[64];
    uint64_t pair[2];
    snprintf(path, sizeof(path), "/proc/%d/auxv", (int)of(green)->snapshot.pid);
    FILE *file = fopen(path, "re");
    int result = -ENOENT;
    while (file && fread(pair, sizeof(pair), 1, file) == 1)
        if (pair[0] == 25)
            result = gmr__green_read(green, pair[1] + 8, guard, 8);
    if (file)
        fclose(file);
    return result;
}

/* Lives until stand_free: a list through the first word. */
void gmr__green_reserve(struct gmr__green *green, size_t bytes)
{
}

void *gmr__green_alloc(struct gmr__green *green, size_t bytes)
{
    void **chunk = calloc(1, bytes + 16);
    if (!chunk)
        return NULL;
    chunk[0] = of(green)->chunks;
    of(green)->chunks = chunk;
    return chunk + 2;
}

const char *gmr__green_intern(struct gmr__green *green, const char *text)
{
    char *copy = text ? gmr__green_alloc(green, strlen(text) + 1) : NULL;
    return copy ? strcpy(copy, text) : NULL;
}

int gmr__green_emit(struct gmr__green *green, const struct gmr__green_thread *thread)
{
    struct stand *stand = of(green);
    if (stand->count == stand->room) {
        size_t room = stand->room ? stand->room * 2 : 256;
        struct gmr__green_thread *threads = realloc(stand->threads, room * sizeof(*threads));
        if (!threads)
            return -ENOMEM;
        stand->threads = threads;
        stand->room = room;
    }
    struct gmr__green_thread *copy = &stand->threads[stand->count++];
    *copy = *thread;
    copy->name = gmr__green_intern(green, thread->name);
    copy->wait_reason = gmr__green_intern(green, thread->wait_reason);
    copy->copy.data = NULL;
    return 0;
}

void gmr__green_claim(struct gmr__green *green, uint64_t stack_low, uint64_t stack_high)
{
    (void)green;
    (void)stack_low;
    (void)stack_high;
}

bool gmr__green_known(const struct gmr__green *green, uint64_t address)
{
    for (size_t i = 0; i < of(green)->count; i++)
        if (address >= of(green)->threads[i].stack_low && address < of(green)->threads[i].stack_high)
            return true;
    return false;
}

int gmr__green_emit_os_thread(struct gmr__green *green, pid_t tid, const struct gmr__language_stack *language)
{
    struct stand *stand = of(green);
    if (stand->os_count < sizeof(stand->os) / sizeof(stand->os[0]))
        stand->os[stand->os_count++] = (struct os_stack){tid, *language};
    return 0;
}

void gmr__green_note(struct gmr__green *green, const char *format, ...)
{
    struct stand *stand = of(green);
    size_t used = strlen(stand->notes);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(stand->notes + used, sizeof(stand->notes) - used, format, arguments);
    va_end(arguments);
}

static void read_maps(struct stand *stand)
{
    char path[64], *line = NULL;
    size_t cap = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)stand->snapshot.pid);
    FILE *file = fopen(path, "re");
    while (file && getline(&line, &cap, file) > 0) {
        struct gmr__map map = {.path = ""};
        char flags[8];
        int at = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %n", &map.start, &map.end, flags, &map.offset,
                   &at) < 4)
            continue;
        map.read = flags[0] == 'r';
        map.write = flags[1] == 'w';
        map.exec = flags[2] == 'x';
        map.shared = flags[3] == 's';
        line[strcspn(line, "\n")] = 0;
        map.path = gmr__green_intern((struct gmr__green *)stand, at ? line + at : "");
        stand->snapshot.maps = realloc(stand->snapshot.maps, (stand->snapshot.map_count + 1) * sizeof(map));
        stand->snapshot.maps[stand->snapshot.map_count++] = map;
    }
    free(line);
    if (file)
        fclose(file);
}

/* Registers by ptrace, thread by thread: all that a source needs of them is to be of the same moment as SIGSTOP's. */
static void read_threads(struct stand *stand)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)stand->snapshot.pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct gmr__thread thread = {.tid = atoi(entry->d_name)};
        unsigned char prstatus[1024];
        struct iovec io = {prstatus, sizeof(prstatus)};
        int status;
        if (thread.tid <= 0)
            continue;
        if (ptrace(PTRACE_SEIZE, thread.tid, NULL, NULL) == 0) {
            ptrace(PTRACE_INTERRUPT, thread.tid, NULL, NULL);
            if (waitpid(thread.tid, &status, __WALL) == thread.tid && WIFSTOPPED(status)) {
                if (ptrace(PTRACE_GETREGSET, thread.tid, (void *)1, &io) == 0)
                    gmr__arch_regs_from_prstatus(&thread.regs, prstatus, io.iov_len);
                ptrace(PTRACE_DETACH, thread.tid, NULL, NULL);
            }
        }
        stand->snapshot.threads = realloc(stand->snapshot.threads, (stand->snapshot.thread_count + 1) * sizeof(thread));
        stand->snapshot.threads[stand->snapshot.thread_count++] = thread;
    }
    if (dir)
        closedir(dir);
}

struct stand *stand_new(pid_t pid)
{
    char path[64], exe[512] = "";
    struct stand *stand = calloc(1, sizeof(*stand));
    elf_version(EV_CURRENT);
    stand->snapshot.pid = pid;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    if (readlink(path, exe, sizeof(exe) - 1) < 0)
        exe[0] = 0;
    stand->snapshot.exe = gmr__green_intern((struct gmr__green *)stand, exe);
    stand->snapshot.root = "";
    read_maps(stand);
    return stand;
}

void stand_free(struct stand *stand)
{
    for (void **chunk = stand->chunks; chunk;) {
        void **next = chunk[0];
        free(chunk);
        chunk = next;
    }
    free(stand->threads);
    free(stand->snapshot.maps);
    free(stand->snapshot.threads);
    free(stand);
}

void stand_lie(struct stand *stand, unsigned every, unsigned seed)
{
    stand->lie_every = every;
    stand->lie_seed = seed;
}

void stand_lie_as(struct stand *stand, const unsigned char *script, size_t bytes)
{
    stand->script = script;
    stand->script_bytes = bytes;
    next_lie(stand);
}

int stand_run(struct stand *stand, const struct gmr__green_source *source)
{
    struct gmr__green *green = (struct gmr__green *)stand;
    void *state = NULL;
    stand->deadline_ns = now_ns() + 30000000000u;
    int found = source->find(green, &state);
    uint64_t started = now_ns();
    for (int round = 0; found == 1 && source->ahead && round < 3; round++)
        if (source->ahead(green, state) == 0)
            break;
    uint64_t ahead = now_ns();
    kill(stand->snapshot.pid, SIGSTOP);
    read_threads(stand);
    stand->deadline_ns = now_ns() + 30000000000u;
    uint64_t stopped = now_ns();
    if (found == 1 && source->collect)
        source->collect(green, state);
    uint64_t collected = now_ns();
    kill(stand->snapshot.pid, SIGCONT);
    stand->deadline_ns = now_ns() + 30000000000u;
    if (found == 1 && source->finish)
        source->finish(green, state);
    if (getenv("STAND_TIMES"))
        fprintf(stderr, "ahead %.1f ms, collect %.2f ms, finish %.1f ms, %" PRIu64 " reads\n",
                (double)(ahead - started) / 1e6, (double)(collected - stopped) / 1e6,
                (double)(now_ns() - collected) / 1e6, stand->reads);
    if (source->release)
        source->release(state);
    return found;
}

size_t stand_count(const struct stand *stand)
{
    return stand->count;
}

const struct gmr__green_thread *stand_thread(const struct stand *stand, size_t index)
{
    return &stand->threads[index];
}

size_t stand_os_count(const struct stand *stand)
{
    return stand->os_count;
}

const struct gmr__language_stack *stand_os(const struct stand *stand, size_t index, pid_t *tid)
{
    *tid = stand->os[index].tid;
    return &stand->os[index].stack;
}

const char *stand_notes(const struct stand *stand)
{
    return stand->notes;
}

uint64_t stand_reads(const struct stand *stand)
{
    return stand->reads;
}

static void print_language(const struct gmr__language_stack *language)
{
    for (uint32_t i = 0; i < language->frame_count; i++)
        printf("    %s %s:%d%s\n", language->frames[i].function ? language->frames[i].function : "??",
               language->frames[i].file ? language->frames[i].file : "??", language->frames[i].line,
               language->frames[i].entry ? " *" : "");
    if (language->end)
        printf("    (%s)\n", language->end);
}

void stand_print(const struct stand *stand)
{
    for (size_t i = 0; i < stand->os_count; i++) {
        printf("OS %d %s\n", (int)stand->os[i].tid, stand->os[i].stack.language);
        print_language(&stand->os[i].stack);
    }
    for (size_t i = 0; i < stand->count; i++) {
        const struct gmr__green_thread *thread = &stand->threads[i];
        printf("GREEN %" PRIu64 " %s state=%d name=%s wait=%s carrier=%d stack=%" PRIx64 "-%" PRIx64 " sp=%" PRIx64
               " pc=%" PRIx64 " copied=%u%s%s\n",
               thread->id, thread->kind, thread->state, thread->name ? thread->name : "-",
               thread->wait_reason ? thread->wait_reason : "-", (int)thread->carrier, thread->stack_low,
               thread->stack_high, thread->regs.value[gmr__arch_sp], thread->regs.value[gmr__arch_pc],
               thread->copy.bytes, thread->problem ? " problem=" : "", thread->problem ? thread->problem : "");
        print_language(&thread->language);
    }
    if (stand->notes[0])
        printf("NOTES %s\n", stand->notes);
}
