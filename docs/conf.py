"""Sphinx: `make docs`. The notebooks are shown as they are, not run."""

import shutil
from pathlib import Path

import spikefinder_keras

project = "spikefinder_keras"
author = "the spikefinder_keras developers"
release = version = spikefinder_keras.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 5,  # as many as fit into 1,280 px
}
# The pages are in the header; the column at the left would stand empty.
html_sidebars = {"**": []}
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_title = "spikefinder_keras"

nb_execution_mode = "off"
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"

# Sphinx reads what lies below this folder only.
_here = Path(__file__).parent
shutil.copytree(_here.parent / "notebooks", _here / "notebooks", dirs_exist_ok=True)
