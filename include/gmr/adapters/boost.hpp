/*
 * gmr/adapters/boost.hpp - green threads of Boost.Context, Boost.Coroutine2 and Boost.Fiber, 1.61 and later.
 *
 * Two things make one known: its stack, by the stack allocator gmr::green_stack around the one you use,
 *
 *     boost::context::fiber f{std::allocator_arg, gmr::green_stack<boost::context::fixedsize_stack>{}, function};
 *     boost::coroutines2::coroutine<int>::pull_type source{gmr::green_stack<boost::coroutines2::fixedsize_stack>{}, function};
 *     boost::fibers::fiber worker{std::allocator_arg, gmr::green_stack<boost::fibers::fixedsize_stack>{}, function};
 *
 * and where its context is kept while it is suspended: gmr::watch(f) or gmr::watch(source), called where it is made and again where the
 * object is moved; in a function that Boost.Fiber runs, gmr::this_fiber("name") at its start. Nothing is done at a switch. A stack that
 * nobody watches is listed without frames. Include the headers of the Boost library before this one.
 */
#ifndef GMR_ADAPTERS_BOOST_HPP
#define GMR_ADAPTERS_BOOST_HPP

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include <boost/context/stack_context.hpp>
#include <boost/version.hpp>

#include "gmr/green.h"

namespace gmr
{
namespace detail
{
struct boost_stacks {
    std::mutex mutex;
    std::map<std::uintptr_t, std::pair<std::uintptr_t, gmr_green *>>
        by_end; /* one past the end -> lowest byte, record */
};

/* Never destroyed: stacks may be freed after static objects are. */
inline boost_stacks &all_boost_stacks()
{
    static boost_stacks *all = new boost_stacks;
    return *all;
}

inline gmr_green *boost_record(const void *address)
{
    boost_stacks &all = all_boost_stacks();
    std::lock_guard<std::mutex> lock(all.mutex);
    auto found = all.by_end.upper_bound(reinterpret_cast<std::uintptr_t>(address));
    if (found == all.by_end.end() || reinterpret_cast<std::uintptr_t>(address) < found->second.first)
        return nullptr;
    return found->second.second;
}

inline void watch_slot(void *slot)
{
    if (gmr_green *green = slot ? boost_record(*static_cast<void **>(slot)) : nullptr)
        gmr_green_set_slot(green, slot);
}
} // namespace detail

inline const gmr_layout *boost_layout()
{
#if BOOST_VERSION >= 108100
    return gmr_green_layout(GMR_LAYOUT_FCONTEXT_1_81);
#else
    return gmr_green_layout(GMR_LAYOUT_FCONTEXT_1_61);
#endif
}

/* A stack allocator that tells of its stacks. */
template <typename Allocator> class green_stack
{
  public:
    template <typename... Arguments>
    explicit green_stack(Arguments &&...arguments) : allocator_(std::forward<Arguments>(arguments)...)
    {
    }

    boost::context::stack_context allocate()
    {
        boost::context::stack_context stack = allocator_.allocate();
        std::uintptr_t end = reinterpret_cast<std::uintptr_t>(stack.sp), low = end - stack.size;
        gmr_green *green =
            gmr_green_add(boost_layout(), reinterpret_cast<void *>(low), stack.size, nullptr, nullptr, nullptr);
        detail::boost_stacks &all = detail::all_boost_stacks();
        std::lock_guard<std::mutex> lock(all.mutex);
        all.by_end[end] = {low, green};
        return stack;
    }

    void deallocate(boost::context::stack_context &stack) noexcept
    {
        {
            detail::boost_stacks &all = detail::all_boost_stacks();
            std::lock_guard<std::mutex> lock(all.mutex);
            auto found = all.by_end.find(reinterpret_cast<std::uintptr_t>(stack.sp));
            if (found != all.by_end.end()) {
                gmr_green_del(found->second.second);
                all.by_end.erase(found);
            }
        }
        allocator_.deallocate(stack);
    }

  private:
    Allocator allocator_;
};

#ifdef BOOST_CONTEXT_FIBER_H
/* The object is one pointer: the saved stack pointer, or null while it runs. */
inline void watch(boost::context::fiber &fiber)
{
    static_assert(sizeof(fiber) == sizeof(void *), "this version of Boost.Context keeps more than a pointer");
    detail::watch_slot(&fiber);
}
#endif

/* Coroutine2's pull_type and push_type: one pointer to a control block that begins with a boost::context::fiber. */
template <typename Coroutine> inline auto watch(Coroutine &coroutine) -> decltype(static_cast<bool>(coroutine), void())
{
    static_assert(sizeof(coroutine) == sizeof(void *), "no coroutine of Boost.Coroutine2");
    detail::watch_slot(*reinterpret_cast<void **>(&coroutine));
}

#ifdef BOOST_FIBERS_CONTEXT_H
namespace detail
{
/* The saved context is a private member; an explicit instantiation may name it. */
struct fiber_member {
    typedef boost::context::fiber boost::fibers::context::*type;
    friend type get(fiber_member);
};
template <typename Tag, typename Tag::type Member> struct reach {
    friend typename Tag::type get(Tag)
    {
        return Member;
    }
};
template struct reach<fiber_member, &boost::fibers::context::c_>;
} // namespace detail

/* Within a function that Boost.Fiber runs: makes the running fiber's context known. name: borrowed, may be null. */
inline void this_fiber(const char *name = nullptr)
{
    boost::fibers::context *active = boost::fibers::context::active();
    if (gmr_green *green = detail::boost_record(&active)) {
        gmr_green_set_slot(green, &(active->*get(detail::fiber_member())));
        gmr_green_name(green, name);
    }
}
#endif
} // namespace gmr

#endif
