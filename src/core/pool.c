/*
 * A pool of free places.
 *
 * The free places are a treap (Seidel and Aragon, "Randomized search trees",
 * 1996): a search tree by start that is a heap by random rank, so its depth is
 * O(log n) whatever the order of the calls. Each node knows the longest place
 * below it, which finds the first fit in one descent.
 *
 * Invariants: places are disjoint, not empty, and never touch each other (two
 * that touch are one); start is aligned, end too or it is the end of the file.
 *
 * Every change takes the nodes concerned out of the tree, edits them and puts
 * them back. Memory is got before the first edit: a failing call changes
 * nothing.
 */
#include "core/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "ranged_mmap.h"

struct place {
	uint64_t start;
	uint64_t end;
	uint64_t longest; /* length of the longest place of this subtree */
	uint64_t rank;    /* not above the parent's */
	struct place *left;
	struct place *right;
};

struct pool {
	pthread_mutex_t lock;
	struct place *root; /* guarded by lock, as all below */
	uint64_t remaining;
	uint64_t ranks; /* state of the generator of ranks */
	uint64_t size;  /* constant */
};

/* splitmix64: Steele, Lea, Flood, "Fast splittable PRNGs", 2014. */
static uint64_t next_rank(struct pool *pool)
{
	uint64_t z = pool->ranks += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static uint64_t longest(const struct place *p)
{
	return p ? p->longest : 0;
}

static struct place *measured(struct place *p)
{
	uint64_t left = longest(p->left), right = longest(p->right);

	p->longest = p->end - p->start;
	if (left > p->longest)
		p->longest = left;
	if (right > p->longest)
		p->longest = right;
	return p;
}

/* Join two trees, all of @low being below all of @high. */
static struct place *join(struct place *low, struct place *high)
{
	if (!low || !high)
		return low ? low : high;
	if (low->rank > high->rank) {
		low->right = join(low->right, high);
		return measured(low);
	}
	high->left = join(low, high->left);
	return measured(high);
}

/* Part a tree in what starts below @pos and the rest. */
static void part(struct place *tree, uint64_t pos, struct place **low,
	struct place **high)
{
	if (!tree) {
		*low = *high = NULL;
	} else if (tree->start < pos) {
		part(tree->right, pos, &tree->right, high);
		*low = measured(tree);
	} else {
		part(tree->left, pos, low, &tree->left);
		*high = measured(tree);
	}
}

/* Take the place that starts at @start, which exists, out of the tree. */
static struct place *pull(struct place **tree, uint64_t start)
{
	struct place *p = *tree, *found;

	assert(p);
	if (p->start == start) {
		*tree = join(p->left, p->right);
		return p;
	}
	found = pull(start < p->start ? &p->left : &p->right, start);
	measured(p);
	return found;
}

static void put(
	struct pool *pool, struct place *p, uint64_t start, uint64_t end)
{
	struct place *low, *high;

	*p = (struct place){
		.start = start, .end = end, .rank = next_rank(pool)};
	part(pool->root, start, &low, &high);
	pool->root = join(join(low, measured(p)), high);
}

/* The last place that starts at or below @pos, or NULL. */
static struct place *last_upto(struct place *tree, uint64_t pos)
{
	struct place *found = NULL;

	while (tree) {
		if (tree->start <= pos)
			found = tree;
		tree = tree->start <= pos ? tree->right : tree->left;
	}
	return found;
}

/* The first place of at least @len bytes, or NULL. */
static struct place *first_fit(struct place *tree, uint64_t len)
{
	if (longest(tree) < len)
		return NULL;
	while (longest(tree->left) >= len || tree->end - tree->start < len)
		tree = longest(tree->left) >= len ? tree->left : tree->right;
	return tree;
}

/*
 * Cut [start, end) out of @p.
 * @spare  a node for the second remaining part, taken if it is needed
 */
static void cut_out(struct pool *pool, struct place *p, uint64_t start,
	uint64_t end, struct place **spare)
{
	uint64_t low = p->start, high = p->end;

	pull(&pool->root, low);
	pool->remaining -= end - start;
	if (high > end) {
		put(pool, p, end, high);
		p = start > low ? KEEP(*spare) : NULL;
	}
	if (start > low)
		put(pool, p, low, start);
	else
		free(p);
}

int pool_create(uint64_t size, struct pool **out)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pool->size = size;
	*out = pool;
	return 0;
}

static void fell(struct place *tree)
{
	if (!tree)
		return;
	fell(tree->left);
	fell(tree->right);
	free(tree);
}

void pool_close(struct pool *pool)
{
	if (!pool)
		return;
	fell(pool->root);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

int pool_alloc(struct pool *pool, uint64_t len, uint64_t *start, uint64_t *end)
{
	struct place *spare = NULL, *p;

	pthread_mutex_lock(&pool->lock);
	p = first_fit(pool->root, len);
	if (p) {
		uint64_t want = rmm_align_up(len);

		if (want > p->end - p->start) /* the file's unaligned end */
			want = p->end - p->start;
		*start = p->start;
		*end = p->start + want;
		cut_out(pool, p, *start, *end, &spare);
	}
	pthread_mutex_unlock(&pool->lock);
	return p ? 0 : -ENOSPC;
}

int pool_take(struct pool *pool, uint64_t start, uint64_t end)
{
	AUTO_FREE struct place *spare = malloc(sizeof(*spare));
	struct place *p;

	if (!spare)
		return -ENOMEM;
	pthread_mutex_lock(&pool->lock);
	p = last_upto(pool->root, start);
	if (p && p->end >= end)
		cut_out(pool, p, start, end, &spare);
	else
		p = NULL;
	pthread_mutex_unlock(&pool->lock);
	return p ? 0 : -EEXIST;
}

/* Add [start, end), which is not free, and grow together with neighbours. */
static void add(struct pool *pool, uint64_t start, uint64_t end,
	struct place *before, struct place *node)
{
	struct place *after = last_upto(pool->root, end);

	pool->remaining += end - start;
	if (after && after->start == end) {
		end = after->end;
		free(pull(&pool->root, after->start));
	}
	if (before && before->end == start) {
		start = before->start;
		free(pull(&pool->root, start));
	}
	put(pool, node, start, end);
}

int pool_release(struct pool *pool, uint64_t start, uint64_t end)
{
	AUTO_FREE struct place *node = malloc(sizeof(*node));
	struct place *before;
	int err = 0;

	if (!node)
		return -ENOMEM;
	pthread_mutex_lock(&pool->lock);
	before = last_upto(pool->root, end - 1);
	if (before && before->end > start)
		err = -ENOENT;
	else
		add(pool, start, end, before, KEEP(node));
	pthread_mutex_unlock(&pool->lock);
	return err;
}

uint64_t pool_remaining(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	uint64_t remaining = pool->remaining;
	pthread_mutex_unlock(&pool->lock);
	return remaining;
}

uint64_t pool_next_pos(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	struct place *p = first_fit(pool->root, 1);
	uint64_t pos = p ? p->start : pool->size;
	pthread_mutex_unlock(&pool->lock);
	return pos;
}

static void each(const struct place *tree,
	void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg)
{
	if (!tree)
		return;
	each(tree->left, fn, arg);
	fn(tree->start, tree->end, arg);
	each(tree->right, fn, arg);
}

void pool_each(struct pool *pool,
	void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg)
{
	pthread_mutex_lock(&pool->lock);
	each(pool->root, fn, arg);
	pthread_mutex_unlock(&pool->lock);
}
