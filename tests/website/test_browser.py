"""Each page in a real browser: it opens without a complaint, asks no other host, fits the screen, and can be read.

From the home page three readers reach their goal: with an error message, with a library to test, or curious.
"""

import pytest
from website.built_site import SITE, readable
from website.visits import SCREENS

MEASURED = (
    "affected_layers",
    "library_table",
    "weight_files_table",
    "casting_rules",
    "forms",
    "ops_table",
    "private_names",
    "environments",
    "benchmarks",
)


def _all(visits, what):
    """What is found in each visit, with the screen and the page, where anything is."""
    found = {where: what(visit) for where, visit in visits.items()}
    return {where: seen for where, seen in found.items() if seen}


def test_each_page_opens_without_an_error_or_a_warning(visits):
    assert {name for _, name in visits} == {*readable()}
    assert {visit.status for visit in visits.values()} == {200}
    assert not _all(visits, lambda visit: visit.complaints)


def test_no_page_asks_another_host(visits, address):
    assert not _all(visits, lambda visit: [url for url in visit.requests if not url.startswith(address)])


def test_no_page_scrolls_sideways_and_nothing_is_cut_off(visits):
    widths = {screen: options["viewport"]["width"] for screen, options in SCREENS.items()}
    assert not {
        where: visit.look["width"] for where, visit in visits.items() if visit.look["width"] > widths[where[0]] + 1
    }
    assert not _all(visits, lambda visit: visit.look["cut"])


@pytest.mark.parametrize("name", ["ops_table.html", "weight_files_table.html", "by_error_message.html"])
def test_what_is_wider_than_a_phone_scrolls_in_itself(visits, name):
    assert visits["phone", name].look["scrolling"]


def test_dark_is_dark_and_light_is_light(visits):
    for (screen, _), visit in visits.items():
        assert (
            visit.look["background"] > 0.8
            if SCREENS[screen]["color_scheme"] == "light"
            else visit.look["background"] < 0.1
        )


def test_all_text_stands_out_from_its_background(visits):
    kinds = {kind for visit in visits.values() for kind in visit.look["contrasts"]}
    assert {"P. in ARTICLE", "SPAN.c1 in CODE"} <= kinds
    assert not _all(
        visits, lambda visit: {kind: ratio for kind, ratio in visit.look["contrasts"].items() if ratio < 4.5}
    )


def _clicks(visits, address, screen):
    """How many clicks on links that show lead from the home page to each page, and to each anchor."""
    clicks = {"index.html": 0}
    todo = ["index.html"]
    for name in todo:
        for link in visits[screen, name].look["links"]:
            if not link.startswith(address):
                continue
            target = link[len(address) :] or "index.html"
            clicks.setdefault(target, clicks[name] + 1)
            page = target.partition("#")[0]
            if (screen, page) in visits and page not in todo:
                clicks.setdefault(page, clicks[name] + 1)
                todo.append(page)
    return clicks


@pytest.mark.parametrize("screen", SCREENS)
def test_three_clicks_lead_each_reader_to_the_goal(visits, address, screen, entries):
    clicks = _clicks(visits, address, screen)
    goals = [f"by_error_message.html#{anchor}" for anchor in entries]
    goals += ["matrix.html", "first_steps.html", "inside.html"]
    if screen == "wide":  # on a phone the navigation is behind a button
        goals += [f"{name}.html" for name in MEASURED]
    assert {goal: clicks.get(goal) for goal in goals if clicks.get(goal, 4) > 3} == {}


def test_the_page_on_tox_and_ci_has_a_workflow_to_paste():
    assert "runs-on" in (SITE / "matrix.html").read_text("utf-8")
