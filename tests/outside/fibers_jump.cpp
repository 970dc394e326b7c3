// Fibers whose switch is a function that ends with a jump to Boost's: what a compiler makes of a wrapper. usage: fibers_jump COUNT
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

struct transfer {
    void *context, *data;
};
extern "C" transfer jump_fcontext(void *to, void *data);
extern "C" void *make_fcontext(void *stack, std::size_t bytes, void (*start)(transfer));

__attribute__((noinline)) static transfer hop(void *to, void *data)
{
    return jump_fcontext(to, data);
}

static void start(transfer from)
{
    for (;;)
        from = hop(from.context, from.data);
}

int main(int, char **argv)
{
    const std::size_t bytes = 65536;
    int count = std::atoi(argv[1]);
    void **contexts = new void *[count];
    for (int i = 0; i < count; i++) {
        char *stack = static_cast<char *>(std::malloc(bytes));
        contexts[i] = hop(make_fcontext(stack + bytes, bytes, start), nullptr).context;
    }
    std::puts("ready");
    std::fflush(stdout);
    pause();
    _exit(contexts[0] == nullptr);
}
