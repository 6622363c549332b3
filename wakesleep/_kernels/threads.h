/* What a team asks of the operating system: threads, a pause in a loop that waits, and a clock. */
#ifndef WAKESLEEP_THREADS_H
#define WAKESLEEP_THREADS_H

typedef void (*Main)(void *argument);

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <process.h>
#include <windows.h>
#undef far /* which windows.h defines as nothing */
#undef near

typedef struct {
    HANDLE handle;
    Main main;
    void *argument;
} Thread;

static unsigned __stdcall thread_main(void *thread_) {
    Thread *thread = thread_;
    thread->main(thread->argument);
    return 0;
}

/* Whether a thread could be started; it has to be joined, and stay where it is until then. */
static inline int thread_start(Thread *thread, Main main, void *argument) {
    *thread = (Thread){NULL, main, argument};
    thread->handle = (HANDLE)_beginthreadex(NULL, 0, thread_main, thread, 0, NULL);
    return thread->handle != NULL;
}

static inline void thread_join(Thread *thread) {
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

/* Signals that threads which are started meanwhile leave to this one: here they never go to another. */
typedef int Signals;
static inline void signals_hold(Signals *before) { *before = 0; }
static inline void signals_release(const Signals *before) { (void)before; }

static inline void give_way(void) { SwitchToThread(); }
static inline void nap(void) { Sleep(1); }

/* A clock that only goes forward. */
static inline double seconds(void) {
    LARGE_INTEGER now, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (double)now.QuadPart / (double)frequency.QuadPart;
}

#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

typedef struct {
    pthread_t handle;
    Main main;
    void *argument;
} Thread;

static void *thread_main(void *thread_) {
    Thread *thread = thread_;
    thread->main(thread->argument);
    return NULL;
}

/* Whether a thread could be started; it has to be joined, and stay where it is until then. */
static inline int thread_start(Thread *thread, Main main, void *argument) {
    thread->main = main;
    thread->argument = argument;
    return !pthread_create(&thread->handle, NULL, thread_main, thread);
}

static inline void thread_join(Thread *thread) { pthread_join(thread->handle, NULL); }

/* Signals that threads which are started meanwhile leave to this one. */
typedef sigset_t Signals;
static inline void signals_hold(Signals *before) {
    Signals all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}
static inline void signals_release(const Signals *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }

static inline void give_way(void) { sched_yield(); }
static inline void nap(void) { nanosleep(&(struct timespec){0, 50000}, NULL); }

/* A clock that only goes forward. */
static inline double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif

#endif
