/*
 * A queue under one lock and threads that wait for it.
 *
 * A thread leaves when the pool is closing and the queue is empty. A job that
 * still runs then may hand over another: its own thread comes back for it.
 */
#include "base/workers.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/thread.h"

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t wake; /* queue not empty, or time to leave */
	struct job *first;   /* lock */
	struct job **last;   /* lock; where the next one is hung in */
	bool closing;        /* lock */
	unsigned count;      /* threads started; written by the creator only */
	pthread_t threads[];
};

static void auto_workers(struct workers **w)
{
	workers_close(*w);
}

/* With the lock held. NULL: leave. */
static struct job *take(struct workers *w)
{
	struct job *job;

	while (!w->first && !w->closing)
		pthread_cond_wait(&w->wake, &w->lock);
	job = w->first;
	if (!job)
		return NULL;
	w->first = job->next;
	if (!w->first)
		w->last = &w->first;
	return job;
}

static void *work(void *arg)
{
	struct workers *w = arg;
	struct job *job;

	pthread_mutex_lock(&w->lock);
	while ((job = take(w))) {
		pthread_mutex_unlock(&w->lock);
		job->run(job); /* which may free it */
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int workers_create(unsigned count, struct workers **out)
{
	AUTO(auto_workers) struct workers *w = NULL;
	int err = 0;

	w = calloc(1, sizeof(*w) + count * sizeof(w->threads[0]));
	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->last = &w->first;
	while (w->count < count && !err) {
		err = thread_start(&w->threads[w->count], work, w);
		w->count += !err;
	}
	if (err)
		return err;
	*out = KEEP(w);
	return 0;
}

void workers_run(struct workers *w, struct job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->last = job;
	w->last = &job->next;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void workers_close(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->closing = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->count; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
