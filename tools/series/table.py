# SPDX-License-Identifier: GPL-2.0
"""The patches of the series, in order, and what becomes of our files in the kernel's tree.

Who adds a file to rust/, drivers/, include/ or samples/ adds it here as well: `make series` names
each that no patch has.
"""

from __future__ import annotations

from tools.series.model import After, Cut, Edit, Patch, Replace

# What only the external module needs.
FACADE_FILES = {
    "rust/bindings/bindings_helper.h",
    "rust/compat/device.rs",
    "rust/compat/device_table.rs",
    "rust/compat/error.rs",
    "rust/compat/lib.rs",
    "rust/compat/module.rs",
    "rust/compat/module_param.rs",
    "rust/compat/prelude.rs",
    "rust/compat/spinlock.c",
    "rust/compat/sync.rs",
    "rust/compat/sync/spinlock_irq.rs",
    "rust/helpers/helpers.c",
    "rust/helpers/page_reporting.h",
    "rust/kernel/bindings.rs",
    "rust/kernel/debugfs.rs",
    "rust/kernel/lib.rs",
    "rust/kernel/sync.rs",
    "samples/rust/helpers.c",
}

# Of rust/kernel/lib.rs, beside the modules.
FACADE_ITEMS = (
    '#![crate_name = "kernel_next"]\n',
    "#[doc(no_inline)]\npub use kernel::*;\n",
    "#[allow(\n    dead_code,\n"
    '    reason = "used by `pr_*!`, which not every configuration calls here"\n)]\n'
    'const __LOG_PREFIX: &[u8] = b"rust_kernel\\0";\n',
    "#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]\nstruct LocalModule;\n",
    """#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
impl ModuleMetadata for LocalModule {
    const NAME: &'static str::CStr = c"rust_kernel";

    #[cfg(not(KERNEL_COMPAT))]
    const THIS_MODULE: ThisModule = {
        extern "C" {
            // A `struct module`, of which only the address matters.
            static __this_module: u8;
        }

        // SAFETY: The kernel makes it as it loads the module, and it is there as long as that is.
        unsafe { ThisModule::from_ptr((&raw const __this_module).cast_mut().cast()) }
    };
}
""",
)

# Files of rust/kernel that only add modules to the kernel's, and all that they have: the edits
# below add it.
LISTS = {
    "debugfs": (
        "mod stream;\n",
        "pub use self::stream::{\n    Stream,\n    StreamDir,\n    StreamFile, //\n};\n",
        "#[doc(no_inline)]\npub use kernel::debugfs::*;\n",
    ),
    "sync": ("mod event;\n", "pub use self::event::Event;\n", "pub use kernel::sync::*;\n"),
}

# Where a module goes whose name the kernel has.
MOVED = {
    "tracepoint": "tracepoint/safe",
    "workqueue": "workqueue/stoppable",
}

# The kernel's virtio_balloon.c leaves no room for a virtio_balloon.rs: both would make one object.
RENAMED = {"drivers/virtio/virtio_balloon.rs": "drivers/virtio/virtio_balloon_main.rs"}

# Crates of their own, which begin with `extern crate kernel_next as kernel;` here.
CRATES = {
    "drivers/virtio/virtio_balloon.rs",
    "samples/rust/rust_virtio_rng.rs",
    "samples/rust/rust_free_blocks.rs",
}

BALLOON = "CONFIG_RUST_BALLOON_ABSTRACTIONS"
VIRTIO = "CONFIG_RUST_VIRTIO_ABSTRACTIONS"

# The kernel crate is there in every configuration; these modules are not.
GATES = {
    "mm/balloon": BALLOON,
    "mm/balloon_blocks": BALLOON,
    "mm/isolated_run": BALLOON,
    "mm/isolation": BALLOON,
    "mm/isolation_test": BALLOON,
    "mm/page_reporting": BALLOON,
    "mm/page_run": BALLOON,
    "mm/page_run_stack": BALLOON,
    "mm/range_stack": BALLOON,
    "virtio": VIRTIO,
}
HELPER_GATES = {
    "balloon.c": BALLOON,
    "fault.c": VIRTIO,
    "isolation.c": BALLOON,
    "mock.c": VIRTIO,
    "virtio.c": VIRTIO,
}

# Where our modules go in the kernel's mm.rs, and its documentation.
MM_ANCHOR = "mod mmput_async;\n"
MM_DOC = "//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)\n"
MM_TOLD_OF = ("mm/free_walk", "mm/page_run", "mm/balloon", "mm/page_reporting", "mm/isolation")


# What the helpers do for kernels that lack something which the series brings.
HELPER_EDITS: tuple[Edit, ...] = (
    Cut("rust/helpers/isolation.c", "/*\n * Only kernels with", "#ifdef CONFIG_BALLOON_ISOLATION"),
    Cut("rust/helpers/isolation.c", "#else", "#endif"),
    Replace(
        "rust/helpers/balloon.c",
        '#include "page_reporting.h"\n',
        "#include <linux/page_reporting.h>\n",
    ),
    Cut("rust/helpers/drop_caches.c", "#elif defined(CONFIG_SYSCTL)", "#else"),
)

# Items of our modules that only later ones use: without them they would be dead code. An item is a
# function by its name, and comes with the module that is named last.
COMES_WITH: tuple[tuple[str, str, str], ...] = (
    ("workqueue", "flush", "virtio/mock"),
    ("virtio/lifecycle", "settle", "virtio/mock"),
    ("virtio/work", "settle", "virtio/mock"),
)

_ADMIN = "Documentation/admin-guide/virtio-balloon.rst"

# The same for other files of ours.
FILE_EDITS: tuple[Edit, ...] = (
    # The kernel crate keeps Device::as_raw() to itself.
    Cut(
        "rust/kernel/pm.rs",
        "/// Returns the C device. Upstream",
        "/// Keeps the machine from going to sleep while there is something to do for a device.",
    ),
    Replace(
        "rust/kernel/pm.rs",
        "_wakeup_capable(as_raw(&dev), true)",
        "_wakeup_capable(dev.as_raw(), true)",
    ),
    Replace(
        "rust/kernel/pm.rs", "pm_stay_awake(as_raw(&self.dev))", "pm_stay_awake(self.dev.as_raw())"
    ),
    Replace("rust/kernel/pm.rs", "pm_relax(as_raw(&self.dev))", "pm_relax(self.dev.as_raw())"),
    Replace(
        "rust/kernel/mm/isolation.rs",
        "isolate free blocks: it needs the patches of\n/// `tools/kernel/patches`.\n",
        "isolate free blocks.\n",
    ),
    Replace(
        _ADMIN,
        " It\nneeds a kernel with the patches in ``tools/kernel/patches``.\n",
        "\n",
    ),
    Replace(
        _ADMIN,
        "    Linux 7.2 or newer with ``CONFIG_RUST=y``, ``CONFIG_VIRTIO_BALLOON`` "
        "built as a module or in,\n"
        "    and the module. The patches in ``tools/kernel/patches`` are not "
        "necessary; with them the driver can\n"
        "    isolate free blocks (:doc:`balloon-strategies`).\n",
        "    A kernel with ``CONFIG_VIRTIO_BALLOON_RUST``.\n",
    ),
    Replace(
        _ADMIN,
        "The module is built and installed as :doc:`installation` says. In the guest, to see "
        "that all is well\n",
        "In the guest, to see that all is well\n",
    ),
    Replace(
        _ADMIN,
        "A module that was installed with ``make install`` or as\n"
        "a package sees to that itself, and brings ``virtio-balloon-driver``, which says who has "
        "the device and lets you choose:\n"
        ":doc:`installation`. Without it:\n",
        "Two ways to prevent it:\n",
    ),
    Replace(
        _ADMIN,
        "report. The guest has to have a kernel with the patches in "
        "``tools/kernel/patches``; any other answers with the\n"
        "error. The limits",
        "report. The limits",
    ),
)

_BALLOON_KCONFIG = """
config RUST_BALLOON_ABSTRACTIONS
	bool "Rust abstractions for memory balloons"
	depends on RUST
	select BALLOON
	select PAGE_REPORTING
	help
	  This enables the Rust abstractions for drivers that take memory
	  out of the page allocator on behalf of a hypervisor, or tell it
	  which memory is free.

	  Drivers that need it select it.
"""

_TEST_KCONFIG = """config RUST_BALLOON_KUNIT_TEST
	bool "KUnit tests for the Rust abstractions of free memory and virtio" if !KUNIT_ALL_TESTS
	select IRQ_WORK
	default KUNIT_ALL_TESTS
	help
	  This option enables KUnit tests for the Rust abstractions of free
	  memory, memory balloons and virtio, and a virtio device in memory
	  that tests of drivers can use. These are only for development and
	  testing, not for regular kernel use cases.

	  If unsure, say N.

"""

_VIRTIO_KCONFIG = """config RUST_VIRTIO_ABSTRACTIONS
	bool "Rust abstractions for virtio"
	depends on RUST && VIRTIO=y
	select RUST_BALLOON_ABSTRACTIONS
	help
	  This enables the Rust abstractions for drivers of virtio devices.
	  Buffers belong to the device while it has them, and work of a
	  device ends before the device goes: the types see to that.

	  The abstractions are part of the kernel, so virtio has to be, too.
	  Drivers that need them select this.

"""

_DRIVER_KCONFIG = """config VIRTIO_BALLOON_RUST
	tristate "Virtio balloon driver in Rust"
	depends on RUST && VIRTIO=y
	depends on VIRTIO_BALLOON!=y
	select RUST_VIRTIO_ABSTRACTIONS
	help
	  This driver gives memory of the guest to its host and takes it
	  back as the host asks for it, and tells the host which memory is
	  free. It does what the driver in C does, and can in addition
	  isolate free memory while the host is told of it, report it as a
	  bitmap, and drop caches.

	  A device has one driver, the first that comes along. The driver in
	  C would always be that if it were built in, so it cannot be built
	  in together with this one. If both are modules, the administrator
	  chooses by which of them is loaded.

	  To compile this as a module, choose M here: the module will be
	  called virtio_balloon_rs.

	  If unsure, say N.

"""

_DRIVER_TEST_KCONFIG = """config VIRTIO_BALLOON_KUNIT_TEST
	bool "KUnit tests for the virtio balloon driver in Rust" if !KUNIT_ALL_TESTS
	depends on VIRTIO_BALLOON_RUST
	depends on RUST_BALLOON_KUNIT_TEST
	default KUNIT_ALL_TESTS
	help
	  This option has the driver tested with a device in memory that
	  does what no device should do. The tests run as the driver is
	  loaded, or at boot. In debugfs there will be files through which
	  more such devices can be played.

	  If unsure, say N.

"""

_MAKEFILE = """obj-$(CONFIG_VIRTIO_BALLOON_RUST) += virtio_balloon_rs.o
virtio_balloon_rs-y := virtio_balloon_main.o virtio_balloon/events.o
"""

_C_DRIVER = "obj-$(CONFIG_VIRTIO_BALLOON) += virtio_balloon.o\n"
_C_KCONFIG = (
    "\t This driver supports increasing and decreasing the amount\n"
    "\t of memory within a KVM guest.\n\n"
    "\t If unsure, say M.\n\n"
)


def _sample(symbol: str, title: str, depends: str, module: str, what: str) -> tuple[Edit, ...]:
    help_text = "".join(f"\t  {line}\n" for line in what.splitlines())
    return (
        Replace(
            "samples/rust/Kconfig",
            "config SAMPLE_RUST_HOSTPROGS\n",
            f'config {symbol}\n\ttristate "{title}"\n{depends}\thelp\n{help_text}\n'
            "\t  To compile this as a module, choose M here:\n"
            f"\t  the module will be called {module}.\n\n\t  If unsure, say N.\n\n"
            f"config SAMPLE_RUST_HOSTPROGS\n",
        ),
        After(
            "samples/rust/Makefile",
            "obj-$(CONFIG_SAMPLE_RUST_SOC)\t\t\t+= rust_soc.o\n",
            f"obj-$(CONFIG_{symbol})\t\t+= {module}.o\n",
        ),
    )


COVER_LETTER = """
This adds a driver for the virtio balloon in Rust, and what it takes:
abstractions for free memory, memory balloons and virtio.

It does what the driver in C does, and three things more. Free memory can be
isolated while the host is told of it, so that nothing depends on when the
host looks at its dirty log. The host can ask for free memory as a bitmap, at
any time. And pages in the balloon are told as ranges. The last two are
extensions of the device; they are specified in the last patch, and not part
of the virtio standard.

The first four patches are for mm/ and fs/, and are of use without the rest.
Each abstraction comes with what the C side lacks for it (rust/helpers) and
with its tests. The driver has no unsafe code.
"""

PATCHES: tuple[Patch, ...] = (
    Patch(
        "",
        "",
        ready="0001-mm-balloon-let-drivers-take-free-blocks-out-of-the-p.patch",
        builds=("mm/",),
    ),
    Patch(
        "",
        "",
        ready="0002-mm-balloon-test-the-isolation-of-free-blocks.patch",
        edits=(
            Replace(
                "mm/tests/balloon_kunit.c",
                "};\nkunit_test_suite(balloon_test_suite);\n",
                "};\n\nkunit_test_suite(balloon_test_suite);\n",
            ),
        ),
        builds=("mm/",),
    ),
    Patch(
        "",
        "",
        ready="0003-fs-drop_caches-let-a-balloon-driver-drop-caches.patch",
        edits=(
            Replace(
                "MAINTAINERS",
                "F:\tinclude/linux/fs.h\nF:\tinclude/linux/fs_types.h\n",
                "F:\tinclude/linux/drop_caches.h\nF:\tinclude/linux/fs.h\n"
                "F:\tinclude/linux/fs_types.h\n",
            ),
        ),
        builds=("fs/drop_caches.o",),
    ),
    Patch(
        "mm/page_reporting: declare the order for drivers",
        """page_reporting_order is exported for drivers, which are to set it before they
register if the kernel's own default does not suit them. But it is declared in a
header that only mm/ can include, so that each of them would have to repeat it.

Declare it where the rest of the interface is.""",
        edits=(
            Replace("mm/page_reporting.h", "extern unsigned int page_reporting_order;\n", ""),
            Replace(
                "mm/page_reporting.h",
                "#include <linux/jump_label.h>\n",
                "#include <linux/jump_label.h>\n#include <linux/page_reporting.h>\n",
            ),
            Replace(
                "include/linux/page_reporting.h",
                "/* Tear-down and bring-up for page reporting devices */\n",
                "/* Smallest order of the blocks that are reported */\n"
                "extern unsigned int page_reporting_order;\n\n"
                "/* Tear-down and bring-up for page reporting devices */\n",
            ),
        ),
        builds=("mm/",),
    ),
    Patch(
        "rust: kvec: make vectors without code that can panic",
        """Pushing to a vector computes its new length, which may panic when overflows are
checked. A driver that must not have any such code, because its input comes from
a host that it does not trust, cannot use that.

Add two functions that make a vector of a known length.""",
        modules=("kvec",),
        owns=("rust/kernel/kvec.rs",),
    ),
    Patch(
        "rust: sync: wait for an event, for a limited time",
        """Completion can only be waited for without a limit. A driver that waits for a
device must be able to give up, and to wait for the next event with what it
waited with before.

Add an event that can be armed again, and waited for with a time limit.""",
        modules=("sync/event",),
        edits=(
            After("rust/kernel/sync.rs", "mod condvar;\n", "mod event;\n"),
            After(
                "rust/kernel/sync.rs",
                "pub use condvar::{new_condvar, CondVar, CondVarTimeoutResult};\n",
                "pub use event::Event;\n",
            ),
        ),
        owns=("rust/kernel/sync/event.rs",),
    ),
    Patch(
        "rust: thread: run something that nobody waits for",
        """What may take longer than anybody should have to wait, as dropping all caches,
needs a thread of its own that is not frozen, and that keeps its module loaded.

Add a function that runs a closure in such a thread.""",
        modules=("thread",),
        edits=(
            Replace(
                "rust/kernel/Kconfig.test",
                "config RUST_BITFIELD_KUNIT_TEST\n",
                _TEST_KCONFIG + "config RUST_BITFIELD_KUNIT_TEST\n",
            ),
        ),
        headers=(),
        owns=("rust/helpers/kthread.c", "rust/kernel/thread.rs"),
    ),
    Patch(
        "rust: pm: tell drivers before the machine sleeps",
        """A driver that waits for its device in a thread of the kernel's has to let go
before tasks are frozen, and one that was asked for something right before a
suspend has to keep the machine awake until it has answered.

Add a notifier, and a device's wakeup source.""",
        modules=("pm",),
        headers=(),
        owns=("rust/helpers/pm.c", "rust/kernel/pm.rs"),
    ),
    Patch(
        "rust: mm: describe ranges of page frames",
        """Code that looks for free memory, and tells somebody of it, deals with numbers of
page frames that are not its own. Give these a type that is never empty and never
wraps around, a set of runs that merges neighbours, and the logic of a walk along
free lists, without the lists: all of it can be tested without a kernel's memory.""",
        modules=(
            "mm",
            "mm/free_list",
            "mm/free_list_test",
            "mm/pfn_range",
            "mm/run_set",
            "testing",
        ),
        headers=("linux/gfp.h", "linux/mmzone.h", "linux/poison.h"),
        owns=(
            "rust/helpers/page_alloc.c",
            "rust/kernel/mm/free_list*.rs",
            "rust/kernel/mm/pfn_range.rs",
            "rust/kernel/mm/run_set.rs",
            "rust/kernel/testing.rs",
        ),
    ),
    Patch(
        "rust: mm: walk along the free lists",
        """A driver may want to know which memory is free without taking it. The only way to
learn it quickly is to go along the free lists under the lock of a zone.

Add zones and nodes, and a walk that holds the lock for a bounded number of
entries at a time, finds its place again, and reports how long each hold took.
What it finds is a hint: it may be in use again by the time somebody acts on it.""",
        modules=("mm/free_walk", "mm/zone"),
        owns=("rust/helpers/mmzone.c", "rust/kernel/mm/free_walk.rs", "rust/kernel/mm/zone.rs"),
    ),
    Patch(
        "rust: workqueue: stop work, and start it again",
        """Work items own a reference to themselves while they are queued, and cannot be
cancelled. Work that belongs to a device must have ended before the device goes,
must not be queued while the device is suspended, and goes on after that.

Add work that can be stopped and started again, and queues of one's own.""",
        modules=("workqueue",),
        edits=(
            After(
                "rust/kernel/workqueue.rs",
                "use core::{marker::PhantomData, ptr::NonNull};\n",
                "\nmod stoppable;\n\npub use stoppable::*;\n",
            ),
        ),
        owns=("rust/kernel/workqueue/stoppable.rs",),
    ),
    Patch(
        "rust: mm: hold pages, and put them into a balloon",
        """A memory balloon takes pages out of the allocator and keeps them for as long as
its host has the memory. Some of them can be moved, so that compaction is not in
the way; whole blocks cannot, but are what a host can use best.

Add runs of pages that were allocated, lists of these that need no memory, and a
balloon of pages and blocks with the kernel's accounting.""",
        modules=(
            "mm/balloon",
            "mm/balloon_blocks",
            "mm/page_run",
            "mm/page_run_stack",
            "mm/range_stack",
        ),
        headers=("linux/balloon.h",),
        edits=(
            Replace(
                "mm/Kconfig",
                "#\n# support for memory balloon page migration\nconfig BALLOON_MIGRATION\n",
                _BALLOON_KCONFIG.lstrip("\n")
                + "\n#\n# support for memory balloon page migration\nconfig BALLOON_MIGRATION\n",
            ),
        ),
        owns=(
            "rust/helpers/balloon.c",
            "rust/kernel/mm/balloon*.rs",
            "rust/kernel/mm/page_run*.rs",
            "rust/kernel/mm/range_stack.rs",
        ),
    ),
    Patch(
        "rust: mm: isolate free blocks",
        """Memory that is neither free nor in use while a hypervisor is told of it can be
left out of a migration without relying on when the hypervisor looks at its dirty
log, and can be discarded. Unlike memory that was allocated it does not have to
be zeroed first.

Add a type for such blocks, which puts them back when it is dropped.""",
        modules=("mm/isolated_run", "mm/isolation", "mm/isolation_test"),
        owns=("rust/helpers/isolation.c", "rust/kernel/mm/isolat*.rs"),
    ),
    Patch(
        "rust: mm: report free pages",
        """Free page reporting tells a driver of blocks that are free for a while, and keeps
them isolated until the driver returns.

Add a registration that ends before its driver goes, and lends the blocks for the
time of the call.""",
        modules=("mm/page_reporting",),
        headers=("linux/page_reporting.h",),
        owns=("rust/kernel/mm/page_reporting.rs",),
    ),
    Patch(
        "rust: mm: be asked for memory before a process is killed",
        """A driver that has taken memory from the guest can give it back when there is none
left, instead of having a process killed for it.

Add the notifier of the OOM killer.""",
        modules=("mm/oom",),
        headers=("linux/oom.h",),
        owns=("rust/kernel/mm/oom.rs",),
    ),
    Patch(
        "rust: mm: add shrinkers",
        """A driver that holds free memory for a while gives it back under memory pressure
through a shrinker.

Add a registration, with callbacks that say in their documentation what they must
not wait for.""",
        modules=("mm/shrinker",),
        owns=("rust/kernel/mm/shrinker.rs",),
    ),
    Patch(
        "rust: mm: read the statistics of memory",
        """A balloon driver tells its host how the guest uses its memory.

Add the counters that such statistics are made of.""",
        modules=("mm/vmstat",),
        owns=("rust/helpers/vmstat.c", "rust/kernel/mm/vmstat.rs"),
    ),
    Patch(
        "rust: mm: drop caches",
        """Before it migrates or saves a guest, a host may want caches dropped that only have
copies of what is on some disk.

Add what the sysctl does, for drivers whose owner allows that. It leaves the line
in the log that the sysctl leaves.""",
        modules=("mm/drop_caches",),
        owns=("rust/helpers/drop_caches.c", "rust/kernel/mm/drop_caches.rs"),
    ),
    Patch(
        "rust: add bitmaps that are scattered over pages",
        """A bitmap of a guest's memory is larger than what can be allocated in one piece when
memory is short, and a device takes it in pieces anyway.

Add a bitmap whose pieces lie anywhere, that is written in order, and that knows
which part of it is complete.""",
        modules=("scatter_bitmap", "scatter_bitmap_test"),
        owns=("rust/kernel/scatter_bitmap*.rs",),
    ),
    Patch(
        "rust: tracepoint: declare tracepoints that are safe to call",
        """declare_trace!() makes an unsafe function and has its arguments computed whether
anybody listens or not. A driver without unsafe code cannot call that, and one
that counts for its events only does not want to.

Add a macro that makes a structure of each event, whose fields are the arguments,
and that fills it in if somebody listens.""",
        modules=("tracepoint",),
        edits=(
            After(
                "rust/kernel/tracepoint.rs",
                "pub use declare_trace;\n",
                "\nmod safe;\n\npub use safe::*;\n",
            ),
        ),
        owns=("rust/kernel/tracepoint/safe.rs",),
    ),
    Patch(
        "virtio_balloon: describe a bitmap of free pages, and extents",
        """Two extensions of the balloon device: the host asks for the free memory of a part
of the guest as a bitmap, and pages that go into the balloon are told as ranges.
The documentation that comes with the driver specifies both.

They are not part of the virtio specification, and their feature bits are not
reserved.""",
        files=(
            "include/uapi/linux/virtio_balloon_bitmap.h",
            "include/uapi/linux/virtio_balloon_extents.h",
        ),
        owns=("include/uapi/linux/virtio_balloon_*.h",),
    ),
    Patch(
        "rust: add abstractions for virtio",
        """Add the bus, devices, features, the configuration space, virtqueues, and work of
devices, for drivers in Rust.

A buffer is moved into a virtqueue and comes back when the device has returned it;
what it never returned is dropped after the reset. So nobody can use memory that
the device may write to. Work ends before the device is reset, and other parts of
the kernel get at the device for a moment only, while it is live. The order of a
device's life, over probe, suspend, resume and removal, cannot be left by a
driver: the types see to that where they can.

Two kinds of buffers are for memory balloons: bitmaps that are scattered over
pages, and free pages that are reported. A report must not return before the
device has answered, also if the device is removed meanwhile, or breaks; so its
virtqueue says what becomes of one that the device does not answer, and lets none
begin while the machine goes to sleep.""",
        modules=(
            "virtio",
            "virtio/access",
            "virtio/buffer",
            "virtio/bus_device",
            "virtio/config",
            "virtio/fault",
            "virtio/feature",
            "virtio/lifecycle",
            "virtio/out_bitmap",
            "virtio/report_queue",
            "virtio/report_sleep",
            "virtio/virtqueue",
            "virtio/work",
        ),
        headers=(
            "linux/virtio.h",
            "linux/virtio_config.h",
            "linux/virtio_ring.h",
            "uapi/linux/virtio_ids.h",
            "uapi/linux/virtio_ring.h",
        ),
        edits=(
            Replace(
                "drivers/virtio/Kconfig",
                "config VIRTIO_BALLOON\n",
                _VIRTIO_KCONFIG + "config VIRTIO_BALLOON\n",
            ),
        ),
        owns=(
            "rust/helpers/fault.c",
            "rust/helpers/virtio.c",
            "rust/kernel/virtio.rs",
            "rust/kernel/virtio/access.rs",
            "rust/kernel/virtio/bu*.rs",
            "rust/kernel/virtio/config.rs",
            "rust/kernel/virtio/f*.rs",
            "rust/kernel/virtio/lifecycle.rs",
            "rust/kernel/virtio/out_bitmap.rs",
            "rust/kernel/virtio/report_*.rs",
            "rust/kernel/virtio/virtqueue.rs",
            "rust/kernel/virtio/work.rs",
        ),
        builds=("drivers/virtio/",),
    ),
    Patch(
        "rust: virtio: add a device in memory for tests",
        """What a driver does when its device misbehaves can only be tested with a device that
does. Add one in memory: tests read and write its rings, its configuration and its
status, and call back from all contexts that a transport calls back from.""",
        modules=(
            "virtio/mock",
            "virtio/mock/config",
            "virtio/mock/context",
            "virtio/mock/hardware",
            "virtio/mock/memory",
            "virtio/mock/observer",
            "virtio/mock/operations",
            "virtio/mock/queues",
            "virtio/mock/ring",
            "virtio/mock/setup",
            "virtio/mock/traffic",
        ),
        owns=("rust/helpers/mock.c", "rust/kernel/virtio/mock.rs", "rust/kernel/virtio/mock/"),
        builds=("drivers/virtio/",),
    ),
    Patch(
        "rust: debugfs: make files while they are read",
        """The content of a file in debugfs is made in one go, into a buffer that is doubled and
filled anew until all of it fits. That does not do for what is long, changes, or has
to be waited for.

Add files that are made a record at a time, where each reader has a place of its
own. They have an owner, so that a module stays as long as one of its files is
open.""",
        modules=("debugfs/stream",),
        edits=(
            After(
                "rust/kernel/debugfs.rs",
                "mod entry;\n#[cfg(CONFIG_DEBUG_FS)]\nuse entry::Entry;\n",
                "\nmod stream;\n"
                "pub use stream::{\n    Stream,\n    StreamDir,\n    StreamFile, //\n};\n",
            ),
        ),
        owns=("rust/kernel/debugfs/stream.rs",),
    ),
    Patch(
        "virtio_balloon: add a driver in Rust",
        """It does all that the driver in C does: inflate and deflate, statistics, hints of
free pages, free page reporting, poisoned pages, deflating when there is no memory
left. It has no unsafe code and nothing that can panic, and does not trust its
host: any value is checked, and a device that breaks, does not answer, or goes,
costs no more than its own function.

In addition it can isolate free memory while the host is told of it, report it as
a bitmap, tell of pages by ranges, and drop caches if the guest's owner allows
that. Its tracepoints and counters show what it does.

The driver in C cannot be built in beside it: it would always get the device. If
both are modules, the administrator chooses.""",
        files=(
            "drivers/virtio/virtio_balloon.rs",
            "drivers/virtio/virtio_balloon",
            "include/trace/events/virtio_balloon.h",
        ),
        headers=(
            "linux/virtio_balloon.h",
            "linux/virtio_balloon_bitmap.h",
            "linux/virtio_balloon_extents.h",
            "trace/events/virtio_balloon.h",
        ),
        edits=(
            After("drivers/virtio/Kconfig", _C_KCONFIG, _DRIVER_KCONFIG),
            After("drivers/virtio/Makefile", _C_DRIVER, _MAKEFILE),
        ),
        owns=(
            "drivers/virtio/virtio_balloon/*",
            "drivers/virtio/virtio_balloon_main.rs",
            "include/trace/events/virtio_balloon.h",
        ),
        builds=("drivers/virtio/",),
    ),
    Patch(
        "virtio_balloon: test the driver in Rust",
        """Play the device's side of every protocol, as the specification has it and as no
device should do it: before, during and after probe, suspend and removal. Through
debugfs a test program can play more such devices.""",
        files=(
            "drivers/virtio/virtio_balloon/fuzz",
            "drivers/virtio/virtio_balloon/fuzz.rs",
            "drivers/virtio/virtio_balloon/tests",
            "drivers/virtio/virtio_balloon/tests.rs",
        ),
        edits=(After("drivers/virtio/Kconfig", _DRIVER_KCONFIG, _DRIVER_TEST_KCONFIG),),
        owns=("drivers/virtio/virtio_balloon/fuzz/", "drivers/virtio/virtio_balloon/tests/"),
        builds=("drivers/virtio/",),
    ),
    Patch(
        "samples: rust: add a virtio driver",
        """A minimal driver of another virtio device shows that the abstractions are not made
for the balloon alone, and where to begin.""",
        files=("samples/rust/rust_virtio_rng.rs",),
        edits=_sample(
            "SAMPLE_RUST_VIRTIO_RNG",
            "Virtio entropy device",
            "\tdepends on VIRTIO=y\n\tselect RUST_VIRTIO_ABSTRACTIONS\n",
            "rust_virtio_rng",
            "This option builds the Rust sample of a virtio driver, which\n"
            "reads from the device of the host's entropy.",
        ),
        owns=("samples/rust/rust_virtio_rng.rs",),
        only_with="samples/rust/rust_virtio_rng.rs",
        builds=("samples/rust/",),
    ),
    Patch(
        "samples: rust: show the free blocks of the memory",
        """A module that walks along the free lists and lists what it finds in debugfs shows
how to use the walk, and how fragmented a machine's memory is.""",
        files=("samples/rust/rust_free_blocks.rs",),
        edits=_sample(
            "SAMPLE_RUST_FREE_BLOCKS",
            "Free blocks of the memory",
            "\tdepends on DEBUG_FS\n",
            "rust_free_blocks",
            "This option builds the Rust sample that shows through debugfs\n"
            "which blocks of the memory are free.",
        ),
        owns=("samples/rust/rust_free_blocks.rs",),
        only_with="samples/rust/rust_free_blocks.rs",
        builds=("samples/rust/",),
    ),
    Patch(
        "docs: describe the virtio balloon driver in Rust",
        """Its parameters and what they are for, its tracepoints, and the specifications of the
two extensions.""",
        files=(
            "Documentation/admin-guide/virtio-balloon-tracing.rst",
            "Documentation/admin-guide/virtio-balloon.rst",
            "Documentation/virt/balloon-extents.rst",
            "Documentation/virt/free-page-bitmap.rst",
        ),
        edits=(
            After(
                "Documentation/admin-guide/index.rst",
                "   video-output\n",
                "   virtio-balloon\n   virtio-balloon-tracing\n",
            ),
            After(
                "Documentation/virt/index.rst",
                "   guest-halt-polling\n",
                "   balloon-extents\n   free-page-bitmap\n",
            ),
        ),
        owns=(
            "Documentation/admin-guide/virtio-balloon*.rst",
            "Documentation/virt/balloon-extents.rst",
            "Documentation/virt/free-page-bitmap.rst",
        ),
    ),
)
