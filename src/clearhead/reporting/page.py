"""The report's shell: one HTML page with its style and script inside, which may ask nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib import resources

from clearhead.reporting.words import WORDS

_NAMES = {"en": "English", "ko": "한국어"}


def page(title: str, header: str, body: str, language: str) -> str:
    """Return the whole page.

    Args:
        title: plain text, for the window.
        header, body: markup, in both languages (``words.both``).
        language: which of them is shown first, "en" or "ko".
    """
    style, script = _read("page.css"), _read("page.js")
    # The browser runs our own style and script, known by their hashes, and fetches nothing, whatever the text holds.
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'"
    buttons = "".join(
        f'<button type="button" lang="{each}" data-language="{each}" aria-pressed="{str(each == language).lower()}">'
        f"{_NAMES[each]}</button>"
        for each in WORDS
    )
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header><div>{header}</div><div class="toggle">{buttons}</div></header>\n{body}\n</main>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _read(name: str) -> str:
    return resources.files("clearhead.reporting").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
