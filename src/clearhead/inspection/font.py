"""The glyphs that a page needs where the reader's machine may have none: Hangul and emoji, subset and embedded."""

from __future__ import annotations

import base64
import io
import unicodedata
from functools import cache
from importlib import resources

FONTS = {"clearhead-hangul": "hangul.woff", "clearhead-emoji": "emoji.woff"}
"""Families as the style sheet calls them, and the files with all glyphs that we have."""


def embedded(text: str) -> str:
    """Return @font-face rules that hold the glyphs of ``text``, and no others."""
    wanted = {ord(letter) for letter in text + unicodedata.normalize("NFC", text) if ord(letter) > 0x7F}
    return "".join(_face(family, frozenset(wanted & _letters(file)), file) for family, file in FONTS.items())


def served() -> str:
    """Return @font-face rules that ask the page's own server for all glyphs."""
    return "".join(f"@font-face{{font-family:{family};src:url({file})}}\n" for family, file in FONTS.items())


def whole(file: str) -> bytes:
    """Return a font's file with all its glyphs."""
    return resources.files("clearhead.inspection").joinpath("page/fonts", file).read_bytes()


@cache
def _face(family: str, letters: frozenset[int], file: str) -> str:
    if not letters:
        return ""
    data = base64.b64encode(_subset(file, letters)).decode()
    return f"@font-face{{font-family:{family};src:url(data:font/woff;base64,{data}) format('woff')}}\n"


def _subset(file: str, letters: frozenset[int]) -> bytes:
    from fontTools.subset import Options, Subsetter  # heavy
    from fontTools.ttLib import TTFont

    font = TTFont(io.BytesIO(whole(file)), lazy=True)
    # Sequences of emoji are one glyph by substitution; names and licence stay inside.
    options = Options(layout_features=["*"], recalc_bounds=False, notdef_outline=True, name_IDs=["*"])
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=letters)
    subsetter.subset(font)
    font.flavor = "woff"
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


@cache
def _letters(file: str) -> frozenset[int]:
    from fontTools.ttLib import TTFont

    return frozenset(TTFont(io.BytesIO(whole(file)), lazy=True).getBestCmap())
