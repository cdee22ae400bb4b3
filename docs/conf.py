"""Sphinx: `make docs` builds these pages; a warning is an error."""

project = "mlops-template"
author = "The MLOps Template authors"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_show_copyright = False
smartquotes = False  # two hyphens of an option stay two
exclude_patterns = ["_build"]
