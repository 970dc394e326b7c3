/* tests/fuzz/small.c - what fuzz_symbolize finds names in: functions that are called, inlined, and jumped to. */
int small_last(int n);
int small_called(int n);

__attribute__((noinline)) int small_last(int n)
{
    __asm__ volatile("" ::: "memory");
    return n + 1;
}

static inline __attribute__((always_inline)) int small_inlined(int n)
{
    return small_last(n * 3) + 2;
}

__attribute__((noinline)) int small_called(int n)
{
    int result = small_inlined(n);
    return small_last(result);
}

int main(int argc, char **argv)
{
    (void)argv;
    return small_called(argc) + small_inlined(argc);
}
