/* tests/green/target_boost.cpp - Boost.Context, Coroutine2 and Fiber with the adapter: some of each, left in the middle. */
#include <csignal>
#include <cstdio>
#include <unistd.h>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <boost/coroutine2/all.hpp>
#include <boost/fiber/all.hpp>
#include <boost/fiber/context.hpp>

#include "gmr/adapters/boost.hpp"

using context_stack = gmr::green_stack<boost::context::fixedsize_stack>;
using coroutine = boost::coroutines2::coroutine<int>;

extern "C" __attribute__((noinline)) int context_deep(int levels, boost::context::fiber &caller)
{
    if (levels > 0) {
        int below = context_deep(levels - 1, caller);
        __asm__ volatile("" ::: "memory");
        return below + 1;
    }
    caller = std::move(caller).resume();
    __asm__ volatile("" ::: "memory");
    return 0;
}

extern "C" __attribute__((noinline)) int coroutine_deep(int levels, coroutine::push_type &sink)
{
    if (levels > 0) {
        int below = coroutine_deep(levels - 1, sink);
        __asm__ volatile("" ::: "memory");
        return below + 1;
    }
    sink(1);
    __asm__ volatile("" ::: "memory");
    return 0;
}

extern "C" __attribute__((noinline)) int fiber_deep(int levels, boost::fibers::condition_variable &condition)
{
    if (levels > 0) {
        int below = fiber_deep(levels - 1, condition);
        __asm__ volatile("" ::: "memory");
        return below + 1;
    }
    boost::fibers::mutex mutex;
    std::unique_lock<boost::fibers::mutex> lock(mutex);
    condition.wait(lock);
    return 0;
}

int main()
{
    static std::vector<boost::context::fiber> contexts(2);
    for (int i = 0; i < 2; i++) {
        contexts[i] = boost::context::fiber(std::allocator_arg, context_stack(), [i](boost::context::fiber &&caller) {
            context_deep(i + 1, caller);
            return std::move(caller);
        });
        contexts[i] = std::move(contexts[i]).resume();
        gmr::watch(contexts[i]);
    }
    coroutine::pull_type source(gmr::green_stack<boost::coroutines2::fixedsize_stack>(),
                                [](coroutine::push_type &sink) { coroutine_deep(2, sink); });
    gmr::watch(source);

    boost::fibers::condition_variable never;
    std::vector<boost::fibers::fiber> fibers;
    for (int i = 0; i < 2; i++)
        fibers.emplace_back(std::allocator_arg, gmr::green_stack<boost::fibers::fixedsize_stack>(), [i, &never] {
            gmr::this_fiber(i ? "second" : "first");
            fiber_deep(i + 1, never);
        });
    {
        /* One that ends is no longer there. */
        boost::fibers::fiber shortest(std::allocator_arg, gmr::green_stack<boost::fibers::fixedsize_stack>(),
                                      [] { gmr::this_fiber("short"); });
        shortest.join();
    }
    boost::this_fiber::yield();
    boost::this_fiber::yield();
    std::puts("ready");
    std::fflush(stdout);
    for (;;)
        pause();
}
