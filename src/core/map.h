/*
 * A map, inside.
 *
 * Invariants: [ptr, ptr + size) is mapped and fd open from creation to the
 * last close; only error, refs and warm change between.
 */
#ifndef RMM_CORE_MAP_H
#define RMM_CORE_MAP_H

#include <stdatomic.h>

#include "ranged_mmap.h"

struct rmm_map {
	unsigned char *ptr;
	uint64_t size;
	uint64_t id;
	int fd;
	bool writable;
	bool streams; /* too large for the cache: stores go past it */
	enum rmm_space space;
	_Atomic unsigned refs;
	_Atomic int error;      /* the first of a flush or sync, or 0 */
	_Atomic uint64_t *warm; /* a bit for each WARM_UNIT bytes: populated */
};

#define WARM_UNIT ((uint64_t)65536)
#define WARM_WORD (64 * WARM_UNIT) /* what one word of warm stands for */

/* Does [offset, offset + len) lie within the map? */
bool map_holds(const struct rmm_map *map, uint64_t offset, uint64_t len);

/* Forget that the units that [offset, offset + len) touches are populated. */
void map_cool(struct rmm_map *map, uint64_t offset, uint64_t len);

/* Has the file become shorter than the map? -EIO if so. */
int map_check_size(const struct rmm_map *map);

#endif
