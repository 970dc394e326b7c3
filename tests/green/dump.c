/*
 * tests/green/dump.c - captures a process with its green threads and prints them, a line each, with what it took.
 *
 * For tests and measurements of green/ without the report around it: `dump PID [repeat] [quiet | budget=NS]`. Line: kind, id, name, state, wait reason,
 * carrier, "~" if approximate, functions from the innermost outwards, problem.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "green/attach.h"
#include "green/set.h"
#include "symbol/symbol.h"
#include "sys/sys.h"
#include "unwind/unwind.h"

static void print_thread(const struct gmr__green_thread *t, struct gmr__unwinder *unwinder,
                         struct gmr__symbolizer *symbolizer)
{
    printf("%s %llu name=%s state=%s wait=%s carrier=%d%s%s", t->kind, (unsigned long long)t->id,
           t->name ? t->name : "-", gmr__green_state_name(t->state), t->wait_reason ? t->wait_reason : "-", t->carrier,
           t->approximate ? " ~" : "", t->idle ? " idle" : "");
    const struct gmr__resolved *entry = t->entry ? gmr__symbolize(symbolizer, t->entry) : NULL;
    printf(" entry=%s frames=", entry && entry->symbols[0].function ? entry->symbols[0].function : "-");
    for (uint32_t i = 0; i < t->language.frame_count; i++)
        printf("%s:%s:%d<", t->language.frames[i].function ? t->language.frames[i].function : "-",
               t->language.frames[i].file ? t->language.frames[i].file : "-", t->language.frames[i].line);
    const struct gmr__stack *stack =
        t->regs.valid ? gmr__unwind(unwinder, &t->regs, &t->copy, t->stack_low, t->stack_high, t->activation) : NULL;
    for (uint32_t i = 0; stack && i < stack->frame_count; i++) {
        const struct gmr__frame *frame = &stack->frames[i];
        const struct gmr__resolved *r = gmr__symbolize(symbolizer, frame->activation ? frame->pc : frame->pc - 1);
        for (size_t n = 0; r && n < r->symbol_count; n++)
            printf("%s<", r->symbols[n].function ? r->symbols[n].function : "?");
    }
    printf(" end=%s problem=%s\n", stack && stack->end ? stack->end : "-", t->problem ? t->problem : "-");
}

static int dump(pid_t pid, bool quiet, uint64_t budget_ns)
{
    struct gmr__snapshot *snapshot = NULL;
    struct gmr__capture_options options = {0};
    uint64_t start = gmr__now_ns();
    struct gmr__green_attach *attach =
        gmr__green_attach(&options, &(struct gmr__green_options){.stop_budget_ns = budget_ns});
    int error = gmr__capture_ptrace(pid, &options, &snapshot);
    uint64_t captured = gmr__now_ns();
    struct gmr__green *green = gmr__green_take(attach, snapshot);
    uint64_t taken = gmr__now_ns();
    if (error || !green) {
        fprintf(stderr, "capture: %s\n", strerror(-error));
        return 1;
    }
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    struct gmr__unwinder *unwinder = gmr__unwinder_new(snapshot, modules, 1000);
    struct gmr__symbolizer *symbolizer = gmr__symbolizer_new(snapshot, modules, NULL);
    size_t count = gmr__green_count(green);
    for (size_t i = 0; i < count; i++) {
        struct gmr__green_thread t;
        gmr__green_at(green, i, &t);
        if (!quiet)
            print_thread(&t, unwinder, symbolizer);
        else if (t.regs.valid)
            gmr__unwind(unwinder, &t.regs, &t.copy, t.stack_low, t.stack_high, t.activation);
    }
    uint64_t end = gmr__now_ns();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("# count=%zu stacks=%u pause_max_us=%llu capture_ms=%llu take_ms=%llu unwind_ms=%llu rss_mb=%ld stop=%s "
           "notes=%s\n",
           count, gmr__unwinder_stack_count(unwinder), (unsigned long long)snapshot->pause_max_ns / 1000,
           (unsigned long long)(captured - start) / 1000000, (unsigned long long)(taken - captured) / 1000000,
           (unsigned long long)(end - taken) / 1000000, usage.ru_maxrss / 1024,
           green->stop == GMR__GREEN_STOP_EACH ? "each" : "together", gmr__green_notes(green));
    gmr__symbolizer_free(symbolizer);
    gmr__unwinder_free(unwinder);
    gmr__modules_free(modules);
    gmr__green_free(green);
    gmr__snapshot_free(snapshot);
    return 0;
}

int main(int argc, char **argv)
{
    int repeat = argc > 2 ? atoi(argv[2]) : 1, status = 0;
    bool limited = argc > 3 && strncmp(argv[3], "budget=", 7) == 0, quiet = argc > 3 && !limited;
    uint64_t budget_ns = limited ? strtoull(argv[3] + 7, NULL, 10) : 0;
    for (int i = 0; i < repeat && !status; i++)
        status = argc > 1 ? dump((pid_t)atoi(argv[1]), quiet, budget_ns) : 2;
    return status;
}
