/*
 * crash.c - a program without a libc that dies by a store to address 16, three functions deep. For a small core file.
 */
static volatile int sink;

__attribute__((noinline)) static int third(int n)
{
    *(volatile int *)16 = n;
    return n + sink;
}

__attribute__((noinline)) static int second(int n)
{
    return third(n + 1) * sink + n;
}

static inline __attribute__((always_inline)) int inlined(int n)
{
    return second(n * 2) + sink;
}

__attribute__((noinline)) static int first(int n)
{
    return inlined(n + 1) * 3;
}

__attribute__((noreturn)) void begin(void);
void begin(void)
{
    first(1);
    for (;;)
        sink++;
}

__asm__(".globl _start\n.type _start, @function\n_start:\n.cfi_startproc\n.cfi_undefined rip\nxorl %ebp, %ebp\ncall "
        "begin\nhlt\n.cfi_endproc\n"
        ".size _start, .-_start\n");
