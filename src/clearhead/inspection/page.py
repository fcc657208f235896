"""The page: one HTML file that holds a document, our own style, modules, words and the glyphs it needs."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import posixpath
import re
import tomllib
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from clearhead.errors import LANGUAGES
from clearhead.inspection import font

IMPORT = re.compile(r'^import (\{[^}]*\}) from "([^"]+)\.js";$', re.MULTILINE)


def render(
    document: dict[str, Any] | None,
    language: str = "en",
    served: bool = False,
    typed: dict[str, str] | None = None,
    error: dict[str, str] | None = None,
) -> str:
    """Return the whole page, which asks nothing of any network.

    Args:
        document: what ``document.document`` returns; None where there is only ``error`` to show, or nothing yet.
        language: which one the page opens with, "en" or "ko".
        served: whether the server of ``serve.py`` answers what the page asks of it.
        typed: what was typed, served: "text", "prefix" and "other".
        error: what is wrong with it, in each language.
    """
    shown = document and {**document, "sources": sources(document)}
    page = {"document": shown, "served": served, "typed": {"text": "", **(typed or {})}, "error": error}
    content = json.dumps(page, ensure_ascii=False, allow_nan=False)
    words = json.dumps(vocabulary(), ensure_ascii=False)
    faces = font.served() if served else font.embedded(content + words)
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(served, faces)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(vocabulary()[language]['title'])}</title>\n<style>{faces + _style()}</style>\n</head>\n"
        f'<body>\n<div id="app">{_opening(document, language)}</div>\n<noscript>'
        + "".join(f'<p lang="{each}">{escape(vocabulary()[each]["no-script"])}</p>' for each in LANGUAGES)
        + f'</noscript>\n<script type="application/json" id="words">{_inert(words)}</script>\n'
        f'<script type="application/json" id="document">{_inert(content)}</script>\n'
        f'<script type="module">{program()}</script>\n</body>\n</html>\n'
    )


def _opening(document: dict[str, Any] | None, language: str) -> str:
    """Return what stands on the screen while the rest of the file is still being read: the text."""
    if document is None:
        return ""
    title, text = vocabulary()[language]["title"], document["src"]["text"] or document["tgt"]["text"]
    words = f'<p class="eyebrow">{escape(title)}</p><h1><span class="data">{escape(text)}</span></h1>'
    return f"<header><div>{words}</div></header>"


def policy(served: bool, faces: str | None = None) -> str:
    """Return the content security policy: the browser runs our own style and script, known by their hashes.

    faces: the page's @font-face rules, the served page's unless said otherwise.
    """
    style = (font.served() if faces is None else faces) + _style()
    own = "'self'" if served else "'none'"
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(program())}'; img-src data:; "
        f"font-src {own if served else 'data:'}; connect-src {own}; form-action {own}; base-uri 'none'"
    )


@cache
def vocabulary() -> dict[str, dict[str, str]]:
    """Return the page's words: language -> key -> text."""
    return {each: tomllib.loads(_read(f"words/{each}.toml")) for each in LANGUAGES}


@cache
def program() -> str:
    """Return the modules as one: each a function that gives what the module exports, after those that it imports."""
    return "\n".join(_enclosed(path, source) for path, source in modules().items())


@cache
def modules() -> dict[str, str]:
    """Return the page's modules, path -> source, each after those that it imports."""
    found: dict[str, str] = {}

    def follow(path: str) -> None:
        source = _read(f"{path}.js")
        for _, imported in IMPORT.findall(source):
            if (other := _resolved(path, imported)) not in found:
                follow(other)
        found[path] = source

    follow("main")
    return found


def sources(document: dict[str, Any]) -> dict[str, str]:
    """Return our own code of the document's parts: "nn/attention.py:MultiHeadAttention" -> its text."""
    wanted = {part["source"] for part in document.get("parts", [])}
    return {source: text for source in sorted(wanted) if (text := _source(source)) is not None}


@cache
def _source(place: str) -> str | None:
    path, _, name = place.partition(":")
    text = resources.files("clearhead").joinpath(path).read_text(encoding="utf-8")
    body: list[ast.stmt] = ast.parse(text).body
    found: ast.AST | None = None
    for each in name.split("."):
        defined = (node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == each)
        found = next(defined, None)
        body = getattr(found, "body", [])
    return None if found is None else ast.get_source_segment(text, found)


def _enclosed(path: str, source: str) -> str:
    exported = re.findall(r"^export (?:async )?(?:const|function|class) (\w+)", source, flags=re.MULTILINE)
    taken = IMPORT.sub(lambda found: f"const {found[1]} = {_variable(_resolved(path, found[2]))};", source)
    body = re.sub(r"^export ", "", taken, flags=re.MULTILINE)
    return f"const {_variable(path)} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();"


def _resolved(path: str, imported: str) -> str:
    """Return the path of what the module at ``path`` imports as ``imported``."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), imported))


def _variable(path: str) -> str:
    return "module_" + path.replace("/", "_")


def _inert(text: str) -> str:
    """Return JSON that no HTML parser takes for the end of its element or for a comment."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _style() -> str:
    return _read("page.css")


@cache
def _read(name: str) -> str:
    return resources.files("clearhead.inspection").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
