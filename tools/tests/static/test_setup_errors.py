# SPDX-License-Identifier: GPL-2.0
"""What goes wrong on other people's machines ends early, with one message that says what to do."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SETUP = Path("tools/setup")
PREFIX = "virtio-balloon-rs: error: "


def errors(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The messages of ours on standard error."""
    return [line.removeprefix(PREFIX) for line in result.stderr.splitlines() if line.startswith(PREFIX)]


def the_error(result: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one message of a run that failed as it should."""
    assert result.returncode == status, result.stdout + result.stderr
    found = errors(result)
    assert len(found) == 1, result.stderr
    return found[0]


def front_of_path(directory: Path) -> str:
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


# ---- Kernel trees -----------------------------------------------------------------------------------

RUSTC = "rustc 1.96.0 (0123456789 2026-01-01)"
SYMBOLS = [
    "__register_virtio_driver",
    "virtqueue_add_inbuf_premapped",
    "page_reporting_register",
    "register_oom_notifier",
    "shrinker_alloc",
    "disable_work_sync",
    "node_data",
]


@pytest.fixture
def kdir(tmp_path: Path) -> Path:
    """What the pre-flight check looks at in a good kernel tree; each test breaks one thing."""
    tree = tmp_path / "kdir"
    (tree / "include/config").mkdir(parents=True)
    (tree / "rust").mkdir()
    (tree / "Makefile").touch()
    (tree / "rust/libkernel.rmeta").touch()
    (tree / "include/config/kernel.release").write_text("7.3.4\n")
    options = ["MODULES", "RUST", "CC_IS_CLANG", "VIRTIO", "PAGE_REPORTING", "BALLOON", "NUMA"]
    text = "".join(f"CONFIG_{option}=y\n" for option in options)
    (tree / "include/config/auto.conf").write_text(f'{text}CONFIG_RUSTC_VERSION_TEXT="{RUSTC}"\n')
    text = "".join(f"0x00000000\t{symbol}\tvmlinux\tEXPORT_SYMBOL_GPL\t\n" for symbol in SYMBOLS)
    (tree / "Module.symvers").write_text(text)
    return tree


@pytest.fixture
def tools(fake):
    """Tools that match the fake tree."""
    fake("rustc", f"echo '{RUSTC}'")
    fake("clang", "exit 0")
    return fake("bindgen", 'case "$1" in --version) echo bindgen 0.72.0 ;; esac')


@pytest.fixture
def make(run, tools):
    """Runs make for a kernel tree with the fake tools."""

    def make(kdir: Path, target: str = "module", **changes: str) -> subprocess.CompletedProcess[str]:
        changes = {"PATH": front_of_path(tools), "RUSTC": None, "BINDGEN": None, "LLVM": None} | changes
        return run("make", target, f"KDIR={kdir}", **changes)

    return make


def test_good_tree_passes(run, kdir, tools):
    """The control for the tests below."""
    result = run(SETUP / "preflight.sh", kdir, PATH=front_of_path(tools), RUSTC=None, BINDGEN=None, LLVM=None)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_no_such_tree(make, tmp_path):
    assert "does not exist" in the_error(make(tmp_path / "nowhere"), 2)


def test_not_a_kernel(make, tmp_path):
    (tmp_path / "other").mkdir()
    assert "is not a built kernel tree" in the_error(make(tmp_path / "other"), 2)


@pytest.mark.parametrize("lost", ["include/config/kernel.release", "include/config/auto.conf"])
def test_source_that_was_not_built(make, kdir, lost):
    (kdir / lost).unlink()
    assert "is not a built kernel tree" in the_error(make(kdir), 2)


@pytest.mark.parametrize("release", ["6.12.5", "7.1.12-amd64"])
def test_old_kernel(make, kdir, release):
    (kdir / "include/config/kernel.release").write_text(f"{release}\n")
    message = the_error(make(kdir), 2)
    assert f"is Linux {release}; 7.2 or newer is needed" in message


@pytest.mark.parametrize("release", ["7.2.0", "7.3.0", "7.10.1", "8.0.0-rc1"])
def test_newer_kernel(run, kdir, tools, release):
    (kdir / "include/config/kernel.release").write_text(f"{release}\n")
    assert run(SETUP / "preflight.sh", kdir, PATH=front_of_path(tools), RUSTC=None).returncode == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("MODULES", "Set CONFIG_MODULES=y"),
        ("RUST", "Set CONFIG_RUST=y"),
        ("VIRTIO", "Set CONFIG_VIRTIO "),
        ("PAGE_REPORTING", "Set CONFIG_PAGE_REPORTING=y"),
        ("BALLOON", "Set CONFIG_VIRTIO_BALLOON=m"),
    ],
)
def test_option_missing(make, kdir, option, message):
    config = kdir / "include/config/auto.conf"
    config.write_text(config.read_text().replace(f"CONFIG_{option}=y\n", ""))
    assert message in the_error(make(kdir), 2)


def test_built_with_gcc(make, run, kdir, tools, fake):
    """Then gcc has to be there, and nothing of LLVM but what bindgen reads C with."""
    config = kdir / "include/config/auto.conf"
    config.write_text(config.read_text().replace("CC_IS_CLANG", "CC_IS_GCC"))
    fake("clang", "exit 1")
    path = front_of_path(tools)
    result = run(SETUP / "preflight.sh", kdir, PATH=path, RUSTC=None, BINDGEN=None, LLVM=None)
    assert result.returncode == 0, result.stderr
    assert "leave out LLVM=-19" in the_error(make(kdir, LLVM="-19"), 2)
    assert "no 'no-such-gcc' on PATH" in the_error(make(kdir, CC="no-such-gcc"), 2)


def test_other_rustc(make, kdir, fake):
    fake("rustc", "echo 'rustc 1.95.0 (ffff 2025-01-01)'")
    message = the_error(make(kdir), 2)
    assert f"was built by '{RUSTC}'" in message
    assert "is 'rustc 1.95.0 (ffff 2025-01-01)'" in message


def test_no_rustc(make, kdir):
    assert "no Rust compiler" in the_error(make(kdir, RUSTC="/nowhere/rustc"), 2)


def test_no_rust_metadata(make, kdir):
    (kdir / "rust/libkernel.rmeta").unlink()
    assert "no rust/libkernel.rmeta" in the_error(make(kdir), 2)


def test_no_symbol_table(make, kdir):
    (kdir / "Module.symvers").unlink()
    assert "no Module.symvers" in the_error(make(kdir), 2)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_symbol_missing(make, kdir, symbol):
    table = kdir / "Module.symvers"
    lines = [line for line in table.read_text().splitlines(keepends=True) if f"\t{symbol}\t" not in line]
    # A longer name that contains it is not it.
    table.write_text("".join(lines) + f"0x00000000\tx_{symbol}_x\tvmlinux\tEXPORT_SYMBOL\t\n")
    assert f"does not export: {symbol}." in the_error(make(kdir), 2)


def test_old_bindgen(make, kdir, fake):
    fake("bindgen", "echo bindgen 0.60.1")
    assert "bindgen 0.60.1 (bindgen) is too old" in the_error(make(kdir), 2)


def test_no_bindgen(make, kdir):
    assert "no bindgen" in the_error(make(kdir, BINDGEN="/nowhere/bindgen"), 2)


def test_no_libclang(make, kdir, fake):
    fake("bindgen", 'case "$1" in --version) echo bindgen 0.72.0 ;; *) echo no libclang >&2; exit 1 ;; esac')
    assert "finds no libclang" in the_error(make(kdir), 2)


def test_no_clang(make, kdir):
    assert "no 'clang-99' on PATH" in the_error(make(kdir, LLVM="-99"), 2)


# ---- The cache --------------------------------------------------------------------------------------


@pytest.fixture
def entry(cache: Path, value) -> Path:
    """The place of the check kernel in that cache, half-built."""
    entry = cache / "kernel" / Path(value("GUEST_KERNEL_CHECK")).parents[3].name
    (entry / "arch/x86/boot").mkdir(parents=True)
    (entry / "arch/x86/boot/bzImage").touch()
    return entry


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("KDIR", "setup"),
        ("KDIR_ANY", "setup"),
        ("GUEST_KERNEL", "setup"),
        ("KDIR_CHECK", "setup-check"),
        ("GUEST_KERNEL_CHECK", "setup-check"),
        ("KDIR_KASAN", "setup-kasan"),
        ("GUEST_KERNEL_KASAN", "setup-kasan"),
        ("QEMU_PATCHED", "setup"),
        ("KDIR_ARM64", "check-arm64"),
        ("GUEST_KERNEL_ARM64_64K", "check-arm64"),
        ("QEMU_ARM64", "check-arm64"),
        ("ROOT_ARM64", "check-arm64"),
        ("MODULE_ARM64", "check-arm64"),
    ],
)
def test_nothing_set_up(run, tmp_path, name, target):
    result = run("make", "-s", f"print-{name}", XDG_CACHE_HOME=tmp_path, KDIR=None)
    assert f"run 'make {target}'" in the_error(result, 2)
    assert result.stdout == ""


def test_build_without_kernel(run, tmp_path):
    result = run("make", XDG_CACHE_HOME=tmp_path, KDIR=None)
    message = the_error(result, 2)
    assert "run 'make setup'" in message
    assert "KDIR=" in message


def test_half_built_entry_is_not_used(run, cache, entry):
    result = run("make", "-s", "print-KDIR_CHECK", XDG_CACHE_HOME=cache.parent)
    assert "run 'make setup-check'" in the_error(result, 2)
    assert result.stdout == ""

    result = run("make", f"KDIR={entry}", XDG_CACHE_HOME=cache.parent)
    assert the_error(result, 2)

    # Only the stamp tells.
    (entry / ".complete").touch()
    result = run("make", "-s", "print-KDIR_CHECK", XDG_CACHE_HOME=cache.parent)
    assert result.stdout == f"{entry}\n"


def test_checks_take_the_kernel_that_is_there(run, cache, entry, tmp_path):
    """Clippy and panic-free by hand need no plain kernel, and take the tree that they are given."""
    (entry / ".complete").touch()
    result = run("make", "-s", "print-KDIR_ANY", XDG_CACHE_HOME=cache.parent, KDIR=None)
    assert result.stdout == f"{entry}\n"
    for target in ("clippy", "panic-free"):
        result = run("make", target, f"KDIR={tmp_path}/nowhere", XDG_CACHE_HOME=cache.parent)
        assert f"KDIR={tmp_path}/nowhere does not exist" in the_error(result, 2)


def test_half_built_entry_is_not_resumed(run, cache, entry):
    """The lack of disk stops the run right after it removed the rests."""
    result = run(SETUP / "kernel.sh", "check", XDG_CACHE_HOME=cache.parent, VBRS_MIN_DISK_MIB="999999999")
    assert "not enough disk space" in the_error(result)
    assert not entry.exists()


def test_other_configuration_is_another_entry(run, cache, entry, tree, tmp_path):
    """A checkout with other configuration fragments does not take this one's kernel."""
    (entry / ".complete").touch()
    other = tmp_path / "checkout"
    shutil.copytree(tree / "tools/setup", other / "tools/setup")
    shutil.copytree(tree / "tools/kernel", other / "tools/kernel")
    show = other / "tools/setup/show.sh"
    assert run(show, "KDIR_CHECK", XDG_CACHE_HOME=cache.parent).stdout == f"{entry}\n"
    with (other / "tools/kernel/plain.config").open("a") as config:
        config.write("CONFIG_SOMETHING_MORE=y\n")
    assert "no built check kernel" in the_error(run(show, "KDIR_CHECK", XDG_CACHE_HOME=cache.parent))


def test_too_little_disk(run, cache):
    result = run(SETUP / "kernel.sh", "plain", XDG_CACHE_HOME=cache.parent, VBRS_MIN_DISK_MIB="999999999")
    assert re.search(r"\d+ MiB free in .*, 999999999 MiB needed", the_error(result))


def test_too_little_memory(run, cache):
    result = run(SETUP / "kernel.sh", "plain", XDG_CACHE_HOME=cache.parent, VBRS_MIN_MEMORY_MIB="999999999")
    assert re.search(r"not enough memory .* 999999999 MiB needed", the_error(result))


def test_refused_option(run, cache, tree, tmp_path):
    """Kconfig drops what it cannot grant; set-up does not."""
    other = tmp_path / "checkout"
    shutil.copytree(tree / "tools/setup", other / "tools/setup")
    shutil.copytree(tree / "tools/kernel", other / "tools/kernel")
    with (other / "tools/kernel/plain.config").open("a") as config:
        config.write("CONFIG_NO_SUCH_OPTION=y\n")
    result = run(other / "tools/setup/kernel.sh", "--config-only", "plain", XDG_CACHE_HOME=cache.parent)
    assert "refuses: CONFIG_NO_SUCH_OPTION." in the_error(result)


def test_unknown_kernel(run, cache):
    assert "no kernel flavour 'fancy'" in the_error(run(SETUP / "kernel.sh", "fancy", XDG_CACHE_HOME=cache.parent))


def test_unknown_value(run):
    assert "no value named 'NONSENSE'" in the_error(run("make", "-s", "print-NONSENSE"), 2)


@pytest.mark.parametrize("place", ["relative", "/tmp/with blank", "/tmp/with:colon"])
def test_unusable_cache_directory(run, place):
    result = run(SETUP / "show.sh", "CACHE", XDG_CACHE_HOME=place)
    assert "XDG_CACHE_HOME" in the_error(result)


def test_no_home(run):
    result = run(SETUP / "show.sh", "CACHE", XDG_CACHE_HOME=None, HOME=None)
    assert "neither HOME nor XDG_CACHE_HOME" in the_error(result)


def test_runs_take_turns(run, cache):
    """A second run waits as long as the first holds the lock."""
    script = f'. {SETUP}/common.sh; lock_cache; echo "$1 in"; sleep 0.5; echo "$1 out"'
    command = f"bash -c '{script}' x one & bash -c '{script}' x two & wait"
    result = run("bash", "-c", command, XDG_CACHE_HOME=cache.parent)
    # Not among what others read from standard output.
    assert result.stderr.count("another set-up") == 1, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[0] == lines[1].split()[0], result.stdout
    assert [line.split()[1] for line in lines] == ["in", "out", "in", "out"], result.stdout


# ---- Building a kernel ------------------------------------------------------------------------------

# Stands in for the kernel's source: takes a configuration as it is, and "builds" as STEPS says.
KERNEL_MAKEFILE = """
allnoconfig:
\tgrep ^CONFIG_ $(KCONFIG_ALLCONFIG) >$(O)/.config
bzImage:
\t@echo '  CC      one.o'
\t@touch $(O)/began
\t@{steps}
\t@mkdir -p $(O)/arch/x86/boot $(O)/rust $(O)/drivers/virtio $(O)/include/config
\t@touch $(O)/arch/x86/boot/bzImage $(O)/Module.symvers $(O)/rust/libkernel.rmeta
\t@echo 7.3.0 >$(O)/include/config/kernel.release
modules: bzImage
\t@touch $(O)/drivers/virtio/virtio_balloon.ko
"""


@pytest.fixture
def fake_source(cache, tmp_path):
    """Replaces the kernel's source in that cache."""

    def fake_source(steps: str) -> Path:
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / "Makefile").write_text(KERNEL_MAKEFILE.format(steps=steps))
        (cache / "state/source.env").write_text(f"FOUND_KSRC={source}\nFOUND_KVERSION=7.3.0-1\n")
        return source

    return fake_source


def test_kernel_is_built_once(run, cache, fake_source):
    fake_source("true")
    assert run(SETUP / "kernel.sh", "plain", XDG_CACHE_HOME=cache.parent).returncode == 0
    shown = run(SETUP / "show.sh", "KDIR", XDG_CACHE_HOME=cache.parent)
    assert shown.returncode == 0
    assert (Path(shown.stdout.strip()) / ".complete").exists()

    # A second run does not build: this source could not.
    fake_source("false")
    assert run(SETUP / "kernel.sh", "plain", XDG_CACHE_HOME=cache.parent).returncode == 0


def test_patched_kernel(run, cache, fake_source, value):
    """The patches go into a copy, and all that they touch stays as it was in the original."""
    source = fake_source("true")
    names = re.findall(
        r"^--- a/(\S+)$",
        "".join(patch.read_text() for patch in (SETUP.parent / "kernel/patches").glob("*.patch")),
        re.MULTILINE,
    )
    before = {}
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        before[name] = (Path(value("KSRC")) / name).read_text()
        (source / name).write_text(before[name])
    assert run(SETUP / "kernel.sh", "check", XDG_CACHE_HOME=cache.parent).returncode == 0
    assert run(SETUP / "show.sh", "KDIR_CHECK", XDG_CACHE_HOME=cache.parent).returncode == 0
    (patched,) = source.parent.glob("source.patched-*")
    for name, text in before.items():
        assert (source / name).read_text() == text
        assert (patched / name).read_text() != text


def test_patch_that_does_not_apply(run, cache, fake_source):
    source = fake_source("true")
    result = run(SETUP / "kernel.sh", "check", XDG_CACHE_HOME=cache.parent)
    assert "does not apply to Linux 7.3.0-1" in the_error(result)
    names = [path.name for path in source.parent.glob("source.patched-*")]
    assert all(name.endswith(".new") for name in names), "it passes for patched"


def test_failing_kernel_build(run, cache, fake_source):
    fake_source("echo error: something is wrong; exit 1")
    result = run(SETUP / "kernel.sh", "plain", XDG_CACHE_HOME=cache.parent)
    assert "the build of the plain kernel failed" in the_error(result)
    assert "error: something is wrong" in result.stderr
    assert run(SETUP / "show.sh", "KDIR", XDG_CACHE_HOME=cache.parent).returncode == 1

    fake_source("true")
    assert run(SETUP / "kernel.sh", "plain", XDG_CACHE_HOME=cache.parent).returncode == 0


@pytest.mark.parametrize("command", [["bash", SETUP / "kernel.sh", "plain"], ["make", "setup"]], ids=["script", "make"])
def test_interrupted_kernel_build(run, cache, fake_source, tree, value, command):
    """What was interrupted stops, leaves no stamp, and does not stand in the way."""
    fake_source("sleep 300")
    env = os.environ | {"XDG_CACHE_HOME": str(cache.parent)}
    # What the other steps made is there already.
    for name in ("venv", "tools", "qemu"):
        (cache / name).symlink_to(Path(value("CACHE")) / name)
    builder = subprocess.Popen(command, cwd=tree, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if list(cache.glob("kernel/*/began")):
            break
        time.sleep(0.1)
    else:
        builder.terminate()
        pytest.fail("the build did not begin")
    builder.terminate()
    assert builder.wait(timeout=20) != 0
    began = time.monotonic()

    fake_source("true")
    result = run(SETUP / "kernel.sh", "plain", XDG_CACHE_HOME=cache.parent)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - began < 60, "something of the first build held the lock"


# ---- Packages ---------------------------------------------------------------------------------------


@pytest.fixture
def nothing_installed(fake):
    """A system where Debian's packages are missing. The real sudo would find the real apt-get."""
    fake("sudo", '[ "$1" != -n ] || shift; exec "$@"')
    return fake("dpkg-query", "exit 1")


def test_no_root(run, fake, nothing_installed, tmp_path):
    fake("id", "echo 1000")
    fake("sudo", "exit 1")
    fake("apt-get", f"touch {tmp_path}/called")
    result = run(SETUP / "packages.sh", PATH=front_of_path(nothing_installed), XDG_CACHE_HOME=tmp_path)
    message = the_error(result)
    assert "needs root or passwordless sudo" in message
    assert "apt-get update && apt-get install -y --no-install-recommends" in message
    assert " clang-19 " in message
    assert not (tmp_path / "called").exists()


def test_no_network_for_packages(run, fake, nothing_installed, tmp_path):
    fake("apt-get", "echo 'E: Unable to fetch' >&2; exit 100")
    result = run(SETUP / "packages.sh", PATH=front_of_path(nothing_installed), XDG_CACHE_HOME=tmp_path)
    assert "Is the package archive reachable?" in the_error(result)
    assert "E: Unable to fetch" in result.stderr


def test_failing_third_party_source(run, fake, nothing_installed, tmp_path):
    """An update that fails is no reason to stop if the packages can be installed."""
    lists = [SETUP / f"packages/{name}.list" for name in ("common", "debian-12", "debian-13")]
    everything = "".join(f"{line} installed\n" for path in lists for line in path.read_text().splitlines())
    fake("apt-get", f'case "$*" in *update*) exit 100 ;; *install*) touch {tmp_path}/installed ;; esac')
    (tmp_path / "everything").write_text(everything)
    fake("dpkg-query", f"[ ! -e {tmp_path}/installed ] || cat {tmp_path}/everything")
    result = run(SETUP / "packages.sh", PATH=front_of_path(nothing_installed), XDG_CACHE_HOME=tmp_path)
    assert result.returncode == 0, result.stderr


def test_no_network_for_kernel_source(run, fake, tmp_path):
    real = shutil.which("apt-get")
    path = fake("apt-get", f'case "$*" in *indextargets*) exec {real} "$@" ;; esac; exit 100')
    result = run(SETUP / "kernel-source.sh", PATH=front_of_path(path), XDG_CACHE_HOME=tmp_path)
    assert "no kernel source 7.3 or newer" in the_error(result)
    assert not list(tmp_path.glob("virtio-balloon-rs/tmp/*"))


def test_broken_kernel_package(run, tmp_path):
    (tmp_path / "broken.deb").write_text("no package")
    result = run(SETUP / "kernel-source.sh", XDG_CACHE_HOME=tmp_path, VBRS_KERNEL_DEB=tmp_path / "broken.deb")
    assert "is not a Debian package" in the_error(result)


def test_other_system(run, tmp_path):
    (tmp_path / "os-release").write_text("ID=fedora\nVERSION_ID=42\n")
    result = run(SETUP / "packages.sh", VBRS_OS_RELEASE=tmp_path / "os-release", XDG_CACHE_HOME=tmp_path)
    assert "this is 'fedora'" in the_error(result)


def test_old_debian(run, tmp_path):
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_ID="11"\nVERSION_CODENAME=bullseye\n')
    result = run(SETUP / "packages.sh", VBRS_OS_RELEASE=tmp_path / "os-release", XDG_CACHE_HOME=tmp_path)
    assert "Debian 11 is too old" in the_error(result)


def test_no_network_for_python(run, tmp_path, tree):
    """In a checkout of its own, for its requirements are in nobody's cache."""
    other = tmp_path / "checkout"
    shutil.copytree(tree / "tools/setup", other / "tools/setup")
    (other / "tools/requirements.txt").write_text("no-such-package-of-ours==0.0.1\n")
    result = run(other / "tools/setup/python.sh", XDG_CACHE_HOME=tmp_path, PIP_NO_INDEX="1")
    assert "Is the Python package index reachable?" in the_error(result)
    assert not list(tmp_path.glob("virtio-balloon-rs/venv/*/.complete"))


def test_no_rust_with_library_source(run, fake, tmp_path, cache):
    """A rustup compiler without the library's source is passed over."""
    fake("rustc", f'case "$1" in --print) echo {tmp_path} ;; --version) echo rustc 1.96.0 ;; esac')
    result = run(SETUP / "toolchain.sh", PATH=front_of_path(tmp_path / "fake-bin"), XDG_CACHE_HOME=cache.parent)
    assert result.returncode == 0, result.stderr
    assert f"FOUND_RUSTC={tmp_path}" not in (cache / "state/toolchain.env").read_text()


def test_old_qemu_on_newer_debian(run, fake, tmp_path):
    """Nothing to install from there, so say what to do."""
    path = fake("qemu-system-x86_64", "echo QEMU emulator version 7.2.22")
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')
    # A PATH that has the old one only; scripts look at /usr/bin as well, so the message depends on it.
    result = run(SETUP / "qemu.sh", PATH=front_of_path(path), XDG_CACHE_HOME=tmp_path, VBRS_OS_RELEASE=tmp_path / "os-release")
    state = tmp_path / "virtio-balloon-rs/state/qemu.env"
    if result.returncode == 0:
        assert str(path) not in state.read_text()
    else:
        assert "no qemu-system-x86_64 of version 9.0 or newer" in the_error(result)
