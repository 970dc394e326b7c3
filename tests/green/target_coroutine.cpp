/* tests/green/target_coroutine.cpp - C++20 coroutines with the adapter: two tasks that await three deep, one of them after some rounds. */
#include <coroutine>
#include <cstdio>
#include <exception>
#include <unistd.h>
#include <utility>

#include "gmr/adapters/coroutine.hpp"

struct task {
    struct promise_type : gmr::green_promise<promise_type> {
        std::coroutine_handle<promise_type> parent;

        task get_return_object()
        {
            return task{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept
        {
            return {};
        }
        struct last {
            bool await_ready() noexcept
            {
                return false;
            }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept
            {
                self.promise().finished();
                return self.promise().parent ? std::coroutine_handle<>(self.promise().parent) : std::noop_coroutine();
            }
            void await_resume() noexcept
            {
            }
        };
        last final_suspend() noexcept
        {
            return {};
        }
        void return_void()
        {
        }
        void unhandled_exception()
        {
            std::terminate();
        }

        struct child {
            std::coroutine_handle<promise_type> handle;
            gmr::await_place place;
            bool await_ready()
            {
                return false;
            }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self)
            {
                handle.promise().parent = self;
                handle.promise().awaited_by(self.promise(), place);
                return handle;
            }
            void await_resume()
            {
                handle.destroy();
            }
        };
        child await_transform(task &&inner, gmr::await_place place = gmr::await_place())
        {
            return {inner.handle, place};
        }

        struct event_wait {
            const char *reason;
            gmr::await_place place;
            bool await_ready()
            {
                return false;
            }
            void await_suspend(std::coroutine_handle<promise_type> self)
            {
                self.promise().suspended_at(place);
                self.promise().waits_for(reason);
                last_waiting = self;
            }
            void await_resume()
            {
            }
        };
        event_wait await_transform(const char *reason, gmr::await_place place = gmr::await_place())
        {
            return {reason, place};
        }
        static inline std::coroutine_handle<promise_type> last_waiting;
    };
    std::coroutine_handle<promise_type> handle;
};

task read_some(int rounds)
{
    for (int i = 0; i < rounds; i++)
        co_await "data"; // read_some waits here
}

task read_message(int rounds)
{
    co_await read_some(rounds); // read_message waits here
}

task session(int rounds)
{
    co_await read_message(rounds); // session waits here
    co_await read_message(1000);   // or here
}

int main()
{
    task first = session(1000), second = session(3);
    first.handle.promise().green_root("first");
    first.handle.resume();
    second.handle.promise().green_root("second");
    second.handle.resume();
    for (int i = 0; i < 5; i++)
        task::promise_type::last_waiting.resume();
    {
        task gone = read_some(0);
        gone.handle.promise().green_root("gone");
        gone.handle.resume();
        gone.handle.destroy();
    }
    std::puts("ready");
    std::fflush(stdout);
    for (;;)
        pause();
}
