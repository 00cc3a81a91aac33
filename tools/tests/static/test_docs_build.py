# SPDX-License-Identifier: GPL-2.0
"""The documentation builds, the pages' and the Rust code's, and nothing is said meanwhile."""

import sys

import pytest


@pytest.mark.parametrize("target", ["docs-html", "docs-rust"])
def test_no_warnings(run, value, target):
    python = f"PYTHON={sys.executable}"
    result = run("make", "-s", target, python, KDIR=value("KDIR_CHECK"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "arning" not in result.stderr
    assert result.stdout.splitlines()[-1].startswith("build/docs/")


def test_a_warning_is_an_error(run, tree, tmp_path):
    """A reference that leads nowhere."""
    (tmp_path / "conf.py").write_text((tree / "Documentation/conf.py").read_text())
    (tmp_path / "index.rst").write_text("Title\n=====\n\n:doc:`nowhere`\n")
    options = ("-q", "-W", "--keep-going", "-n", "-b", "html")
    result = run(sys.executable, "-m", "sphinx", *options, tmp_path, tmp_path / "html")
    assert result.returncode != 0
    assert "unknown document: 'nowhere'" in result.stderr
