"""Frames about things: what they are like, whose they are, where, how many; and why animals do not cross the street.

Each frame picks words and builds one pair, right in both languages, or answers None where its picks do not fit
together. How often each is tried is said in ``starter.FRAMES``.
"""

from __future__ import annotations

from dataclasses import replace

from clearhead.text import english, korean
from clearhead.text.english import Subject, clause
from clearhead.text.korean import OBJECT, SUBJECT, TOPIC, Level, Predicate, Tense, attach, be, native, sino
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
from clearhead.text.starter_lexicon import Lexicon, Noun, Phrase, Quality

IT, THERE = Subject("it", "it"), Subject("there", "it")
PRESENT, PAST, FUTURE = Tense.PRESENT, Tense.PAST, Tense.FUTURE
THIS = {"이": "this", "저": "that", "그": "the"}
EXIST = Predicate("있", descriptive=True)
LACK = Predicate("없", descriptive=True)

# --- what things are like -------------------------------------------------------------------------------------------


def _quality(words: Lexicon, pick: Pick) -> tuple[Quality, Noun]:
    quality = pick(list(words.qualities.values()))
    return quality, words.nouns[pick(quality.nouns)]


def quality(words: Lexicon, pick: Pick) -> Sentence:
    """This bag is expensive. Is that bag expensive? The bag was not expensive."""
    chosen, noun = _quality(words, pick)
    this_ko, this = choose_pair(pick, THIS)
    if noun.ko in words.tables["groups"]["subjects"]:
        this_ko, this = "", ""  # math, not this math
    level, asked, tense = pick(LEVELS), pick((False, False, False, True)), pick((PRESENT, PRESENT, PAST))
    denial = "" if asked else pick(("", "", "short", "long"))
    end = korean_predicate(chosen.predicate, denial=denial).end(tense, level, asked)
    en = clause(noun.subject(this), f"be {chosen.en}", tense is PAST, bool(denial), asked)
    return make(join(this_ko, attach(noun.ko, TOPIC), end), en, (noun.ko, chosen.ko), question=asked)


def owned_quality(words: Lexicon, pick: Pick) -> Sentence | None:
    """Minsu's bag is expensive."""
    chosen, noun = _quality(words, pick)
    if noun.ko not in words.tables["possession"]["own"]:
        return None
    level = pick(LEVELS)
    owner_ko, owner = choose_owner(words, pick, level)
    denial, tense = pick(("", "", "short", "long")), pick((PRESENT, PRESENT, PAST))
    end = korean_predicate(chosen.predicate, denial=denial).end(tense, level)
    subject = Subject(f"{owner} {noun.en}", "they" if noun.is_plural else "it")
    en = clause(subject, f"be {chosen.en}", tense is PAST, bool(denial))
    return make(f"{owner_ko} {attach(noun.ko, TOPIC)} {end}", en, (noun.ko, chosen.ko))


def quality_before_noun(words: Lexicon, pick: Pick) -> Sentence | None:
    """This is an expensive bag. Minsu bought an expensive bag."""
    chosen, noun = _quality(words, pick)
    phrase = f"{chosen.predicate.modifier()} {noun.ko}"
    once = f"{chosen.en} {noun.en}" if noun.kind in ("mass", "plural") else english.a(f"{chosen.en} {noun.en}")
    level = pick(LEVELS)
    if noun.ko in words.tables["groups"]["subjects"]:
        return None
    if pick((True, False)):
        this_ko, this = pick((("이것은", "this"), ("저것은", "that")))
        subject = Subject({"this": "these", "that": "those"}[this], "they") if noun.is_plural else Subject(this, "it")
        return make(f"{this_ko} {be(phrase, PRESENT, level)}", f"{clause(subject, 'be')} {once}", (noun.ko, chosen.ko))
    verbs = ("buy", "sell", "make", "draw", "wear", "read", "drink", "eat", "wash", "ride")
    actions = [action for action in words.actions if action.noun == noun.ko and action.en in verbs]
    if not actions:
        return None
    action = pick(actions)
    setting = pick((Setting(tense=PAST), Setting(tense=PAST), Setting("want"), Setting(tense=FUTURE)))
    action = replace(action, ko_complement=attach(phrase, OBJECT), en_once=once)
    told = Clause(pick(words.people_at(level)), action, setting, level).statement()
    return told._replace(combinations=(action.combination, (noun.ko, chosen.ko)))


def comparison(words: Lexicon, pick: Pick) -> Sentence | None:
    """This bag is more expensive than that bag."""
    chosen, noun = _quality(words, pick)
    other, level = words.nouns[pick(chosen.nouns)], pick(LEVELS)
    colour = chosen.en in ("red", "blue", "white")
    if (
        not (noun == other or words.same_group(noun.ko, other.ko))
        or noun.ko in words.tables["groups"]["subjects"]
        or colour
    ):
        return None
    first, second = noun.subject("this"), other.subject("that")
    end = chosen.predicate.end(PRESENT, level)
    en = f"{clause(first, 'be')} {english.comparative(chosen.en)} than {second.words}"
    ko = f"이 {attach(noun.ko, TOPIC)} 저 {other.ko}보다 {end}"
    return make(ko, en, (noun.ko, chosen.ko), (other.ko, chosen.ko))


def contrast(words: Lexicon, pick: Pick) -> Sentence | None:
    """This bag is expensive but pretty."""
    table = words.tables["contrast"]
    good, bad = pick(table["good"]), pick(table["bad"])
    first, second = pick(((good, bad), (bad, good)))
    shared = [noun for noun in words.qualities[first].nouns if noun in words.qualities[second].nouns]
    if not shared or [good, bad] in table["opposites"]:
        return None
    noun, chosen, other = words.nouns[pick(shared)], words.qualities[first], words.qualities[second]
    this_ko, this = choose_pair(pick, THIS)
    level = pick(LEVELS)
    ko = f"{this_ko} {attach(noun.ko, TOPIC)} {chosen.predicate.stem}지만 {other.predicate.end(PRESENT, level)}"
    en = f"{clause(noun.subject(this), 'be')} {chosen.en} but {other.en}"
    return make(ko, en, (noun.ko, chosen.ko), (noun.ko, other.ko))


# --- whose things are -----------------------------------------------------------------------------------------------


def choose_owner(words: Lexicon, pick: Pick, level: Level) -> tuple[str, str]:
    """Return an owner in Korean and in English (제, my)."""
    mine = ("내" if level is Level.PLAIN else "제", "my")
    return pick([mine, mine, *words.tables["possession"]["owners"].items()])


def belonging(words: Lexicon, pick: Pick) -> Sentence:
    """This is my bag. Whose bag is this?"""
    noun, level = words.nouns[pick(words.tables["possession"]["own"])], pick(LEVELS)
    this_ko, this = choose_pair(pick, {"이것": "this", "저것": "that"})
    subject = Subject({"this": "these", "that": "those"}[this], "they") if noun.is_plural else Subject(this, "it")
    shape = pick(("mine", "mine", "mine", "mine", "not mine", "whose"))
    if shape == "whose":
        en = f"whose {noun.en} {clause(subject, 'be', question=True)}"
        ko = f"{attach(this_ko, TOPIC)} 누구의 {be(noun.ko, PRESENT, level, question=True)}"
        return make(ko, en, (this, noun.ko), question=True)
    owner_ko, owner = choose_owner(words, pick, level)
    negative = shape == "not mine"
    thing = f"{owner_ko} {noun.ko}"
    end = korean.not_be(thing, PRESENT, level) if negative else be(thing, PRESENT, level)
    en = f"{clause(subject, 'be', negative=negative)} {owner} {noun.en}"
    return make(f"{attach(this_ko, TOPIC)} {end}", en, (owner, noun.ko))


def having(words: Lexicon, pick: Pick) -> Sentence | None:
    """I have a car. Do you need an umbrella?"""
    verb = pick(("have", "need"))
    noun, level = words.nouns[pick(words.tables["possession"][verb])], pick(LEVELS)
    asked, tense = pick((False, False, False, True)), pick((PRESENT, PRESENT, PAST))
    person = pick([you(level)] * 4 if asked else words.people_at(level))
    if person.elder and not asked:
        return None
    denial = "" if asked else pick(("", "", "long"))
    honorific = person.honorific(level)
    if verb == "have":
        predicate = LACK if denial else Predicate("있으시", True, True) if honorific else EXIST
    else:
        predicate = korean_predicate(Predicate("필요하", descriptive=True), denial=denial, honorific=honorific)
    ko = join(person.topic, attach(noun.ko, SUBJECT), predicate.end(tense, level, asked))
    en = f"{clause(person.subject, verb, tense is PAST, bool(denial), asked)} {noun.once}"
    return make(ko, en, (predicate_name(verb), noun.ko), question=asked)


def predicate_name(verb: str) -> str:
    """Return the Korean predicate that says ``verb``, as combinations name it."""
    return {"have": "있다", "need": "필요하다"}[verb]


# --- where things are -----------------------------------------------------------------------------------------------


def _spot(words: Lexicon, pick: Pick) -> tuple[Noun, str, str, tuple[str, str]]:
    """Return a thing, where it is in Korean and in English, and the combination."""
    landmark, spot = choose_pair(pick, words.tables["spots"])
    position, thing = pick(spot["at"]), words.nouns[pick(spot["things"])]
    place = words.nouns[landmark]
    the = place.the if landmark != "학교" else "the school"
    return thing, f"{landmark} {position}", f"{words.tables['positions'][position]} {the}", (thing.ko, landmark)


def there_is(words: Lexicon, pick: Pick) -> Sentence:
    """There is a book on the desk. Is there a book on the desk? What is on the desk?"""
    thing, where_ko, where, combination = _spot(words, pick)
    level, tense = pick(LEVELS), pick((PRESENT, PRESENT, PAST))
    shape = pick(("is", "is", "is", "is", "is no", "is it", "what"))
    there = Subject("there", "they" if thing.is_plural else "it")
    if shape == "what":
        ko = f"{where_ko}에 무엇이 {EXIST.end(tense, level, True)}"
        return make(ko, f"what {english.finite('be', 'it', tense is PAST)} {where}", (where_ko, "무엇"), question=True)
    asked = shape == "is it"
    ko = f"{where_ko}에 {attach(thing.ko, SUBJECT)} {(LACK if shape == 'is no' else EXIST).end(tense, level, asked)}"
    what = f"no {thing.en}" if shape == "is no" else thing.once
    return make(ko, f"{clause(there, 'be', tense is PAST, question=asked)} {what} {where}", combination, question=asked)


def where_it_is(words: Lexicon, pick: Pick) -> Sentence:
    """The cat is under the chair. Where is the cat?"""
    thing, where_ko, where, combination = _spot(words, pick)
    level, tense = pick(LEVELS), pick((PRESENT, PRESENT, PAST))
    the = thing.subject("the")
    topic = attach(thing.ko, TOPIC)
    if pick((True, False, False, False)):
        en = f"where {clause(the, 'be', tense is PAST, question=True)}"
        return make(f"{topic} 어디에 {EXIST.end(tense, level, True)}", en, (thing.ko, "어디"), question=True)
    negative = pick((False, False, True))
    end = (LACK if negative else EXIST).end(tense, level)
    return make(f"{topic} {where_ko}에 {end}", f"{clause(the, 'be', tense is PAST, negative)} {where}", combination)


def where_they_are(words: Lexicon, pick: Pick) -> Sentence:
    """Minsu is at the library. Where is Minsu?"""
    level, tense = pick(LEVELS), pick((PRESENT, PRESENT, PAST))
    person = pick(words.people_at(level))
    place = words.places[pick(words.tables["whereabouts"])]
    exist = EXIST.respected() if person.honorific(level) else EXIST
    if person in words.asked_about(level) and pick((True, False)):
        en = f"where {clause(person.subject, 'be', tense is PAST, question=True)}"
        combination = (person.subject.words, "어디")
        return make(f"{person.topic} 어디에 {exist.end(tense, level, True)}", en, combination, question=True)
    time_ko, time = pick((("", ""), ("지금", "now")) if tense is PRESENT else (("", ""), ("어제", "yesterday")))
    ko = join(person.topic, time_ko, f"{place.ko}에", exist.end(tense, level))
    return make(ko, join(clause(person.subject, "be", tense is PAST), place.at, time), (person.subject.words, place.ko))


def directions(words: Lexicon, pick: Pick) -> Sentence:
    """Turn right at the bank. Go straight to the bank."""
    place = words.places[pick(words.tables["openings"]["nouns"])]
    please = pick(("가세요", "가십시오", "가라"))
    turn = {"가세요": "도세요", "가십시오": "도십시오", "가라": "돌아라"}[please]
    match pick(("right", "left", "straight", "toward")):
        case "straight":
            return make(f"{place.ko}까지 똑바로 {please}", f"go straight to {place.the}", (place.ko, "똑바로"))
        case "toward":
            return make(f"{place.ko} 쪽으로 {please}", f"go toward {place.the}", (place.ko, "쪽"))
        case side:
            side_ko = {"right": "오른쪽", "left": "왼쪽"}[side]
            return make(f"{place.ko}에서 {side_ko}으로 {turn}", f"turn {side} at {place.the}", (place.ko, side_ko))


# --- how many -------------------------------------------------------------------------------------------------------


def _count(noun: Noun, unit: str, measure: str | None, number: int) -> tuple[str, str]:
    """Return how many, in Korean (세 개) and in English (three apples)."""
    one = measure or noun.en
    return f"{native(number)} {unit}", f"{english.number(number)} {one if number == 1 else english.plural_measure(one)}"


def counted(words: Lexicon, pick: Pick) -> Sentence | None:
    """I bought three apples. How many apples did you buy?"""
    noun_ko, counter = choose_pair(pick, words.tables["counters"])
    noun, action = words.nouns[noun_ko], words.action(f"{pick(counter['verbs'])} {noun_ko}")
    measure, level = counter.get("en"), pick(LEVELS)
    tense = PAST if action.kind != "state" else PRESENT
    if pick((True, False, False, False, False)):
        many = english.plural_measure(measure or noun.en)
        asked = Clause(you(level), action, Setting(tense=tense), level)
        ko = asked.ko(True, complement=f"{attach(noun_ko, OBJECT)} 몇 {counter['unit']}")
        en = f"how many {many} {asked.en(True, complement='')}"
        return make(ko, en, action.combination, (noun_ko, "몇"), question=True)
    number = pick((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 3, 4, 5))
    how_many_ko, how_many = _count(noun, counter["unit"], measure, number)
    times = words.tables["times"]
    settings = [Setting(tense=tense)] * 3
    if action.kind != "state":
        settings += [Setting(tense=PAST, time=Phrase(*pair)) for pair in times["past"].items()]
        settings += [Setting("want"), Setting(tense=FUTURE), Setting(tense=FUTURE, time=Phrase("내일", "tomorrow"))]
    told = Clause(pick(words.people_at(level)), action, pick(settings), level)
    ko = told.ko(complement=f"{attach(noun_ko, OBJECT)} {how_many_ko}")
    return make(ko, told.en(complement=how_many), action.combination, (noun_ko, str(number)))


def crowd(words: Lexicon, pick: Pick) -> Sentence:
    """There are two cats in the park. How many students are in the classroom?"""
    noun_ko, entry = choose_pair(pick, words.tables["crowds"])
    noun, place, level = words.nouns[noun_ko], words.places[pick(entry["places"])], pick(LEVELS)
    tense, number = pick((PRESENT, PRESENT, PAST)), pick(range(1, 11))
    ko, who = f"{place.ko}에 {attach(noun_ko, SUBJECT)}", (noun_ko, place.ko)
    if pick((True, False, False, False, False)):
        en = f"how many {noun.many} {english.finite('be', 'they', tense is PAST)} {place.at}"
        return make(f"{ko} 몇 {entry['unit']} {EXIST.end(tense, level, True)}", en, who, (noun_ko, "몇"), question=True)
    how_many_ko, how_many = _count(noun, entry["unit"], None, number)
    there = clause(Subject("there", "it" if number == 1 else "they"), "be", tense is PAST)
    ko = f"{ko} {how_many_ko} {EXIST.end(tense, level)}"
    return make(ko, f"{there} {how_many} {place.at}", who, (noun_ko, str(number)))


def price(words: Lexicon, pick: Pick) -> Sentence:
    """This bag is fifty thousand won. How much is this bag?"""
    noun_ko, prices = choose_pair(pick, words.tables["prices"])
    noun, thousands, level = words.nouns[noun_ko], pick(prices), pick(LEVELS)
    this_ko, this = choose_pair(pick, THIS)
    topic, subject = f"{this_ko} {attach(noun_ko, TOPIC)}", noun.subject(this)
    if pick((True, False, False, False, False)):
        en = f"how much {clause(subject, 'be', question=True)}"
        return make(f"{topic} {be('얼마', PRESENT, level, True)}", en, (noun_ko, "얼마"), question=True)
    won = f"{sino(thousands * 1000)} 원"
    en = f"{clause(subject, 'be')} {english.number(thousands * 1000)} won"
    return make(f"{topic} {be(won, PRESENT, level)}", en, (noun_ko, str(thousands)))


# --- animals that do not cross the street ---------------------------------------------------------------------------


def crossing(words: Lexicon, pick: Pick) -> Sentence:
    """The animal did not cross the street because it was too tired."""
    barrier, entry = choose_pair(pick, words.tables["barriers"])
    animal = pick(words.tables["animals"]["nouns"])
    states = words.tables["animals"]["states"]
    about_animal = pick(("animal", "barrier")) == "animal"
    reason = pick(list(states) if about_animal else entry["because"])
    quality = words.qualities.get(reason)
    en_reason = states[reason] if about_animal or quality is None else quality.en
    level = pick((Level.PLAIN, Level.PLAIN, Level.PLAIN, Level.FORMAL))
    mode = pick(("simple", "simple", "can"))
    verb = Predicate.verb(entry["ko"].rpartition(" ")[2])
    complement = entry["ko"].rpartition(" ")[0]
    end = korean_predicate(verb, mode, "long").end(PAST, level)
    deed = f"{attach('그 ' + animal, TOPIC)} {complement} {end}"
    cause = Predicate.adjective(reason)
    if pick(("왜냐하면", "왜냐하면", "-아서")) == "왜냐하면":
        ko = f"{deed}, 왜냐하면 그것은 너무 {cause.past_stem()}기 {be('때문', PRESENT, level)}"
    elif about_animal:
        ko = f"{attach('그 ' + animal, TOPIC)} 너무 {cause.so()} {complement} {end}"
    else:
        ko = f"{attach(barrier, SUBJECT)} 너무 {cause.so()} {deed}"
    subject = words.nouns[animal].subject("the")
    en = clause(subject, english_group(f"{entry['en']} the {words.nouns[barrier].en}", mode, PAST), True, negative=True)
    shown = (animal, reason) if about_animal else (barrier, reason)
    return make(ko, f"{en} because it was too {en_reason}", shown, (animal, barrier))
