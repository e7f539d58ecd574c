/*
 * libranged_mmap: fill one big file from many threads, each in its own range.
 *
 * A file of fixed size is reserved on disk, mapped, and cut into ranges that
 * start at multiples of 4096 and never overlap. Whoever holds a range writes
 * it without a lock and without a system call, and gets a receipt for it.
 *
 *	struct rmm_file *file;
 *	struct rmm_range range;
 *	struct rmm_receipt receipt;
 *
 *	rmm_file_create("out.bin", 1 << 30, RMM_CONCURRENT, 0, &file);
 *	while (rmm_file_alloc(file, 1 << 20, &range) == 0) {	(any thread)
 *		rmm_file_write_range(file, &range, buf,
 *			rmm_range_len(&range), &receipt);
 *		rmm_file_flush_range(file, &receipt);
 *	}
 *	rmm_file_sync(file);
 *	rmm_file_close(file);
 *
 * Three layers, each usable alone: allocators deal out ranges and know no
 * file; a map is a mapped file and knows no ranges; a file is both, and holds
 * them to each other.
 *
 * Errors. A function that can fail returns 0 (or a count) or a negative errno
 * and leaves its out-parameters alone; rmm_strerror has words for it. What was
 * refused was refused before a byte moved; -EIO and -ENOSPC from a store may
 * come after a part of the bytes, and then the range has to be written again.
 *
 * Threads. Every function may be called from any thread at any time, but:
 * a sequential allocator is for one thread at a time, two stores (or a store
 * and a load) of the same bytes must not run at once, and no call may still be
 * running when the last reference is closed.
 *
 * Caveats.
 *  - Fork: a child may use a map it inherited, both see the same bytes. Its
 *    allocators are copies: parent and child would hand out the same ranges.
 *    Give each process its ranges first, or only one process the allocator.
 *  - Truncation: another process that shrinks the file takes bytes away under
 *    the mapping. Stores and loads there return -EIO, as long as they go
 *    through this library. A pointer from rmm_map_ptr has no such protection.
 *    Short stores to the last page that is still there, behind its new end,
 *    are only noticed by the next sync, which then returns -EIO.
 *  - SIGBUS: the first map installs a handler for it. It takes the faults of
 *    this library's own copies and passes all others to the handler that was
 *    there before, or to the default action. A program that installs its own
 *    handler later must call the one it replaced for addresses not its own, or
 *    a store into a broken mapping ends the program.
 *    A thread's first store or load unblocks SIGBUS in it: Linux kills a
 *    program that faults while it is blocked.
 *  - Space: where the filesystem cannot reserve (btrfs without nodatacow,
 *    reflinked files, no fallocate), rmm_map_space says best effort, and a
 *    store may return -ENOSPC.
 *  - A crash of the program loses nothing that was stored: the bytes are in
 *    the page cache. A power cut keeps what a sync returned 0 for. A new
 *    file's name is kept once its directory is synced, which is the caller's
 *    to do. A crash inside rmm_map_create can leave a file .rmm-*.tmp.
 *
 * Differences from the Rust crate ranged-mmap, whose calls these follow: the
 * length of a write is always checked; a range of another file is refused;
 * space is reserved; rmm_map_create replaces an existing file only when the
 * new one is ready; a write past the end is cut or refused, never a panic.
 */
#ifndef RANGED_MMAP_H
#define RANGED_MMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- alignment ---------------------------------------------------------- */

#define RMM_ALIGNMENT 4096u

/*
 * Round up to a multiple of RMM_ALIGNMENT.
 * Never wraps: above the last multiple the answer is UINT64_MAX.
 */
uint64_t rmm_align_up(uint64_t n);

/* Round down to a multiple of RMM_ALIGNMENT. */
uint64_t rmm_align_down(uint64_t n);

/* ---- ranges ------------------------------------------------------------- */

/*
 * The bytes [start, end) of a file.
 * A small value: copy it, compare it, store it. One that has start > end, or
 * came from elsewhere, is refused by whatever function gets it.
 */
struct rmm_range {
	uint64_t start; /* of the first byte; a multiple of RMM_ALIGNMENT */
	uint64_t end;  /* behind the last; only a file's own may be unaligned */
	uint64_t file; /* rmm_map_id of its file, 0: of no file */
};

/* Bytes in the range; 0 when start is not below end. */
uint64_t rmm_range_len(const struct rmm_range *range);
bool rmm_range_is_empty(const struct rmm_range *range);
/* Same start, same end, same file? */
bool rmm_range_equal(const struct rmm_range *a, const struct rmm_range *b);

enum rmm_split_kind {
	RMM_SPLIT,     /* low and high are set; at the edges one can be empty */
	RMM_SPLIT_LOW, /* the point is at or behind the end: all is low */
	RMM_SPLIT_HIGH, /* the point is at or before the start: all is high */
	RMM_SPLIT_OUT_OF_BOUNDS, /* pos > length: neither is set */
};

/* What is not set has start, end and file 0. */
struct rmm_split {
	enum rmm_split_kind kind;
	struct rmm_range low;
	struct rmm_range high;
};

/*
 * Split at rmm_align_up(start + pos).
 * @pos  bytes from the start of the range
 * Gives RMM_SPLIT, RMM_SPLIT_LOW when the point is not before the end, or
 * RMM_SPLIT_OUT_OF_BOUNDS when pos exceeds the length. At pos 0 of an aligned
 * range it gives RMM_SPLIT with low empty, as the crate does.
 */
struct rmm_split rmm_range_split_up(
	const struct rmm_range *range, uint64_t pos);

/*
 * Split at rmm_align_down(start + pos).
 * @pos  bytes from the start of the range
 * Gives RMM_SPLIT, RMM_SPLIT_HIGH when the point is not behind the start, or
 * RMM_SPLIT_OUT_OF_BOUNDS when pos exceeds the length. At the length of a range
 * with an aligned end it gives RMM_SPLIT with high empty, as the crate does.
 */
struct rmm_split rmm_range_split_down(
	const struct rmm_range *range, uint64_t pos);

/* ---- receipts ----------------------------------------------------------- */

/* Proof that all of a range has been written: only a write hands one out. */
struct rmm_receipt {
	struct rmm_range range;
};

bool rmm_receipt_equal(
	const struct rmm_receipt *a, const struct rmm_receipt *b);

/* ---- allocators --------------------------------------------------------- */

enum rmm_allocator_kind {
	RMM_SEQUENTIAL, /* front to back, one thread at a time */
	RMM_CONCURRENT, /* front to back, any number of threads, wait-free */
	RMM_POOL, /* first fit or exact, takes ranges back; under a lock */
};

struct rmm_allocator;

/*
 * Make an allocator that deals out [0, size).
 * @size  bytes, > 0 and at most INT64_MAX
 * @file  what its ranges carry: rmm_map_id of their file, or 0
 * @out   set to the allocator, the caller's to close
 * Returns 0, -EINVAL (size 0, or no such kind), -EFBIG, -ENOMEM.
 */
int rmm_allocator_create(enum rmm_allocator_kind kind, uint64_t size,
	uint64_t file, struct rmm_allocator **out);

/* Free an allocator. Takes NULL. Ranges it handed out stay valid values. */
void rmm_allocator_close(struct rmm_allocator *a);

/*
 * Take the next @len bytes for the caller alone.
 * @len    bytes, > 0; rounded up to RMM_ALIGNMENT, cut at the end of the file
 * @range  set to [start, end); owned by the caller until released or written
 * Sequential and concurrent hand out what is left when less than @len is left;
 * a pool never gives less than @len bytes: the lowest place that holds them.
 * Threads: see the kind. Concurrent is wait-free up to 8 PiB in one call (and
 * lock-free above), and hands out no byte twice after any number of failures.
 * Returns 0, -EINVAL (len is 0), -ENOSPC (nothing left, or no place in a pool).
 */
int rmm_allocator_alloc(
	struct rmm_allocator *a, uint64_t len, struct rmm_range *range);

/*
 * Take exactly @range out of a pool.
 * @range  start aligned; end aligned or the end of the file
 * Any thread, O(log n) of the free places; so is release.
 * Returns 0, -EINVAL (empty, unaligned, past the end), -EXDEV (of another
 * file), -EEXIST (some of it is taken), -ENOMEM, -ENOTSUP (not a pool).
 */
int rmm_allocator_take(struct rmm_allocator *a, const struct rmm_range *range);

/*
 * Give @range, or an aligned part of one, back to its pool; free neighbours
 * become one.
 * Returns 0, -EINVAL (empty, unaligned, past the end), -EXDEV (of another
 * file), -ENOENT (some of it is free already), -ENOMEM, -ENOTSUP (not a pool).
 */
int rmm_allocator_release(
	struct rmm_allocator *a, const struct rmm_range *range);

/* Bytes not handed out. Of a pool: in all its free places together. */
uint64_t rmm_allocator_remaining(const struct rmm_allocator *a);
/* Where the next range can start at the lowest; the total size when full. */
uint64_t rmm_allocator_next_pos(const struct rmm_allocator *a);
uint64_t rmm_allocator_total_size(const struct rmm_allocator *a);
enum rmm_allocator_kind rmm_allocator_kind(const struct rmm_allocator *a);
/* The file its ranges carry, 0 of none. */
uint64_t rmm_allocator_file(const struct rmm_allocator *a);

/* ---- text forms ---------------------------------------------------------
 *
 * One line of ASCII each, without a newline, ending in a CRC32C of what is
 * before it, so that a cut or edited text is refused and no range is dealt
 * out twice because of one:
 *
 *	range start=4096 end=8192 file=9c1e44a07b51f2d3 crc=89abcdef
 *	receipt start=4096 end=8192 file=9c1e44a07b51f2d3 crc=89abcdef
 *	allocator kind=sequential size=81920 file=9c... next=8192 crc=...
 *	allocator kind=pool size=81920 file=9c... free=0-4096,8192-81920 crc=...
 *
 * The parsers take any bytes; a trailing newline is allowed, nothing else.
 */

/* Room for the text of a range or receipt, with its NUL. */
#define RMM_TEXT_SIZE 112

/*
 * Write the text of a range into @buf, ending in NUL.
 * Returns 0, -ENOBUFS (size is below RMM_TEXT_SIZE), -EINVAL (start > end).
 */
int rmm_range_format(const struct rmm_range *range, char *buf, size_t size);
/* Read one back from @len bytes. Returns 0, -EINVAL (not the text of one). */
int rmm_range_parse(const char *text, size_t len, struct rmm_range *range);

/* The same for receipts; an empty one is refused too. */
int rmm_receipt_format(
	const struct rmm_receipt *receipt, char *buf, size_t size);
int rmm_receipt_parse(
	const char *text, size_t len, struct rmm_receipt *receipt);

/*
 * Write the state of an allocator as text.
 * @text  set to a string, the caller's to free()
 * What other threads take meanwhile is in it or not. Save before the ranges
 * are used, or after a crash they are dealt out again.
 * Returns 0, -ENOMEM.
 */
int rmm_allocator_format(const struct rmm_allocator *a, char **text);
/*
 * Make an allocator from its text: it goes on where the saved one was.
 * Returns 0, -EINVAL (not the text of one), -ENOMEM.
 */
int rmm_allocator_parse(
	const char *text, size_t len, struct rmm_allocator **out);

/* ---- space -------------------------------------------------------------- */

/*
 * Reserve disk space for [0, size), growing the file when it is shorter.
 * @fd    open for writing
 * @size  bytes, > 0 and at most INT64_MAX
 * Bytes that were there stay as they were; new ones read as zeros.
 * Any thread, blocks; nobody else may write to holes of the file meanwhile.
 * After a failure the file's size and blocks are as before (but for a block
 * of the filesystem's own map of them, which ext4 keeps); after a crash the
 * size can be any between.
 * Returns 0, -ENOSPC, -EDQUOT, -EFBIG, -EINVAL (size 0), -EOPNOTSUPP (the
 * filesystem cannot), -EBADF, -EIO.
 */
int rmm_reserve(int fd, uint64_t size);

enum rmm_space {
	RMM_SPACE_BEST_EFFORT, /* a store can find the filesystem full */
	RMM_SPACE_GUARANTEED,  /* every byte has its block and keeps it */
};

/* ---- maps: a mapped file, no ranges ------------------------------------- */

#define RMM_RDONLY 0x1u     /* open: for reading; stores return -EBADF */
#define RMM_SPARSE 0x2u     /* create: reserve nothing, only set the size */
#define RMM_EXCL 0x4u       /* create: -EEXIST when the name is there already */
#define RMM_WRITE_ONCE 0x8u /* rmm_file_*: no range is written twice */

struct rmm_map;

/*
 * Create a file of @size bytes, all zero, reserved on disk, and map it.
 * @size   bytes, > 0 and at most INT64_MAX
 * @flags  RMM_SPARSE, RMM_EXCL
 * @out    set to the map with one reference, the caller's to close
 * A regular file of that name is replaced, with its mode kept, in one step
 * when all else has succeeded; who has the old one mapped keeps it. A failure
 * leaves what was there, and nothing else.
 * Where the filesystem cannot reserve, the file is made sparse: see
 * rmm_map_space.
 * Returns 0, -EINVAL (size 0, flags), -EFBIG, -ENOSPC, -EDQUOT, -EEXIST (with
 * RMM_EXCL; or it is no regular file), -ENOMEM (no room in the address space),
 * or what open(2) and rename(2) say.
 */
int rmm_map_create(
	const char *path, uint64_t size, unsigned flags, struct rmm_map **out);

/*
 * Map all of an existing file. Neither truncates nor reserves.
 * @flags  RMM_RDONLY
 * Returns 0, -ENODATA (the file is empty), -EINVAL (not a regular file,
 * flags), -ENOMEM, or what open(2) says.
 */
int rmm_map_open(const char *path, unsigned flags, struct rmm_map **out);

/*
 * Map all of an open file.
 * @fd     open for reading and writing (for reading with RMM_RDONLY); the
 *         map's on success, the caller's still after a failure
 * Returns as rmm_map_open, and -EACCES (not opened for that).
 */
int rmm_map_fdopen(int fd, unsigned flags, struct rmm_map **out);

/* Take another reference. Any thread that holds one. Returns @map. */
struct rmm_map *rmm_map_ref(struct rmm_map *map);

/*
 * Drop a reference; the last one unmaps and closes the file. Takes NULL, keeps
 * errno. It does not sync, and no error of writeback is reported here.
 */
void rmm_map_close(struct rmm_map *map);

int rmm_map_fd(const struct rmm_map *map);
uint64_t rmm_map_size(const struct rmm_map *map);

/*
 * The identity of the file, never 0: from its device, inode and time of birth.
 * Two maps of one file agree, also after a restart, a rename or a reboot that
 * numbers the devices as before; a copy of the file is another file.
 */
uint64_t rmm_map_id(const struct rmm_map *map);

/*
 * The mapped bytes, for readers and writers of their own.
 * Unguarded: a broken page is SIGBUS there. Valid until the last close; not to
 * be written through with RMM_RDONLY.
 */
void *rmm_map_ptr(const struct rmm_map *map);

/* What could be promised when the file was created or opened. */
enum rmm_space rmm_map_space(const struct rmm_map *map);

/*
 * Store all @len bytes at @offset, or none when they do not fit.
 * Any thread, no lock; different bytes at once are fine.
 * Returns 0, -ERANGE (past the end), -EBADF (RMM_RDONLY), -EIO (the file was
 * shrunk, or the device failed), -ENOSPC (best-effort space has run out). The
 * last two leave the bytes undefined.
 */
int rmm_map_write_all_at(
	struct rmm_map *map, const void *buf, size_t len, uint64_t offset);

/*
 * Store what fits of @len bytes at @offset.
 * Returns the count, cut at the end of the file; -ERANGE (offset at or past
 * the end), otherwise as rmm_map_write_all_at.
 */
ssize_t rmm_map_write_at(
	struct rmm_map *map, const void *buf, size_t len, uint64_t offset);

/*
 * Load up to @len bytes from @offset.
 * Returns the count, cut at the end of the file, 0 at and past it; -EIO.
 */
ssize_t rmm_map_read_at(
	const struct rmm_map *map, void *buf, size_t len, uint64_t offset);

/*
 * Load up to @len bytes from @offset into new memory.
 * @out  set to the bytes, the caller's to free(), also when the count is 0
 * Returns as rmm_map_read_at, and -ENOMEM.
 */
ssize_t rmm_map_read_slice(
	const struct rmm_map *map, uint64_t offset, size_t len, void **out);

/* Set [offset, offset + len) to @byte. Returns as rmm_map_write_all_at. */
int rmm_map_fill(struct rmm_map *map, int byte, uint64_t offset, uint64_t len);
/* Set [offset, offset + len) to zeros. The space stays reserved. */
int rmm_map_zero(struct rmm_map *map, uint64_t offset, uint64_t len);

/*
 * Run @fn on the mapped bytes [offset, offset + len) under the guard.
 * @fn  called once, with @arg; must not take locks, allocate, or call this
 *      library: after a fault it does not return
 * Returns 0, -ERANGE (past the end), -EIO or -ENOSPC (it faulted).
 */
int rmm_map_access(struct rmm_map *map, uint64_t offset, size_t len,
	void (*fn)(void *ptr, size_t len, void *arg), void *arg);

/*
 * Start writing to disk, without waiting for it.
 * Returns 0, -ERANGE (past the end), -EIO and -ENOSPC (seen now or before).
 */
int rmm_map_flush(struct rmm_map *map);
int rmm_map_flush_range(struct rmm_map *map, uint64_t offset, uint64_t len);

/*
 * Write to disk and wait: after 0 the bytes survive a power cut.
 * Of a range: whole pages, and what the filesystem needs to find them.
 * Linux reports a failed write to disk once and drops the pages. So the map
 * remembers: after one failure every flush and sync of it, for ever, returns
 * that error; only writing the bytes again to a newly opened map can heal it.
 * Returns 0, -ERANGE (past the end), -EIO, -ENOSPC, -EDQUOT.
 */
int rmm_map_sync(struct rmm_map *map);
int rmm_map_sync_range(struct rmm_map *map, uint64_t offset, uint64_t len);

/* The error that a flush or sync met first, 0 while there is none. */
int rmm_map_error(const struct rmm_map *map);

/*
 * Forget the page-table entries of the whole pages in [offset, offset + len),
 * so that they no longer count as the program's memory. No byte is lost.
 * Returns 0, -ERANGE (past the end).
 */
int rmm_map_drop_range(struct rmm_map *map, uint64_t offset, uint64_t len);

/* ---- files: a map and an allocator held to each other ------------------- */

struct rmm_file;

/*
 * Create a file as rmm_map_create does, with an allocator for all of it.
 * @flags  RMM_SPARSE, RMM_EXCL, RMM_WRITE_ONCE
 * @out    set to the file with one reference, the caller's to close
 * RMM_WRITE_ONCE costs one bit for each 4096 bytes; it forgets with the handle.
 */
int rmm_file_create(const char *path, uint64_t size,
	enum rmm_allocator_kind kind, unsigned flags, struct rmm_file **out);
/* The same with a sequential allocator and no flags. */
int rmm_file_create_default(
	const char *path, uint64_t size, struct rmm_file **out);

/*
 * Map an existing file as rmm_map_open does; its allocator starts at 0 again.
 * @flags  RMM_RDONLY, RMM_WRITE_ONCE
 */
int rmm_file_open(const char *path, enum rmm_allocator_kind kind,
	unsigned flags, struct rmm_file **out);
int rmm_file_open_default(const char *path, struct rmm_file **out);

/*
 * Map an existing file and go on with an allocator saved as text.
 * Returns as rmm_map_open, and -EINVAL (not such a text), -EXDEV (the
 * allocator is another file's, or for another size).
 */
int rmm_file_resume(const char *path, const char *text, size_t len,
	unsigned flags, struct rmm_file **out);

struct rmm_file *rmm_file_ref(struct rmm_file *file);
/* Drop a reference; the last one closes all. Takes NULL, keeps errno. */
void rmm_file_close(struct rmm_file *file);

uint64_t rmm_file_size(const struct rmm_file *file);
/* The parts, the file's: valid until its last close. */
struct rmm_map *rmm_file_map(const struct rmm_file *file);
struct rmm_allocator *rmm_file_allocator(const struct rmm_file *file);

/* Take a range: rmm_allocator_alloc of the file's allocator. */
int rmm_file_alloc(
	struct rmm_file *file, uint64_t len, struct rmm_range *range);

/*
 * Write all of a range and get its receipt.
 * @range    any range of this file
 * @len      exactly the range's length
 * @receipt  set on success; NULL to do without
 * Any thread; different ranges at once are fine.
 * Returns 0, -EXDEV (a range of another file), -ERANGE (past the end, or start
 * not below end), -EMSGSIZE (len is not the range's), -EALREADY (some of it
 * was written, RMM_WRITE_ONCE), -EBADF (RMM_RDONLY), -EIO, -ENOSPC. After the
 * last two no receipt exists and the range may be written again.
 */
int rmm_file_write_range(struct rmm_file *file, const struct rmm_range *range,
	const void *buf, size_t len, struct rmm_receipt *receipt);
/* Another name of it: a write here is always all or an error. */
int rmm_file_write_range_all(struct rmm_file *file,
	const struct rmm_range *range, const void *buf, size_t len,
	struct rmm_receipt *receipt);

/*
 * Read all of a range.
 * @size  bytes that @buf can hold, at least the range's length
 * Returns 0, -EXDEV, -ERANGE, -ENOBUFS (buf is too small), -EIO.
 */
int rmm_file_read_range(struct rmm_file *file, const struct rmm_range *range,
	void *buf, size_t size);

/* As rmm_map_flush and rmm_map_sync; of a receipt's range, -EXDEV too. */
int rmm_file_flush(struct rmm_file *file);
int rmm_file_flush_range(
	struct rmm_file *file, const struct rmm_receipt *receipt);
int rmm_file_sync(struct rmm_file *file);
int rmm_file_sync_range(
	struct rmm_file *file, const struct rmm_receipt *receipt);

/* ---- words -------------------------------------------------------------- */

/*
 * What an error of this library means, in English.
 * @err  a negative errno, as returned; 0 is "Success"
 * Any thread. The string is constant.
 */
const char *rmm_strerror(int err);

/* The library's version, as "0.1.0". */
const char *rmm_version(void);

#ifdef __cplusplus
}
#endif

#endif
