/*
 * One list in order of arrival. It is short: who waits is between two commands
 * of one shell script.
 */
#include "target/parking.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/thread.h"

struct parking {
	pthread_mutex_t lock; /* the innermost lock: below a slot's */
	pthread_cond_t changed;
	struct waiter *first; /* lock */
	bool stopped;         /* lock */
	/* Is the list not empty? Read without the lock by every RELEASE: who
	 * parks holds the slot's lock, as the releaser did just before. */
	atomic_bool occupied;
	pthread_t thread;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Take out all that wait for @slot, or whose time is over by @now. */
static struct waiter *take(
	struct parking *parking, const void *slot, int64_t now)
{
	struct waiter *taken = NULL, **tail = &taken;
	struct waiter **at = &parking->first;

	while (*at) {
		struct waiter *waiter = *at;

		if (waiter->slot != slot && waiter->deadline_ns > now) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->next = NULL;
		*tail = waiter;
		tail = &waiter->next;
	}
	/* Relaxed: ordered by the slot's lock, see the field. */
	atomic_store_explicit(&parking->occupied, parking->first != NULL,
		memory_order_relaxed);
	return taken;
}

static void wake_all(struct waiter *waiter, int err)
{
	while (waiter) {
		struct waiter *next = waiter->next;

		waiter->wake(waiter, err);
		waiter = next;
	}
}

static int64_t earliest(const struct parking *parking)
{
	int64_t deadline = INT64_MAX;

	for (const struct waiter *w = parking->first; w; w = w->next)
		if (w->deadline_ns < deadline)
			deadline = w->deadline_ns;
	return deadline;
}

static void wait_until(struct parking *parking, int64_t deadline)
{
	struct timespec at = {
		.tv_sec = deadline / 1000000000,
		.tv_nsec = deadline % 1000000000,
	};

	if (deadline == INT64_MAX)
		pthread_cond_wait(&parking->changed, &parking->lock);
	else
		pthread_cond_timedwait(&parking->changed, &parking->lock, &at);
}

static void *expire(void *arg)
{
	struct parking *parking = arg;

	pthread_mutex_lock(&parking->lock);
	while (!parking->stopped) {
		struct waiter *expired = take(parking, NULL, now_ns());

		if (!expired) {
			wait_until(parking, earliest(parking));
			continue;
		}
		pthread_mutex_unlock(&parking->lock);
		wake_all(expired, -EBUSY);
		pthread_mutex_lock(&parking->lock);
	}
	pthread_mutex_unlock(&parking->lock);
	return NULL;
}

int parking_create(struct parking **out)
{
	struct parking *parking = calloc(1, sizeof(*parking));
	int err;

	if (!parking)
		return -ENOMEM;
	cond_init_monotonic(&parking->changed);
	pthread_mutex_init(&parking->lock, NULL);
	err = thread_start(&parking->thread, expire, parking);
	if (err) {
		parking->stopped = true;
		parking_close(parking);
		return err;
	}
	*out = parking;
	return 0;
}

int parking_add(
	struct parking *parking, struct waiter *waiter, const void *slot)
{
	int64_t now = now_ns();
	struct waiter **last = &parking->first;
	int err = 0;

	if (!waiter->deadline_ns)
		waiter->deadline_ns = now + PARKING_MS * INT64_C(1000000);
	if (waiter->deadline_ns <= now)
		return -EBUSY;
	waiter->slot = slot;
	waiter->next = NULL;
	pthread_mutex_lock(&parking->lock);
	if (parking->stopped) {
		err = -EINTR;
	} else {
		while (*last)
			last = &(*last)->next;
		*last = waiter;
		/* Relaxed: ordered by the slot's lock, see the field. */
		atomic_store_explicit(
			&parking->occupied, true, memory_order_relaxed);
		pthread_cond_signal(&parking->changed);
	}
	pthread_mutex_unlock(&parking->lock);
	return err;
}

void parking_wake(struct parking *parking, const void *slot)
{
	struct waiter *taken;

	/* Relaxed: ordered by the slot's lock, see the field. */
	if (!atomic_load_explicit(&parking->occupied, memory_order_relaxed))
		return;
	pthread_mutex_lock(&parking->lock);
	taken = take(parking, slot, INT64_MIN);
	pthread_mutex_unlock(&parking->lock);
	wake_all(taken, 0);
}

void parking_stop(struct parking *parking)
{
	struct waiter *rest;
	bool again;

	pthread_mutex_lock(&parking->lock);
	again = parking->stopped;
	parking->stopped = true;
	rest = parking->first;
	parking->first = NULL;
	pthread_cond_signal(&parking->changed);
	pthread_mutex_unlock(&parking->lock);
	if (!again)
		pthread_join(parking->thread, NULL);
	wake_all(rest, -EINTR);
}

void parking_close(struct parking *parking)
{
	if (!parking)
		return;
	parking_stop(parking);
	pthread_cond_destroy(&parking->changed);
	pthread_mutex_destroy(&parking->lock);
	free(parking);
}
