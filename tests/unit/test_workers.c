/* The pool of threads for what may block. */
#include "base/workers.h"

#include "unit.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#define COUNT 4u
#define JOBS 20000u

static atomic_uint done;
static struct workers *pool;

static void count_run(struct job *job)
{
	(void)job;
	atomic_fetch_add_explicit(&done, 1, memory_order_relaxed);
}

/* Close leaves no job behind, however many were waiting. */
START_TEST(close_with_a_full_queue_finishes_every_job)
{
	static struct job jobs[JOBS];

	ck_assert_int_eq(workers_create(COUNT, &pool), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i].run = count_run;
		workers_run(pool, &jobs[i]);
	}
	workers_close(pool);
	ck_assert_uint_eq(atomic_load(&done), JOBS);
}
END_TEST

struct chain {
	struct job job;
	unsigned left;
};

static void chain_run(struct job *job)
{
	struct chain *chain = (struct chain *)job;

	if (chain->left-- > 0)
		workers_run(pool, job);
	else
		count_run(job);
}

/* A job that hands itself over again while the pool closes still ends. */
START_TEST(close_while_jobs_hand_over_jobs_finishes_them)
{
	static struct chain chains[COUNT * 3];

	ck_assert_int_eq(workers_create(COUNT, &pool), 0);
	for (unsigned i = 0; i < COUNT * 3; i++) {
		chains[i].job.run = chain_run;
		chains[i].left = 500;
		workers_run(pool, &chains[i].job);
	}
	workers_close(pool);
	ck_assert_uint_eq(atomic_load(&done), COUNT * 3);
}
END_TEST

static struct job *order[100];

static void order_run(struct job *job)
{
	order[atomic_fetch_add(&done, 1)] = job;
}

/* One thread takes them as they came. */
START_TEST(run_on_one_thread_keeps_the_order)
{
	static struct job jobs[100];

	ck_assert_int_eq(workers_create(1, &pool), 0);
	for (unsigned i = 0; i < 100; i++) {
		jobs[i].run = order_run;
		workers_run(pool, &jobs[i]);
	}
	workers_close(pool);
	for (unsigned i = 0; i < 100; i++)
		ck_assert_ptr_eq(order[i], &jobs[i]);
}
END_TEST

static sem_t all_here;
static sem_t go_on;

static void meet_run(struct job *job)
{
	(void)job;
	sem_post(&all_here);
	sem_wait(&go_on);
}

/* One job that waits does not hold up the others. */
START_TEST(run_of_blocking_jobs_uses_every_thread)
{
	static struct job jobs[COUNT];

	sem_init(&all_here, 0, 0);
	sem_init(&go_on, 0, 0);
	ck_assert_int_eq(workers_create(COUNT, &pool), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		jobs[i].run = meet_run;
		workers_run(pool, &jobs[i]);
	}
	for (unsigned i = 0; i < COUNT; i++)
		sem_wait(&all_here);
	for (unsigned i = 0; i < COUNT; i++)
		sem_post(&go_on);
	workers_close(pool);
}
END_TEST

static sigset_t in_job;

static void mask_run(struct job *job)
{
	(void)job;
	pthread_sigmask(SIG_BLOCK, NULL, &in_job);
}

/* A worker leaves SIGTERM to the main thread and can survive a bad page. */
START_TEST(run_blocks_signals_but_faults)
{
	static struct job job = {.run = mask_run};

	ck_assert_int_eq(workers_create(1, &pool), 0);
	workers_run(pool, &job);
	workers_close(pool);
	ck_assert(sigismember(&in_job, SIGTERM));
	ck_assert(sigismember(&in_job, SIGHUP));
	ck_assert(!sigismember(&in_job, SIGBUS));
	ck_assert(!sigismember(&in_job, SIGSEGV));
	pthread_sigmask(SIG_BLOCK, NULL, &in_job);
	ck_assert(!sigismember(&in_job, SIGTERM));
}
END_TEST

/* Close of a pool that never was is no business. */
START_TEST(close_of_null_does_nothing)
{
	workers_close(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("workers");
	TCase *run = unit_case(suite, "run");
	TCase *end = unit_case(suite, "close");

	tcase_add_test(run, run_on_one_thread_keeps_the_order);
	tcase_add_test(run, run_of_blocking_jobs_uses_every_thread);
	tcase_add_test(run, run_blocks_signals_but_faults);
	tcase_add_test(end, close_with_a_full_queue_finishes_every_job);
	tcase_add_test(end, close_while_jobs_hand_over_jobs_finishes_them);
	tcase_add_test(end, close_of_null_does_nothing);
	return unit_main(suite);
}
