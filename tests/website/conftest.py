"""The site, served as a host would serve it, and a browser that visits each page on a wide screen and on a phone."""

import functools
import http.server
import json
import shutil
import threading

import pytest
from playwright.sync_api import sync_playwright
from website.built_site import SITE, readable
from website.visits import SCREENS, visit

ENTRIES = """() => Object.fromEntries([...document.querySelectorAll("article h3")].map((title) => {
    let table = title.nextElementSibling
    while (!table.querySelector("table") && table.tagName !== "TABLE") table = table.nextElementSibling
    const codes = [...table.querySelectorAll("td:last-child > code:only-child")]
    const alone = codes.filter((code) => code.textContent === code.parentElement.textContent)
    const messages = alone.map((code) => code.textContent)
    return [title.id, { title: title.innerText.replace("¶", "").trim(), messages }]
}))"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address():
    """Where the site is served."""
    handler = functools.partial(_Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium, without a window."""
    program = shutil.which("chromium")
    assert program, "chromium is not there: on Debian, `apt-get install chromium` as root (.ci/run does it)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visits(browser, address):
    """What the browser saw on each page, by screen and name of the page."""
    seen = {}
    index = json.loads((SITE / "search.json").read_text("utf-8"))
    for screen, options in SCREENS.items():
        context = browser.new_context(**options)
        # To read the search's index takes most of the time of a visit; the tests of the search read it.
        context.route("**/search.json", lambda route: route.fulfill(json={**index, "items": []}))
        page = context.new_page()
        seen.update({(screen, name): visit(page, address, name) for name in readable()})
        context.close()
    return seen


@pytest.fixture(scope="session")
def entries(browser, address):
    """The entries of "By error message": the anchor of each, its title, and the messages in its table."""
    page = browser.new_page()
    page.goto(address + "by_error_message.html")
    found = page.evaluate(ENTRIES)
    page.close()
    return found
