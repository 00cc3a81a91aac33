# SPDX-License-Identifier: GPL-2.0
"""What is for Debian, as far as it takes neither Debian 13 nor root: the package, and the errors.

The rest is `make check-debian` and `make check-deb`.
"""

import re
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[3]
DEBIAN = TREE / "tools/debian"
RELEASE = "7.3.9+deb13-amd64"
RUSTC = "rustc 1.85.1 (4eb161250 2025-03-15)"
CONFIG = f"""CONFIG_CC_VERSION_TEXT="some-gcc (Debian 14.2.0-19) 14.2.0"
CONFIG_RUST=y
CONFIG_RUSTC_VERSION_TEXT="{RUSTC}"
CONFIG_BINDGEN_VERSION_TEXT="bindgen 0.71.1"
"""


def _error(result, code=1):
    assert result.returncode == code, result.stdout + result.stderr
    assert result.stdout == ""
    (line,) = (line for line in result.stderr.splitlines() if "virtio-balloon-rs: error:" in line)
    return line


@pytest.mark.parametrize("script", sorted(DEBIAN.rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_parse(run, script):
    result = run("bash", "-n", script)
    assert result.returncode == 0, result.stderr


# ---- What the headers lack --------------------------------------------------------------------------


@pytest.fixture
def headers(tmp_path):
    """What Debian's headers have, as far as is looked at before anything is built."""
    headers = tmp_path / "headers"
    headers.mkdir()
    (headers / ".config").write_text(CONFIG)
    (headers / "Module.symvers").write_text("0x00000000\t_RNv4core3new\tvmlinux\tEXPORT_SYMBOL_GPL\t\n")
    return headers


@pytest.fixture
def rust_tree(run, fake, headers, tmp_path):
    """Runs the script with compilers that fit."""
    fake("rustc", f"echo '{RUSTC}'")
    fake("some-gcc", "echo 'some-gcc (Debian 14.2.0-19) 14.2.0'")
    path = fake("bindgen", "echo bindgen 0.71.1")

    def rust_tree(release=RELEASE, **changes):
        env = {
            "PATH": f"{path}:/usr/bin:/bin",
            "RUSTC": path / "rustc",
            "BINDGEN": path / "bindgen",
            "XDG_CACHE_HOME": tmp_path,
            "VBRS_DEBIAN_HEADERS": headers,
        } | changes
        return run(DEBIAN / "rust-tree.sh", release, **env)

    return rust_tree


def test_no_headers(rust_tree, tmp_path):
    message = _error(rust_tree(VBRS_DEBIAN_HEADERS=tmp_path / "no"))
    assert f"apt-get install linux-headers-{RELEASE}" in message


def test_kernel_without_rust(rust_tree, headers):
    (headers / ".config").write_text(CONFIG.replace("CONFIG_RUST=y\n", ""))
    assert "is built without Rust" in _error(rust_tree())


def test_old_kernel(rust_tree):
    assert "7.3 or newer is needed" in _error(rust_tree("6.12.5+deb13-amd64"))


def test_no_release(rust_tree):
    for release in ("", "../7.3"):
        assert "usage: rust-tree.sh" in _error(rust_tree(release))


def test_other_compilers(rust_tree, fake):
    """Each of the three has to be the one that built the kernel."""
    for name, words in (("rustc", "rustc 1.96.1"), ("bindgen", "bindgen 0.72.0"), ("some-gcc", "gcc 15")):
        path = fake(name, f"echo '{words}'")
        message = _error(rust_tree())
        assert words in message
        assert "tools/debian/chroot.sh" in message
        (path / name).unlink()
        message = _error(rust_tree())
        assert "apt-get install make rustc" in message
        fake("rustc", f"echo '{RUSTC}'")
        fake("bindgen", "echo bindgen 0.71.1")


def test_no_source(rust_tree, tmp_path):
    message = _error(rust_tree(VBRS_DEBIAN_SOURCE=tmp_path / "no.tar.xz"))
    assert "apt-get install linux-source-7.3" in message


# Stands in for the kernel's source: what the tools make of the configuration, and of the crates.
MAKEFILE = """
olddefconfig:
\t@{configure}
prepare:
\tmkdir -p $(O)/rust/kernel $(O)/scripts
\ttouch $(O)/rust/kernel/generated_arch.rs
\tfor name in libcore libkernel libbindings; do touch $(O)/rust/$$name.rmeta; done
\ttouch $(O)/rust/libmacros.so $(O)/scripts/target.json
\techo 'EXPORT_SYMBOL_RUST_GPL({symbol});' >$(O)/rust/exports_core_generated.h
"""


@pytest.fixture
def source(tmp_path):
    def source(configure="true", symbol="_RNv4core3new"):
        source = tmp_path / "source"
        (source / "rust").mkdir(parents=True, exist_ok=True)
        (source / "rust/bindgen_parameters").write_text("# what bindgen is told\n")
        (source / "Makefile").write_text(MAKEFILE.format(configure=configure, symbol=symbol))
        return source

    return source


@pytest.fixture
def whole(headers):
    """The rest of what headers have."""
    (headers / "scripts").mkdir()
    (headers / "scripts/modpost").touch()
    (headers / "include").mkdir()
    (headers / "Makefile").write_text("KBUILD_OUTPUT=/usr/src/there\ninclude /usr/src/common/Makefile\n")
    return headers


def test_other_configuration(rust_tree, source, whole):
    """With other tools, Kconfig's answer is another."""
    where = source(configure="echo CONFIG_MORE=y >>$(O)/.config")
    message = _error(rust_tree(VBRS_DEBIAN_SOURCE=where))
    assert "the configuration is not that of the kernel" in message
    assert "> CONFIG_MORE=y" in message


def test_other_symbols(rust_tree, source, whole):
    where = source(symbol="_RNv4core5other")
    assert "1 functions of Rust of other names" in _error(rust_tree(VBRS_DEBIAN_SOURCE=where))


def test_the_tree(rust_tree, source, whole):
    """It has what the headers have and what they lack, and is made once."""
    result = rust_tree(VBRS_DEBIAN_SOURCE=source())
    assert result.returncode == 0, result.stderr
    tree = Path(result.stdout.strip())
    made = ("libkernel.rmeta", "libmacros.so", "bindgen_parameters", "kernel/generated_arch.rs")
    for name in made:
        assert (tree / "rust" / name).exists()
    for name in ("scripts/target.json", "scripts/modpost", "include", ".config", "Module.symvers"):
        assert (tree / name).exists()
    assert (tree / "Makefile").read_text() == f"KBUILD_OUTPUT={tree}\ninclude /usr/src/common/Makefile\n"

    # This source could not be built.
    where = source(symbol="_RNv4core5other")
    assert rust_tree(VBRS_DEBIAN_SOURCE=where).stdout == result.stdout
    # A later version of the package, with the same release.
    with (whole / ".config").open("a") as config:
        config.write("CONFIG_LATER=y\n")
    assert rust_tree(VBRS_DEBIAN_SOURCE=where).returncode == 1


# ---- The package ------------------------------------------------------------------------------------


def test_package(run):
    """What is in it, and that its scripts parse."""
    result = run("make", "deb", "VERSION=1.2~test")
    assert result.returncode == 0, result.stderr
    package = TREE / "build/virtio-balloon-rs-dkms_1.2~test_all.deb"
    listing = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True)
    control = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, check=True)
    scripts = {}
    for name in ("postinst", "prerm", "postrm"):
        told = subprocess.run(["dpkg-deb", "-I", package, name], capture_output=True, text=True, check=True)
        scripts[name] = told.stdout
    package.unlink()
    files = re.findall(r"^(\S+) root/root .* \./(\S+[^/])$", listing.stdout, re.MULTILINE)
    modes = {name: mode for mode, name in files}
    source = "usr/src/virtio-balloon-rs-1.2~test"
    for name in ("dkms.conf", "Kbuild", "Makefile", "drivers/virtio/virtio_balloon.rs", "COPYING"):
        assert f"{source}/{name}" in modes
    for name in ("rust/kernel/lib.rs", "include/trace/events/virtio_balloon.h"):
        assert f"{source}/{name}" in modes
    assert modes["usr/sbin/virtio-balloon-driver"] == "-rwxr-xr-x"
    assert "usr/lib/modprobe.d/virtio-balloon-rs.conf" in modes
    assert "usr/lib/udev/rules.d/60-virtio-balloon-rs.rules" in modes
    assert not [name for name in modes if re.search(r"\.(o|ko|cmd)$|_generated\.rs$|/tests/", name)
                and "virtio_balloon/tests/" not in name]  # fmt: skip
    assert "Version: 1.2~test\n" in control.stdout
    assert ", rustc, rust-src, bindgen, " in control.stdout
    for name, text in scripts.items():
        assert "@" not in text.replace("@localhost", ""), name
        assert run("sh", "-n", "-c", text).returncode == 0, name


def test_wrong_version(run):
    for version in ("new", "1/2", "1 2"):
        result = run("make", "-s", "deb", f"VERSION={version}")
        assert "is no version for a package" in _error(result, 2)


def test_dkms_build_is_told_what_to_build(run):
    result = run("bash", DEBIAN / "dkms-build.sh", "7.3")
    assert result.returncode == 2
    assert "usage: dkms-build.sh RELEASE KDIR" in result.stderr


@pytest.mark.parametrize("script", ["chroot.sh", "check-deb.sh", "check-debian.sh"])
def test_takes_root(run, fake, script):
    path = fake("id", "echo 1000")
    result = run(DEBIAN / script, PATH=f"{path}:/usr/bin:/bin")
    assert "takes root: run this as root" in _error(result)


def test_packages_are_those_of_the_guide():
    listed = re.sub(r"#.*", "", (DEBIAN / "packages.list").read_text()).split()
    page = (TREE / "Documentation/admin-guide/installation.rst").read_text()
    assert f"    apt-get install {' '.join(listed)}\n" in page
