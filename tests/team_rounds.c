/* A team of every size meets thousands of times; whoever does not see what all others wrote before a meeting fails. */
#include "../wakesleep/_kernels/team.h"

#include <stdio.h>

enum { ROUNDS = 3000 };

typedef struct {
    Barrier barrier;
    int written[2][MOST_THREADS],
        failures[MOST_THREADS]; /* two by turns, so that nobody writes what others still read */
} Job;

static void rounds(void *job_, int me) {
    Job *job = job_;
    int n_threads = atomic_load(&job->barrier.n_threads);
    for (int round = 1; round <= ROUNDS; round++) {
        job->written[round & 1][me] = round;
        barrier_wait(&job->barrier);
        for (int other = 0; other < n_threads; other++) job->failures[me] += job->written[round & 1][other] != round;
    }
}

int main(void) {
    double begin = seconds();
    int failures = 0;
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        Job job = {0};
        team_run(n_threads, &job.barrier, rounds, &job);
        failures += atomic_load(&job.barrier.n_threads) != n_threads;
        for (int me = 0; me < n_threads; me++) failures += job.failures[me];
    }
    failures += !(seconds() > begin);
    printf("failures %d\n", failures);
    return failures != 0;
}
