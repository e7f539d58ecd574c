/*
 * Threads for what may block: syncs, long checksums, opening targets. A FUSE
 * handler hands its request over and goes on; the job replies.
 */
#ifndef RMFS_BASE_WORKERS_H
#define RMFS_BASE_WORKERS_H

struct workers;

/* Embedded in what the job works on: handing it over allocates nothing. */
struct job {
	struct job *next;
	void (*run)(struct job *job);
};

/*
 * Start @count threads, all signals blocked in them but those of faults.
 * @count  > 0
 * Returns 0, -ENOMEM, -EAGAIN (no more threads to be had).
 */
int workers_create(unsigned count, struct workers **out);

/* Run the job soon, first come first served; @job is the pool's until then. */
void workers_run(struct workers *workers, struct job *job);

/*
 * Finish every job handed over, also those that jobs hand over; then stop.
 * Takes NULL. Nobody else hands over a job any more.
 */
void workers_close(struct workers *workers);

#endif
