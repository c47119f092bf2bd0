"""Settings of the documentation: Markdown by MyST, strict by `make docs`."""

project = "ramprig"
author = "The ramprig authors"
copyright = "The ramprig authors, Apache-2.0"

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "ramprig"
