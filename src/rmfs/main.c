/* rmfs SOURCE MOUNTPOINT: many programs write one big file at once. */
#include <fuse_lowlevel.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "rmfs/config.h"
#include "rmfs/daemon.h"
#include "rmfs/options.h"

#define EXIT_USAGE 2

static int print_version(void)
{
	printf("rmfs %s, libfuse %s\n", RMFS_VERSION, fuse_pkgversion());
	return EXIT_SUCCESS;
}

static int refuse(const char *why)
{
	log_error("%s", why);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	AUTO(settings_fini) struct settings settings = {0};
	char why[WHY_MAX];

	if (options_parse(argc, argv, &settings, why, sizeof(why)) < 0)
		return refuse(why);
	if (settings.help) {
		options_help(stdout);
		return EXIT_SUCCESS;
	}
	if (settings.version)
		return print_version();
	if (settings.config &&
		config_load(settings.config, &settings, why, sizeof(why)) < 0)
		return refuse(why);
	if (!settings.source || !settings.mountpoint)
		return refuse("SOURCE and MOUNTPOINT are missing: rmfs --help");
	return daemon_run(&settings);
}
