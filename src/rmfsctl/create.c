/* rmfsctl create: a new target, its space reserved, cut into slots. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <ranged_mmap.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mode.h"
#include "base/size.h"
#include "rmfsctl/command.h"
#include "target/store.h"

#define WHY_MAX 1024

struct request {
	struct target_spec spec; /* its name points into path */
	const char *path;
	char *folder; /* owned */
	bool sized;
};

static void request_fini(struct request *r)
{
	free(r->folder);
}

static int read_option(struct request *r, int letter, char **argv)
{
	switch (letter) {
	case 's':
		r->sized = true;
		return take_size("--size", &r->spec.size, optarg);
	case 'S':
		return take_size("--slot-size", &r->spec.slot_size, optarg);
	case 'm':
		if (mode_parse(optarg, &r->spec.mode) == 0)
			return 0;
		return refuse_usage("--mode \"%s\": say 0600 to 0777, octal, "
				    "readable and writable by its owner",
			optarg);
	default:
		return refuse_option(letter, argv);
	}
}

/* Cut "SOURCE/NAME" in two. */
static int read_path(struct request *r, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *refused;

	r->path = path;
	r->spec.name = slash ? slash + 1 : path;
	if (!slash)
		r->folder = strdup(".");
	else
		r->folder = strndup(
			path, slash == path ? 1u : (size_t)(slash - path));
	if (!r->folder) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	refused = target_name_refused(r->spec.name);
	return refused ? refuse_usage("\"%s\" cannot name a target: %s",
				 r->spec.name, refused)
		       : 0;
}

static int read_request(struct request *r, int argc, char **argv)
{
	static const struct option longs[] = {
		{"size", required_argument, NULL, 's'},
		{"slot-size", required_argument, NULL, 'S'},
		{"mode", required_argument, NULL, 'm'},
		{0},
	};
	int letter, status;

	while ((letter = getopt_long(argc, argv, ":s:S:m:", longs, NULL)) !=
		-1) {
		status = read_option(r, letter, argv);
		if (status)
			return status;
	}
	if (optind == argc)
		return refuse_usage("which file? Say SOURCE/NAME");
	if (argc - optind > 1)
		return refuse_usage(
			"%s: one SOURCE/NAME, no more", argv[optind + 1]);
	if (!r->sized)
		return refuse_usage("how large? Say --size 1G, for instance");
	if (r->spec.size == 0)
		return refuse_usage("--size 0: a target has at least a byte");
	return read_path(r, argv[optind]);
}

static void tell_failure(const struct request *r, int err, const char *why)
{
	if (err == -ENOSPC)
		log_error("%s: %s: make room or choose a smaller --size",
			r->path, why);
	else if (err == -EEXIST)
		log_error("%s: is there already and stays as it is: choose "
			  "another name or remove it first",
			r->path);
	else
		log_error("%s: %s", r->path, *why ? why : strerror(-err));
}

static void tell_success(const struct request *r)
{
	uint64_t size = r->spec.size;
	uint64_t slot = rmm_align_up(r->spec.slot_size);
	uint64_t slots = slot ? (size - 1) / slot + 1 : 0;
	char whole[SIZE_TEXT_MAX], part[SIZE_TEXT_MAX];

	printf("%s: %s reserved", r->path, size_format(whole, size));
	if (slots == 1)
		printf(", one slot");
	if (slots > 1)
		printf(", %" PRIu64 " slots of %s", slots,
			size_format(part, slot));
	putchar('\n');
}

int create_run(int argc, char **argv)
{
	AUTO(request_fini) struct request r = {0};
	AUTO_FD int dirfd = -1;
	char why[WHY_MAX] = "";
	int status = read_request(&r, argc, argv);
	int err;

	if (status)
		return status;
	dirfd = open(r.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0) {
		log_error("%s: %m", r.folder);
		return EXIT_FAILURE;
	}
	err = target_create(dirfd, &r.spec, why, sizeof(why));
	if (err < 0) {
		tell_failure(&r, err, why);
		return EXIT_FAILURE;
	}
	tell_success(&r);
	return EXIT_SUCCESS;
}
