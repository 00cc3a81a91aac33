# SPDX-License-Identifier: GPL-2.0
"""`make series` makes patches that apply to the kernel, and checkpatch.pl --strict is content."""

from pathlib import Path

import pytest

from tools.series import (
    apply,
    c_helpers,
    checkpatch,
    convert,
    maintainers,
    model,
    produce,
    rust_source,
    table,
)

# In the place of git's configuration.
IDENTITY = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "user.name",
    "GIT_CONFIG_VALUE_0": "make check",
    "GIT_CONFIG_KEY_1": "user.email",
    "GIT_CONFIG_VALUE_1": "make-check@localhost",
}


@pytest.fixture(scope="module")
def kernel(value) -> Path:
    """The kernel's source."""
    return Path(value("KSRC"))


@pytest.fixture(scope="module")
def series(run, tree, tmp_path_factory) -> list[Path]:
    """The patches, made as people make them, by somebody: a fresh machine has no name for git."""
    out = tmp_path_factory.mktemp("series") / "out"
    result = run("make", "-s", "series", f"SERIES={out}", **IDENTITY)
    assert result.returncode == 0, result.stdout + result.stderr
    patches = sorted(out.glob("*.patch"))
    assert patches[0].name == "0000-cover-letter.patch"
    assert len(patches) == len(produce.chosen(tree)) + 1
    return patches[1:]


def test_patches_apply(series, kernel, tmp_path):
    apply.copy_touched(series, kernel, tmp_path)
    for patch in series:
        apply.apply(patch, tmp_path)
    entry = (tmp_path / "MAINTAINERS").read_text().split(maintainers.TITLE)[1].split("\n\n")[0]
    assert "F:\tdrivers/virtio/virtio_balloon/" in entry
    assert (tmp_path / "drivers/virtio/virtio_balloon_main.rs").exists()


def test_nothing_of_the_facade_is_left(series):
    for patch in series:
        added = [line for line in patch.read_text().splitlines() if line.startswith("+")]
        left = [line for line in added if "kernel_next" in line or "KERNEL_NEXT" in line]
        assert not left, f"{patch.name}: {left}"
        assert not [
            line for line in added if "bindings::next_" in line or "bindings::NEXT_" in line
        ]


def test_checkpatch_is_content(series, kernel):
    said = [text for patch in series if (text := checkpatch.complaints(kernel, patch))]
    assert not said, "\n".join(said)


def test_checkpatch_would_complain(series, kernel, tmp_path):
    bad = tmp_path / "bad.patch"
    bad.write_text(series[4].read_text().replace("Signed-off-by:", "Signed-by:"))
    assert "MISSING_SIGN_OFF" in checkpatch.complaints(kernel, bad)


@pytest.mark.parametrize(
    "edit", [model.After("a/b.rs", "here\n", "new\n"), model.Replace("a/b.rs", "here\n", "new\n")]
)
@pytest.mark.parametrize("text", ["nothing\n", "here\nhere\n"])
def test_a_rule_that_does_not_match_is_named(edit, text):
    with pytest.raises(model.SeriesError, match=r"a/b\.rs: the rule '.*here.*' has to match once"):
        edit.apply(text)


def test_a_cut_takes_what_is_between():
    cut = model.Cut("a.c", "#elif b", "#else")
    assert cut.apply("#if a\n1\n#elif b\n2\n\n#else\n3\n#endif\n") == "#if a\n1\n#else\n3\n#endif\n"
    for text in ("#if a\n#else\n", "#elif b\n#elif b\n#else\n", "#else\n#elif b\n#endif\n"):
        with pytest.raises(model.SeriesError, match=r"a\.c: the rule 'cut from '#elif b''"):
            cut.apply(text)


def test_a_file_without_a_patch_is_named(tree, kernel, monkeypatch):
    left_out = [patch for patch in table.PATCHES if "pm" not in patch.modules]
    monkeypatch.setattr(table, "PATCHES", tuple(left_out))
    sources = convert.Sources(tree, kernel)
    patches = produce.chosen(tree)
    with pytest.raises(model.SeriesError, match=r"no patch of .* has rust/kernel/pm\.rs"):
        produce.check_complete(sources, patches, produce.files_of(sources, patches))


HELPERS = """\
#include <linux/a.h>

static int next_own(int a)
{
	return a;
}

/* What it is for. */
__rust_helper int rust_helper_next_one(int a)
{
	return next_own(a);
}

__rust_helper int rust_helper_next_two(int a)
{
	return a;
}
"""


def test_a_helper_comes_with_its_first_user():
    head, chunks = c_helpers.split(HELPERS)
    assert head == "#include <linux/a.h>\n"
    assert c_helpers.select(chunks, set()) == []
    assert [chunk.defines for chunk in c_helpers.select(chunks, {"two"})] == [{"two"}]
    one = "\n".join(chunk.text for chunk in c_helpers.select(chunks, {"one"}))
    # What is static can only be used by what is not declared to be inlined.
    assert "\nint rust_helper_one(int a)\n{\n\treturn rust_own(a);\n}\n" in c_helpers.convert(one)
    two = c_helpers.convert(chunks[2].text)
    assert two.startswith("__rust_helper int rust_helper_two(int a)\n")


def test_what_comes_later_is_left_out():
    text = "impl A {\n    /// One.\n    fn one(&self) {\n        if x {\n        }\n    }\n\n"
    text += "    /// Two.\n    #[cfg(Y)]\n    pub(crate) fn two(&self) {}\n}\n"
    assert "fn one" not in (left := rust_source.without("a.rs", text, "one"))
    assert "/// One." not in left and "pub(crate) fn two" in left
    left = rust_source.without("a.rs", text, "two")
    assert left.endswith("        }\n    }\n}\n")
    with pytest.raises(model.SeriesError, match=r"a\.rs: the rule 'fn three comes later'"):
        rust_source.without("a.rs", text, "three")


def test_what_no_rule_knows_is_named():
    with pytest.raises(model.SeriesError, match=r"a\.rs: no rule knows .*kernel_next::mm"):
        rust_source.convert("a.rs", "use kernel_next::mm;\n")
