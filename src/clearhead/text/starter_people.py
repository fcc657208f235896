"""Frames about people: what they do and why, what they are and how they feel.

Each frame picks words and builds one pair, right in both languages, or answers None where its picks do not fit
together. How often each is tried is said in ``starter.FRAMES``.
"""

from __future__ import annotations

from dataclasses import replace

from clearhead.text import english, korean
from clearhead.text.english import Subject, clause
from clearhead.text.korean import AND, OBJECT, SUBJECT, Level, Predicate, Tense, attach, be, not_be
from clearhead.text.starter_clauses import (
    LEVELS,
    NOTHING,
    Clause,
    Pick,
    Sentence,
    Setting,
    choose_clause,
    choose_pair,
    english_group,
    join,
    korean_predicate,
    make,
    settings,
    you,
)
from clearhead.text.starter_lexicon import Action, Lexicon, Person

IT = Subject("it", "it")
PRESENT, PAST, FUTURE = Tense.PRESENT, Tense.PAST, Tense.FUTURE

# --- what people do -------------------------------------------------------------------------------------------------


def statement(words: Lexicon, pick: Pick) -> Sentence:
    """Minsu reads books every day."""
    return choose_clause(words, pick).statement()


def question(words: Lexicon, pick: Pick) -> Sentence:
    """Did you read a book yesterday?"""
    return choose_clause(words, pick, asked=True).question()


def two_things(words: Lexicon, pick: Pick) -> Sentence | None:
    """I bought an apple and a banana."""
    one = choose_clause(words, pick)
    first = one.action
    second = pick(words.objects_of[first.verb.stem, first.en]) if first.takes == "object" else first
    if not words.same_group(first.noun, second.noun) or one.extra.ko or one.denial:
        return None
    both = replace(
        first,
        ko_complement=f"{attach(first.noun, AND)} {attach(second.noun, OBJECT)}",
        en_once=f"{first.en_once} and {second.en_once}",
        en_general=f"{first.en_general} and {second.en_general}",
    )
    told = replace(one, action=both).statement()
    return told._replace(combinations=(first.combination, second.combination))


def preference(words: Lexicon, pick: Pick) -> Sentence | None:
    """I like tea more than coffee."""
    likes = words.objects_of["좋아하", "like"]
    level, first, second = pick(LEVELS), pick(likes), pick(likes)
    if not words.same_group(first.noun, second.noun):
        return None
    more = replace(first, ko_complement=f"{second.noun}보다 {first.ko_complement} 더")
    told = Clause(pick(words.people_at(level)), more, Setting(tense=pick((PRESENT, PRESENT, PAST))), level)
    en = english.sentence(f"{told.en()} more than {second.en_general}")
    return Sentence(told.ko(), en, (first.combination, second.combination))


def giving(words: Lexicon, pick: Pick) -> Sentence | None:
    """Minsu gave a book to Yuna."""
    gifts = words.tables["gifts"]
    verb, en = choose_pair(pick, gifts["verbs"])
    noun, (to_ko, to_en) = pick(gifts["nouns"]), choose_pair(pick, gifts["recipients"])
    level = pick(LEVELS)
    person = pick(words.people_at(level))
    if person.ko == to_ko or f"{verb} {noun}" in gifts["impossible"]:
        return None
    thing = words.nouns[noun]
    complement = f"{to_ko}에게 {attach(noun, OBJECT)}"
    once, general = f"{thing.once} to {to_en}", f"{thing.many} to {to_en}"
    action = Action(Predicate.verb(verb), noun, en, "event", "object", complement, once, general)
    setting = pick(settings(words, "event"))
    denial = pick(("", "", "long")) if setting.mode != "must" and not setting.is_habit else ""
    return Clause(person, action, setting, level, denial).statement()


def request(words: Lexicon, pick: Pick) -> Sentence | None:
    """Please open the door. Do not take a photo."""
    asked = pick(("please", "not"))
    action = pick(words.actions_of[pick(words.tables["requests"][asked])])
    extra = pick((NOTHING, *action.extras[:3]))
    if (extra.ko and not extra.ko.endswith("에서")) or action.en == "wear":
        return None
    before = join(extra.ko, action.ko_complement)
    words_en = join(action.en, action.en_once, extra.en)
    stem = action.verb.stem
    if asked == "please":
        ko = f"{before} {korean.infinitive(stem)} {pick(('주세요', '주십시오'))}"
        return make(ko, f"please {words_en}", action.combination)
    return make(f"{before} {stem}지 {pick(('마세요', '마십시오'))}", f"do not {words_en}", action.combination)


def because(words: Lexicon, pick: Pick) -> Sentence | None:
    """Minsu ate bread because he was hungry; in Korean with -아서, or with 왜냐하면 as in the textbook's sentence."""
    reason, effects = choose_pair(pick, words.tables["reasons"])
    level = pick(LEVELS)
    person = pick(words.people_at(level))
    state, denial = words.states.get(reason), ""
    if state and person.elder and not state.elder:
        return None
    mode, tense = pick((("simple", PAST), ("simple", PAST), ("simple", PAST), ("want", PRESENT), ("can", PRESENT)))
    name = pick(effects["do"] + effects["avoid"])
    if name in effects["avoid"]:
        denial = pick(("short", "long"))
    action = words.action(name)
    if (mode == "want" and denial) or (mode == "can" and not denial) or not action.fits(person):
        return None
    deed = Clause(person, action, Setting(mode, tense), level, denial)
    cause_ko, cause_en, subject = _cause(words, reason, person, tense)
    cause_ko = cause_ko.respected() if state and person.honorific(level) else cause_ko
    en = english.sentence(f"{deed.en()} because {clause(subject, cause_en, tense is PAST)}")
    combinations = ((reason, name), deed.action.combination)
    if level is Level.PLAIN and tense is PAST and pick((True, False, False)):
        again = person.topic if state and person.subject.words == person.subject.pronoun else ""
        return Sentence(f"{deed.ko()}, 왜냐하면 {join(again, cause_ko.past_stem())}기 때문이다", en, combinations)
    ko = deed.ko(topic=f"{person.topic} {cause_ko.so()}") if state else f"{cause_ko.so()} {deed.ko()}"
    return Sentence(ko, en, combinations)


def _cause(words: Lexicon, reason: str, person: Person, tense: Tense) -> tuple[Predicate, str, Subject]:
    if reason in words.states:
        state = words.states[reason]
        return state.predicate, f"be {state.en}", person.subject_again
    weather = words.tables["weather"]["kinds"][reason]
    verb = weather["en"]
    group = english_group(verb, "progressive" if tense is PRESENT and not verb.startswith("be ") else "simple", tense)
    return Predicate(reason.removesuffix("다"), not weather.get("verb", False)), group, IT


# --- who and what somebody is ---------------------------------------------------------------------------------------


def identity(words: Lexicon, pick: Pick) -> Sentence | None:
    """I am a student."""
    job_ko, job = choose_pair(pick, words.tables["jobs"])
    level, shape = pick(LEVELS), pick(("is", "is", "is", "was", "is not", "is it", "becomes"))
    person = (
        pick([you(level), you(level), *words.asked_about(level)]) if shape == "is it" else pick(words.people_at(level))
    )
    subject = person.subject
    many = subject.agreement == "they" and subject.pronoun != "you"
    what = english.plural(job) if many else english.a(job)
    combination = (subject.words, job_ko)
    odd = shape != "becomes" and person.ko in ("선생님", "학생들", "아이들")  # their name says what they are
    if odd or (person.elder and person.ko and (shape == "becomes" or job_ko == "학생")):
        return None
    honorific = person.honorific(level)
    if shape == "becomes":
        mode, tense = pick((("want", PRESENT), ("want", PAST), ("simple", FUTURE), ("simple", PAST)))
        others = subject.pronoun not in ("I", "we")
        become = korean_predicate(Predicate("되"), mode, honorific=honorific, others=others).end(tense, level)
        en = clause(subject, english_group("become", mode, tense), tense is PAST)
        return make(f"{person.topic} {attach(job_ko, SUBJECT)} {become}", f"{en} {what}", combination)
    if shape == "is it":
        ko = join(person.topic, be(job_ko, PRESENT, level, question=True, honorific=honorific))
        return make(ko, f"{clause(subject, 'be', question=True)} {what}", combination, question=True)
    tense = PAST if shape == "was" else PRESENT
    if shape == "is not":
        end = not_be(job_ko, tense, level, honorific)
    else:
        end = be(job_ko, tense, level, honorific=honorific)
    en = clause(subject, "be", tense is PAST, negative=shape == "is not")
    return make(f"{person.topic} {end}", f"{en} {what}", combination)


def feeling(words: Lexicon, pick: Pick) -> Sentence | None:
    """Yuna is tired today."""
    level, state = pick(LEVELS), pick(list(words.states.values()))
    asked = pick((False, False, False, True))
    person = pick([you(level), you(level), *words.asked_about(level)] if asked else words.people_at(level))
    day, tense = pick((("", PRESENT), ("", PRESENT), ("", PAST), ("오늘", PRESENT), ("어제", PAST), ("지금", PRESENT)))
    if (person.honorific(level) and not state.elder) or (state.lasting and day):
        return None
    denial = "" if asked else pick(("", "", "long"))
    en_day = {"": "", "오늘": "today", "어제": "yesterday", "지금": "now"}[day]
    predicate = korean_predicate(state.predicate, denial=denial, honorific=person.honorific(level))
    ko = join(person.topic, day, predicate.end(tense, level, asked))
    en = join(clause(person.subject, f"be {state.en}", tense is PAST, bool(denial), asked), en_day)
    return make(ko, en, (person.subject.words, state.ko), question=asked)


def taller(words: Lexicon, pick: Pick) -> Sentence | None:
    """Minsu is taller than Yuna."""
    level, state = pick(LEVELS), pick([state for state in words.states.values() if state.elder])
    person, other = pick(words.people_at(level)), pick(words.people_at(level))
    than = other.subject.words
    if person == other or than in ("I", "we", "he", "she", "they") or person.elder != other.elder:
        return None
    end = korean_predicate(state.predicate, honorific=person.honorific(level)).end(PRESENT, level)
    en = f"{clause(person.subject, 'be')} {english.comparative(state.en)} than {than}"
    combinations = ((person.subject.words, state.ko), (than, state.ko))
    return make(f"{person.topic} {other.ko}보다 {end}", en, *combinations)
