/*
 * gmr/adapters/folly.hpp - fibers of folly, which switch by Boost.Context.
 *
 * Where a fiber gets its stack (FiberImpl's constructor): green = gmr::folly_add(&fiberContext_, stackLimit, stackSize); where it gives it back:
 * gmr_green_del(green). fiberContext_ is the saved stack pointer, in the layout of the Boost that folly is linked with.
 */
#ifndef GMR_ADAPTERS_FOLLY_HPP
#define GMR_ADAPTERS_FOLLY_HPP

#include <cstddef>

#include <boost/version.hpp>

#include "gmr/green.h"

namespace gmr
{
inline gmr_green *folly_add(void *context, void *stack, std::size_t size)
{
#if BOOST_VERSION >= 108100
    const gmr_layout *layout = gmr_green_layout(GMR_LAYOUT_FCONTEXT_1_81);
#else
    const gmr_layout *layout = gmr_green_layout(GMR_LAYOUT_FCONTEXT_1_61);
#endif
    return gmr_green_add(layout, stack, size, context, nullptr, nullptr);
}
} // namespace gmr

#endif
