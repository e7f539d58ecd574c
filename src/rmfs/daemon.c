/*
 * The run of the daemon.
 *
 * In the background, the work is done by a forked child from the start: file
 * locks do not pass a fork, nor do threads; so no ledger is open before it. The
 * parent holds the terminal and waits at a pipe. The child writes one byte when
 * the kernel has greeted it; until then its messages go to the terminal and an
 * end of the pipe without that byte is a failure, after it they go to syslog.
 * The parent then asks the mount itself, for the greeting may still have been
 * refused. While it waits, both are in one process group: an interrupt from the
 * terminal ends both.
 */
#include "rmfs/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fs/fs.h"
#include "rmfs/paths.h"

struct daemon {
	const struct settings *settings;
	struct paths paths;
	int ready_fd; /* the pipe to the parent; -1: in the foreground */
	struct store *store;
	struct fs *fs;
	struct fuse_session *session;
};

/* ---- the terminal ------------------------------------------------------- */

/* Leave the terminal and tell the parent. Returns 0, -EPIPE (it is gone). */
static int leave_terminal(struct daemon *d)
{
	AUTO_FD int ready_fd = KEEP_FD(d->ready_fd);
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_to_syslog();
	for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	setsid();
	if (chdir("/") < 0)
		return -errno;
	return write(ready_fd, "", 1) == 1 ? 0 : -errno;
}

static void ready(void *arg)
{
	struct daemon *d = arg;

	if (d->ready_fd >= 0 && leave_terminal(d) < 0) {
		log_error("whoever started this is gone");
		kill(getpid(), SIGTERM);
		return;
	}
	log_info("serving %s at %s", d->paths.source, d->paths.mountpoint);
}

static void pass_log(
	enum fuse_log_level level, const char *format, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	if (level <= FUSE_LOG_ERR)
		log_error("%s", line);
	else if (level == FUSE_LOG_WARNING)
		log_warn("%s", line);
	else if (level <= FUSE_LOG_INFO)
		log_info("%s", line);
	else
		log_debug("%s", line);
}

/* ---- targets ------------------------------------------------------------ */

static int create_missing(struct daemon *d, const struct target_spec *spec)
{
	int dirfd = store_dirfd(d->store);
	char why[WHY_MAX] = "";
	struct stat st;
	int err;

	if (fstatat(dirfd, spec->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if ((uint64_t)st.st_size != spec->size)
			log_warn("%s/%s: %jd bytes, not %ju as configured; "
				 "left as it is",
				d->paths.source, spec->name,
				(intmax_t)st.st_size, (uintmax_t)spec->size);
		return 0;
	}
	err = errno == ENOENT ? target_create(dirfd, spec, why, sizeof(why))
			      : -errno;
	if (err < 0)
		log_error("%s/%s: %s", d->paths.source, spec->name,
			*why ? why : strerror(-err));
	else
		log_info("%s/%s: created", d->paths.source, spec->name);
	return err;
}

static int create_targets(struct daemon *d)
{
	const struct settings *s = d->settings;
	int err = 0;

	for (size_t i = 0; i < s->target_count && !err; i++)
		err = create_missing(d, &s->targets[i]);
	return err;
}

/* ---- the session -------------------------------------------------------- */

static int add_option(char **options, const char *key, const char *value)
{
	AUTO_FREE char *word = NULL;

	if (asprintf(&word, "%s%s", key, value) < 0)
		return -ENOMEM;
	return fuse_opt_add_opt_escaped(options, word) < 0 ? -ENOMEM : 0;
}

static int add_access(char **options, enum access access)
{
	if (access == ACCESS_OTHER)
		return fuse_opt_add_opt(options, "allow_other");
	if (access == ACCESS_ROOT)
		return fuse_opt_add_opt(options, "allow_root");
	return 0;
}

/* What libfuse shall mount with, as its command line. */
static int make_args(const struct daemon *d, struct fuse_args *args)
{
	const struct settings *s = d->settings;
	const char *name = s->fsname ? s->fsname : d->paths.source;
	AUTO_FREE char *options = NULL;

	if (add_option(&options, "fsname=", name) < 0 ||
		fuse_opt_add_opt(&options, "subtype=rmfs") < 0 ||
		fuse_opt_add_opt(&options, "default_permissions") < 0 ||
		add_access(&options, s->access) < 0 ||
		(s->fuse_options &&
			fuse_opt_add_opt(&options, s->fuse_options) < 0) ||
		fuse_opt_add_arg(args, "rmfs") < 0 ||
		fuse_opt_add_arg(args, "-o") < 0 ||
		fuse_opt_add_arg(args, options) < 0 ||
		(s->debug && fuse_opt_add_arg(args, "-d") < 0))
		return -ENOMEM;
	return 0;
}

/* More threads than cores only cost; two let one wait for the disk. */
static unsigned default_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (cores < 2)
		return 2;
	return cores < (long)THREADS_MAX ? (unsigned)cores : THREADS_MAX;
}

/* Serve until unmounted or told to end by a signal: both are success. */
static int loop(struct daemon *d)
{
	const struct settings *s = d->settings;
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(
		config, s->threads ? s->threads : default_threads());
	fuse_loop_cfg_set_clone_fd(config, s->clone_fd);
	err = fuse_session_loop_mt(d->session, config);
	fuse_loop_cfg_destroy(config);
	if (err < 0)
		log_error("reading from the kernel: %s", strerror(-err));
	return err < 0 ? err : 0;
}

/*
 * A script's `rmfs ... &` starts with SIGINT ignored, and libfuse leaves what
 * is ignored alone. SIGHUP stays as it came: nohup means it.
 */
static int handle_signals(struct daemon *d)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	return fuse_set_signal_handlers(d->session) < 0 ? -EINVAL : 0;
}

static int mount_and_loop(struct daemon *d)
{
	int err = handle_signals(d);

	if (err < 0)
		return err;
	if (fuse_session_mount(d->session, d->paths.mountpoint) < 0) {
		log_error("%s: cannot be mounted", d->paths.mountpoint);
		return -EIO;
	}
	return loop(d);
}

static int run_session(struct daemon *d)
{
	AUTO(fuse_opt_free_args) struct fuse_args args = {0};
	int err = make_args(d, &args);

	if (!err)
		d->session =
			fuse_session_new(&args, &fs_ops, sizeof(fs_ops), d->fs);
	if (d->session) {
		fs_set_session(d->fs, d->session);
		err = mount_and_loop(d);
	} else {
		log_error("no session: %s", strerror(err ? -err : EINVAL));
		err = -EINVAL;
	}
	fs_stop(d->fs);
	if (d->session) {
		fuse_session_unmount(d->session);
		fuse_remove_signal_handlers(d->session);
		fuse_session_destroy(d->session);
	}
	return err;
}

static int run_fs(struct daemon *d)
{
	struct fs_options options = {.ready = ready, .ready_arg = d};
	int err = fs_create(d->store, &options, &d->fs);

	if (err < 0) {
		log_error("cannot start: %s", strerror(-err));
		return err;
	}
	err = run_session(d);
	fs_close(d->fs);
	return err;
}

static int run_store(struct daemon *d)
{
	int err = create_targets(d);

	if (err < 0)
		return err;
	store_set_strict(d->store, d->settings->strict == STRICT_YES);
	err = store_scan(d->store);
	if (err < 0 && err != -EBUSY) /* that one is told already */
		log_error("%s: %s", d->paths.source, strerror(-err));
	return err < 0 ? err : run_fs(d);
}

static int run(struct daemon *d)
{
	int err = store_open(d->paths.source, &d->store);

	if (err < 0) {
		log_error("%s: %s", d->paths.source, strerror(-err));
		return EXIT_FAILURE;
	}
	err = run_store(d);
	store_close(d->store);
	if (!err)
		log_info("ended, %s is unmounted", d->paths.mountpoint);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the parent --------------------------------------------------------- */

static int tell_end(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILURE;
	if (WIFSIGNALED(status))
		log_error("ended by signal %d before the mount worked",
			WTERMSIG(status));
	return EXIT_FAILURE;
}

/* @ready_fd: ends without a byte when the child is gone. */
static int wait_ready(const struct daemon *d, int ready_fd, pid_t child)
{
	struct statfs fs;
	char byte;
	ssize_t n;

	do
		n = read(ready_fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		return tell_end(child);
	if (statfs(d->paths.mountpoint, &fs) < 0) {
		log_error("%s: the mount failed at once, the system log has "
			  "the reason: %m",
			d->paths.mountpoint);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int run_in_background(struct daemon *d)
{
	AUTO_FD int read_fd = -1;
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		log_error("pipe: %m");
		return EXIT_FAILURE;
	}
	read_fd = fds[0];
	d->ready_fd = fds[1];
	child = fork();
	if (child < 0)
		log_error("fork: %m");
	if (child == 0) {
		close(KEEP_FD(read_fd));
		return run(d);
	}
	close(KEEP_FD(d->ready_fd));
	return child < 0 ? EXIT_FAILURE : wait_ready(d, read_fd, child);
}

/* Every target holds descriptors; a thousand of them is not unusual. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int daemon_run(const struct settings *settings)
{
	struct daemon d = {.settings = settings, .ready_fd = -1};
	char why[WHY_MAX];
	int status = EXIT_FAILURE;

	log_verbose(settings->debug);
	fuse_set_log_func(pass_log);
	raise_limits();
	if (paths_resolve(settings->source, settings->mountpoint, &d.paths, why,
		    sizeof(why)) < 0)
		log_error("%s", why);
	else if (settings->foreground || settings->debug)
		status = run(&d);
	else
		status = run_in_background(&d);
	paths_fini(&d.paths);
	return status;
}
