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
KDIR_CHECK = $(call lookup,KDIR_CHECK,KDIR_CHECK)
ifneq ($(origin PYTHON),command line)
PYTHON = $(call lookup,PYTHON,PYTHON)
endif
# Were they in the environment, make would look them up for every command it runs.
unexport KDIR_CHECK PYTHON

# The cached kernel goes with the tools that built it. Somebody's own kernel goes with what they say on
# the command line or in the environment.
is_cached = $(filter $(CACHE)/kernel/%,$(abspath $(1)))
cached_tools = LLVM=$(FOUND_LLVM) RUSTC=$(FOUND_RUSTC) RUSTFMT=$(FOUND_RUSTFMT) BINDGEN=$(FOUND_BINDGEN) \
	CLIPPY_DRIVER=$(FOUND_CLIPPY_DRIVER)
cached_env = PATH=$(FOUND_LLVM_BIN):$$PATH LIBCLANG_PATH=$(FOUND_LIBCLANG_PATH)
own_tools = LLVM=$(or $(LLVM),1) $(foreach v,RUSTC RUSTFMT BINDGEN CLIPPY_DRIVER,$(if $($(v)),$(v)='$($(v))'))

# The program that runs in the guests is built with the kernel's compiler.
agent_env = $(if $(FOUND_RUSTC),RUSTC=$(FOUND_RUSTC))

tools = $(if $(call is_cached,$(1)),$(cached_tools),$(own_tools))
tools_env = $(if $(call is_cached,$(1)),$(cached_env))

# $(call kbuild,kernel tree,variables,target)
kbuild = @kdir='$(abspath $(1))'; test -n "$$kdir" || exit 1; \
	env $(tools_env) $(tools) $(SETUP)/preflight.sh "$$kdir" && \
	env $(tools_env) $(MAKE) -C "$$kdir" M='$(CURDIR)' $(tools) $(2) $(3)

# Every variant has an output directory: kbuild refuses one for a tree that was built in place. The
# module for use is then copied to where an external module is looked for.
MODULE := $(CURDIR)/virtio_balloon_rs.ko
MODULE_KUNIT := $(CURDIR)/build/kunit/virtio_balloon_rs.ko
MODULE_CHECK_KUNIT := $(CURDIR)/build/check/virtio_balloon_rs.ko
KUNIT_ON := VIRTIO_BALLOON_KUNIT=1
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

.PHONY: module-check
module-check: ## The same against the check kernel, into build/check
	@mkdir -p build/check
	+$(call kbuild,$(KDIR_CHECK),$(call in_dir,check) $(KUNIT_ON),modules)

.PHONY: install
install: module ## Install the module for the kernel in KDIR (modules_install)
	+$(call kbuild,$(KDIR),$(call in_dir,module),modules_install)

.PHONY: setup
setup: ## Install and build what building and trying out need: packages, QEMU, the guest kernel (~20 min the first time)
	@$(SETUP)/setup.sh plain

.PHONY: setup-check
setup-check: ## The same, and the check kernel that the tests need as well (~20 min more)
	@$(SETUP)/setup.sh plain check

.PHONY: demo demo-now
demo: setup ## Set up, build, and show the driver at work in a guest; ARGS= are passed on
	+@$(MAKE) demo-now

# A make of its own: what set-up just wrote is read when make starts.
demo-now: module
	@test -n '$(PYTHON)' || exit 1; $(agent_env) $(PYTHON) -m tools.demo $(ARGS)

.PHONY: check check-now
check: setup-check ## Set up, build all variants, run all tests; ARGS= are passed on to pytest
	+@$(MAKE) check-now

check-now: module module-kunit module-check
	@test -n '$(PYTHON)' || exit 1; \
	if $(agent_env) $(PYTHON) -m pytest tools/tests $(ARGS); then \
		echo 'make check: everything passed.'; \
	else \
		echo 'make check: FAILED, see above.' >&2; exit 1; \
	fi

.PHONY: fmt
fmt: ## Format all Rust source with rustfmt
	@bash tools/checks/format.sh

.PHONY: fmt-check
fmt-check: ## Is all Rust source formatted?
	@bash tools/checks/format.sh --check

.PHONY: clippy
clippy: ## Run clippy on the module, with and without KUnit; warnings are errors
	@mkdir -p build/clippy build/clippy-kunit
	+$(call kbuild,$(KDIR),$(call in_dir,clippy) CLIPPY=1 W=e,modules)
	+$(call kbuild,$(KDIR),$(call in_dir,clippy-kunit) CLIPPY=1 W=e $(KUNIT_ON),modules)

.PHONY: checkpatch
checkpatch: ## Run the kernel's checkpatch.pl --strict on all source files
	@bash tools/checks/checkpatch.sh

.PHONY: panic-free
panic-free: module ## Does the module hold no code that can panic?
	@test -n '$(PYTHON)' || exit 1; $(PYTHON) tools/checks/panic_free.py $(MODULE)

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
.PHONY: print-KDIR print-MODULE print-MODULE_KUNIT print-MODULE_CHECK_KUNIT
print-KDIR:
	@test -n '$(KDIR)' || exit 1; echo '$(abspath $(KDIR))'

print-MODULE print-MODULE_KUNIT print-MODULE_CHECK_KUNIT: print-%:
	@test -e '$($*)' || { echo "virtio-balloon-rs: error: $($*) is not built: run 'make module module-kunit module-check'." >&2; exit 1; }
	@echo '$($*)'

print-%:
	@$(SHOW) $*

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'make -s print-NAME prints one of: KDIR KDIR_CHECK GUEST_KERNEL GUEST_KERNEL_CHECK MODULE'
	@echo 'MODULE_KUNIT MODULE_CHECK_KUNIT QEMU PYTHON KSRC CACHE'
