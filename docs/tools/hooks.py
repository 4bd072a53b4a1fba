"""Hooks for what MkDocs does beside rendering: pages from elsewhere in the repository.

Links are written as they work in the repository (``../benchmarks/README.md``, ``../NOTICE.md``).
Here they are led to the page, and a file that is no page is copied into the site. A link to what
does not exist stays as it is, and MkDocs reports it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

_REPOSITORY = Path(__file__).resolve().parents[2]

#: Pages that lie outside of docs/, by glob.
_PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "NOTICE.md",
    "benchmarks/*.md",
    "examples/README.md",
    "models/*/README.md",
    "models/*/card.md",
)

_LINK = re.compile(r"(!?\[[^]]*\]\()([^)\s#:]+)(#[^)\s]*)?\)")
_MARK = re.compile(r"<!-- (?:made: |end of )[^\n]+? -->")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the cards of all models to the navigation."""
    (models,) = (entry["Models"] for entry in config.nav or [] if "Models" in entry)
    cards = [path.relative_to(_REPOSITORY) for path in _pages() if path.parts[-3] == "models"]
    models += [{f"{path.parent.name}: {_KIND[path.name]}": path.as_posix()} for path in cards]
    return config


_KIND = {"README.md": "what it is", "card.md": "card"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    for path in _pages():
        target = _site_path(path.relative_to(_REPOSITORY).as_posix())
        files.append(File.generated(config, target, abs_src_path=str(path)))
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    files.append(File.generated(config, "code.css", content=colours))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links to where their targets lie in the site; the marks of generated text go."""
    markdown = _MARK.sub("", markdown)
    here = page.file.src_uri
    return _LINK.sub(lambda match: _linked(match, here, config, files), markdown)


def _pages() -> list[Path]:
    return [path for pattern in _PAGES for path in sorted(_REPOSITORY.glob(pattern))]


def _linked(match: re.Match[str], here: str, config: MkDocsConfig, files: Files) -> str:
    text, link, anchor = match[1], match[2], match[3] or ""
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(_source_path(here)), link))
    if not (_REPOSITORY / wanted).is_file():
        return match[0]
    target = _site_path(wanted)
    if files.get_file_from_path(target) is None:
        files.append(File.generated(config, target, abs_src_path=str(_REPOSITORY / wanted)))
    return f"{text}{posixpath.relpath(target, posixpath.dirname(here) or '.')}{anchor})"


def _site_path(path: str) -> str:
    """A path in the repository to its path in the site's sources."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _source_path(path: str) -> str:
    """The inverse of :func:`_site_path`."""
    if path == "index.md":
        return "README.md"
    return f"docs/{path}" if (_REPOSITORY / "docs" / path).is_file() else path
