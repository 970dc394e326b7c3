/*
 * ends.S - functions whose callers can't be found, each for a reason of its own. All call their argument, which never returns.
 */
        .text
/* Its call-frame information tells that it was called by itself, with the same frame. */
        .globl  called_by_itself
        .type   called_by_itself, @function
called_by_itself:
        .cfi_startproc
        pushq   %rbx
        .cfi_def_cfa_offset 16
        leaq    1f(%rip), %rax
        pushq   %rax
        leaq    8(%rsp), %rbx
        .cfi_def_cfa %rbx, 0
        pushq   %rax
        call    *%rdi
1:      ud2
        .cfi_endproc
        .size   called_by_itself, .-called_by_itself

/* ... that its frame lies where no memory is. */
        .globl  frame_nowhere
        .type   frame_nowhere, @function
frame_nowhere:
        .cfi_startproc
        pushq   %rbx
        .cfi_def_cfa_offset 16
        movl    $0x12348, %ebx
        .cfi_def_cfa %rbx, 0
        call    *%rdi
        ud2
        .cfi_endproc
        .size   frame_nowhere, .-frame_nowhere

/* None, no way out, no frame pointer; it is called through a pointer. */
        .globl  tells_nothing
        .type   tells_nothing, @function
tells_nothing:
        subq    $24, %rsp
        movl    $1, %ebp
        call    *%rdi
1:      jmp     1b
        .size   tells_nothing, .-tells_nothing

        .section .note.GNU-stack,"",@progbits
