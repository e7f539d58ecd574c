/*
 * Where a target is found: as a file, its ledger beside it, or in the mount of
 * an rmfs that serves it.
 *
 * A file is locked while we look at it, as a serving rmfs locks it: what is
 * read of it and of its ledger belongs together, and no rmfs starts meanwhile.
 */
#ifndef RMFS_RMFSCTL_PLACE_H
#define RMFS_RMFSCTL_PLACE_H

#include <stdint.h>
#include <sys/stat.h>

struct ledger;

struct place {
	const char *path; /* as the user calls it; the caller's */
	char *name;       /* of the target */
	char *mount;      /* the mountpoint; NULL: it is not served */
	int dirfd;        /* MOUNTPOINT/NAME, or the folder of the file */
	int fd;           /* its bytes, for reading */
	struct stat st;   /* of fd */
};

/*
 * Find the target that @path names: a file, or anything in its folder in a
 * mount. The file of a target that is served leads to the mount.
 * @lock   for flock: LOCK_SH or LOCK_EX
 * @place  to be finished; also after a failure
 * Returns 0, or a negative errno: then a line on stderr has said why.
 */
int place_find(struct place *place, const char *path, int lock);

/*
 * Open the ledger of a file for reading, and see that it is of this file.
 * @why  set to one sentence on failure; LEDGER_WHY_SIZE bytes
 * Returns what ledger_open_readonly does; -EILSEQ if it is of another file.
 */
int place_ledger(const struct place *place, struct ledger **out, char *why);

/* Is it of this file? Returns 0 or -EILSEQ, and says why. */
int place_fits(
	const struct place *place, const struct ledger *ledger, char *why);

/* Close what it holds. */
void place_fini(struct place *place);

#define PLACE_NONE ((struct place){.dirfd = -1, .fd = -1})

#endif
