"""The HTML of the site: no broken link, nothing from another host, every page in the navigation, every name found."""

import json

from website.built_site import ROOT, SITE, in_nav, pages, public_names, readable

#: The addresses elsewhere to which pages link: of the program that builds the site, in the footer.
OUTSIDE = {"https://zensical.org/"}


def test_the_site_has_a_page_for_each_file_of_docs():
    sources = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    assert {*readable()} == sources


def test_the_navigation_leads_to_every_page():
    assert {*readable()} <= in_nav()


def test_each_link_leads_to_something_that_is_there():
    broken = [f"{page.name}: {href}" for page in pages().values() for href in page.links if not _is_there(page, href)]
    assert not broken


def _is_there(page, href):
    target, anchor = page.leads_to(href)
    if target is None:
        return True
    return (SITE / target).is_file() and (not anchor or anchor in pages()[target].anchors)


def test_pages_load_nothing_from_another_host():
    for page in pages().values():
        for address in page.loads:
            assert page.leads_to(address)[0], f"{page.name} loads {address}"
            assert (SITE / page.leads_to(address)[0]).is_file(), f"{page.name}: no {address}"
    for sheet in SITE.rglob("*.css"):
        assert "url(http" not in sheet.read_text("utf-8").replace('"', "").replace("'", ""), sheet


def test_links_to_other_hosts_are_few_and_known():
    outside = {href for page in pages().values() for href in page.links if page.leads_to(href)[0] is None}
    assert outside <= OUTSIDE


def test_the_home_page_shows_the_three_ways_in_its_text():
    page = pages()["index.html"]
    named = {page.leads_to(href)[0] for href in page.in_text}
    assert {"by_error_message.html", "matrix.html", "inside.html"} <= named


def test_the_search_knows_each_public_name():
    items = json.loads((SITE / "search.json").read_text("utf-8"))["items"]
    anchors = {item["location"].partition("#")[2] for item in items}
    assert not {*public_names()} - anchors
