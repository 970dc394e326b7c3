/*
 * tests/green/target_boost_spin.cpp - fibers of Boost.Context that switch at full speed, each time at another depth.
 *
 *     target_boost_spin COUNT
 *
 * The frames that a report may show are boost_step, boost_down ... boost_down (1 to 13), boost_body. Ended with SIGTERM it has counted
 * every switch twice, on both sides, and ends with 0 if the sums agree; how many stands in the file that GREEN_COUNT names.
 */
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>

#include "gmr/adapters/boost.hpp"

using context_stack = gmr::green_stack<boost::context::fixedsize_stack>;

static volatile std::sig_atomic_t quit;
static unsigned long long turns;

extern "C" __attribute__((noinline)) void boost_step(boost::context::fiber &caller)
{
    turns++;
    caller = std::move(caller).resume();
    __asm__ volatile("" ::: "memory");
}

extern "C" __attribute__((noinline)) int boost_down(int levels, boost::context::fiber &caller)
{
    if (levels > 1) {
        int below = boost_down(levels - 1, caller);
        __asm__ volatile("" ::: "memory");
        return below + 1;
    }
    boost_step(caller);
    __asm__ volatile("" ::: "memory");
    return 1;
}

extern "C" __attribute__((noinline)) void boost_body(int depth, boost::context::fiber &caller)
{
    for (;;) {
        if (boost_down(depth, caller) != depth)
            std::abort();
        depth = depth % 13 + 1;
    }
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10;
    unsigned long long switched = 0;
    std::signal(SIGTERM, [](int) { quit = 1; });
    std::vector<boost::context::fiber> fibers(count);
    for (size_t i = 0; i < count; i++) {
        fibers[i] = boost::context::fiber(std::allocator_arg, context_stack(), [i](boost::context::fiber &&caller) {
            boost_body(static_cast<int>(i % 13) + 1, caller);
            return std::move(caller);
        });
        fibers[i] = std::move(fibers[i]).resume();
        switched++;
        gmr::watch(fibers[i]);
    }
    std::puts("ready");
    std::fflush(stdout);
    while (!quit)
        for (size_t i = 0; i < count; i++) {
            fibers[i] = std::move(fibers[i]).resume();
            switched++;
        }
    const char *path = std::getenv("GREEN_COUNT");
    if (std::FILE *file = path ? std::fopen(path, "w") : nullptr) {
        std::fprintf(file, "%llu\n", switched);
        std::fclose(file);
    }
    std::_Exit(turns == switched ? 0 : 3);
}
