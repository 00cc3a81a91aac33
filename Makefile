# SPDX-License-Identifier: GPL-2.0
#
# What people type. How the module is built is in Kbuild, which the kernel's build system reads;
# what the machine needs is in tools/setup.

MAKEFLAGS += --no-print-directory
SETUP := bash tools/setup
SHOW := $(SETUP)/show.sh

CACHE := $(shell $(SHOW) CACHE)
ifeq ($(CACHE),)
$(error there is no place for the cache, see above)
endif

# What set-up found: FOUND_RUSTC, FOUND_LLVM ...
-include $(wildcard $(CACHE)/state/*.env)

# Looked up when first used, once. Empty if not set up; the reason is then on standard error.
lookup = $(eval $(1) := $$(shell $(SHOW) $(2)))$($(1))
ifneq ($(origin KDIR),command line)
ifneq ($(origin KDIR),environment)
KDIR = $(call lookup,KDIR,KDIR)
endif
endif
KDIR_GIVEN := $(filter command environment,$(origin KDIR))
ifneq ($(origin PYTHON),command line)
PYTHON = $(call lookup,PYTHON,PYTHON)
endif
KDIR_CHECK = $(call lookup,KDIR_CHECK,KDIR_CHECK)
KDIR_KASAN = $(call lookup,KDIR_KASAN,KDIR_KASAN)
KDIR_PATCHED = $(call lookup,KDIR_PATCHED,KDIR_PATCHED)
# What clippy and panic-free look at: the kernel that was asked for, else one that is there.
KDIR_ANY = $(if $(KDIR_GIVEN),$(KDIR),$(call lookup,KDIR_ANY,KDIR_ANY))
KDIR_ARM64 = $(call lookup,KDIR_ARM64,KDIR_ARM64)
KDIR_ARM64_64K = $(call lookup,KDIR_ARM64_64K,KDIR_ARM64_64K)
# Were they in the environment, make would look them up for every command it runs.
unexport KDIR_CHECK KDIR_KASAN KDIR_PATCHED KDIR_ANY KDIR_ARM64 KDIR_ARM64_64K PYTHON

# The cached kernel goes with the tools that built it. Somebody's own kernel goes with what they say on
# the command line or in the environment.
is_cached = $(filter $(CACHE)/kernel/%,$(abspath $(1)))
cached_tools = LLVM=$(FOUND_LLVM) RUSTC=$(FOUND_RUSTC) RUSTFMT=$(FOUND_RUSTFMT) BINDGEN=$(FOUND_BINDGEN) \
	CLIPPY_DRIVER=$(FOUND_CLIPPY_DRIVER)
cached_env = PATH=$(FOUND_LLVM_BIN):$$PATH LIBCLANG_PATH=$(FOUND_LIBCLANG_PATH)
is_gcc = $(shell grep -sx CONFIG_CC_IS_GCC=y '$(1)/include/config/auto.conf')
own_tools = $(if $(call is_gcc,$(1)),,LLVM=$(or $(LLVM),1)) $(foreach v,RUSTC RUSTFMT BINDGEN CLIPPY_DRIVER,$(if $($(v)),$(v)='$($(v))'))

# The program that runs in the guests is built with the kernel's compiler.
agent_env = $(if $(FOUND_RUSTC),RUSTC=$(FOUND_RUSTC))

tools = $(if $(call is_cached,$(1)),$(cached_tools),$(call own_tools,$(1)))
tools_env = $(if $(call is_cached,$(1)),$(cached_env))

# $(call kbuild,kernel tree,variables,target)
kbuild = @kdir='$(abspath $(1))'; test -n "$$kdir" || exit 1; \
	env $(tools_env) $(tools) $(SETUP)/preflight.sh "$$kdir" && \
	env $(tools_env) $(MAKE) -C "$$kdir" M='$(CURDIR)' $(tools) $(2) $(3)

# Every variant has an output directory: kbuild refuses one for a tree that was built in place. The
# module for use is then copied to where an external module is looked for.
MODULE := $(CURDIR)/virtio_balloon_rs.ko
MODULE_PATCHED := $(CURDIR)/build/patched/virtio_balloon_rs.ko
MODULE_CHECK := $(CURDIR)/build/check/virtio_balloon_rs.ko
MODULE_CHECK_UNPATCHED := $(CURDIR)/build/check-unpatched/virtio_balloon_rs.ko
MODULE_CHECK_KUNIT := $(CURDIR)/build/check-kunit/virtio_balloon_rs.ko
MODULE_KASAN_KUNIT := $(CURDIR)/build/kasan-kunit/virtio_balloon_rs.ko
MODULE_ARM64 := $(CURDIR)/build/arm64/virtio_balloon_rs.ko
MODULE_ARM64_KUNIT := $(CURDIR)/build/arm64-kunit/virtio_balloon_rs.ko
MODULE_ARM64_64K := $(CURDIR)/build/arm64-64k/virtio_balloon_rs.ko
MODULE_ARM64_64K_KUNIT := $(CURDIR)/build/arm64-64k-kunit/virtio_balloon_rs.ko
SAMPLES := $(CURDIR)/build/samples
SAMPLES_CHECK := $(CURDIR)/build/samples-check
SAMPLES_ON := VIRTIO_BALLOON_SAMPLES=1
KUNIT_ON := VIRTIO_BALLOON_KUNIT=1
COVERAGE_ON := VIRTIO_BALLOON_COVERAGE=1
ISOLATION_OFF := VIRTIO_BALLOON_ISOLATION=0
in_dir = MO='$(CURDIR)/build/$(1)'

.PHONY: module
module: ## Build virtio_balloon_rs.ko (the default); KDIR=<tree> LLVM=1 for a kernel of your own, KUNIT=1 for the variant with tests
ifeq ($(KUNIT),1)
	+@$(MAKE) module-kunit KUNIT=
else
	@mkdir -p build/module
	+$(call kbuild,$(KDIR),$(call in_dir,module),modules)
	@cmp -s build/module/virtio_balloon_rs.ko '$(MODULE)' || cp build/module/virtio_balloon_rs.ko '$(MODULE)'
endif

.PHONY: module-kunit
module-kunit: ## Build the module with its KUnit suites into build/kunit
	@mkdir -p build/kunit
	+$(call kbuild,$(KDIR),$(call in_dir,kunit) $(KUNIT_ON),modules)

.PHONY: module-patched
module-patched: ## Build the module for the patched kernel into build/patched
	@mkdir -p build/patched
	+$(call kbuild,$(KDIR_PATCHED),$(call in_dir,patched),modules)

.PHONY: module-check
module-check: ## Build the module for the check kernel into build/check
	@mkdir -p build/check
	+$(call kbuild,$(KDIR_CHECK),$(call in_dir,check),modules)

# The module as it is for a kernel without our patches.
.PHONY: module-check-unpatched
module-check-unpatched:
	@mkdir -p build/check-unpatched
	+$(call kbuild,$(KDIR_CHECK),$(call in_dir,check-unpatched) $(ISOLATION_OFF),modules)

.PHONY: module-check-kunit
module-check-kunit: ## The same with its KUnit suites, into build/check-kunit
	@mkdir -p build/check-kunit
	+$(call kbuild,$(KDIR_CHECK),$(call in_dir,check-kunit) $(KUNIT_ON),modules)

# The module that counts which of its lines run.
.PHONY: module-check-coverage
module-check-coverage:
	@mkdir -p build/check-coverage
	+$(call kbuild,$(KDIR_CHECK),$(call in_dir,check-coverage) $(COVERAGE_ON),modules)

.PHONY: module-check-coverage-kunit
module-check-coverage-kunit:
	@mkdir -p build/check-coverage-kunit
	+$(call kbuild,$(KDIR_CHECK),$(call in_dir,check-coverage-kunit) $(COVERAGE_ON) $(KUNIT_ON),modules)

.PHONY: module-kasan-kunit
module-kasan-kunit: ## The same for the kasan kernel, into build/kasan-kunit
	@mkdir -p build/kasan-kunit
	+$(call kbuild,$(KDIR_KASAN),$(call in_dir,kasan-kunit) $(KUNIT_ON),modules)

# For arm64, with pages of 4 KiB and of 64 KiB, without and with KUnit suites.
arm64_build = $(call kbuild,$(1),ARCH=arm64 W=e $(call in_dir,$(2)) $(3),modules)

.PHONY: module-arm64 module-arm64-kunit module-arm64-64k module-arm64-64k-kunit
module-arm64:
	@mkdir -p build/arm64
	+$(call arm64_build,$(KDIR_ARM64),arm64)

module-arm64-kunit:
	@mkdir -p build/arm64-kunit
	+$(call arm64_build,$(KDIR_ARM64),arm64-kunit,$(KUNIT_ON))

module-arm64-64k:
	@mkdir -p build/arm64-64k
	+$(call arm64_build,$(KDIR_ARM64_64K),arm64-64k)

module-arm64-64k-kunit:
	@mkdir -p build/arm64-64k-kunit
	+$(call arm64_build,$(KDIR_ARM64_64K),arm64-64k-kunit,$(KUNIT_ON))

.PHONY: samples
samples: ## Build the samples, rust_free_blocks.ko and rust_virtio_rng.ko, into build/samples
	@mkdir -p build/samples
	+$(call kbuild,$(KDIR),$(call in_dir,samples) $(SAMPLES_ON),modules)

.PHONY: samples-check
samples-check: ## The same for the check kernel, into build/samples-check
	@mkdir -p build/samples-check
	+$(call kbuild,$(KDIR_CHECK),$(call in_dir,samples-check) $(SAMPLES_ON),modules)

# For tools/variants. A kernel that is only prepared does not say what it exports.
KDIR_VARIANT = $(call lookup,KDIR_VARIANT_FOUND,KDIR_VARIANT_$(VARIANT))
unexport KDIR_VARIANT
variant_build = $(call kbuild,$(KDIR_VARIANT),$(call in_dir,variant-$(VARIANT)$(1)) W=e \
	$(if $(wildcard $(KDIR_VARIANT)/.prepared),KBUILD_MODPOST_WARN=1) $(2),modules)

.PHONY: module-variant module-variant-kunit samples-variant
module-variant:
	@mkdir -p 'build/variant-$(VARIANT)'
	+$(call variant_build)

module-variant-kunit:
	@mkdir -p 'build/variant-$(VARIANT)-kunit'
	+$(call variant_build,-kunit,$(KUNIT_ON))

samples-variant:
	@mkdir -p 'build/variant-$(VARIANT)-samples'
	+$(call variant_build,-samples,$(SAMPLES_ON))

# With a key of one's own the kernel's rules neither sign nor compress it: signing comes before compressing.
# Without, they sign if the tree has the kernel's key. Headers of a distribution have not.
install_rules = $(if $(SIGN_KEY),CONFIG_MODULE_SIG_ALL= CONFIG_MODULE_COMPRESS_ALL=,\
	$(if $(wildcard $(KDIR)/certs/signing_key.x509),,CONFIG_MODULE_SIG_ALL=))
# The tree may be that of the set-up; without one it is install.sh that says so.
install = @DESTDIR='$(DESTDIR)' INSTALL_MOD_PATH='$(INSTALL_MOD_PATH)' SIGN_KEY='$(SIGN_KEY)' \
	SIGN_CERT='$(SIGN_CERT)' bash tools/install/install.sh $(1) '$(abspath $(KDIR))'

.PHONY: install install-check
install-check:
	$(call install,check)

# Not in parallel: somebody who cannot write there need not wait for the build.
install: install-check ## Install the module for the kernel in KDIR, and have it take the balloon from the C driver; DESTDIR= INSTALL_MOD_PATH= SIGN_KEY= SIGN_CERT=
	+@$(MAKE) module
	+$(call kbuild,$(KDIR),$(call in_dir,module) \
		INSTALL_MOD_PATH='$(or $(INSTALL_MOD_PATH),$(DESTDIR))' INSTALL_MOD_DIR=updates DEPMOD=true $(install_rules),modules_install)
	$(call install,files)

.PHONY: uninstall
uninstall: ## Undo `make install`, with the same KDIR= DESTDIR= INSTALL_MOD_PATH=
	$(call install,remove)

.PHONY: debian
debian: ## Build the module for a kernel of Debian, the running one or RELEASE=; first what its headers package lacks (~4 min once)
	+@tree=$$(bash tools/debian/rust-tree.sh $(RELEASE)) && \
		$(MAKE) module KDIR="$$tree" RUSTC='$(or $(RUSTC),/usr/bin/rustc)' && \
		echo "To install it, as root: make install KDIR=$$tree RUSTC=$(or $(RUSTC),/usr/bin/rustc)"

.PHONY: setup
setup: ## Install and build what building and trying out need: packages, QEMU, the guest kernel (~20 min the first time)
	@$(SETUP)/setup.sh plain

.PHONY: setup-patched
setup-patched: ## The same with the patched kernel, whose free blocks the driver can isolate
	@$(SETUP)/setup.sh patched

.PHONY: setup-check
setup-check: ## The same for the tests: with the check kernel in the place of the guest kernel
	@$(SETUP)/setup.sh check

.PHONY: setup-kasan
setup-kasan: ## The same for check-kasan, with the kasan kernel
	@$(SETUP)/setup.sh kasan

.PHONY: demo demo-now
demo: setup ## Set up, build, and show the driver at work in a guest; ARGS= are passed on
	+@$(MAKE) demo-now

# A make of its own: what set-up just wrote is read when make starts.
demo-now: module
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.demo $(ARGS)

.PHONY: bench bench-now
bench: setup ## Set up, build, and measure the driver beside the kernel's own (hours; less with a choice); BENCH=report,lock BENCH_ROUNDS= BENCH_MEM=2G,8G
	+@$(MAKE) bench-now

bench-now: module
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.bench

# The kernel that the soak's guests run, as names of targets end.
soak_on = $(addprefix -,$(filter patched check,$(SOAK_FLAVOUR)))

.PHONY: soak soak-now
soak: setup$(soak_on) ## Set up, build, and migrate guests to and fro under churn, comparing every page (~20 min); SOAK_ROUNDS= SOAK_SEED= SOAK_DRIVERS= SOAK_REARMING= SOAK_FLAVOUR=patched
	+@$(MAKE) soak-now

soak-now: module$(soak_on)
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.soak

# It takes a kernel that isolates.
discard_on = $(if $(filter check,$(SOAK_FLAVOUR)),check,patched)

.PHONY: soak-discard soak-discard-now
soak-discard: setup-$(discard_on) ## Set up, build, and discard the free memory of a guest under churn 1000 times, comparing every page (~15 min); SOAK_ROUNDS= SOAK_SEED= SOAK_FLAVOUR=check
	+@$(MAKE) soak-discard-now

soak-discard-now: module-$(discard_on)
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.soak.discard

# The kernel that the fuzzer's guests run, in names of targets.
fuzz_on = $(if $(filter kasan,$(FUZZ_FLAVOUR)),kasan,check)

.PHONY: fuzz fuzz-now
fuzz: setup-$(fuzz_on) ## Set up, build, feed the driver random sessions of a played device (~10 min); FUZZ_STEPS= FUZZ_SECONDS= FUZZ_SEED= FUZZ_FLAVOUR=kasan FUZZ_JOBS= FUZZ_REPLAY=
	+@$(MAKE) fuzz-now

fuzz-now: module-$(fuzz_on)-kunit
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.fuzz

# $(call pytest,target,arguments)
pytest = @test -n '$(PYTHON)' || exit 1; \
	if $(agent_env) $(PYTHON) -m pytest $(2) $(ARGS); then \
		echo 'make $(1): everything passed.'; \
	else \
		echo 'make $(1): FAILED, see above.' >&2; exit 1; \
	fi

.PHONY: check check-now
check: setup-check ## Set up, build, run all tests on the check kernel, CHECK_JOBS=2 files at a time; ARGS= are passed on to pytest
	+@$(MAKE) check-now

# More than two guests that boot at once are too slow on two cores. A file's tests share guests, so that
# they stay together.
CHECK_JOBS ?= 2

check-now: module-check module-check-unpatched module-check-kunit samples-check
	$(call pytest,check,-n $(CHECK_JOBS) --dist loadfile tools/tests)

.PHONY: mutants mutants-now
mutants: setup-check ## Put faults into the driver, one at a time, and see that a test notices each (~1 hour); MUTANTS=<names>
	+@$(MAKE) mutants-now

# It builds in a copy of the tree, so nothing has to be built here.
mutants-now:
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.mutants $(MUTANTS) $(ARGS)

.PHONY: check-kasan check-kasan-now
check-kasan: setup-kasan ## Set up, build, run KUnit and the life-cycle tests on the kasan kernel; slow
	+@$(MAKE) check-kasan-now

check-kasan-now: module-kasan-kunit
	$(call pytest,check-kasan,tools/tests/guest -m kasan --flavour=kasan)

.PHONY: check-variants check-variants-now
check-variants: ## Set up, and build the module for kernels without SMP, NUMA, debugfs ...; boots one (hours the first time); VARIANTS=no-smp,no-numa VARIANTS_BOOT=all VARIANTS_KERNEL=<source>
	@$(SETUP)/setup.sh tools
	+@$(MAKE) check-variants-now

check-variants-now:
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.variants

# The kernels' names, by the size of their pages.
ARM64_PAGES ?= 4k
arm64_kernels = $(or $(patsubst 64k,arm64-64k,$(patsubst 4k,arm64,$(filter 4k 64k,$(ARM64_PAGES)))),\
	$(error ARM64_PAGES=$(ARM64_PAGES): choose from 4k and 64k))

.PHONY: check-arm64 check-arm64-now check-on-arm64 check-on-arm64-64k
check-arm64: ## Set up, build, run KUnit and some of the tests on arm64 in QEMU (~20 min the first time); ARM64_PAGES="4k 64k"
	@set -e; kernels='$(arm64_kernels)'; $(SETUP)/setup.sh tools; $(SETUP)/arm64.sh; \
		for kernel in $$kernels; do $(SETUP)/kernel.sh $$kernel; done
	+@$(MAKE) check-arm64-now

# That one fails is no reason not to try the other.
check-arm64-now:
	+@failed=; for kernel in $(arm64_kernels); do \
		$(MAKE) check-on-$$kernel || failed="$$failed $$kernel"; done; test -z "$$failed"

# $(call arm64_check,kernel,tests)
define arm64_check
@test -n '$(PYTHON)' || exit 1; $(PYTHON) tools/checks/panic_free.py build/$(1)/virtio_balloon_rs.ko
$(call pytest,check-arm64,tools/tests/guest --flavour=$(1) -m '$(2)')
endef

check-on-arm64: module-arm64 module-arm64-kunit
	$(call arm64_check,arm64,arm64 or arm64_4k)

check-on-arm64-64k: module-arm64-64k module-arm64-64k-kunit
	$(call arm64_check,arm64-64k,arm64)

.PHONY: coverage coverage-now
coverage: setup-check ## Set up, build, and say which lines of the module KUnit and the guest tests reach; ARGS= are passed on to pytest
	+@$(MAKE) coverage-now

coverage-now: module-check-coverage module-check-coverage-kunit module-check-unpatched samples-check
	@test -n '$(PYTHON)' || exit 1; \
		$(agent_env) LLVM_BIN='$(FOUND_LLVM_BIN)' $(PYTHON) -m tools.coverage $(ARGS)

.PHONY: memory-map memory-map-now
memory-map: setup ## Set up, build, and draw the free memory of a guest before and after it was fragmented (~1 min)
	+@$(MAKE) memory-map-now

memory-map-now: samples
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.memory_map.guest

.PHONY: deb
deb: ## Make build/virtio-balloon-rs-dkms_*.deb, which has DKMS build the module; VERSION=
	@VERSION='$(VERSION)' bash tools/debian/build-deb.sh

.PHONY: check-deb
check-deb: ## Install that package in a clean chroot of Debian, look at it, remove it; takes root (~10 min)
	@bash tools/debian/check-deb.sh

# Any set-up will do: its guest kernel is not used.
.PHONY: check-debian
check-debian: ## After a set-up: build the module for Debian's own kernel in a chroot, and try it there in QEMU, signed with Secure Boot, and traced; takes root (~15 min the first time)
	@test -n '$(PYTHON)' || exit 1; $(agent_env) PYTHON='$(PYTHON)' bash tools/debian/check-debian.sh

.PHONY: fmt
fmt: ## Format all Rust source with rustfmt
	@bash tools/checks/format.sh

.PHONY: fmt-check
fmt-check: ## Is all Rust source formatted?
	@bash tools/checks/format.sh --check

.PHONY: clippy
clippy: ## Run clippy on the module and the samples, with and without KUnit; warnings are errors. KDIR=<tree> if not that of the set-up
	@mkdir -p build/clippy build/clippy-kunit
	+$(call kbuild,$(KDIR_ANY),$(call in_dir,clippy) $(SAMPLES_ON) CLIPPY=1 W=e,modules)
	+$(call kbuild,$(KDIR_ANY),$(call in_dir,clippy-kunit) CLIPPY=1 W=e $(KUNIT_ON),modules)

.PHONY: checkpatch
checkpatch: ## Run the kernel's checkpatch.pl --strict on all source files
	@bash tools/checks/checkpatch.sh

.PHONY: panic-free module-panic-free
module-panic-free:
	@mkdir -p build/panic-free
	+$(call kbuild,$(KDIR_ANY),$(call in_dir,panic-free) $(SAMPLES_ON),modules)

panic-free: module-panic-free ## Do the module and the samples hold no code that can panic? KDIR= as for clippy
	@test -n '$(PYTHON)' || exit 1; for name in virtio_balloon_rs rust_free_blocks rust_virtio_rng; do \
		$(PYTHON) tools/checks/panic_free.py build/panic-free/$$name.ko || exit; done

# What people read: a warning is an error.
.PHONY: docs docs-html docs-rust
docs: docs-html docs-rust ## Build the documentation: the pages into build/docs/html, that of the Rust code into build/docs/rustdoc; KDIR= as for clippy

docs-html:
	@test -n '$(PYTHON)' || exit 1; $(PYTHON) -m sphinx -q -W --keep-going -n -b html \
		-d build/docs/doctrees Documentation build/docs/html
	@echo 'build/docs/html/index.html'

# rustdoc is given the flags that a build of the module has left.
docs-rust: module-panic-free
	@test -n '$(PYTHON)' || exit 1; \
		$(PYTHON) -m tools.docs.rustdoc build/panic-free build/docs/rustdoc '$(KDIR_ANY)'
	@echo 'build/docs/rustdoc/index.html'

# Where the patches go.
SERIES ?= build/series

.PHONY: series check-series
series: ## Make a patch series for the kernel of the tree into build/series; KSRC=<source> if not that of the set-up
	@test -n '$(PYTHON)' || exit 1; kernel='$(or $(KSRC),$(shell $(SHOW) KSRC))'; test -n "$$kernel" || exit 1; \
		$(PYTHON) -m tools.series "$$kernel" --out '$(SERIES)'

check-series: series ## Build a kernel with each patch of the series, and boot the last: hours; CHECK_SERIES="--from N"
	@test -n '$(PYTHON)' || exit 1; kernel='$(or $(KSRC),$(shell $(SHOW) KSRC))'; test -n "$$kernel" || exit 1; \
		$(agent_env) $(PYTHON) -m tools.series.check "$$kernel" '$(SERIES)' $(CHECK_SERIES)

.PHONY: clean
clean: ## Remove what was built here (not the cache)
	@rm -rf build
	@find . \( -name .git -o -name '.venv' \) -prune -o -type f \( \
		-name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' -o \
		-name '*.rmeta' -o -name '.*.d' -o -name '*_generated.rs' -o -name '*.rsi' -o \
		-name Module.symvers -o -name modules.order -o -name '.Module.symvers.*' \) \
		-exec rm -f {} +

.PHONY: distclean-cache
distclean-cache: ## Remove the cache: kernels, source, tools
	rm -rf '$(CACHE)'

# make -s print-NAME: one value, and nothing else, on standard output.
.PHONY: print-KDIR
print-KDIR:
	@test -n '$(KDIR)' || exit 1; echo '$(abspath $(KDIR))'

# $(call print_built,value,the target that builds it)
print_built = @test -e '$(1)' || { \
	echo "virtio-balloon-rs: error: $(1) is not built: run 'make $(2)'." >&2; exit 1; }; echo '$(1)'

.PHONY: print-MODULE print-MODULE_PATCHED print-MODULE_CHECK print-MODULE_CHECK_UNPATCHED
.PHONY: print-MODULE_CHECK_KUNIT print-MODULE_KASAN_KUNIT print-SAMPLES print-SAMPLES_CHECK
.PHONY: print-MODULE_ARM64 print-MODULE_ARM64_KUNIT print-MODULE_ARM64_64K print-MODULE_ARM64_64K_KUNIT
print-MODULE:
	$(call print_built,$(MODULE),module)
print-MODULE_PATCHED:
	$(call print_built,$(MODULE_PATCHED),module-patched)
print-MODULE_CHECK_UNPATCHED:
	$(call print_built,$(MODULE_CHECK_UNPATCHED),module-check-unpatched)
print-MODULE_CHECK:
	$(call print_built,$(MODULE_CHECK),module-check)
print-MODULE_CHECK_KUNIT:
	$(call print_built,$(MODULE_CHECK_KUNIT),module-check-kunit)
print-MODULE_KASAN_KUNIT:
	$(call print_built,$(MODULE_KASAN_KUNIT),module-kasan-kunit)
print-MODULE_ARM64 print-MODULE_ARM64_KUNIT print-MODULE_ARM64_64K print-MODULE_ARM64_64K_KUNIT: print-%:
	$(call print_built,$($*),check-arm64)

# One of the samples stands for all.
print-SAMPLES print-SAMPLES_CHECK: print-%:
	@test -e '$($*)/rust_free_blocks.ko' || { \
		echo "virtio-balloon-rs: error: the samples are not built: run 'make $(notdir $($*))'." >&2; \
		exit 1; }; echo '$($*)'

print-%:
	@$(SHOW) $*

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'make -s print-NAME prints one of: KDIR KDIR_PATCHED KDIR_CHECK KDIR_KASAN GUEST_KERNEL'
	@echo 'GUEST_KERNEL_PATCHED GUEST_KERNEL_CHECK GUEST_KERNEL_KASAN MODULE MODULE_PATCHED MODULE_CHECK'
	@echo 'MODULE_CHECK_UNPATCHED MODULE_CHECK_KUNIT MODULE_KASAN_KUNIT SAMPLES SAMPLES_CHECK QEMU QEMU_PATCHED'
	@echo 'PYTHON KSRC CACHE'
