/*
 * What a filesystem promises about the blocks of a file.
 */
#ifndef RMM_CORE_SPACE_H
#define RMM_CORE_SPACE_H

#include <stdint.h>

#include "ranged_mmap.h"

/* Can a store to the first @size bytes of @fd ever find no space? */
enum rmm_space space_promised(int fd, uint64_t size);

#endif
