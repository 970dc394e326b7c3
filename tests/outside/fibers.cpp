// Boost.Context fibers that know nothing of gmr: COUNT of them, SWITCHES switches at random depths, then all but the main one are
// suspended. usage: fibers COUNT SWITCHES [go]   go: keeps on switching after "ready"
#include <boost/context/fiber.hpp>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ctx = boost::context;

static std::mt19937 random_number(42);
static volatile int sink;

__attribute__((noinline)) static ctx::fiber descend(ctx::fiber caller, int levels)
{
    volatile char room[64];
    room[levels % 64] = 1;
    if (levels > 0)
        caller = descend(std::move(caller), levels - 1);
    else
        caller = std::move(caller).resume();
    sink += room[levels % 64];
    return caller;
}

__attribute__((noinline)) static ctx::fiber fiber_body(ctx::fiber caller)
{
    for (;;)
        caller = descend(std::move(caller), int(random_number() % 20));
}

__attribute__((noinline)) static void switch_some(std::vector<ctx::fiber> &fibers, long switches)
{
    for (long i = 0; i < switches; i++) {
        ctx::fiber &fiber = fibers[random_number() % fibers.size()];
        fiber = std::move(fiber).resume();
    }
}

int main(int argc, char **argv)
{
    std::vector<ctx::fiber> fibers;
    for (int i = 0; i < std::atoi(argv[1]); i++)
        fibers.emplace_back(fiber_body);
    for (auto &fiber : fibers)
        fiber = std::move(fiber).resume();
    switch_some(fibers, std::atol(argv[2]));
    std::puts("ready");
    std::fflush(stdout);
    while (argc > 3)
        switch_some(fibers, 1000);
    pause();
    _exit(0);
}
