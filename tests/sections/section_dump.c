/*
 * tests/sections/section_dump.c - one section of gmr's own on standard output, for tests that compare it with something.
 *
 *     section_dump NAME PID text|json|xml [PROC]
 *     section_dump cgroup_memory PID text [PROC]       used, max and oom_kills, as the inspector's findings take them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "section/section.h"

static const struct gmr__proc_section *const sections[] = {
    &gmr__section_processes, &gmr__section_limits,    &gmr__section_environment, &gmr__section_files,
    &gmr__section_modules,   &gmr__section_resources, &gmr__section_cgroup,      &gmr__section_host,
};

static void dump(const struct gmr__proc_section *section, const struct gmr__target *target, int view)
{
    struct gmr__sink_fd out;
    void *place = calloc(1, gmr__writer_size());
    struct gmr__doc doc = {.id = "test", .pid = target->pid};
    struct gmr__section_status status = {0};
    gmr__sink_fd_init(&out, 1, 0);
    struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), view, view, &out.sink);
    gmr__doc_begin(w, &doc);
    gmr__section_begin(w, &section->head);
    section->run(w, target, &status);
    gmr__section_end(w, status.status, status.reason[0] ? status.reason : NULL,
                     status.next_step[0] ? status.next_step : NULL);
    gmr__doc_end(w, &doc, NULL);
    free(place);
}

static int dump_memory(const struct gmr__target *target)
{
    struct gmr__cgroup_memory memory;
    gmr__cgroup_memory(target, &memory);
    printf("%llu %llu %llu\n", (unsigned long long)memory.used, (unsigned long long)memory.max,
           (unsigned long long)memory.oom_kills);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    struct gmr__target target = {.pid = atoi(argv[2]), .proc = argc > 4 ? argv[4] : "/proc"};
    if (!strcmp(argv[1], "cgroup_memory"))
        return dump_memory(&target);
    int view = !strcmp(argv[3], "json") ? GMR_VIEW_JSON : !strcmp(argv[3], "xml") ? GMR_VIEW_XML : GMR_VIEW_TEXT;
    for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
        if (!strcmp(sections[i]->head.name, argv[1])) {
            dump(sections[i], &target, view);
            return 0;
        }
    }
    return 2;
}
