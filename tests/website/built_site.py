"""What stands in the HTML of the site that `zensical build` wrote: the pages, with their links, anchors and parts."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import keras_buildfix
import keras_buildfix.testing

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / ".tox" / "site"
#: Attributes through which a browser loads something by itself, by element.
LOADED = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "object": "data"}


@dataclass
class Page(HTMLParser):
    """One page: its address in the site, its links, its anchors and what it makes a browser load."""

    name: str
    links: list = field(default_factory=list)
    in_text: list = field(default_factory=list)  # the links of the article, without navigation, header and footer
    anchors: set = field(default_factory=set)
    loads: list = field(default_factory=list)
    _in_article: bool = False

    def __post_init__(self):
        super().__init__()
        self.feed((SITE / self.name).read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self._in_article |= tag == "article"
        self.anchors.update(attributes[key] for key in ("id", "name") if attributes.get(key))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
            if self._in_article:
                self.in_text.append(attributes["href"])
        elif tag in LOADED and LOADED[tag] in attributes:
            self.loads.append(attributes[LOADED[tag]])

    def handle_endtag(self, tag):
        if tag == "article":
            self._in_article = False

    def leads_to(self, href):
        """The page (or file) of this site and the anchor to which a link leads; None and the address elsewhere."""
        parts = urlsplit(urljoin(f"http://site/{self.name}", href))
        if parts.netloc != "site":
            return None, href
        return unquote(parts.path).lstrip("/") or "index.html", unquote(parts.fragment)


@functools.cache
def pages():
    """All pages, by their address in the site."""
    assert SITE.is_dir(), "there is no site: run `zensical build --clean --strict` first, as `tox run -e docs` does"
    names = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    return {name: Page(name) for name in names}


@functools.cache
def readable():
    """The names of the pages that readers visit: all but the one for what is not there."""
    return [name for name in pages() if name != "404.html"]


def in_nav(name="index.html"):
    """The pages to which the navigation leads, which stands in every page."""
    page = pages()[name]
    outside = page.links[:]
    for href in page.in_text:
        outside.remove(href)
    return {page.leads_to(href)[0] for href in outside}


def public_names():
    """All public names, with their module, as the anchors of the reference."""
    modules = (keras_buildfix, keras_buildfix.testing)
    return [f"{module.__name__}.{name}" for module in modules for name in module.__all__ if not name.startswith("__")]
