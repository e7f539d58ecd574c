/* SOURCE and MOUNTPOINT, and what mountinfo says. */
#include "rmfs/paths.h"

#include "rmfs/settings.h"
#include "unit.h"
#include <errno.h>

static char top[256];
static char why[WHY_MAX];
static struct paths found;

static void setup(void)
{
	char *real = realpath(unit_folder(), NULL);

	ck_assert_ptr_nonnull(real);
	snprintf(top, sizeof(top), "%s", real);
	free(real);
	ck_assert_int_eq(chdir(top), 0);
	mkdir("src", 0755);
	mkdir("mnt", 0755);
	mkdir("src2", 0755);
	mkdir("src/in", 0755);
	unit_write("file", "", 0);
}

static void teardown(void)
{
	paths_fini(&found);
}

static void refused(
	const char *source, const char *mountpoint, int err, const char *words)
{
	ck_assert_int_eq(
		paths_resolve(source, mountpoint, &found, why, sizeof(why)),
		err);
	ck_assert_msg(strstr(why, words), "%s", why);
	ck_assert_ptr_null(found.source);
}

/* Two folders side by side come back whole, without links or dots. */
START_TEST(resolve_of_two_folders_makes_them_absolute)
{
	char expected[300];

	ck_assert_int_eq(symlink("mnt", "link"), 0);
	ck_assert_int_eq(paths_resolve("./src2/../src", "link//", &found, why,
				 sizeof(why)),
		0);
	snprintf(expected, sizeof(expected), "%s/src", top);
	ck_assert_str_eq(found.source, expected);
	snprintf(expected, sizeof(expected), "%s/mnt", top);
	ck_assert_str_eq(found.mountpoint, expected);
}
END_TEST

/* What is missing or no folder is named with its part. */
START_TEST(resolve_of_no_folders_is_refused)
{
	refused("nosuch", "mnt", -ENOENT, "SOURCE nosuch");
	refused("src", "nosuch", -ENOENT, "MOUNTPOINT nosuch");
	refused("file", "mnt", -ENOTDIR, "SOURCE file");
	refused("src", "file", -ENOTDIR, "MOUNTPOINT file");
	refused("", "mnt", -ENOENT, "SOURCE");
	refused("src", "", -ENOENT, "MOUNTPOINT");
}
END_TEST

/* One inside the other would show itself. */
START_TEST(resolve_of_nested_folders_is_refused)
{
	refused("src", "src", -EINVAL, "same folder");
	refused("src", "src/in", -EINVAL, "MOUNTPOINT is inside SOURCE");
	refused("src/in", "src", -EINVAL, "SOURCE is inside MOUNTPOINT");
	refused("/", "mnt", -EINVAL, "MOUNTPOINT is inside SOURCE");
	ck_assert_int_eq(symlink("src/in", "alias"), 0);
	refused("src", "alias", -EINVAL, "MOUNTPOINT is inside SOURCE");
}
END_TEST

/* A name that starts like the folder is not inside it. */
START_TEST(within_compares_whole_names)
{
	ck_assert(path_is_within("/a/b", "/a/b"));
	ck_assert(path_is_within("/a/b/c", "/a/b"));
	ck_assert(path_is_within("/a", "/"));
	ck_assert(!path_is_within("/a/bc", "/a/b"));
	ck_assert(!path_is_within("/a", "/a/b"));
	ck_assert_int_eq(
		paths_resolve("src", "src2", &found, why, sizeof(why)), 0);
}
END_TEST

static const char *type_at(const char *path)
{
	static const char text[] =
		"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
		"40 22 0:40 / /mnt/a\\040b rw,nosuid shared:1 - fuse.rmfs "
		"/srv/x rw,user_id=0\n"
		"41 22 0:41 / /mnt/two rw - fuse.rmfs /srv rw\n"
		"42 41 0:42 / /mnt/two rw master:3 - tmpfs tmpfs rw\n"
		"43 22 0:43 / /mnt/back\\134slash rw - fuse.rmfs /srv rw\n"
		"short line\n"
		"44 22 0:44 / /mnt/nodash rw fuse.rmfs\n";
	static char type[32];
	FILE *file = fmemopen((void *)text, strlen(text), "r");

	ck_assert_ptr_nonnull(file);
	mountinfo_type(file, path, type, sizeof(type));
	fclose(file);
	return type;
}

/* Blanks come escaped, and the last mount on a place is the one seen. */
START_TEST(mountinfo_of_a_place_is_its_last_mount)
{
	ck_assert_str_eq(type_at("/"), "ext4");
	ck_assert_str_eq(type_at("/mnt/a b"), "fuse.rmfs");
	ck_assert_str_eq(type_at("/mnt/two"), "tmpfs");
	ck_assert_str_eq(type_at("/mnt/back\\slash"), "fuse.rmfs");
	ck_assert_str_eq(type_at("/mnt/none"), "");
	ck_assert_str_eq(type_at("/mnt/nodash"), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("paths");
	TCase *resolve = unit_case(suite, "resolve");
	TCase *mountinfo = unit_case(suite, "mountinfo");

	tcase_add_checked_fixture(resolve, setup, teardown);
	tcase_add_test(resolve, resolve_of_two_folders_makes_them_absolute);
	tcase_add_test(resolve, resolve_of_no_folders_is_refused);
	tcase_add_test(resolve, resolve_of_nested_folders_is_refused);
	tcase_add_test(resolve, within_compares_whole_names);
	tcase_add_test(mountinfo, mountinfo_of_a_place_is_its_last_mount);
	return unit_main(suite);
}
