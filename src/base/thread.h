/* Threads of our own, and their clock. */
#ifndef RMFS_BASE_THREAD_H
#define RMFS_BASE_THREAD_H

#include <pthread.h>

/*
 * pthread_create with the signals left to the main thread. Faults stay open: a
 * blocked one would kill where a guard could catch it. Returns 0 or -EAGAIN.
 */
int thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* A condition whose time-outs are CLOCK_MONOTONIC's. */
void cond_init_monotonic(pthread_cond_t *cond);

#endif
