/*
 * Requests that wait, without a thread, for a slot's writer to go away.
 *
 * RELEASE is asynchronous: a program that has closed a slot may open it again
 * before the kernel has told us of the close. Such an open is parked here until
 * the RELEASE comes, at most PARKING_MS; the owner of the slot decides when to
 * take it out.
 */
#ifndef RMFS_TARGET_PARKING_H
#define RMFS_TARGET_PARKING_H

#include <stdint.h>

enum { PARKING_MS = 200 };

struct parking;

/* Embedded in the request; all zeros before its first use. */
struct waiter {
	struct waiter *next;
	const void *slot;
	int64_t deadline_ns; /* CLOCK_MONOTONIC; kept when parked again */
	/* Called once per parking, without locks: 0: try again; -EBUSY. */
	void (*wake)(struct waiter *waiter, int err);
};

/* Starts one thread. Returns 0, -ENOMEM, -EAGAIN. */
int parking_create(struct parking **out);

/*
 * Park @waiter until somebody takes the waiters of @slot, or until
 * PARKING_MS after it was parked first: then it is woken with -EBUSY.
 * Callers hold the slot's lock, so that no RELEASE slips in between.
 * Returns 0, or -EBUSY (its time is over).
 */
int parking_add(
	struct parking *parking, struct waiter *waiter, const void *slot);

/* Wake with 0 all who wait for @slot. Callers hold no lock. */
void parking_wake(struct parking *parking, const void *slot);

/* Wake all with -EINTR and park nobody from here on. May be called again. */
void parking_stop(struct parking *parking);

/* Stop and free. Takes NULL. */
void parking_close(struct parking *parking);

#endif
