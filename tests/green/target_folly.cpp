/*
 * tests/green/target_folly.cpp - what folly's FiberImpl does with Boost's contexts, written for the test, with the adapter: two fibers left in the middle, one
 * that never ran.
 */
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>

#include "gmr/adapters/folly.hpp"

namespace context = boost::context::detail;

class Fiber
{
  public:
    explicit Fiber(int levels) : levels(levels)
    {
        stack = static_cast<char *>(std::malloc(bytes));
        saved = context::make_fcontext(stack + bytes, bytes, start);
        green = gmr::folly_add(&saved, stack, bytes);
    }

    /* Where the fiber left off is known when the jump has come back. */
    void activate()
    {
        saved = context::jump_fcontext(saved, this).fctx;
    }

    void deactivate()
    {
        leader = context::jump_fcontext(leader, nullptr).fctx;
    }

    int levels;
    gmr_green *green;

  private:
    static void start(context::transfer_t transfer);

    static constexpr std::size_t bytes = 65536;
    char *stack;
    context::fcontext_t saved, leader;
};

extern "C" __attribute__((noinline)) int folly_deep(int levels, Fiber *fiber)
{
    if (levels > 0)
        return folly_deep(levels - 1, fiber) + 1;
    fiber->deactivate();
    return 0;
}

extern "C" __attribute__((noinline)) void folly_worker(Fiber *fiber)
{
    folly_deep(fiber->levels, fiber);
    std::abort();
}

void Fiber::start(context::transfer_t transfer)
{
    Fiber *fiber = static_cast<Fiber *>(transfer.data);
    fiber->leader = transfer.fctx;
    folly_worker(fiber);
}

int main()
{
    static Fiber fibers[] = {Fiber(0), Fiber(1), Fiber(2)};
    static const char *const names[] = {"first", "second", "fresh"};
    for (int i = 0; i < 3; i++) {
        gmr_green_name(fibers[i].green, names[i]);
        if (i < 2)
            fibers[i].activate();
    }
    std::puts("ready");
    std::fflush(stdout);
    for (;;)
        pause();
}
