/*
 * assembly.S - functions of assembly.c: with call-frame information, without it but with a frame pointer, and one that
 * describes a saved register in its own way.
 */
        .text
        .globl  with_cfi
        .type   with_cfi, @function
with_cfi:
        .cfi_startproc
        pushq   %rbx
        .cfi_def_cfa_offset 16
        .cfi_offset %rbx, -16
        subq    $144, %rsp
        .cfi_adjust_cfa_offset 144
        movq    %rdi, %rbx
        call    *%rsi
        addq    $144, %rsp
        .cfi_adjust_cfa_offset -144
        popq    %rbx
        .cfi_def_cfa_offset 8
        ret
        .cfi_endproc
        .size   with_cfi, .-with_cfi

        .globl  without_cfi
        .type   without_cfi, @function
without_cfi:
        pushq   %rbp
        movq    %rsp, %rbp
        subq    $32, %rsp
        call    *%rsi
        leave
        ret
        .size   without_cfi, .-without_cfi

        .globl  cfa_in_register
        .type   cfa_in_register, @function
cfa_in_register:
        .cfi_startproc
        pushq   %r12
        .cfi_def_cfa_offset 16
        .cfi_offset %r12, -16
        leaq    16(%rsp), %r12
        .cfi_def_cfa %r12, 0
        subq    $200, %rsp
        andq    $-64, %rsp
        call    *%rsi
        leaq    -16(%r12), %rsp
        .cfi_def_cfa %rsp, 16
        popq    %r12
        .cfi_def_cfa_offset 8
        ret
        .cfi_endproc
        .size   cfa_in_register, .-cfa_in_register

        .section .note.GNU-stack,"",@progbits
