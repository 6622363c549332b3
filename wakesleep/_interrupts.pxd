"""Ctrl-C in a call of many threads: the first of them looks for it now and then, and all end."""

from wakesleep._panels cimport seconds

cdef extern from "Python.h":
    int check_signals "PyErr_CheckSignals" () noexcept  # leaves the exception for `raise_interruption`
    void *pending_error "PyErr_Occurred" () noexcept

cdef extern from "<stdatomic.h>" nogil:
    ctypedef int Flag "atomic_int"
    int atomic_load(Flag *)
    void atomic_store(Flag *, int)


cdef enum:
    LOOKS = 10  # a second, at most


cdef struct Watch:
    double last
    Flag stopped


cdef inline void begin_watch(Watch *watch) noexcept nogil:
    watch.last = seconds()
    atomic_store(&watch.stopped, 0)


cdef inline bint interrupted(Watch *watch, int me) noexcept nogil:
    """Whether to end; the calling thread, 0, is the one that looks."""
    if atomic_load(&watch.stopped):
        return True
    if me == 0 and (seconds() - watch.last) * LOOKS > 1:
        watch.last = seconds()
        with gil:
            if check_signals() != 0:
                atomic_store(&watch.stopped, 1)
                return True
    return False


cdef inline int raise_interruption(Watch *watch) except -1:
    """Raise what a handler of signals has raised in `interrupted`."""
    return -1 if atomic_load(&watch.stopped) and pending_error() != NULL else 0
