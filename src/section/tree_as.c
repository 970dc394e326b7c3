/*
 * section/tree_as.c - who is whose child: one pass over /proc.
 *
 * Both halves, any context: async-signal-safe, memory from mmap. Caller: the Processes section. /proc/PID/task/TID/children is not in every kernel,
 * may leave out children that are ending, and has to be asked of each thread; one pass over all processes is what psutil does, too. The parents that
 * the table names may be lies (a made-up tree), gone, or run in circles.
 */
#include "section/tree.h"

#include <errno.h>

#include "section/note.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define FIRST_CAP 1024
#define MAX_PROCESSES (1u << 20)

static bool grow(struct gmr__tree *tree)
{
    size_t cap = tree->cap ? 2 * tree->cap : FIRST_CAP;
    if (cap > MAX_PROCESSES)
        return false;
    struct gmr__tree_process *more = gmr__map_memory(cap * sizeof(*more));
    if (!more)
        return false;
    gmr__memcpy(more, tree->processes, tree->count * sizeof(*more));
    gmr__tree_free(&(struct gmr__tree){.processes = tree->processes, .cap = tree->cap});
    tree->processes = more;
    tree->cap = cap;
    return true;
}

void gmr__tree_free(struct gmr__tree *tree)
{
    if (tree->processes)
        gmr__unmap_memory(tree->processes, tree->cap * sizeof(*tree->processes));
    tree->processes = NULL;
}

static bool add(struct gmr__tree *tree, pid_t pid, const struct gmr__proc_stat *stat)
{
    if (tree->count == tree->cap && !grow(tree))
        return false;
    struct gmr__tree_process *p = &tree->processes[tree->count++];
    *p = (struct gmr__tree_process){
        .pid = pid,
        .ppid = stat->ppid,
        .state = stat->state,
        .threads = (uint32_t)stat->threads,
        .start_ticks = stat->start_ticks,
        .parent = GMR__NO_PROCESS,
        .first_child = GMR__NO_PROCESS,
        .next_sibling = GMR__NO_PROCESS,
    };
    /* The kernel lists processes by pid, so this moves nothing; other file systems have an order of their own. */
    for (; p > tree->processes && p[-1].pid > pid; p--) {
        struct gmr__tree_process swap = p[-1];
        p[-1] = p[0];
        p[0] = swap;
    }
    return true;
}

static uint32_t find(const struct gmr__tree *tree, pid_t pid)
{
    size_t low = 0, high = tree->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tree->processes[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tree->count && tree->processes[low].pid == pid ? (uint32_t)low : GMR__NO_PROCESS;
}

/* From the last to the first, so that each list of children is in the order of pids. A process older than its parent is not its child: the
 * parent's pid was used again (psutil's rule). */
static void link_children(struct gmr__tree *tree)
{
    for (size_t i = tree->count; i-- > 0;) {
        struct gmr__tree_process *p = &tree->processes[i];
        uint32_t parent =
            p->ppid > 0 && p->pid != tree->processes[tree->root].pid ? find(tree, p->ppid) : GMR__NO_PROCESS;
        if (parent == GMR__NO_PROCESS || parent == i || tree->processes[parent].start_ticks > p->start_ticks)
            continue;
        p->parent = parent;
        p->next_sibling = tree->processes[parent].first_child;
        tree->processes[parent].first_child = (uint32_t)i;
    }
}

/* We who look, and the helper between us and a target that started us: no part of the program. */
static void find_ourselves(const char *proc, pid_t *self, pid_t *helper)
{
    char text[16];
    const char *at = text;
    uint64_t number;
    struct gmr__proc_stat stat;
    *self = *helper = 0;
    if (gmr__proc_readlink(proc, 0, 0, "self", text, sizeof(text)) <= 0 || !gmr__parse_uint(&at, &number) || *at)
        return;
    *self = (pid_t)number;
    if (gmr__proc_stat(proc, *self, 0, &stat) == 0 && gmr__proc_stat(proc, stat.ppid, 0, &stat) == 0 &&
        gmr__streq(stat.name, GMR__REPORTER_NAME))
        *helper = stat.pid;
}

int gmr__tree_read(struct gmr__tree *tree, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__dir dir;
    struct gmr__proc_stat stat;
    int pid;
    pid_t self, helper;
    *tree = (struct gmr__tree){0};
    int error = gmr__proc_stat(target->proc, target->pid, 0, &stat);
    if (error)
        return error;
    if (!add(tree, target->pid, &stat))
        return -ENOMEM;
    find_ourselves(target->proc, &self, &helper);
    error = gmr__proc_pids_open(&dir, target->proc);
    while (!error && gmr__dir_next(&dir, &pid)) {
        if (pid == target->pid || pid == self || pid == helper)
            continue;
        int unread = gmr__proc_stat(target->proc, pid, 0, &stat);
        gmr__section_unread(status, "a process, which may be a child", unread);
        if (unread || stat.ppid == 0)
            continue;
        if (gmr__target_late(target)) {
            gmr__section_note(status, GMR__PARTIAL, "not all of /proc could be read in time: children may be missing",
                              NULL);
            break;
        }
        if (!add(tree, pid, &stat)) {
            gmr__section_note(status, GMR__PARTIAL, "no memory for all processes: children may be missing", NULL);
            break;
        }
    }
    if (error || dir.error)
        gmr__section_error(status, GMR__PARTIAL, "the list of processes", error ? error : dir.error);
    gmr__dir_close(&dir);
    tree->root = find(tree, target->pid);
    link_children(tree);
    return 0;
}

/* The root has no parent, and every other has one, so from the root no circle can be reached. */
uint32_t gmr__tree_next(const struct gmr__tree *tree, uint32_t index, unsigned *depth, unsigned max_depth)
{
    const struct gmr__tree_process *p = &tree->processes[index];
    if (p->first_child != GMR__NO_PROCESS && *depth < max_depth) {
        ++*depth;
        return p->first_child;
    }
    for (; index != tree->root; index = tree->processes[index].parent) {
        if (tree->processes[index].next_sibling != GMR__NO_PROCESS)
            return tree->processes[index].next_sibling;
        --*depth;
    }
    return GMR__NO_PROCESS;
}
