# SPDX-License-Identifier: GPL-2.0
"""`make check-variants` without a kernel: fragments, choices, what is built from what, and the report."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tools.guest.errors import ToolError
from tools.variants import __main__ as command
from tools.variants import report, settings
from tools.variants.boot import Tried
from tools.variants.catalogue import Variant, catalogue, read
from tools.variants.report import Outcome

SETUP = Path("tools/setup")
KNOWN = {name: Variant(name, "about it", {"CONFIG_X": "n"}) for name in ("no-smp", "no-numa", "tiny")}


def fragment(tmp_path: Path, text: str, name: str = "some") -> Path:
    path = tmp_path / f"{name}.config"
    path.write_text(text)
    return path


def test_fragments(tree):
    found = catalogue()
    assert {"tiny", "no-smp", "no-numa", "no-sysctl", "no-debugfs", "no-pm", "no-balloon-migration"} <= set(found)
    page = (tree / "Documentation/development/portability.rst").read_text()
    for name, variant in found.items():
        assert variant.flavour == f"variant-{name}"
        assert f"``{name}``" in page, f"{name} is not in the documentation"
    # Each switches off something that the others have, and nothing that one cannot do without.
    together = {symbol for name, variant in found.items() if name != "tiny" for symbol in variant.settings}
    assert set(found["tiny"].settings) & together
    off = {key for variant in found.values() for key, value in variant.settings.items() if value == "n"}
    assert not {"CONFIG_RUST", "CONFIG_MODULES", "CONFIG_KUNIT", "CONFIG_VIRTIO_BALLOON"} & off


def test_read(tmp_path):
    path = fragment(tmp_path, "# What it\n# is.\n\nCONFIG_A=n\n# Why.\nCONFIG_B=5\n")
    assert read(path) == Variant("some", "What it is.", {"CONFIG_A": "n", "CONFIG_B": "5"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CONFIG_A=n\n", "begins with a comment"),
        ("# What it is.\n", "then settings"),
        ("# What it is.\nCONFIG_A=n\nCONFIG_A=y\n", "some.config:3: CONFIG_A is there twice"),
        ("# What it is.\nA=n\n", "some.config:2: 'A=n' is neither"),
        ("# What it is.\n# CONFIG_A is not set\nnonsense\n", "some.config:3: 'nonsense' is neither"),
    ],
)
def test_bad_fragment(tmp_path, text, message):
    with pytest.raises(ToolError, match=re.escape(message)):
        read(fragment(tmp_path, text))


def test_bad_name(tmp_path):
    with pytest.raises(ToolError, match="small letters"):
        read(fragment(tmp_path, "# What it is.\nCONFIG_A=n\n", "No_SMP"))


@pytest.mark.parametrize(
    ("variants", "boots", "chosen", "booted"),
    [
        ("", "", ["no-smp", "no-numa", "tiny"], {"tiny"}),
        ("no-numa, no-smp", "", ["no-smp", "no-numa"], set()),
        ("tiny", "none", ["tiny"], set()),
        ("no-smp,tiny", "all", ["no-smp", "tiny"], {"no-smp", "tiny"}),
        ("no-smp,tiny", "no-smp", ["no-smp", "tiny"], {"no-smp"}),
    ],
)
def test_choice(monkeypatch, variants, boots, chosen, booted):
    monkeypatch.setenv("VARIANTS", variants)
    monkeypatch.setenv("VARIANTS_BOOT", boots)
    found = settings.from_environment(KNOWN)
    assert [variant.name for variant in found.variants] == chosen
    assert found.boot == booted


def test_unknown_choice(monkeypatch):
    monkeypatch.setenv("VARIANTS", "no-smp,no-such")
    with pytest.raises(ToolError, match="VARIANTS: no-such is unknown: choose from no-smp, no-numa, tiny"):
        settings.from_environment(KNOWN)
    monkeypatch.setenv("VARIANTS", "no-smp")
    monkeypatch.setenv("VARIANTS_BOOT", "tiny")
    with pytest.raises(ToolError, match="VARIANTS_BOOT: tiny is not among the variants: choose from no-smp"):
        settings.from_environment(KNOWN)


def test_unknown_variant_by_make(run, value):
    result = run(value("PYTHON"), "-m", "tools.variants", VARIANTS="no-such")
    assert result.returncode == 2
    assert result.stderr.startswith("variants: VARIANTS: no-such is unknown: choose from c-driver-built-in, cma,")


# ---- Kernels ----------------------------------------------------------------------------------------

# Stands in for the kernel's source; it takes a configuration as it is, but for what LOST says.
SOURCE = """
allnoconfig:
\tgrep ^CONFIG_ $(KCONFIG_ALLCONFIG) | grep -vE '{lost}' >$(O)/.config
modules_prepare:
\t@mkdir -p $(O)/rust $(O)/include/config
\t@touch $(O)/rust/libkernel.rmeta
\t@echo 7.3.0 >$(O)/include/config/kernel.release
"""


@pytest.fixture
def fake_source(cache, tmp_path, value):
    """Replaces the kernel's source in that cache, with what the patches of ours change."""

    def fake_source(lost: str = "=n$$") -> None:
        source = tmp_path / "source"
        for patch in (SETUP.parent / "kernel/patches").glob("*.patch"):
            for name in re.findall(r"^--- a/(\S+)$", patch.read_text(), re.MULTILINE):
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_text((Path(value("KSRC")) / name).read_text())
        (source / "Makefile").write_text(SOURCE.format(lost=lost))
        (cache / "state/source.env").write_text(f"FOUND_KSRC={source}\nFOUND_KVERSION=7.3.0-1\n")

    return fake_source


def test_prepared_kernel(run, cache, fake_source):
    """It is good for the module of the variant, and for nothing else."""
    fake_source()
    kernel = (SETUP / "kernel.sh", "--prepare-only", "variant-no-smp")
    result = run(*kernel, XDG_CACHE_HOME=cache.parent)
    assert result.returncode == 0, result.stderr
    shown = run(SETUP / "show.sh", "KDIR_VARIANT_no-smp", XDG_CACHE_HOME=cache.parent)
    tree = Path(shown.stdout.strip())
    assert tree.name.startswith("prepared-")
    assert not (tree / ".complete").exists()

    # The fragments after the first override it.
    config = (tree / ".config").read_text().splitlines()
    assert "CONFIG_DEBUG_FS=y" in config
    assert not [line for line in config if line.startswith(("CONFIG_SMP=", "CONFIG_NET="))]
    requested = (tree / "requested.config").read_text().splitlines()
    assert "CONFIG_SMP=n" in requested
    assert "CONFIG_SMP=y" not in requested

    # A second time there is nothing to do; a whole kernel it is not.
    again = run(*kernel, XDG_CACHE_HOME=cache.parent, VBRS_MIN_DISK_MIB="999999999")
    assert again.returncode == 0, again.stderr
    whole = run(kernel[0], kernel[2], XDG_CACHE_HOME=cache.parent, VBRS_MIN_DISK_MIB="999999999")
    assert "not enough disk space" in whole.stderr

    # The next one takes its place.
    result = run(*kernel[:2], "variant-no-numa", XDG_CACHE_HOME=cache.parent)
    assert result.returncode == 0, result.stderr
    assert "CONFIG_SMP=y" in (tree / ".config").read_text().splitlines()
    assert run(SETUP / "show.sh", "KDIR_VARIANT_no-numa", XDG_CACHE_HOME=cache.parent).stdout == f"{tree}\n"
    shown = run(SETUP / "show.sh", "KDIR_VARIANT_no-smp", XDG_CACHE_HOME=cache.parent)
    assert "'no-smp' is not prepared" in shown.stderr


def test_another_source(run, cache, fake_source, tmp_path):
    """It is taken as it is, for variants alone, and each has kernels of its own in the cache."""
    fake_source()

    def show(name: str, **environment: str) -> str:
        return run(SETUP / "show.sh", name, XDG_CACHE_HOME=cache.parent, **environment).stdout.strip()

    kernel = (SETUP / "kernel.sh", "--prepare-only", "variant-no-smp")
    assert run(*kernel, XDG_CACHE_HOME=cache.parent).returncode == 0
    of_setup = show("KDIR_VARIANT_no-smp")
    trees = {of_setup}
    for name in ("one", "two"):
        other = tmp_path / name
        other.mkdir()
        (other / "Kconfig").touch()
        (other / "Makefile").write_text(
            "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 13\nEXTRAVERSION =\n"
            + SOURCE.format(lost="=n$$").replace("7.3.0", "7.2.13")
        )
        result = run(*kernel, XDG_CACHE_HOME=cache.parent, VARIANTS_KERNEL=str(other))
        assert result.returncode == 0, result.stderr
        tree = show("KDIR_VARIANT_no-smp", VARIANTS_KERNEL=str(other))
        assert (Path(tree) / "include/config/kernel.release").read_text() == "7.2.13\n"
        trees.add(tree)
        assert sorted(path.name for path in other.iterdir()) == ["Kconfig", "Makefile"]
    assert len(trees) == 3
    assert show("KDIR_VARIANT_no-smp") == of_setup
    assert show("KSRC", VARIANTS_KERNEL=str(other)) == show("KSRC")


@pytest.mark.parametrize("wrong", ["nowhere", "."])
def test_no_other_source(run, cache, tmp_path, wrong):
    """A whole tree of something else is no better than none."""
    for command in (("kernel.sh", "variant-no-smp"), ("show.sh", "KDIR_VARIANT_no-smp")):
        result = run(
            SETUP / command[0], command[1], XDG_CACHE_HOME=cache.parent, VARIANTS_KERNEL=str(tmp_path / wrong)
        )
        assert result.returncode == 1
        assert f"VARIANTS_KERNEL={tmp_path / wrong} is not the source of a kernel" in result.stderr


@pytest.mark.parametrize(("lost", "refused"), [("=n$$|^CONFIG_DEBUG_FS=", "CONFIG_DEBUG_FS"), ("^$$", "CONFIG_")])
def test_setting_without_effect(run, cache, fake_source, lost, refused):
    """What is not as the fragment says is an error, whether it is missing or still there."""
    fake_source(lost)
    if lost == "^$$":
        # Kconfig sets what is to be off.
        makefile = cache.parents[1] / "source/Makefile"
        makefile.write_text(makefile.read_text().replace("| grep", "| sed 's/=n$$/=y/' | grep"))
    result = run(SETUP / "kernel.sh", "--config-only", "variant-no-smp", XDG_CACHE_HOME=cache.parent)
    assert result.returncode == 1
    assert f"the variant-no-smp kernel's configuration refuses: {refused}" in result.stderr


def test_no_such_kernel(run, cache):
    result = run(SETUP / "kernel.sh", "variant-fancy", XDG_CACHE_HOME=cache.parent)
    assert "no kernel variant 'fancy'" in result.stderr
    result = run("make", "module-variant", "VARIANT=no-smp", XDG_CACHE_HOME=cache.parent)
    assert result.returncode == 2
    assert "run 'make check-variants VARIANTS=no-smp'" in result.stderr


# ---- What came of it --------------------------------------------------------------------------------

def test_report(tmp_path):
    outcomes = [
        Outcome("tiny", "all", "7.2.13", "whole", "built", "built", "built", Tried(40, 300, 2, (9, 8))),
        Outcome("no-smp", "one", "7.3.4", "prepared", "built", "built", "built"),
        Outcome("no-pm", "one", "7.3.4", "prepared", failure="the module failed: make module-variant"),
        Outcome("cma", "one", "7.3.4", "whole", "built", "built", "built", failure="KUnit: a: b failed"),
    ]
    text = io.StringIO()
    report.show(outcomes, Console(file=text, width=60))
    rows = [line for line in text.getvalue().splitlines() if line.startswith("│")]
    lines = {row.strip("│").split()[0]: row for row in rows}
    assert "300 passed in 40 suites, 2 skipped" in lines["tiny"]
    assert "(9 and 8 elements)" in lines["tiny"]
    assert "7.2.13" in lines["tiny"]
    assert lines["no-smp"].count("not tried") == 2
    assert lines["cma"].count("failed") == 2
    assert "no-pm: the module failed: make module-variant\n" in text.getvalue()
    report.write(outcomes, tmp_path)
    assert "KUnit: a: b failed" in (tmp_path / report.FILE).read_text()


@pytest.mark.parametrize(("fails", "status"), [(True, 1), (False, 0)])
def test_one_failure_does_not_stop_the_others(monkeypatch, tmp_path, fails, status):
    seen = []

    def module(variant, kunit):
        seen.append((variant.name, kunit))
        if fails and variant.name == "no-numa":
            raise ToolError("the module failed")
        return tmp_path / "module.ko"

    monkeypatch.setattr(command, "catalogue", lambda: KNOWN)
    monkeypatch.setattr(command.build, "kernel", lambda variant, whole: None)
    monkeypatch.setattr(command.build, "release", lambda variant: "7.3.0")
    monkeypatch.setattr(command.build, "module", module)
    monkeypatch.setattr(command.build, "samples", lambda variant: seen.append((variant.name, None)))
    monkeypatch.setattr(command.paths, "RESULTS", tmp_path)
    monkeypatch.setenv("VARIANTS", "")
    monkeypatch.setenv("VARIANTS_BOOT", "none")
    assert command.main() == status
    assert seen[-3:] == [("tiny", False), ("tiny", True), ("tiny", None)]
    assert (("no-numa", True) in seen) != fails
