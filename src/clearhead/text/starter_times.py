"""Frames about time: the clock, daily routines, ages and dates, the weather.

Each frame picks words and builds one pair, right in both languages, or answers None where its picks do not fit
together. How often each is tried is said in ``starter.FRAMES``.
"""

from __future__ import annotations

from dataclasses import replace

from clearhead.text import english, korean
from clearhead.text.english import Subject, clause
from clearhead.text.korean import TOPIC, Predicate, Tense, attach, be, native
from clearhead.text.starter_clauses import (
    LEVELS,
    Clause,
    Pick,
    Sentence,
    Setting,
    choose_pair,
    english_group,
    join,
    korean_predicate,
    make,
    you,
)
from clearhead.text.starter_lexicon import Action, Lexicon, Phrase
from clearhead.text.starter_things import choose_owner

IT = Subject("it", "it")
PRESENT, PAST, FUTURE = Tense.PRESENT, Tense.PAST, Tense.FUTURE

# --- clock and calendar ---------------------------------------------------------------------------------------------


def _clock(pick: Pick, first: int = 1, last: int = 12) -> tuple[str, str, str]:
    """Return a time of day in Korean, in English, and its hour as combinations name it."""
    hour, minute = pick(range(first, last + 1)), pick((0, 0, 0, 30, 30, 10, 15, 20, 40, 45, 50))
    return korean.clock(hour, minute), english.clock(hour, minute), f"{hour} 시"


def now(words: Lexicon, pick: Pick) -> Sentence:
    """It is two thirty now. What time is it now?"""
    level, (ko, en, hour) = pick(LEVELS), _clock(pick)
    if pick((True, *[False] * 40)):
        ko = f"지금 {be('몇 시', PRESENT, level, True)}"
        return make(ko, "what time is it now", ("지금", "몇 시"), question=True)
    minute = ko.partition(" 시 ")[2]
    return make(f"지금은 {be(ko, PRESENT, level)}", f"it is {en} now", (hour, minute))


def event(words: Lexicon, pick: Pick) -> Sentence:
    """The class starts at nine o'clock. When does the bank open?"""
    shop = pick((True, False, False))
    nouns = {ko: words.places[ko].en for ko in words.tables["openings"]["nouns"]} if shop else words.tables["events"]
    noun_ko, noun = choose_pair(pick, nouns)
    choices = {"문을 열": "open", "문을 닫": "close"} if shop else {"시작하": "start", "끝나": "end"}
    stem, verb = choose_pair(pick, choices)
    level, (at_ko, at, hour) = pick(LEVELS), _clock(pick, 5, 11)
    days = (("", "", PRESENT), ("", "", PRESENT), ("내일", "tomorrow", FUTURE), ("어제", "yesterday", PAST))
    day_ko, day, tense = pick(days)
    asked = pick((True, False, False, False, False))
    subject, name = Subject(f"the {noun}", "it"), stem.rpartition(" ")[2] + "다"
    end = Predicate(stem).end(tense, level, asked)
    en = clause(subject, english_group(verb, "simple", tense), tense is PAST, question=asked)
    if asked:
        ko = join(attach(noun_ko, TOPIC), day_ko, "몇 시에", end)
        return make(ko, join("what time", en, day), (noun_ko, name), question=True)
    ko = join(attach(noun_ko, TOPIC), day_ko, f"{at_ko}에", end)
    return make(ko, join(en, "at", at, day), (noun_ko, name), (noun_ko, hour))


def routine(words: Lexicon, pick: Pick) -> Sentence | None:
    """I get up at seven o'clock. What time do you get up?"""
    name, entry = choose_pair(pick, words.tables["routines"])
    action = _routine_action(words, name, entry)
    level, (at_ko, at, hour) = pick(LEVELS), _clock(pick, *entry["hours"])
    asked = pick((True, False, False, False, False))
    person = pick([you(level)] if asked else words.people_at(level))
    if not action.fits(person):
        return None
    tomorrow = Phrase("내일", "tomorrow")
    setting = pick(
        (
            Setting(),
            Setting(tense=PAST),
            Setting(time=Phrase("매일", "every day")),
            Setting(tense=PAST, time=Phrase("어제", "yesterday")),
            Setting(tense=FUTURE, time=tomorrow),
            Setting("must", time=tomorrow),
        )
    )
    told = Clause(person, action, setting, level)
    if asked:
        ko, en = told.ko(True, "몇 시에"), f"what time {told.en(True)}"
        return make(ko, en, (name, "몇 시"), action.combination, question=True)
    ko, en = told.ko(wh=f"{at_ko}에"), replace(told, extra=Phrase("", f"at {at}")).en()
    return make(ko, en, (name, hour), action.combination)


def _routine_action(words: Lexicon, name: str, entry: dict[str, object]) -> Action:
    if "en" not in entry:
        return words.action(name)
    complement, _, verb = name.rpartition(" ")
    return Action(Predicate.verb(verb), complement, str(entry["en"]), "daily", "nothing", complement, "", "")


def age(words: Lexicon, pick: Pick) -> Sentence | None:
    """Minsu is twenty years old."""
    level, years = pick(LEVELS), pick([*range(5, 31), 35, 40])
    person = pick([person for person in words.people_at(level) if not person.elder])
    if person.subject.agreement == "they":
        return None
    ko = f"{person.topic} {be(f'{native(years)} 살', PRESENT, level)}"
    en = f"{clause(person.subject, 'be')} {english.number(years)} years old"
    return make(ko, en, (person.subject.words, f"{years} 살"))


def calendar(words: Lexicon, pick: Pick) -> Sentence | None:
    """Today is March fifth. My birthday is June tenth. Tomorrow is Monday."""
    level = pick(LEVELS)
    day_ko, day, tense = pick((("오늘", "today", PRESENT), ("내일", "tomorrow", PRESENT), ("어제", "yesterday", PAST)))
    if pick((True, False, False, False)):
        week_ko, week = choose_pair(pick, words.tables["weekdays"])
        en = f"{clause(Subject(day, 'it'), 'be', tense is PAST)} {week}"
        return make(f"{attach(day_ko, TOPIC)} {be(week_ko, tense, level)}", en, (day, week_ko))
    if pick((True, False)):
        owner_ko, owner = choose_owner(words, pick, level)
        if owner == "our":
            return None
        day_ko, day, tense = f"{owner_ko} 생일", f"{owner} birthday", PRESENT
    month, number = pick(range(1, 13)), pick((1, 2, 3, 5, 6, 8, 10, 11, 12, 15, 17, 20, 21, 24, 25, 30))
    if (month, number) == (2, 30):
        number = 20
    en = f"{clause(Subject(day, 'it'), 'be', tense is PAST)} {english.date(month, number)}"
    ko = f"{attach(day_ko, TOPIC)} {be(korean.date(month, number), tense, level)}"
    return make(ko, en, (f"{month}월", f"{number}일"))


# --- weather --------------------------------------------------------------------------------------------------------


def weather(words: Lexicon, pick: Pick) -> Sentence | None:
    """It is cold in Seoul today. It often rains in summer."""
    table, level = words.tables["weather"], pick(LEVELS)
    kind, entry = choose_pair(pick, table["kinds"])
    tense, season = pick(((PRESENT, False), (PAST, False), (PAST, False), (FUTURE, False), (PRESENT, True)))
    when_ko, when = choose_pair(pick, table["when"]["seasons" if season else tense.value])
    place = words.places[pick(table["where"]["places"])] if pick((True, False)) else None
    asked = tense is not FUTURE and pick((True, False, False, False))
    denial = "" if asked else pick(("", "", "", "long"))
    predicate = korean_predicate(Predicate(kind.removesuffix("다"), not entry.get("verb", False)), denial=denial)
    falling = not entry["en"].startswith("be ")
    often = falling and season and not denial
    verb = entry["en"]
    if falling and tense is PRESENT and not season:
        verb = f"be {english.gerund(verb)}"  # 오늘은 비가 온다: it is raining today
    en = clause(IT, english_group(verb, "simple", tense), tense is PAST, bool(denial), asked, "often" if often else "")
    en = join(en, place.at if place else "", when)
    in_ko = "" if when_ko in ("오늘", "어제", "내일") else "에"
    if place:
        where_ko = attach(place.ko + ("에" if entry.get("verb") else ""), TOPIC)
        ko = f"{where_ko} {when_ko}{in_ko}" if season else f"{when_ko}{in_ko} {where_ko}"
    else:
        ko = attach(when_ko + in_ko, TOPIC)
    ko = join(ko, "자주" if often else "", predicate.end(tense, level, asked))
    combinations = [(when, kind)] + ([(place.ko, kind)] if place else [])
    return make(ko, en, *combinations, question=asked)
