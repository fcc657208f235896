"""The words of the starter corpus, read from ``starter_lexicon.toml`` into small typed records."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from clearhead.text import english, korean
from clearhead.text.english import Subject
from clearhead.text.korean import Level, Predicate, attach


@dataclass(frozen=True)
class Phrase:
    """The same words in both languages."""

    ko: str = ""
    en: str = ""


@dataclass(frozen=True)
class Person:
    """Somebody who can be the subject.

    levels: the levels of speech that the Korean word belongs to. elder: whether the speaker looks up to them.
    """

    ko: str
    subject: Subject
    levels: tuple[Level, ...]
    elder: bool

    @property
    def subject_again(self) -> Subject:
        """The person as a pronoun, where they were named before."""
        return Subject(self.subject.pronoun, self.subject.pronoun)

    @property
    def topic(self) -> str:
        """The person with 은/는; nothing for a "you" that Korean leaves out."""
        return attach(self.ko, korean.TOPIC) if self.ko else ""

    def honorific(self, level: Level) -> bool:
        """Whether a predicate about the person takes -시-; the plain level, which tells a story, does not."""
        return self.elder and level is not Level.PLAIN


@dataclass(frozen=True)
class Noun:
    """A thing or a place; ``kind`` says how English counts it: count, mass, plural or fixed (article in the gloss)."""

    ko: str
    en: str
    kind: str

    @property
    def is_plural(self) -> bool:
        """Whether English uses it in the plural only (clothes)."""
        return self.kind == "plural"

    @property
    def once(self) -> str:
        """One of it: a book, water, clothes, the newspaper."""
        return english.a(self.en) if self.kind == "count" else self.en

    @property
    def many(self) -> str:
        """It in general: books, water, clothes, the newspaper."""
        return english.plural(self.en) if self.kind == "count" else self.en

    @property
    def the(self) -> str:
        """The one we know: the book, the newspaper."""
        return self.en if self.kind == "fixed" else f"the {self.en}"

    def subject(self, determiner: str) -> Subject:
        """Return it as a subject behind this, that or the; these and those where it is plural."""
        if self.is_plural:
            determiner = {"this": "these", "that": "those"}.get(determiner, determiner)
        words = self.the if determiner == "the" else f"{determiner} {self.en}".strip()
        return Subject(words, "they" if self.is_plural else "it")


@dataclass(frozen=True)
class Place:
    """Where one is (``at``) and goes (``to``), in English."""

    ko: str
    en: str
    at: str
    to: str

    @property
    def the(self) -> str:
        """The place as an object (the library, Seoul)."""
        return self.en if self.en[0].isupper() else f"the {self.en}"


@dataclass(frozen=True)
class Action:
    """A verb with the noun that completes it.

    kind, takes: see the lexicon. ko_complement: the noun with its particle; en_once, en_general: its English on one
    occasion and as a habit. extras: places, company and means that may stand beside it. elder: said of elders too.
    """

    verb: Predicate
    noun: str
    en: str
    kind: str
    takes: str
    ko_complement: str
    en_once: str
    en_general: str
    extras: tuple[Phrase, ...] = ()
    elder: bool = True

    def fits(self, person: Person) -> bool:
        """Whether one says it of ``person``."""
        return self.elder or not (person.elder and person.ko)

    @property
    def combination(self) -> tuple[str, str]:
        """What the split holds out: (verb, noun)."""
        return self.verb.stem + "다", self.noun


@dataclass(frozen=True)
class Quality:
    """An adjective; ``elder``: may be said of elders; ``lasting``: no matter of today or yesterday."""

    predicate: Predicate
    en: str
    nouns: tuple[str, ...] = ()
    elder: bool = True
    lasting: bool = False

    @property
    def ko(self) -> str:
        """The dictionary form."""
        return self.predicate.stem + "다"


class Lexicon:
    """All words, resolved: people, nouns, places, actions, qualities, states, and the plain tables of the file."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self.tables = tables
        self.places = {
            ko: Place(ko, place["en"], *(place.get(way, f"{way} the {place['en']}") for way in ("at", "to")))
            for ko, place in tables["places"].items()
        }
        self.nouns = {ko: Noun(ko, place.en, "count") for ko, place in self.places.items()}
        self.nouns |= {ko: Noun(ko, en, kind) for kind, words in tables["nouns"].items() for ko, en in words.items()}
        self.people = [_person(entry) for entry in tables["people"]]
        self._people_at = {level: [person for person in self.people if level in person.levels] for level in Level}
        self.actions = [action for entry in tables["actions"] for action in self._actions(entry)]
        self.actions_of: dict[str, list[Action]] = defaultdict(list)
        self.objects_of: dict[tuple[str, str], list[Action]] = defaultdict(list)
        for action in self.actions:
            self.actions_of[action.combination[0]].append(action)
            if action.takes == "object":
                self.objects_of[action.verb.stem, action.en].append(action)
        self.action_of = {action.combination: action for action in self.actions}
        self.homonyms = {
            f"{stem}다" for stem, count in Counter(stem for stem, _ in self.objects_of).items() if count > 1
        }
        self.qualities = {ko: _quality(ko, entry) for ko, entry in tables["qualities"].items()}
        self.states = {ko: _quality(ko, entry) for ko, entry in tables["states"].items()}

    def people_at(self, level: Level) -> list[Person]:
        """Return who can be spoken of at ``level``."""
        return self._people_at[level]

    def asked_about(self, level: Level) -> list[Person]:
        """Return whom one asks others about at ``level``: neither oneself nor one's own family and friends."""
        own = ("I", "we", *(person.subject.words for person in self.people if person.subject.words.startswith("my ")))
        spoken = [person for person in self.people_at(level) if person.subject.words not in own]
        if level is Level.PLAIN:  # -니? is said among friends: no elders, and no pronouns of the written language
            return [person for person in spoken if not person.elder and person.ko not in ("그", "그녀", "그들")]
        return spoken

    def same_group(self, one: str, other: str) -> bool:
        """Whether two different nouns are of one group, so that they can be named together."""
        return one != other and any(one in group and other in group for group in self.tables["groups"].values())

    def action(self, name: str) -> Action:
        """Return the action that the lexicon names as "verb noun"."""
        verb, noun = name.rsplit(" ", 1)
        return self.action_of[verb, noun]

    def _actions(self, entry: dict[str, Any]) -> Iterator[Action]:
        extras = [Phrase(f"{place}에서", self.places[place].at) for place in entry.get("places", ())]
        if entry.get("company"):
            with_whom = self.tables["company"].items()
            extras += [Phrase(f"{attach(ko, korean.AND)} 함께", f"with {en}") for ko, en in with_whom]
        if entry.get("by"):
            extras += [Phrase(attach(ko, korean.BY), f"by {en}") for ko, en in self.tables["means"].items()]
        takes = entry.get("takes", "object")
        for noun in entry["nouns"]:
            yield Action(
                Predicate.verb(entry["ko"]),
                noun,
                entry["en"],
                entry.get("kind", "daily"),
                takes,
                _complement(noun, takes),
                *self._english_complement(noun, takes, entry.get("definite", False)),
                tuple(extras),
                entry.get("elder", True),
            )

    def _english_complement(self, noun: str, takes: str, definite: bool) -> tuple[str, str]:
        """Return the complement of one time and the one of a habit; they differ for things one counts."""
        if takes == "object":
            thing = self.nouns[noun]
            return (thing.the, thing.the) if definite else (thing.once, thing.many)
        place = self.places[noun]
        if takes == "arrival":
            takes = "to" if place.to == "home" else "at"
        words = {"at": place.at, "in": place.at, "to": place.to, "toward": place.to, "into": place.the}[takes]
        return words, words


def _complement(noun: str, takes: str) -> str:
    match takes:
        case "object":
            return attach(noun, korean.OBJECT)
        case "toward":
            return attach(noun, korean.BY)
        case "at":
            return noun + "에서"
    return noun + "에"


def _person(entry: dict[str, Any]) -> Person:
    levels = tuple(Level[name.upper()] for name in entry.get("levels", ("formal", "polite", "plain")))
    subject = Subject(entry["en"], entry.get("pronoun", entry["en"]))
    return Person(entry["ko"], subject, levels, entry.get("elder", False))


def _quality(ko: str, entry: dict[str, Any]) -> Quality:
    predicate = Predicate.verb(ko) if entry.get("verb") else Predicate.adjective(ko)
    nouns = tuple(entry.get("nouns", ()))
    return Quality(predicate, entry["en"], nouns, entry.get("elder", True), entry.get("lasting", False))


@cache
def lexicon() -> Lexicon:
    """Return the lexicon of the package."""
    path = resources.files("clearhead.text").joinpath("starter_lexicon.toml")
    return Lexicon(tomllib.loads(path.read_text(encoding="utf-8")))
