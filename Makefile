# rmfs: many programs write one big file at once. `make help` lists the targets.

VERSION := 0.1.0
DESTDIR ?=
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
CC ?= cc
CFLAGS ?= -O2 -g
BUILD ?= build
VARIANT ?= release

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# ---- variants: one rule, one folder each ------------------------------------
O := $(BUILD)$(if $(filter release,$(VARIANT)),,/$(VARIANT))
flags_release :=
flags_asan := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
flags_tsan := -fsanitize=thread
flags_coverage := --coverage -O0
flags_planted := -DRMFS_PLANTED_BUGS
ifeq ($(filter $(VARIANT),release asan tsan coverage planted),)
$(error VARIANT is release, asan, tsan, coverage or planted)
endif

WARN := -Wall -Wextra -Wshadow -Wvla -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes $(if $(WERROR),-Werror)
ALL_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc \
	-DRMFS_VERSION='"$(VERSION)"' $(CPPFLAGS)
ALL_CFLAGS := -std=gnu11 -pthread $(WARN) $(CFLAGS) $(flags_$(VARIANT))
ALL_LDFLAGS := -pthread $(LDFLAGS) $(flags_$(VARIANT))

# ---- packages, asked once ---------------------------------------------------
pkg = $(shell pkg-config $(1) 2>/dev/null)
FUSE_CFLAGS := -DFUSE_USE_VERSION=314 $(call pkg,--cflags fuse3)
FUSE_LIBS := $(call pkg,--libs fuse3)
CHECK_CFLAGS := $(call pkg,--cflags check)
CHECK_LIBS := $(call pkg,--libs check)
INIH_LIBS := -linih
ISAL_LIBS := -lisal
SQLITE_LIBS := -lsqlite3

# ---- what is built ----------------------------------------------------------
objects = $(patsubst %.c,$(O)/%.o,$(sort $(wildcard $(1:%=%/*.c))))
CORE := $(call objects,src/core)
SHARED := $(call objects,src/base src/ledger src/target)
DAEMON := $(call objects,src/fs src/rmfs)
TOOL := $(call objects,src/rmfsctl)
MAINS := $(O)/src/rmfs/main.o $(O)/src/rmfsctl/main.o
TESTS := $(patsubst %.c,$(O)/%,$(sort $(wildcard tests/unit/test_*.c)))
CRASHERS := $(patsubst %.c,$(O)/%,$(sort $(wildcard tests/crash/*.c)))
WRITERS := $(patsubst %.c,$(O)/%,$(sort $(wildcard tests/programs/*.c)))
EXAMPLES := $(patsubst %.c,$(O)/%,$(sort $(wildcard tests/examples/*.c)))
BENCHES := $(patsubst %.c,$(O)/%,$(sort $(wildcard tests/bench/*.c)))

SOVERSION := 0.1.0
SONAME := libranged_mmap.so.$(firstword $(subst ., ,$(SOVERSION)))
LIB_A := $(O)/libranged_mmap.a
LIB_SO := $(O)/libranged_mmap.so
LIB_MAP := src/core/libranged_mmap.map

.PHONY: all
all: need-build $(O)/rmfs $(O)/rmfsctl $(LIB_A) $(LIB_SO)

# Everywhere but in src/ledger, sqlite3.h finds that it has been read already, and
# declares nothing: a slip does not build.
SQLITE_CFLAGS := -DSQLITE3_H -Werror=implicit-function-declaration
$(O)/src/ledger/%.o $(O)/tests/unit/%.o: private SQLITE_CFLAGS :=

# Only these folders get libfuse's include path: a slip elsewhere does not build.
$(O)/src/fs/%.o $(O)/src/rmfs/%.o: private LAYER := $(FUSE_CFLAGS)
$(O)/src/core/%.o: private LAYER := -fPIC
$(O)/tests/unit/%.o: private LAYER := $(CHECK_CFLAGS) $(FUSE_CFLAGS) -Itests/unit

$(O)/%.o: %.c Makefile | need-build
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(SQLITE_CFLAGS) $(LAYER) $(ALL_CFLAGS) \
		-MMD -MP -c -o $@ $<

$(O)/rmfs: $(DAEMON) $(SHARED) $(LIB_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(FUSE_LIBS) $(INIH_LIBS) $(ISAL_LIBS) \
		$(SQLITE_LIBS)

$(O)/rmfsctl: $(TOOL) $(SHARED) $(LIB_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ISAL_LIBS) $(SQLITE_LIBS)

$(LIB_A): $(CORE)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(LIB_SO): $(CORE) $(LIB_MAP)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,$(SONAME) \
		$(if $(filter release,$(VARIANT)),-Wl$(comma)-z$(comma)defs) \
		-Wl,--version-script=$(LIB_MAP) -o $@ $(CORE)
	$(Q)ln -sf $(@F) $(@D)/$(SONAME)
comma := ,

# A unit test links everything but the mains.
$(O)/tests/unit/test_%: $(O)/tests/unit/test_%.o \
		$(filter-out $(MAINS),$(SHARED) $(DAEMON) $(TOOL)) $(LIB_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(FUSE_LIBS) \
		$(INIH_LIBS) $(ISAL_LIBS) $(SQLITE_LIBS)

# The library's calls that can fail, sent to the test that makes them.
FAULTS := malloc calloc realloc strdup fstat64 fstatat64 statx fstatfs64 \
	fstatvfs64 fchmod fchown ftruncate64 renameat2 linkat faccessat \
	getrandom mmap64 msync sync_file_range open64 openat64 fcntl64 ioctl \
	fallocate64
$(O)/tests/unit/test_rmm_faults: private ALL_LDFLAGS += \
	$(FAULTS:%=-Wl,--wrap=%)

# Programs with the habits that no packaged program has.
$(O)/tests/programs/%: $(O)/tests/programs/%.o
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

$(O)/tests/crash/%: $(O)/tests/crash/%.o
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# What a program of the library's users links.
$(O)/tests/examples/%: $(O)/tests/examples/%.o $(LIB_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

$(O)/tests/bench/%: $(O)/tests/bench/%.o $(LIB_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

.PHONY: tests
tests: all $(TESTS) $(WRITERS) $(EXAMPLES) $(BENCHES)

# ---- the two commands -------------------------------------------------------
# Each installs what is missing, then starts over: pkg-config knows more now.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: check demo check-unit
check:
	@CC='$(CC)' tests/packages.sh install build test
	+@$(MAKE) --no-print-directory $(JOBS) run-check

demo:
	@CC='$(CC)' tests/packages.sh install build demo
	+@$(MAKE) --no-print-directory $(JOBS) run-demo

check-unit:
	@CC='$(CC)' tests/packages.sh install build test
	+@$(MAKE) --no-print-directory $(JOBS) run-unit

.PHONY: run-check run-demo run-unit need-build
run-check: tests
	@tests/packages.sh nginx $(BUILD)/nginx || \
		echo 'Tests that download by nginx are going to be skipped.'
	@O=$(O) NGINX_DIR=$(abspath $(BUILD)/nginx) T='$(T)' V='$(V)' \
		tests/run unit mount

run-unit: tests
	@O=$(O) T='$(T)' V='$(V)' tests/run unit

run-demo: all
	@tests/packages.sh nginx $(BUILD)/nginx
	@O=$(O) NGINX_DIR=$(abspath $(BUILD)/nginx) tests/demo.sh

# What crashes, power cuts and bad disks leave. KILLS, EXT4_IMAGES, XFS_IMAGES:
# how many; SEED: the same choices again.
.PHONY: check-crash run-crash
check-crash:
	@CC='$(CC)' tests/packages.sh install build test crash
	+@$(MAKE) --no-print-directory $(JOBS) run-crash

run-crash: all $(CRASHERS) $(WRITERS)
	+@$(MAKE) --no-print-directory all VARIANT=planted
	@tests/packages.sh nginx $(BUILD)/nginx || \
		echo 'curl is going to read files instead.'
	@O=$(O) PLANTED=$(abspath $(BUILD)/planted) \
		NGINX_DIR=$(abspath $(BUILD)/nginx) T='$(T)' V='$(V)' \
		$(foreach v,KILLS EXT4_IMAGES XFS_IMAGES SEED,$($v:%=$v=%)) \
		tests/run crash

need-build:
	@CC='$(CC)' tests/packages.sh check build

.PHONY: deps
deps:
	@CC='$(CC)' tests/packages.sh install build test demo

# ---- how fast the library is ------------------------------------------------
.PHONY: bench-core
bench-core: $(O)/tests/bench/core
	@$< $(or $(DIR),$(O))

.PHONY: bench-receipts
bench-receipts: all $(O)/tests/bench/receipts
	@O=$(abspath $(O)) tests/bench/receipts.sh $(or $(DIR),$(abspath $(O)))

# ---- installing -------------------------------------------------------------
# Every name that a manual page of section 3 describes leads to it.
MAN := $(sort $(wildcard docs/man/*.[1-8]))
man_names = $(filter-out $(basename $(notdir $(1))), \
	$(shell sed -n '/^.Sh NAME/,/^.Nd/s/^.Nm \([a-z_]*\).*/\1/p' $(1)))
man_links = $(foreach page,$(filter %.3,$(MAN)), \
	$(patsubst %,%=$(notdir $(page)),$(call man_names,$(page))))
man_path = $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))
INSTALL := install

.PHONY: install install-lib install-man uninstall
install: all install-lib
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SYSCONFDIR)
	$(Q)$(INSTALL) -m 755 $(O)/rmfs $(O)/rmfsctl $(DESTDIR)$(BINDIR)
	$(Q)for conf in $(wildcard conf/rmfs.conf); do \
		test -e $(DESTDIR)$(SYSCONFDIR)/rmfs.conf || $(INSTALL) \
			-m 644 $$conf $(DESTDIR)$(SYSCONFDIR) || exit; done

install-lib: $(LIB_A) $(LIB_SO) $(O)/ranged_mmap.pc install-man
	$(Q)$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR)/pkgconfig
	$(Q)$(INSTALL) -m 644 include/ranged_mmap.h $(DESTDIR)$(INCLUDEDIR)
	$(Q)$(INSTALL) -m 644 $(LIB_A) $(DESTDIR)$(LIBDIR)
	$(Q)$(INSTALL) -m 644 $(LIB_SO) \
		$(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SO)).$(SOVERSION)
	$(Q)ln -sf $(notdir $(LIB_SO)).$(SOVERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SO))
	$(Q)$(INSTALL) -m 644 $(O)/ranged_mmap.pc $(DESTDIR)$(LIBDIR)/pkgconfig

install-man:
	$(Q)for page in $(MAN); do \
		dir=$(DESTDIR)$(MANDIR)/man$${page##*.}; \
		$(INSTALL) -d $$dir && $(INSTALL) -m 644 $$page $$dir || exit; \
	done
	$(Q)for link in $(man_links); do \
		echo ".so man3/$${link#*=}" \
		>$(DESTDIR)$(MANDIR)/man3/$${link%=*}.3 || exit; done

# The configuration stays: it may be the administrator's by now.
uninstall:
	$(Q)rm -f $(DESTDIR)$(BINDIR)/rmfs $(DESTDIR)$(BINDIR)/rmfsctl \
		$(DESTDIR)$(INCLUDEDIR)/ranged_mmap.h \
		$(DESTDIR)$(LIBDIR)/$(notdir $(LIB_A)) \
		$(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SO)).$(SOVERSION) \
		$(DESTDIR)$(LIBDIR)/$(SONAME) \
		$(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SO)) \
		$(DESTDIR)$(LIBDIR)/pkgconfig/ranged_mmap.pc \
		$(foreach page,$(MAN),$(call man_path,$(page))) \
		$(foreach link,$(man_links), \
			$(call man_path,$(firstword $(subst =, ,$(link))).3))

# Made anew each time: the folders may be others than the last time.
.PHONY: $(O)/ranged_mmap.pc
$(O)/ranged_mmap.pc: src/core/ranged_mmap.pc.in
	$(Q)mkdir -p $(@D)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' $< >$@

# ---- reading the code by machine --------------------------------------------
SOURCES := $(sort $(wildcard include/*.h src/*/*.[ch] tests/*/*.[ch]))
SCRIPTS := $(sort .ci/run $(wildcard tests/*.sh tests/run tests/bench/*.sh \
	tests/mount/*.sh tests/crash/*.sh))
TIDY_FLAGS = $(ALL_CPPFLAGS) $(FUSE_CFLAGS) $(CHECK_CFLAGS) -Itests/unit \
	-std=gnu11 -Wno-unknown-warning-option

# cppcheck does not see what the cleanup attribute frees; LeakSanitizer does.
.PHONY: lint run-lint
lint:
	@CC='$(CC)' tests/packages.sh install build test lint
	+@$(MAKE) --no-print-directory $(JOBS) run-lint

run-lint:
	$(call say,LINT,shell)
	$(Q)shellcheck -x $(SCRIPTS)
	$(call say,LINT,cppcheck)
	$(Q)cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress=memleak \
		-D_GNU_SOURCE -D__x86_64__ -Iinclude -Isrc src tests
	$(call say,LINT,clang-tidy)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' \
		$(filter %.c,$(SOURCES)) -- $(TIDY_FLAGS) 2>/dev/null

# ---- fuzzing ----------------------------------------------------------------
# Seeds are in tests/fuzz/NAME; what is found goes to build/fuzz, as does a crash.
FUZZ_S ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%, \
	$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_FLAGS := -std=gnu11 -g -O1 -pthread -fno-sanitize-recover=all \
	-fsanitize=fuzzer,address,undefined

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(wildcard src/core/*.[ch]) \
		include/ranged_mmap.h
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)/$*
	$(Q)clang $(ALL_CPPFLAGS) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^)

.PHONY: fuzz $(FUZZERS:%=run-%)
fuzz: $(FUZZERS:%=run-%)
$(FUZZERS:%=run-%): run-$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/fuzz_%
	$< -max_total_time=$(FUZZ_S) -artifact_prefix=$(BUILD)/fuzz/ \
		-print_final_stats=1 $(BUILD)/fuzz/$* tests/fuzz/$*

.PHONY: help
help:
	@echo 'make          build $(BUILD)/rmfs, rmfsctl and libranged_mmap'
	@echo 'make demo     a download by 8 curls into one file, start to end'
	@echo 'make check-crash  kill -9, power cuts, bad disks; KILLS=200 ...'
	@echo 'make check    all tests; T=NAME selects some, V=1 shows their output'
	@echo 'make install  under PREFIX ($(PREFIX)), below DESTDIR; uninstall'
	@echo 'make bench-core  the library beside pwrite and plain mmap; DIR=where'
	@echo 'make bench-receipts  receipts a second, and what a ledger costs; DIR='
	@echo 'make deps     install the Debian packages that are missing'
	@echo 'make fuzz     the fuzzers, FUZZ_S seconds each'
	@echo 'make lint     shellcheck, cppcheck and clang-tidy'
	@echo 'make clean    remove $(BUILD)/'
	@echo
	@echo 'VARIANT=asan|tsan|coverage builds under $(BUILD)/VARIANT;'
	@echo 'WERROR=1, V=1 (show commands), CC, CFLAGS, BUILD as usual.'

.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf $(BUILD)
