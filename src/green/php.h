/*
 * green/php.h - calls of PHP functions, as copied from a target's memory: what green/php.c and php_frames.c share. Inspector only.
 */
#ifndef GMR_GREEN_PHP_H
#define GMR_GREEN_PHP_H

#include "green/addrmap.h"
#include "green/green.h"

/* What differs between releases; x86-64, without thread safety (Debian's builds). */
struct gmr__php_layout {
    uint16_t objects;          /* executor_globals.objects_store */
    uint16_t active_fiber;     /* executor_globals.active_fiber */
    uint16_t fiber_call;       /* zend_fiber.execute_data */
    uint16_t fiber_bottom;     /* zend_fiber.stack_bottom */
    uint16_t file, line_start; /* zend_op_array.filename, .line_start */
};

enum {
    GMR__PHP_CURRENT = 488 /* executor_globals.current_execute_data */,
    GMR__PHP_STRING = 24,
    GMR__PHP_STRING_BYTES = 16
};

/* One call: what its zend_execute_data says. */
struct gmr__php_call {
    uint64_t function, instruction;
    bool entry; /* the interpreter's C function was called anew for it */
};

/* Calls from `at` outwards, up to and without `bottom` (0: to the end). *end: why there are no more, NULL if there are none. Allocated in the set. */
struct gmr__php_call *gmr__php_calls(struct gmr__green *green, uint64_t at, uint64_t bottom, uint32_t *count,
                                     const char **end);

struct gmr__php_names {
    struct gmr__green *green;
    const struct gmr__php_layout *layout;
    uint64_t interpreter, interpreter_end; /* execute_ex */
    struct gmr__addrmap functions;         /* zend_function -> struct function * */
};
void gmr__php_name_calls(struct gmr__php_names *names, const struct gmr__php_call *calls, uint32_t count,
                         const char *end, struct gmr__language_stack *language);
/* Is `string` a zend_string of 1 to 4,095 bytes, none of them 0? Its text into `text`, which may be NULL. */
bool gmr__php_string(struct gmr__green *green, uint64_t string, char text[4096]);

#endif
