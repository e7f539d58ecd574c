/*
 * The library as a program outside this tree meets it: installed somewhere,
 * found by pkg-config, described by manual pages.
 */
#include "unit.h"

static char root[128]; /* DESTDIR of an installed library */
static char with[512]; /* what makes pkg-config look there alone */
static char out[65536];

#define MAKE                                                       \
	"env -u MAKEFLAGS -u MFLAGS make --no-print-directory -s " \
	"VARIANT=release"

#define ck_runs(...)                                                        \
	do {                                                                \
		int status_ = unit_run(out, sizeof(out), __VA_ARGS__);      \
		ck_assert_msg(status_ == 0, "status %d: %s", status_, out); \
	} while (0)

static void skip(const char *why)
{
	printf("SKIP  %s\n", why);
	fflush(stdout);
}

/* Built in a folder of its own: the tests may run on a sanitized variant. */
static void install(void)
{
	snprintf(root, sizeof(root), "%s/root", unit_top);
	ck_runs(MAKE " BUILD=%s/build DESTDIR=%s install-lib", unit_top, root);
	snprintf(with, sizeof(with),
		"PKG_CONFIG_LIBDIR=%s/usr/local/lib/pkgconfig "
		"PKG_CONFIG_SYSROOT_DIR=%s LD_LIBRARY_PATH=%s/usr/local/lib",
		root, root, root);
}

/* The linker finds the development link, the loader the soname. */
START_TEST(shared_library_is_a_chain_of_links)
{
	ck_runs("cd %s/usr/local/lib && test -f libranged_mmap.a && "
		"test $(readlink libranged_mmap.so) = libranged_mmap.so.0 && "
		"test $(readlink libranged_mmap.so.0) = "
		"libranged_mmap.so.0.1.0 && "
		"readelf -d libranged_mmap.so.0.1.0",
		root);
	ck_assert_ptr_nonnull(
		strstr(out, "Library soname: [libranged_mmap.so.0]"));
}
END_TEST

/* It needs the C library and nothing else: no FUSE, no SQLite, no ISA-L. */
START_TEST(shared_library_needs_libc_alone)
{
	ck_runs("readelf -d %s/usr/local/lib/libranged_mmap.so | "
		"sed -n 's/.*NEEDED.*\\[\\(.*\\)\\]/\\1/p' | "
		"grep -v -e '^libc\\.so' -e '^ld-linux' || true",
		root);
	ck_assert_str_eq(out, "");
}
END_TEST

/* What is exported is what the header declares, no name more or less. */
START_TEST(exported_symbols_are_the_headers)
{
	ck_runs("nm -D --defined-only --format=posix "
		"%s/usr/local/lib/libranged_mmap.so | "
		"awk '$2 != \"A\" { sub(/@.*/, \"\", $1); print $1 }' | "
		"sort >%s/exported && "
		"tests/prototypes.sh header "
		"%s/usr/local/include/ranged_mmap.h | "
		"sed 's/^[^(]*[ *]\\([a-z0-9_]*\\)(.*/\\1/' | sort | "
		"diff %s/exported - && test -s %s/exported",
		root, root, root, root, root);
}
END_TEST

/* Each function of the header is in a page, as declared, and none else. */
START_TEST(manual_describes_the_headers_functions)
{
	ck_runs("tests/prototypes.sh header "
		"%s/usr/local/include/ranged_mmap.h >%s/header && "
		"tests/prototypes.sh pages docs/man/*.3 | diff %s/header - && "
		"grep -q rmm_file_create %s/header",
		root, root, root, root);
}
END_TEST

/* `man rmm_map_open` finds the page where it is described. */
START_TEST(every_function_has_a_page_of_its_name)
{
	ck_runs("cd %s/usr/local/share/man/man3 && "
		"for f in $(sed -n 's/^\\.Fn \\(rmm_[a-z_]*\\).*/\\1/p' *.3); "
		"do page=$(sed -n 's|^\\.so man3/||p' $f.3); "
		"grep -q \"^.Fn $f \" ${page:-$f.3} || exit; echo $f; done",
		root);
	ck_assert_ptr_nonnull(strstr(out, "rmm_map_open\n"));
}
END_TEST

/* The pages have no mistake that their formatters know of. */
START_TEST(manual_is_free_of_warnings)
{
	if (unit_run(out, sizeof(out), "command -v mandoc") == 0) {
		ck_runs("mandoc -T lint -W warning docs/man/*.3");
	} else if (unit_run(out, sizeof(out), "command -v groff") == 0) {
		ck_runs("for page in docs/man/*.3; do LC_ALL=C groff -mandoc "
			"-ww -z $page; done");
	} else {
		skip("neither mandoc nor groff is here");
		return;
	}
	ck_assert_str_eq(out, "");
}
END_TEST

/* The header stands alone, in strict C11. */
START_TEST(header_is_strict_c)
{
	ck_runs("echo '#include <ranged_mmap.h>' | %s sh -c '${CC:-cc} "
		"$(pkg-config --cflags ranged_mmap) -std=c11 -pedantic -Wall "
		"-Wextra -Werror -x c -fsyntax-only -'",
		with);
}
END_TEST

/* A C++ program includes the header, links, and runs. */
START_TEST(cxx_program_builds_and_runs)
{
	if (unit_run(out, sizeof(out), "command -v ${CXX:-c++}") != 0) {
		skip("no C++ compiler is here");
		return;
	}
	ck_runs("cat >%s/program.cc <<'END'\n"
		"#include <ranged_mmap.h>\n"
		"int main()\n"
		"{\n"
		"	rmm_allocator *a = nullptr;\n"
		"	rmm_range range = {};\n"
		"	int err = rmm_allocator_create(\n"
		"		RMM_CONCURRENT, 8192, 0, &a);\n"
		"	if (!err)\n"
		"		err = rmm_allocator_alloc(a, 1, &range);\n"
		"	rmm_allocator_close(a);\n"
		"	return err || rmm_range_len(&range) != RMM_ALIGNMENT;\n"
		"}\n"
		"END\n"
		"%s sh -c '${CXX:-c++} -std=c++11 -pedantic -Wall -Wextra "
		"-Werror -o %s/program %s/program.cc "
		"$(pkg-config --cflags --libs ranged_mmap) && %s/program'",
		root, with, root, root, root);
}
END_TEST

/* The examples need nothing but what pkg-config says. */
START_TEST(c_program_builds_with_pkg_config)
{
	ck_runs("for name in parallel_fill resume logger; do "
		"%s sh -c \"\\${CC:-cc} -D_GNU_SOURCE -pthread -o %s/$name "
		"tests/examples/$name.c "
		"\\$(pkg-config --cflags --libs ranged_mmap) && "
		"%s/$name %s/$name.out\" || exit; done; "
		"readelf -d %s/logger",
		with, root, root, root, root);
	ck_assert_ptr_nonnull(strstr(out, "[libranged_mmap.so.0]"));
}
END_TEST

/* So does a program that shall carry the library in itself. */
START_TEST(c_program_builds_statically)
{
	ck_runs("%s sh -c '${CC:-cc} -static -D_GNU_SOURCE "
		"-o %s/static tests/examples/parallel_fill.c "
		"$(pkg-config --static --cflags --libs ranged_mmap)' && "
		"%s/static %s/static.out",
		with, root, root, root);
}
END_TEST

/* What pkg-config and the library say of their version is one thing. */
START_TEST(versions_agree)
{
	ck_runs("cat >%s/version.c <<'END'\n"
		"#include <ranged_mmap.h>\n"
		"#include <stdio.h>\n"
		"int main(void) { puts(rmm_version()); return 0; }\n"
		"END\n"
		"%s sh -c '${CC:-cc} -o %s/version %s/version.c "
		"$(pkg-config --cflags --libs ranged_mmap) && "
		"test $(%s/version) = $(pkg-config --modversion ranged_mmap)'",
		root, with, root, root, root);
}
END_TEST

/* Other folders are asked for and got, in the package's text as well. */
START_TEST(folders_are_the_users_choice)
{
	ck_runs(MAKE " BUILD=%s/build DESTDIR=%s/other PREFIX=/usr "
		     "LIBDIR=/usr/lib/triplet install-lib && "
		     "PKG_CONFIG_LIBDIR=%s/other/usr/lib/triplet/pkgconfig "
		     "pkg-config --variable=libdir ranged_mmap && "
		     "test -f %s/other/usr/include/ranged_mmap.h",
		unit_top, root, root, root);
	ck_assert_str_eq(out, "/usr/lib/triplet\n");
}
END_TEST

/* Uninstalling takes away every file that installing brought. */
START_TEST(uninstall_leaves_no_file)
{
	ck_runs(MAKE " BUILD=%s/build DESTDIR=%s/gone install-lib && "
		     "test $(find %s/gone ! -type d | wc -l) -gt 70 && " MAKE
		     " DESTDIR=%s/gone uninstall && "
		     "find %s/gone ! -type d",
		unit_top, root, root, root, root);
	ck_assert_str_eq(out, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("install");
	TCase *tcase = unit_case(suite, "library");

	tcase_add_unchecked_fixture(tcase, install, NULL);
	tcase_add_test(tcase, shared_library_is_a_chain_of_links);
	tcase_add_test(tcase, shared_library_needs_libc_alone);
	tcase_add_test(tcase, exported_symbols_are_the_headers);
	tcase_add_test(tcase, manual_describes_the_headers_functions);
	tcase_add_test(tcase, every_function_has_a_page_of_its_name);
	tcase_add_test(tcase, manual_is_free_of_warnings);
	tcase_add_test(tcase, header_is_strict_c);
	tcase_add_test(tcase, cxx_program_builds_and_runs);
	tcase_add_test(tcase, c_program_builds_with_pkg_config);
	tcase_add_test(tcase, c_program_builds_statically);
	tcase_add_test(tcase, versions_agree);
	tcase_add_test(tcase, folders_are_the_users_choice);
	tcase_add_test(tcase, uninstall_leaves_no_file);
	return unit_main(suite);
}
