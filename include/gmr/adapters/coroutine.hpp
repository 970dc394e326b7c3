/*
 * gmr/adapters/coroutine.hpp - C++20 coroutines: who awaits whom, with functions, files and lines.
 *
 * A stackless coroutine has no stack to read; what a report shows instead is the chain of those that await each other. Mix
 * gmr::green_promise into the promise type of your task:
 *
 *     struct promise_type : gmr::green_promise<promise_type> { ... };
 *
 * and tell it three things, a store or two each: in the task's awaiter, `child.promise().awaited_by(parent.promise(), ...)` when one
 * task begins to wait for another; `promise.finished()` in final_suspend's awaiter, before the parent is resumed; and
 * `promise.green_root("name")` for a task that nobody awaits. Where your await_transform or your awaiter takes a
 * gmr::await_place with its default value, reports show the line of the co_await.
 */
#ifndef GMR_ADAPTERS_COROUTINE_HPP
#define GMR_ADAPTERS_COROUTINE_HPP

#include <coroutine>

#include "gmr/green.h"

namespace gmr
{
/* Where a co_await stands: use it as a defaulted parameter. */
struct await_place {
    const char *file;
    int line;
    constexpr await_place(const char *file_ = __builtin_FILE(), int line_ = __builtin_LINE()) : file(file_), line(line_)
    {
    }
};

class green_frames
{
  public:
    green_frames() = default;
    green_frames(const green_frames &) = delete;
    green_frames &operator=(const green_frames &) = delete;
    ~green_frames()
    {
        if (green_) {
            gmr_green_del(green_);
            green_ = nullptr;
        }
    }

    /* What its root waits for, as gmr_green_wait. */
    void waits_for(const char *reason, const void *object = nullptr)
    {
        if (root_)
            gmr_green_wait(root_->green_, reason, object);
    }

    /* Where this one is suspended. */
    void suspended_at(await_place place)
    {
        frame_.file = place.file;
        frame_.line = place.line;
    }

    /* This one begins, and `parent` goes on when it has finished. */
    void awaited_by(green_frames &parent, await_place place = await_place())
    {
        parent.suspended_at(place);
        frame_.outer = &parent.frame_;
        root_ = parent.root_;
        if (root_)
            root_->head_ = &frame_;
    }

    /* It has reached its end: the one that awaited it is the innermost again. */
    void finished()
    {
        if (root_ && root_->head_ == &frame_)
            root_->head_ = frame_.outer;
        frame_.outer = nullptr;
    }

  protected:
    void begin(void *coroutine)
    {
        frame_.resume = *static_cast<void **>(coroutine); /* a coroutine's frame begins with its resume function */
        frame_.flags = GMR_FRAME_ENTRY;
    }

    void root(const char *name)
    {
        root_ = this;
        head_ = &frame_;
        green_ = gmr_green_add(gmr_green_layout(GMR_LAYOUT_NONE), nullptr, 0, nullptr,
                               const_cast<void *>(frame_.resume), nullptr);
        gmr_green_name(green_, name);
        gmr_green_frames(green_, "c++", &head_);
    }

  private:
    gmr_green_frame frame_ = {};
    gmr_green_frame *head_ = nullptr; /* of a root: the innermost */
    green_frames *root_ = nullptr;
    gmr_green *green_ = nullptr;
};

template <typename Promise> class green_promise : public green_frames
{
  public:
    /* For a task that nobody awaits: it is a green thread. Call it once the coroutine exists, e.g. where it is started. */
    void green_root(const char *name = nullptr)
    {
        green_begin();
        root(name);
    }

    void green_begin()
    {
        begin(std::coroutine_handle<Promise>::from_promise(static_cast<Promise &>(*this)).address());
    }

    template <typename Parent> void awaited_by(green_promise<Parent> &parent, await_place place = await_place())
    {
        green_begin();
        green_frames::awaited_by(parent, place);
    }
};
} // namespace gmr

#endif
