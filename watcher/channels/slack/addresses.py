"""What a URL shows: whether it is Slack's, and whether it starts a workflow."""

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"(?:[a-z0-9-]+\.)*slack(?:-gov)?\.com")
_WORKFLOW = re.compile(r"/(?:triggers|workflows)/")
_INCOMING = "/services/"


def is_workflow(url: str) -> bool:
    """Return whether a webhook starts a workflow: its path shows that, whatever the host."""
    return _WORKFLOW.search(urlsplit(url).path) is not None


def unusual_address(url: str, *, is_api: bool) -> str | None:
    """Return what is unusual about a webhook's URL, or about the base URL of the API."""
    parts = urlsplit(url)
    is_slack = _HOST.fullmatch((parts.hostname or "").lower()) is not None
    if is_api:
        return None if is_slack else "is not an address of Slack"
    if is_workflow(url) or (is_slack and parts.path.startswith(_INCOMING)):
        return None
    expected = "https://hooks.slack.com/services/…, or …/triggers/… of a workflow"
    if is_slack:
        return f"is not the address of a webhook; expected {expected}"
    return f"is not an address of Slack ({expected}); it gets Slack's format and has to answer ok"
