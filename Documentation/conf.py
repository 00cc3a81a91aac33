# SPDX-License-Identifier: GPL-2.0
"""How Sphinx builds this folder by itself, see `make docs`.

The pages use nothing but what Sphinx has without extensions, so that the kernel's own
Documentation/ can take them as they are.
"""

project = "virtio-balloon-rs"
author = "The virtio-balloon-rs developers"
project_copyright = "GPL-2.0, like the kernel"

# Every reference has to lead somewhere, `make docs` takes a warning for an error.
nitpicky = True

html_theme = "alabaster"
html_theme_options = {
    "description": "A virtio-balloon guest driver in Rust",
    "fixed_sidebar": True,
    "page_width": "1100px",
    "sidebar_width": "260px",
}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_show_sphinx = False
html_show_sourcelink = False

# What is in a literal block is not Python unless it says so.
highlight_language = "none"
