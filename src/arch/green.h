/*
 * arch/green.h - what reading a suspended green thread's registers needs to know of the architecture.
 *
 * Plain data handling; used by the inspector. Defined in layouts_ARCH.c, beside the layouts.
 */
#ifndef GMR_ARCH_GREEN_H
#define GMR_ARCH_GREEN_H

#include "arch/arch.h"

#define GMR__ARCH_NO_REG 0xffu
extern const uint8_t gmr__arch_callee[12]; /* DWARF numbers of gmr_layout.off_callee; GMR__ARCH_NO_REG: unused */
extern const bool gmr__arch_fp_mangled;    /* setjmp mangles the frame pointer, too */
/* Registers of a call's first result: a switch routine hands over the other side's context in it. */
extern const unsigned gmr__arch_result;
/* Where struct pthread of glibc keeps the tid (nptl/descr.h; unchanged from 2.4 to 2.41). */
extern const unsigned gmr__arch_pthread_tid;

/* Undoes glibc's PTR_MANGLE. */
uint64_t gmr__arch_demangle(uint64_t value, uint64_t guard);
uint64_t gmr__arch_mangle(uint64_t value, uint64_t guard);

#endif
