"""What people do, in both languages at once: one choice of person, action, mode, tense and polarity is one clause.

The two sides are built from the same choices, so each is right by its own rules and neither is translated. English
follows the Korean: the simple present for the present, "be -ing" for -고 있다, "want to" for -고 싶다, "can" for
-(으)ㄹ 수 있다, "have to" for -아야 하다; habits are told in the plural ("reads books"), occasions in the singular.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from clearhead.text import english
from clearhead.text.english import Subject
from clearhead.text.korean import Level, Predicate, Tense
from clearhead.text.starter_lexicon import Action, Lexicon, Person, Phrase

Pick = Callable[[Any], Any]
"""Chooses one of a sequence; the only source of chance in the grammar."""
Combination = tuple[str, str]


class Sentence(NamedTuple):
    """A pair and the combinations of words that it shows."""

    ko: str
    en: str
    combinations: tuple[Combination, ...]


def make(ko: str, en: str, *combinations: Combination, question: bool = False) -> Sentence:
    """Return a sentence with its capital letter and, where it is a question, its question marks."""
    return Sentence(ko + ("?" if question else ""), english.sentence(en, question), combinations)


def choose_pair(pick: Pick, table: Mapping[str, Any]) -> tuple[str, Any]:
    """Return one entry of ``table``."""
    return pick(list(table.items()))


NOTHING = Phrase()
LEVELS = tuple(Level)
YOU = Subject("you", "you")


@dataclass(frozen=True)
class Setting:
    """How and when: mode is simple, progressive, want, can or must; adverb is a frequency such as "often"."""

    mode: str = "simple"
    tense: Tense = Tense.PRESENT
    time: Phrase = NOTHING
    adverb: Phrase = NOTHING

    @property
    def is_habit(self) -> bool:
        """Whether it tells of what is done in general."""
        return self.mode == "simple" and self.tense is Tense.PRESENT


@cache
def settings(words: Lexicon, kind: str) -> tuple[Setting, ...]:
    """Return the settings that fit an action of ``kind``; more frequent ones stand in the list more than once."""
    times = {name: [Phrase(*pair) for pair in table.items()] for name, table in words.tables["times"].items()}
    past = [Setting(tense=Tense.PAST, time=time) for time in [NOTHING, *times["past"]]]
    if kind == "accident":
        return tuple(past)
    if kind == "state":
        return (Setting(), Setting(tense=Tense.PAST))
    if kind == "meal":
        days = (Phrase("매일", "every day"), Phrase("어제", "yesterday"), Phrase("내일", "tomorrow"))
        timed = (Setting(tense=tense, time=day) for tense, day in zip(Tense, days))
        return (*(Setting(tense=tense) for tense in Tense), *timed, Setting("progressive"), Setting("want"))
    now, tomorrow = times["now"][0], times["future"][0]
    general = [Setting(adverb=adverb) for adverb in times["frequency"] if kind == "daily" or adverb.en == "sometimes"]
    if kind == "daily":
        general += [Setting(), Setting(), *(Setting(time=time) for time in times["present"])]
    return (
        *general,
        *past,
        *(Setting(tense=Tense.FUTURE, time=time) for time in [NOTHING, *times["future"]]),
        *(Setting("progressive", tense) for tense in (Tense.PRESENT, Tense.PAST)),
        *(Setting("want", tense) for tense in (Tense.PRESENT, Tense.PAST)),
        *(Setting("can", tense) for tense in (Tense.PRESENT, Tense.PAST)),
        *(Setting("must", tense) for tense in (Tense.PRESENT, Tense.PAST)),
        *(Setting(mode, time=now) for mode in ("progressive", "want", "must")),
        *(Setting(mode, time=tomorrow) for mode in ("want", "can", "must")),
    )


# --- one predicate, two languages -----------------------------------------------------------------------------------


def korean_predicate(
    verb: Predicate, mode: str = "simple", denial: str = "", honorific: bool = False, others: bool = False
) -> Predicate:
    """Return ``verb`` in its mode.

    Args:
        verb: the verb or adjective.
        mode: simple, progressive, want, can or must.
        denial: "" for none, "short" for 안, "long" for -지 않다; "can" has a denial of its own.
        honorific: whether -시- is put in.
        others: whether a wish is somebody else's (-고 싶어 하다).
    """
    if mode == "can":
        return (verb.respected() if honorific else verb).can(able=not denial)
    if mode == "must":
        return (verb.respected() if honorific else verb).must()
    if mode == "progressive":
        verb = verb.progressive()
    if mode == "want":
        verb = verb.want(others)
    short = denial == "short" and mode == "simple" and verb.takes_short_negative
    if short:
        verb = verb.short_negative()
    if honorific:
        verb = verb.respected()
    return verb.negative() if denial and not short else verb


def english_group(verb: str, mode: str, tense: Tense) -> str:
    """Return the verb group in base forms, ready for ``english.clause``: "be reading", "will want to read"."""
    head, _, rest = verb.partition(" ")
    tail = f" {rest}" if rest else ""
    group = {
        "simple": verb,
        "progressive": f"be {english.gerund(head)}{tail}",
        "want": f"want to {verb}",
        "can": f"can {verb}",
        "must": f"have to {verb}",
    }[mode]
    return f"will {group}" if tense is Tense.FUTURE else group


# --- statements and questions ---------------------------------------------------------------------------------------


def join(*parts: str) -> str:
    """Return the parts that are not empty, with spaces between them."""
    return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Clause:
    """Everything that was chosen for one sentence about what somebody does."""

    person: Person
    action: Action
    setting: Setting
    level: Level
    denial: str = ""
    extra: Phrase = NOTHING

    def predicate(self) -> Predicate:
        """Return the Korean predicate before its ending."""
        raised = self.person.honorific(self.level)
        others = self.person.subject.pronoun not in ("I", "we", "you")
        return korean_predicate(self.action.verb, self.setting.mode, self.denial, raised, others)

    def ko(self, question: bool = False, wh: str = "", topic: str | None = None, complement: str | None = None) -> str:
        """Return the Korean words; ``wh`` stands before the complement, which it may also replace."""
        time = join(self.setting.time.ko, self.setting.adverb.ko)
        return join(
            self.person.topic if topic is None else topic,
            time,
            self.extra.ko,
            wh,
            self.action.ko_complement if complement is None else complement,
            self.predicate().end(self.setting.tense, self.level, question),
        )

    def en(self, question: bool = False, subject: Subject | None = None, complement: str | None = None) -> str:
        """Return the English words, without capital letter and question mark."""
        if complement is None:
            habit = self.setting.is_habit or self.action.kind == "state"
            complement = self.action.en_general if habit else self.action.en_once
        clause = english.clause(
            subject or self.person.subject,
            english_group(self.action.en, self.setting.mode, self.setting.tense),
            past_tense=self.setting.tense is Tense.PAST,
            negative=bool(self.denial),
            question=question,
            adverb=self.setting.adverb.en,
        )
        return join(clause, complement, self.extra.en, self.setting.time.en)

    def statement(self) -> Sentence:
        """Return the clause as a statement."""
        return Sentence(self.ko(), english.sentence(self.en()), (self.action.combination,))

    def question(self) -> Sentence:
        """Return the clause as a question that is answered by yes or no."""
        ko, en = self.ko(question=True), self.en(question=True)
        return Sentence(ko + "?", english.sentence(en, question=True), (self.action.combination,))


def you(level: Level) -> Person:
    """Return the person spoken to: 너 in the plain level, left out and honoured in the polite ones."""
    return Person("너" if level is Level.PLAIN else "", YOU, (level,), elder=True)


def choose_clause(words: Lexicon, pick: Pick, asked: bool = False) -> Clause:
    """Return a clause about any action; where ``asked``, about "you" or about others, never about "I" and "we"."""
    level = pick(LEVELS)
    people = [*[you(level)] * 4, *words.asked_about(level)] if asked else words.people_at(level)
    person, action = pick(people), pick(words.actions)
    if not action.fits(person):
        return choose_clause(words, pick, asked)
    setting = pick(settings(words, action.kind))
    denied = not asked and setting.mode != "must" and not _excludes_denial(setting)
    denial = pick(("", "", "short", "long")) if denied else ""
    room = setting.time is NOTHING or pick((True, False, False))
    extra = pick((NOTHING, *action.extras)) if room and pick((True, False)) else NOTHING
    return Clause(person, action, setting, level, denial, without_self(extra, person))


def without_self(extra: Phrase, person: Person) -> Phrase:
    """Return ``extra``, or nothing where it is the company of the person itself."""
    return NOTHING if extra.en.startswith("with ") and person.ko in extra.ko and person.ko else extra


def _excludes_denial(setting: Setting) -> bool:
    """Whether a denial would be ambiguous: "not every day", "not always"."""
    return setting.is_habit and (setting.time is not NOTHING or setting.adverb.en not in ("", "often"))


# --- questions with a question word ---------------------------------------------------------------------------------


def wh_question(words: Lexicon, pick: Pick) -> Sentence | None:
    """Ask what, who, where, when, why or with whom."""
    clause = replace(choose_clause(words, pick, asked=True), extra=NOTHING)
    if clause.setting.mode not in ("simple", "progressive") or clause.setting.adverb is not NOTHING:
        return None
    word = pick(("what", "who", "where", "when", "why", "with"))
    if word in ("what", "where"):
        return _asked_noun(words, clause, word)
    if word == "who":
        who = Subject("who", "he")
        other = replace(clause, person=Person("누구", who, (clause.level,), elder=False))
        return make(other.ko(True, topic="누가"), other.en(subject=who), clause.action.combination, question=True)
    timeless = clause.setting.time is NOTHING
    if clause.action.kind not in ("daily", "event") or not (timeless or word == "why"):
        return None
    if word == "why":
        clause = replace(clause, denial=pick(("", "short", "long")) if timeless else "")
        return _asked(clause, "why", clause.ko(True, "왜"))
    if word == "when" and clause.setting.mode == "simple":
        return _asked(clause, "when", clause.ko(True, "언제"))
    if word == "with" and any("함께" in extra.ko for extra in clause.action.extras):
        ko, en = clause.ko(True, "누구와"), f"who {clause.en(True)} with"
        return make(ko, en, clause.action.combination, question=True)
    return None


def _asked_noun(words: Lexicon, clause: Clause, word: str) -> Sentence | None:
    """Ask for the noun itself (무엇을, 누구를, 어디에), or for the place where something is done.

    Not "what" where only the noun tells which verb it is: 쓰다 is to write and to wear, 드시다 to eat and to drink.
    """
    verb, noun = clause.action.combination
    takes = clause.action.takes
    asked_for = ""
    if word == "what" and takes == "object" and noun in words.tables["persons"]:
        word, asked_for = "who", "누구를"
    elif word == "what" and takes == "object" and verb not in words.homonyms and "드시" not in clause.predicate().stem:
        asked_for = "무엇을"
    elif word == "where" and (takes in ("at", "in", "toward") or verb == "가다"):
        asked_for = {"at": "어디에서", "toward": "어디로"}.get(takes, "어디에")
    elif word == "where" and takes == "object" and any(extra.ko.endswith("에서") for extra in clause.action.extras):
        return _asked(clause, "where", clause.ko(True, "어디에서"))
    if not asked_for:
        return None
    en = f"{word} {clause.en(True, complement='')}"
    return make(clause.ko(True, asked_for, complement=""), en, (verb, asked_for), question=True)


def _asked(clause: Clause, word: str, ko: str) -> Sentence:
    return make(ko, f"{word} {clause.en(True)}", clause.action.combination, question=True)
