"""English morphology by rule: articles, plurals, verb forms, do-support and numbers, as pure functions of strings.

As much English as the starter corpus needs, with tables only for what no rule gives. No contractions are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# --- nouns ----------------------------------------------------------------------------------------------------------

_PLURALS = {"child": "children", "person": "people", "fish": "fish", "sheep": "sheep", "potato": "potatoes"}


def a(noun: str) -> str:
    """Return ``noun`` with its indefinite article (an apple, a university)."""
    vowel = noun[0] in "aeiou" and not noun.startswith(("uni", "use", "one"))
    return f"{'an' if vowel or noun.startswith('hour') else 'a'} {noun}"


def _add_s(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|z|ch|sh)$", word) else "s")


def plural(noun: str) -> str:
    """Return the plural; of several words the last one changes (post office, post offices)."""
    *before, last = noun.split(" ")
    return " ".join([*before, _PLURALS.get(last) or _add_s(last)])


def plural_measure(words: str) -> str:
    """Return the plural of a noun or of a measure, where the first noun changes (cups of coffee)."""
    head, of, rest = words.partition(" of ")
    return plural(head) + of + rest


# --- verbs and adjectives -------------------------------------------------------------------------------------------

# fmt: off
_PASTS = {
    "be": "was", "become": "became", "build": "built", "buy": "bought", "come": "came", "do": "did", "draw": "drew",
    "drink": "drank", "eat": "ate", "get": "got", "give": "gave", "go": "went", "have": "had", "leave": "left",
    "lose": "lost", "make": "made", "meet": "met", "read": "read", "ride": "rode", "run": "ran", "sell": "sold",
    "send": "sent", "sing": "sang", "sleep": "slept", "speak": "spoke", "swim": "swam", "take": "took",
    "teach": "taught", "wear": "wore", "write": "wrote",
}
# fmt: on
_DOUBLING = ("get", "plan", "run", "stop", "swim", "big", "hot", "fat", "sad")


def third_person(verb: str) -> str:
    """Return the form after he, she, it (goes, studies, has)."""
    return {"have": "has", "go": "goes", "do": "does"}.get(verb) or _add_s(verb)


def past(verb: str) -> str:
    """Return the simple past."""
    return _PASTS.get(verb) or _suffixed(verb, "ed")


def gerund(verb: str) -> str:
    """Return the -ing form."""
    return _suffixed(verb, "ing")


def comparative(adjective: str) -> str:
    """Return the comparative (bigger, heavier, more expensive)."""
    irregular = {"good": "better", "bad": "worse", "far": "farther", "narrow": "narrower", "quiet": "quieter"}
    if adjective in irregular:
        return irregular[adjective]
    syllables = len(re.findall(r"[aeiouy]+", adjective.removesuffix("e")))
    short = syllables == 1 or (syllables == 2 and adjective.endswith("y"))
    return _suffixed(adjective, "er") if short else f"more {adjective}"


def _suffixed(word: str, suffix: str) -> str:
    if word in _DOUBLING:
        return word + word[-1] + suffix
    if word.endswith("e") and not word.endswith("ee"):
        return word[:-1] + suffix
    if suffix != "ing" and re.search(r"[^aeiou]y$", word):
        return word[:-1] + "i" + suffix
    return word + suffix


# --- clauses --------------------------------------------------------------------------------------------------------

_BE = {"I": ("am", "was"), "it": ("is", "was"), "they": ("are", "were")}


@dataclass(frozen=True)
class Subject:
    """Who or what a clause is about: its words, and the pronoun that stands for it."""

    words: str
    pronoun: str

    @property
    def agreement(self) -> str:
        """The pronoun whose verb forms it takes: "I", "it" or "they"."""
        return {"I": "I", "we": "they", "you": "they", "they": "they"}.get(self.pronoun, "it")


def finite(verb: str, agreement: str, past_tense: bool) -> str:
    """Return the form of ``verb`` that agrees: "I", "it" or "they" (am, goes, could)."""
    if verb == "be":
        return _BE[agreement][past_tense]
    if verb in ("can", "will"):
        return {"can": "could", "will": "would"}[verb] if past_tense else verb
    if past_tense:
        return past(verb)
    return third_person(verb) if agreement == "it" else verb


def clause(
    subject: Subject,
    verb_group: str,
    past_tense: bool = False,
    negative: bool = False,
    question: bool = False,
    adverb: str = "",
) -> str:
    """Return subject and verb group in order, with do-support where negation or a question asks for it.

    Args:
        subject: the subject.
        verb_group: base forms and what follows; the first word becomes finite ("be reading a book", "can go home").
        past_tense: whether the finite verb is in the past.
        negative: whether "not" follows the auxiliary; "can not" is written "cannot".
        question: whether the auxiliary goes before the subject. The question mark is the caller's.
        adverb: a word for the middle of the clause (often, usually).
    """
    head, _, rest = verb_group.partition(" ")
    auxiliary = head in ("be", "can", "will")
    if not auxiliary and (negative or question):
        head, rest, auxiliary = "do", verb_group, True
    word = finite(head, subject.agreement, past_tense)
    denial = "not" if negative else ""
    if word == "can" and negative and not question:
        word, denial = "cannot", ""
    if question:
        words = [word, subject.words, denial, adverb, rest]
    elif auxiliary:
        words = [subject.words, word, denial, adverb, rest]
    else:
        words = [subject.words, adverb, word, rest]
    return " ".join(part for part in words if part)


# --- numbers --------------------------------------------------------------------------------------------------------

# fmt: off
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)
# fmt: on


def number(value: int) -> str:
    """Return a number in words, 0 to 999,999 (twenty-five, one thousand two hundred)."""
    if value < 20:
        return _SMALL[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens] + (f"-{_SMALL[ones]}" if ones else "")
    size, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    high, low = divmod(value, size)
    return f"{number(high)} {name}" + (f" {number(low)}" if low else "")


def ordinal(value: int) -> str:
    """Return an ordinal in words, 1 to 99 (third, twentieth, twenty-first)."""
    before, hyphen, last = number(value).rpartition("-")
    if last in _ORDINALS:
        return before + hyphen + _ORDINALS[last]
    return before + hyphen + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def clock(hour: int, minute: int = 0) -> str:
    """Return a time of day in words (three o'clock, two thirty)."""
    return f"{number(hour)} {number(minute)}" if minute else f"{number(hour)} o'clock"


def date(month: int, day: int) -> str:
    """Return a date in words (March fifth)."""
    return f"{MONTHS[month - 1]} {ordinal(day)}"


def sentence(words: str, question: bool = False) -> str:
    """Return ``words`` with a capital first letter, and a question mark after a question; no full stop."""
    return words[0].upper() + words[1:] + ("?" if question else "")
