/*
 * shapes.cc - what C++ adds: names, templates, lambdas, virtual calls with thunks, exceptions in flight, cleanup, static functions in
 * anonymous namespaces, operators.
 */
#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ready.h"

#define NOINLINE __attribute__((noinline))

static volatile int sink;

namespace outer
{
namespace
{
NOINLINE void wait_here(int n)
{
    arrive();
    while (sink !=
           4711) { /* for all that the compiler knows, it returns: an endless loop would make callers noexcept */
        pause();
        sink = sink + n % 2;
    }
}

struct Guard {
    int n;
    ~Guard()
    {
        wait_here(n);
    } /* runs while an exception passes */
};

NOINLINE void thrower(int n)
{
    if (n)
        throw std::runtime_error("in flight");
}

NOINLINE int cleanup(int n)
{
    Guard guard{n};
    thrower(n);
    return n + sink;
}
} // namespace

NOINLINE int catches(int n)
{
    try {
        thrower(n);
    } catch (const std::exception &) {
        wait_here(n);
    }
    return n + sink;
}

NOINLINE int passes(int n)
{
    try {
        return cleanup(n) + 1;
    } catch (const std::exception &) {
        return sink;
    }
}

struct Left {
    long left = 1;
    virtual ~Left() = default;
    virtual int left_call(int n) = 0;
};
struct Right {
    long right = 2;
    virtual ~Right() = default;
    virtual int right_call(int n) = 0;
};
class Both : public Left, public Right
{
  public:
    NOINLINE int left_call(int n) override
    {
        wait_here(n);
        return n + sink;
    }
    NOINLINE int right_call(int n) override
    {
        return left_call(n + 1) + sink;
    }
    NOINLINE bool operator()(int a, int b) const
    {
        wait_here(a);
        return a < b;
    }
    NOINLINE int operator+(int n)
    {
        wait_here(n);
        return sink;
    }
    NOINLINE explicit operator bool()
    {
        wait_here(1);
        return sink;
    }
};

NOINLINE int virtual_call(Right &right)
{
    return right.right_call(3) + sink;
}

template <typename T, int N> struct Holder {
    T value;
    template <typename U> NOINLINE int member(U u)
    {
        wait_here((int)u + N);
        return sink;
    }
};

template <typename T> NOINLINE int templated(std::map<std::string, T> &map)
{
    Holder<T, 7> holder{map["x"]};
    return holder.template member<short>(3) + sink;
}

NOINLINE int lambda(int n)
{
    std::function<int(int)> f = [n](int m) {
        wait_here(n + m);
        return n + sink;
    };
    return f(4) + sink;
}

NOINLINE int sorts()
{
    std::vector<int> list{5, 4, 3, 2, 1};
    std::sort(list.begin(), list.end(), [](int a, int b) {
        wait_here(a);
        return a < b;
    });
    return list[0];
}

NOINLINE int waits()
{
    std::mutex mutex;
    std::condition_variable condition;
    std::unique_lock<std::mutex> lock(mutex);
    arrive();
    condition.wait(lock, [] { return sink == 12345; });
    return sink;
}

class Constructed
{
    int n;

  public:
    NOINLINE explicit Constructed(int m) : n(m)
    {
        wait_here(n);
    }
};

NOINLINE int constructs()
{
    auto p = std::make_unique<Constructed>(3);
    return sink + (p ? 1 : 0);
}
} // namespace outer

static NOINLINE int run(int shape)
{
    using namespace outer;
    Both both;
    std::map<std::string, int> map;
    switch (shape) {
    case 0:
        return catches(1) + 1;
    case 1:
        return passes(1) + 1;
    case 2:
        return virtual_call(both) + 1;
    case 3:
        return templated(map) + 1;
    case 4:
        return lambda(2) + 1;
    case 5:
        return sorts() + 1;
    case 6:
        return waits() + 1;
    case 7:
        return both + 3;
    case 8:
        return both ? 1 : 2;
    case 9:
        return both(1, 2) + 1;
    default:
        return constructs() + 1;
    }
}

int main()
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 11; i++)
        threads.emplace_back([i] { sink = sink + run(i); });
    ready(11);
    pause();
    return 0;
}
