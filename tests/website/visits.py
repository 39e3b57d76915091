"""A visit of a page by a browser: what the page asked for and complained of, and what a reader sees and can click."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

#: The two screens, each with one of the colour schemes.
SCREENS = {
    "wide": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "dark",
        "is_mobile": True,
        "has_touch": True,
    },
}
LOOK = (Path(__file__).parent / "look.js").read_text("utf-8")


@dataclass
class Visit:
    """What one visit of a page showed."""

    status: int = 0
    requests: list = field(default_factory=list)
    complaints: list = field(default_factory=list)
    #: From look.js: width, cut, links, background, contrasts.
    look: dict = field(default_factory=dict)


def visit(page, address, name):
    """Opens a page of the site at this address and looks at it."""
    visit = Visit()
    listeners = {
        "request": lambda request: visit.requests.append(request.url),
        "requestfailed": lambda request: visit.complaints.extend(_failure(request)),
        "response": lambda response: visit.complaints.extend(_refusal(response)),
        "console": lambda message: visit.complaints.append(f"console, {message.type}: {message.text}"),
        "pageerror": lambda error: visit.complaints.append(f"error: {error}"),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    visit.status = page.goto(address + name).status
    visit.look = page.evaluate(LOOK)
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return visit


def _failure(request):
    # The browser stops what it still loads for a page when we go to the next one.
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.failure}: {request.url}"]


def _refusal(response):
    return [f"{response.status}: {response.url}"] if response.status >= 400 else []
