# SPDX-License-Identifier: GPL-2.0
"""`make install` into a directory, what is there then, and that `make uninstall` leaves nothing of it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.checks import module_signature

SCRIPTS = Path(__file__).resolve().parents[2] / "install"
MODULE = "virtio_balloon_rs"
FILES = {
    "usr/sbin/virtio-balloon-driver": 0o755,
    "usr/lib/modprobe.d/virtio-balloon-rs.conf": 0o644,
    "usr/lib/udev/rules.d/60-virtio-balloon-rs.rules": 0o644,
}
ALIAS = "virtio:d00000005v00001AF4"


def _sbin(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert found, f"{name} is not there: install the package kmod"
    return found


def _files(top):
    return {str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir()}


def _error(result, code=1):
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def copy(tree, tmp_path_factory):
    """A copy of the tree: what is built for the check kernel must not pass for the user's module."""
    copy = tmp_path_factory.mktemp("install") / "tree"
    copy.mkdir()
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=tree, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        if (tree / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree / name, copy / name)
    return copy


def test_install_and_uninstall(run, value, copy, tmp_path):
    """On a system that has the C driver, too: ours is loaded first, and afterwards all is as it was."""
    kdir = Path(value("KDIR_CHECK"))
    release = (kdir / "include/config/kernel.release").read_text().strip()
    modules = tmp_path / "lib/modules" / release
    (modules / "kernel").mkdir(parents=True)
    shutil.copy(kdir / "drivers/virtio/virtio_balloon.ko", modules / "kernel")
    (modules / "modules.order").write_text("kernel/virtio_balloon.ko\n")
    (modules / "modules.builtin").touch()
    subprocess.run([_sbin("depmod"), "-b", tmp_path, release], check=True)
    before = _files(tmp_path)

    def make(target):
        return run("make", "-C", copy, target, f"KDIR={kdir}", f"DESTDIR={tmp_path}")

    def loaded_for(name):
        """The modules that modprobe would load for it, in order."""
        conf = tmp_path / "usr/lib/modprobe.d"
        command = [_sbin("modprobe"), "-d", tmp_path, "-S", release]
        command += ["-C", conf if conf.exists() else tmp_path / "usr", "--show-depends", name]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return list(dict.fromkeys(re.findall(r"(\w+)\.ko", lines)))

    (tmp_path / "usr").mkdir()
    assert loaded_for("virtio_balloon") == ["virtio_balloon"]
    result = make("install")
    assert result.returncode == 0, result.stdout + result.stderr
    found = _files(tmp_path)
    assert found - before == {*FILES, f"lib/modules/{release}/updates/{MODULE}.ko"}
    for name, mode in FILES.items():
        assert (tmp_path / name).stat().st_mode & 0o777 == mode
    assert loaded_for("virtio_balloon") == [MODULE, "virtio_balloon"]
    assert loaded_for(ALIAS)[0] == MODULE

    # Somebody chose the C driver in between.
    for name in ("etc/modprobe.d/virtio-balloon-rs.conf", "etc/udev/rules.d/60-virtio-balloon-rs.rules"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    result = make("uninstall")
    assert result.returncode == 0, result.stdout + result.stderr
    assert _files(tmp_path) == before
    assert not (modules / "updates").exists()
    assert not list((tmp_path / "etc").rglob("*")) if (tmp_path / "etc").exists() else True
    (tmp_path / "usr").mkdir(exist_ok=True)
    assert loaded_for("virtio_balloon") == ["virtio_balloon"]


def _openssl_key(directory, name):
    """A key in PEM and a certificate in DER, made as the guide has it."""
    directory.mkdir()
    key, certificate = directory / "MOK.priv", directory / "MOK.der"
    command = ["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500"]
    command += ["-subj", f"/CN={name}/", "-outform", "DER", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two pairs of a key and its certificate."""
    top = tmp_path_factory.mktemp("keys")
    return _openssl_key(top / "ours", "our modules"), _openssl_key(top / "other", "others")


@pytest.fixture(scope="module")
def sign_file(tree, tmp_path_factory):
    """The kernel's own. The tree of the check kernel has none, as it has no signed modules."""
    show = ["make", "-s", "print-KSRC"]
    shown = subprocess.run(show, cwd=tree, capture_output=True, text=True, check=True)
    source = Path(shown.stdout.strip())
    target = tmp_path_factory.mktemp("sign") / "sign-file"
    command = ["gcc", "-w", "-I", source / "tools/include/uapi", source / "scripts/sign-file.c"]
    subprocess.run([*command, "-lcrypto", "-o", target], check=True)
    return target


@pytest.fixture
def tools(value):
    """What a tree that is not in the cache has to be told: the tools of the one that is."""
    known = {}
    for path in (Path(value("CACHE")) / "state").glob("*.env"):
        known.update(re.findall(r"^FOUND_(\w+)=(.*)$", path.read_text(), re.MULTILINE))
    names = ("RUSTC", "BINDGEN", "LLVM", "LIBCLANG_PATH")
    path = f"{known['LLVM_BIN']}:{os.environ['PATH']}"
    return {name: known[name] for name in names} | {"PATH": path}


def _modinfo(module, field):
    command = [_sbin("modinfo"), "-F", field, module]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_signed(run, value, copy, keys, sign_file, tools, tmp_path):
    """It is signed with the key that was given. openssl's verdict stands for a kernel's."""
    built = Path(value("KDIR_CHECK"))
    kdir = tmp_path / "kdir"
    (kdir / "scripts").mkdir(parents=True)
    for path in [*built.iterdir(), *(built / "scripts").iterdir()]:
        if path.name != "scripts":
            (kdir / path.relative_to(built)).symlink_to(path)
    (kdir / "scripts/sign-file").symlink_to(sign_file)
    root = tmp_path / "root"
    release = (kdir / "include/config/kernel.release").read_text().strip()
    module = root / f"lib/modules/{release}/updates/{MODULE}.ko"
    # Of an earlier installation, without a key.
    module.parent.mkdir(parents=True)
    module.with_suffix(".ko.xz").touch()
    (key, certificate), (_, other) = keys
    words = [f"KDIR={kdir}", f"DESTDIR={root}", f"SIGN_KEY={key}", f"SIGN_CERT={certificate}"]
    words += [f"{name}={tools[name]}" for name in ("RUSTC", "BINDGEN", "LLVM")]
    result = run("make", "-C", copy, "install", *words, **tools)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"signed           with {key}" in result.stdout
    assert [path.name for path in module.parent.iterdir()] == [module.name]
    assert _modinfo(module, "sig_id") == "PKCS#7"
    assert _modinfo(module, "signer") == "our modules"
    assert _modinfo(module, "sig_hashalgo") == "sha256"

    module_signature.verify(module, certificate)
    with pytest.raises(module_signature.NotSigned):
        module_signature.verify(module, other)
    content = bytearray(module.read_bytes())
    content[len(content) // 2] ^= 1
    module.write_bytes(content)
    with pytest.raises(module_signature.NotSigned):
        module_signature.verify(module, certificate)


def test_key_that_does_not_fit(run, kernel, keys, sign_file, tmp_path):
    """Said before anything is built or installed: the tree has nothing to build with."""
    (kernel / "scripts").mkdir()
    (kernel / "scripts/sign-file").symlink_to(sign_file)
    (kernel / "include/config/auto.conf").touch()
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("not a key\n")
    (key, certificate), (other_key, _) = keys
    for given in ((other_key, certificate), (nonsense, certificate), (key, nonsense)):
        words = [f"SIGN_KEY={given[0]}", f"SIGN_CERT={given[1]}"]
        result = run("make", "install", f"KDIR={kernel}", f"DESTDIR={tmp_path}/root", *words)
        assert f"nothing can be signed with SIGN_KEY={given[0]}" in _error(result, 2)
        assert not (tmp_path / "root").exists()
    result = run("bash", SCRIPTS / "install.sh", "check", kernel, DESTDIR=tmp_path / "root",
                 SIGN_KEY=key, SIGN_CERT=certificate)  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.fixture
def kernel(tmp_path):
    """What install.sh needs of a kernel tree."""
    tree = tmp_path / "kernel"
    (tree / "include/config").mkdir(parents=True)
    (tree / "include/config/kernel.release").write_text("7.3.0-test\n")
    return tree


def test_not_writable(run, fake, tree, kernel, tmp_path):
    """Said before the build; root could write anywhere, so a file is in the way."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/usr").symlink_to("/proc/self")
    message = _error(run("make", "install", f"KDIR={kernel}", f"DESTDIR={tmp_path}/root"), 2)
    assert "cannot write to" in message
    assert "Run this as root" in message


def test_relative_destination(run, kernel):
    assert "'here' is not an absolute path" in _error(
        run("make", "install", f"KDIR={kernel}", "DESTDIR=here"), 2
    )


def test_no_kernel(run, tmp_path):
    for target in ("install", "uninstall"):
        message = _error(run("make", target, f"KDIR={tmp_path}", f"DESTDIR={tmp_path}"), 2)
        assert "is not a built kernel tree" in message


def test_no_module(run, kernel, tmp_path):
    result = run("bash", SCRIPTS / "install.sh", "files", kernel, DESTDIR=tmp_path / "root")
    assert "run 'make install'" in _error(result)


def test_half_a_key(run, kernel, tmp_path):
    (tmp_path / "key").touch()
    for given, message in (
        ({"SIGN_KEY": tmp_path / "key"}, "SIGN_KEY= without SIGN_CERT="),
        ({"SIGN_CERT": tmp_path / "key"}, "SIGN_CERT= without SIGN_KEY="),
        ({"SIGN_KEY": tmp_path / "no", "SIGN_CERT": tmp_path / "key"}, "cannot read SIGN_KEY="),
        ({"SIGN_KEY": tmp_path / "key", "SIGN_CERT": tmp_path / "key"}, "no scripts/sign-file"),
    ):
        words = [f"{name}={path}" for name, path in given.items()]
        result = run("make", "install", f"KDIR={kernel}", f"DESTDIR={tmp_path}/root", *words)
        assert message in _error(result, 2)


def test_one_path_stands_for_both(run, kernel, tmp_path):
    """INSTALL_MOD_PATH alone does not touch this system."""
    root = tmp_path / "root"
    updates = root / "lib/modules/7.3.0-test/updates"
    updates.mkdir(parents=True)
    (updates / f"{MODULE}.ko.xz").touch()
    install = SCRIPTS / "install.sh"
    result = run("bash", install, "files", kernel, INSTALL_MOD_PATH=root, DESTDIR=None)
    assert result.returncode == 0, result.stderr
    assert "depmod           not run" in result.stdout
    assert set(FILES) < _files(root)
    result = run("bash", install, "remove", kernel, INSTALL_MOD_PATH=root, DESTDIR=None)
    assert result.returncode == 0, result.stderr
    assert not _files(root)


def test_shell(run):
    """dash, as that is what runs the tool."""
    assert run("sh", "-n", SCRIPTS / "virtio-balloon-driver.sh").returncode == 0
    assert run("bash", "-n", SCRIPTS / "install.sh").returncode == 0
    result = run("sh", SCRIPTS / "virtio-balloon-driver.sh", "--help")
    assert result.returncode == 0
    assert "take [DEVICE]" in result.stdout


def test_udev_rule():
    """It is about the device that the module is for, and calls what is installed."""
    (rule,) = (
        line for line in (SCRIPTS / "60-virtio-balloon-rs.rules").read_text().splitlines()
        if line and not line.startswith("#")
    )  # fmt: skip
    assert 'ATTR{device}=="0x0005"' in rule
    assert 'RUN+="/usr/sbin/virtio-balloon-driver take $kernel"' in rule
