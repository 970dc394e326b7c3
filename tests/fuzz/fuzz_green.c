/*
 * tests/fuzz/fuzz_green.c - the readers of Python's and Lua's green threads, over real interpreters whose memory lies. First byte: which of them.
 * Then records of 12 bytes: after how many more reads the next lie comes (2), its kind and place (1, 1), its value (8); behind the last all is true.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "../outside/green_stand.h"
#include "fuzz.h"
#include "green/sources.h"

static const char python_program[] = "import asyncio, sys\n"
                                     "async def leaf(event): await event.wait()\n"
                                     "async def main():\n"
                                     "    event = asyncio.Event()\n"
                                     "    tasks = [asyncio.create_task(leaf(event)) for _ in range(3)]\n"
                                     "    await asyncio.sleep(0)\n"
                                     "    try:\n"
                                     "        import greenlet\n"
                                     "        g = greenlet.greenlet(lambda: greenlet.getcurrent().parent.switch())\n"
                                     "        g.switch()\n"
                                     "    except ImportError: pass\n"
                                     "    print('ready', flush=True)\n"
                                     "    sys.stdin.read()\n"
                                     "asyncio.run(main())\n";
static const char lua_program[] =
    "c = coroutine.wrap(function() coroutine.yield() end) c() print('ready') io.stdout:flush() io.read()";

static const char php_program[] = "class A { function f() { Fiber::suspend(); } } $all = []; for ($i = 0; $i < 3; "
                                  "$i++) { $all[] = $f = new Fiber(fn() => (new A)->f()); if ($i) $f->start(); }"
                                  "echo 'ready'; fgets(STDIN);";

static struct program {
    const char *const *argv;
    const struct gmr__green_source *source;
    pid_t pid;
} programs[] = {
    {(const char *const[]){"/usr/bin/python3", "-c", python_program, NULL}, &gmr__green_source_python, 0},
    {(const char *const[]){"lua5.4", "-e", lua_program, NULL}, &gmr__green_source_lua, 0},
    {(const char *const[]){"php", "-r", php_program, NULL}, &gmr__green_source_php, 0},
};

/* The interpreter waits for its standard input, which nobody writes to, and ends with this process. */
static void start(struct program *program)
{
    int in[2], out[2];
    char byte;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        abort();
    program->pid = fork();
    if (program->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execvp(program->argv[0], (char *const *)program->argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    if (read(out[0], &byte, 1) != 1)
        program->pid = -1; /* not installed here */
    close(out[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct program *program = &programs[data[0] % (sizeof(programs) / sizeof(programs[0]))];
    if (!program->pid)
        start(program);
    if (program->pid < 0)
        return 0;
    struct stand *stand = stand_new(program->pid);
    stand_lie_as(stand, data + 1, size - 1);
    stand_run(stand, program->source);
    size_t length = 0;
    for (size_t i = 0; i < stand_count(stand); i++) {
        const struct gmr__green_thread *thread = stand_thread(stand, i);
        length += (thread->name ? strlen(thread->name) : 0) + (thread->wait_reason ? strlen(thread->wait_reason) : 0);
        for (uint32_t f = 0; f < thread->language.frame_count; f++)
            length += thread->language.frames[f].function ? strlen(thread->language.frames[f].function) : 0;
    }
    stand_free(stand);
    return length == SIZE_MAX;
}
