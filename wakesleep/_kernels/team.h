/* A team of plain threads for one compiled call, and the barrier at which they meet. No OpenMP: after a fork its
 * threads are gone and it waits for them for ever, and a wheel would have to carry it. */
#ifndef WAKESLEEP_TEAM_H
#define WAKESLEEP_TEAM_H

#include "threads.h"

#include <stdatomic.h>

enum { MOST_THREADS = 64 };

typedef struct {
    _Atomic int n_threads; /* that have to come */
    _Atomic int waiting;
    _Atomic unsigned round;
} Barrier;

/* Spin, for the others are nearly here; then give the processor away, for they may be waiting for it; then sleep. */
static inline void barrier_wait(Barrier *barrier) {
    int n_threads = atomic_load_explicit(&barrier->n_threads, memory_order_relaxed);
    if (n_threads == 1) return;
    unsigned round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->waiting, 1, memory_order_acq_rel) == n_threads - 1) {
        atomic_store_explicit(&barrier->waiting, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->round, round + 1, memory_order_release);
        return;
    }
    for (int turn = 0; atomic_load_explicit(&barrier->round, memory_order_acquire) == round; turn++) {
        if (turn < 2000) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        } else if (turn < 3000) {
            give_way();
        } else {
            nap();
        }
    }
}

typedef void (*Task)(void *job, int me);
typedef struct {
    Task task;
    void *job;
    int me;
    Barrier *barrier;
} Member;

static void member_main(void *member_) {
    Member *member = member_;
    while (!atomic_load_explicit(&member->barrier->n_threads, memory_order_acquire)) give_way();
    if (member->me < atomic_load_explicit(&member->barrier->n_threads, memory_order_relaxed))
        member->task(member->job, member->me);
}

/* Run task(job, me) for me = 0 ... n_threads - 1, the first in the calling thread; fewer where no more can be started.
 * The task asks the barrier how many there are. Signals are left to the calling thread. */
static inline void team_run(int n_threads, Barrier *barrier, Task task, void *job) {
    Thread threads[MOST_THREADS];
    Member members[MOST_THREADS];
    int started = 1;
    Signals before;
    n_threads = n_threads < MOST_THREADS ? n_threads : MOST_THREADS;
    atomic_store(&barrier->n_threads, n_threads > 1 ? 0 : 1); /* nobody begins before the number is known */
    atomic_store(&barrier->waiting, 0);
    atomic_store(&barrier->round, 0u);
    if (n_threads > 1) {
        signals_hold(&before);
        for (; started < n_threads; started++) {
            members[started] = (Member){task, job, started, barrier};
            if (!thread_start(&threads[started], member_main, &members[started])) break;
        }
        signals_release(&before);
        atomic_store_explicit(&barrier->n_threads, started, memory_order_release);
    }
    task(job, 0);
    for (int me = 1; me < started; me++) thread_join(&threads[me]);
}

#endif
