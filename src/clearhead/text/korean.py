"""Korean morphology by rule: Hangul arithmetic, particles, conjugation and numbers, as pure functions of strings.

A Hangul syllable is a number: 0xAC00 + (lead * 21 + vowel) * 28 + tail (The Unicode Standard, section 3.12). Its final
consonant (the tail) decides every particle and most endings, so all that follows is arithmetic and a few short tables
of exceptions. Spelling follows the Korean orthography (한글 맞춤법), chapters 4 and 5; where it allows a contraction
(보아 / 봐) the contracted form is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
TAILS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
_FIRST = 0xAC00


# --- syllables ------------------------------------------------------------------------------------------------------


@cache
def decompose(syllable: str) -> tuple[str, str, str]:
    """Return the lead, vowel and tail ("" for none) of one Hangul syllable."""
    number = ord(syllable) - _FIRST
    assert 0 <= number < len(LEADS) * len(VOWELS) * len(TAILS), f"{syllable!r} is not a Hangul syllable"
    rest, tail = divmod(number, len(TAILS))
    lead, vowel = divmod(rest, len(VOWELS))
    return LEADS[lead], VOWELS[vowel], TAILS[tail]


def compose(lead: str, vowel: str, tail: str = "") -> str:
    """Return the syllable of these letters; the inverse of ``decompose``."""
    number = (LEADS.index(lead) * len(VOWELS) + VOWELS.index(vowel)) * len(TAILS) + TAILS.index(tail)
    return chr(_FIRST + number)


def final_consonant(word: str) -> str:
    """Return the final consonant (받침) of ``word``, "" where it ends in a vowel."""
    return decompose(word[-1])[2]


def with_final(word: str, tail: str) -> str:
    """Return ``word`` with ``tail`` as the final consonant of its last syllable."""
    lead, vowel, _ = decompose(word[-1])
    return word[:-1] + compose(lead, vowel, tail)


# --- particles ------------------------------------------------------------------------------------------------------

TOPIC = ("은", "는")
SUBJECT = ("이", "가")
OBJECT = ("을", "를")
AND = ("과", "와")
BY = ("으로", "로")
_OWN_SUBJECT_FORMS = {"나": "내가", "저": "제가", "너": "네가", "누구": "누가"}


def attach(word: str, particle: tuple[str, str]) -> str:
    """Return ``word`` with the form of ``particle`` that its final consonant asks for: (after a consonant, a vowel)."""
    if particle == SUBJECT and word in _OWN_SUBJECT_FORMS:
        return _OWN_SUBJECT_FORMS[word]
    tail = final_consonant(word)
    closed = tail != "" and not (particle == BY and tail == "ㄹ")  # 서울로, 지하철로
    return word + particle[0 if closed else 1]


# --- stems ----------------------------------------------------------------------------------------------------------
# Which stems are irregular cannot be computed (듣다 / 받다), so each class names the smaller side of its border. Of
# homographs the everyday one is meant: 걷다 to walk, 묻다 to ask. 러-irregular (이르다) and 푸다 are absent.

_REGULAR_ㅂ = tuple("입잡좁뽑씹접집업꼽")
_IRREGULAR_ㄷ = ("걷", "듣", "묻", "싣", "깨닫")
_IRREGULAR_ㅅ = ("짓", "낫", "긋", "붓", "잇", "젓")
_REGULAR_ㅎ = tuple("좋놓넣낳쌓닿")
_REGULAR_르 = ("따르", "들르", "치르")


@cache
def irregularity(stem: str) -> str:
    """Return how ``stem`` departs from plain joining: one of "ㅂ ㄷ ㅅ ㅎ ㄹ 르 으 하", "" for a regular stem."""
    _, vowel, tail = decompose(stem[-1])
    irregular = {
        "ㅂ": not stem.endswith(_REGULAR_ㅂ),
        "ㄷ": stem.endswith(_IRREGULAR_ㄷ),
        "ㅅ": stem.endswith(_IRREGULAR_ㅅ),
        "ㅎ": not stem.endswith(_REGULAR_ㅎ),
        "ㄹ": True,
    }
    if tail:
        return tail if irregular.get(tail, False) else ""
    if stem[-1] == "르" and len(stem) > 1 and not stem.endswith(_REGULAR_르):
        return "르"
    return "하" if stem[-1] == "하" else "으" if vowel == "ㅡ" else ""


_CONTRACTED = dict(zip("ㅏㅓㅐㅔㅕㅗㅜㅣㅚ", "ㅏㅓㅐㅔㅕㅘㅝㅕㅙ"))


def _harmony(syllable: str) -> str:
    """Return the ending vowel that goes with ``syllable``: ㅏ after the bright vowels ㅏ, ㅑ and ㅗ, else ㅓ."""
    return "ㅏ" if decompose(syllable)[1] in "ㅏㅑㅗ" else "ㅓ"


@cache
def infinitive(stem: str) -> str:
    """Return the -아/어 form: 가 -> 가, 오 -> 와, 먹 -> 먹어, 듣 -> 들어, 춥 -> 추워, 모르 -> 몰라, 하 -> 해."""
    lead, vowel, tail = decompose(stem[-1])
    ending = compose("ㅇ", _harmony(stem[-1]))
    match irregularity(stem):
        case "하":
            return stem[:-1] + "해"
        case "르":
            return with_final(stem[:-1], "ㄹ") + compose("ㄹ", _harmony(stem[-2]))
        case "으":
            before = stem[-2] if len(stem) > 1 and stem[-2] != " " else stem[-1]
            return stem[:-1] + compose(lead, _harmony(before))
        case "ㅂ":
            return with_final(stem, "") + ("와" if stem[-1] in "돕곱" else "워")
        case "ㄷ":
            return with_final(stem, "ㄹ") + ending
        case "ㅅ":
            return with_final(stem, "") + ending  # 나아, 지어: never contracted
        case "ㅎ":
            return stem[:-1] + compose(lead, "ㅒ" if vowel == "ㅑ" else "ㅐ")
    if tail or vowel not in _CONTRACTED or stem == "아니":
        return stem + ending
    return stem[:-1] + compose(lead, _CONTRACTED[vowel])


@cache
def open_form(stem: str) -> str:
    """Return the stem before -(으)ㄴ, -(으)ㄹ, -(으)시: 먹 -> 먹으, 듣 -> 들으, 춥 -> 추우, 만들 -> 만드."""
    match irregularity(stem):
        case "ㅂ":
            return with_final(stem, "") + "우"
        case "ㄷ":
            return with_final(stem, "ㄹ") + "으"
        case "ㅅ":
            return with_final(stem, "") + "으"
        case "ㅎ" | "ㄹ":
            return with_final(stem, "")
    return stem + "으" if final_consonant(stem) else stem


def _before_nasal(stem: str, tail: str, closed: str) -> str:
    """Return the stem with ``tail`` put under an open syllable (ㄹ falls out first), or with ``closed`` behind it."""
    if final_consonant(stem) in ("", "ㄹ"):
        return with_final(stem, tail)
    return stem + closed


# --- predicates -----------------------------------------------------------------------------------------------------


class Level(Enum):
    """The three levels of speech that the corpus is written in."""

    FORMAL = "합니다체"
    POLITE = "해요체"
    PLAIN = "한다체"


class Tense(Enum):
    """When: the past takes -았/었-, the future -(으)ㄹ 것이다."""

    PRESENT = "present"
    PAST = "past"
    FUTURE = "future"


_HONORIFIC_WORDS = {"먹": "드시", "마시": "드시", "자": "주무시", "있": "계시", "말하": "말씀하시"}


@dataclass(frozen=True)
class Predicate:
    """A verb or an adjective on its way to a sentence's end; every method but the endings returns another predicate.

    Args:
        stem: the dictionary form without 다; other words may stand before it ("배가 고프", "가지 않").
        descriptive: whether it is an adjective (형용사), which has no -ㄴ다/는다 in the plain present.
        honorific: whether the stem ends in the honorific -시-.
    """

    stem: str
    descriptive: bool = False
    honorific: bool = False

    @classmethod
    def verb(cls, dictionary_form: str) -> Predicate:
        """Return the verb (동사) ``dictionary_form``, which ends in 다."""
        return cls(dictionary_form.removesuffix("다"))

    @classmethod
    def adjective(cls, dictionary_form: str) -> Predicate:
        """Return the adjective (형용사) ``dictionary_form``, which ends in 다."""
        return cls(dictionary_form.removesuffix("다"), descriptive=True)

    def negative(self) -> Predicate:
        """-지 않다."""
        return Predicate(self.stem + "지 않", self.descriptive)

    @property
    def takes_short_negative(self) -> bool:
        """Whether 안 sounds right: not before noun + 하다 (안 공부하다) nor before long adjectives (안 아름답다)."""
        of_noun = self.stem.endswith("하") and len(self.stem) > 1 and not self.stem.endswith(("아하", "어하"))
        return not of_noun and not (self.descriptive and len(self.stem) > 2)

    def short_negative(self) -> Predicate:
        """안."""
        return replace(self, stem="안 " + self.stem)

    def progressive(self) -> Predicate:
        """-고 있다."""
        return Predicate(self.stem + "고 있", descriptive=True)

    def want(self, other: bool = False) -> Predicate:
        """-고 싶다; what ``other`` people want is -고 싶어 하다."""
        return Predicate(self.stem + "고 싶어 하") if other else Predicate(self.stem + "고 싶", descriptive=True)

    def can(self, able: bool = True) -> Predicate:
        """-(으)ㄹ 수 있다, or 없다."""
        return Predicate(f"{self.future_modifier()} 수 {'있' if able else '없'}", descriptive=True)

    def must(self) -> Predicate:
        """-아야/어야 하다."""
        return Predicate(infinitive(self.stem) + "야 하")

    def respected(self) -> Predicate:
        """-(으)시-, for a subject whom the speaker looks up to; some verbs have a word of their own (드시다)."""
        *before, word = self.stem.split(" ")
        raised = _HONORIFIC_WORDS.get(word) or open_form(word) + "시"
        if before and before[-1].endswith("고"):  # 먹고 있다: 드시고 계시다
            verb = before[-1].removesuffix("고")
            before[-1] = _HONORIFIC_WORDS.get(verb, verb) + "고"
        return replace(self, stem=" ".join([*before, raised]), honorific=True)

    def past_stem(self) -> str:
        """-았/었-: the infinitive, closed with ㅆ (갔, 먹었, 했)."""
        return with_final(infinitive(self.stem), "ㅆ")

    def modifier(self) -> str:
        """The adjective before a noun: -(으)ㄴ (큰, 추운, 빨간), -는 after 있다 and 없다 (맛있는)."""
        return self.stem + "는" if self.stem.endswith(("있", "없")) else with_final(open_form(self.stem), "ㄴ")

    def future_modifier(self) -> str:
        """-(으)ㄹ (갈, 먹을, 만들)."""
        return with_final(open_form(self.stem), "ㄹ")

    def so(self) -> str:
        """-아서/어서, "... and therefore"."""
        return infinitive(self.stem) + "서"

    def end(self, tense: Tense, level: Level, question: bool = False) -> str:
        """Return the predicate as the last words of a statement or a question."""
        if tense is Tense.FUTURE:
            statement, asked = {
                Level.FORMAL: ("겁니다", "겁니까"),
                Level.POLITE: ("거예요", "거예요"),
                Level.PLAIN: ("것이다", "거니"),
            }[level]
            return f"{self.future_modifier()} {asked if question else statement}"
        past = tense is Tense.PAST
        stem = self.past_stem() if past else self.stem
        match level:
            case Level.FORMAL:
                return _before_nasal(stem, "ㅂ", "습") + ("니까" if question else "니다")
            case Level.POLITE if past:
                return stem + "어요"
            case Level.POLITE if self.honorific:
                return stem[:-1] + "세요"
            case Level.POLITE:
                return stem + "에요" if stem == "아니" else infinitive(stem) + "요"
        if question:
            return (with_final(stem, "") if final_consonant(stem) == "ㄹ" else stem) + "니"
        return stem + "다" if past or self.descriptive else _before_nasal(stem, "ㄴ", "는") + "다"


def be(noun: str, tense: Tense, level: Level, question: bool = False, honorific: bool = False) -> str:
    """Return ``noun`` with 이다 as a sentence's end (학생입니다, 의사예요, 학생이었다); present or past."""
    closed = final_consonant(noun) != ""
    if honorific:
        return Predicate(noun + ("이시" if closed else "시"), True, True).end(tense, level, question)
    if tense is Tense.PAST:
        ending = {Level.FORMAL: "습니까" if question else "습니다", Level.POLITE: "어요"}
        return noun + ("이었" if closed else "였") + ending.get(level, "니" if question else "다")
    match level:
        case Level.FORMAL:
            return noun + ("입니까" if question else "입니다")
        case Level.POLITE:
            return noun + ("이에요" if closed else "예요")
    return noun + ("이" if closed else "") + ("니" if question else "다")


def not_be(noun: str, tense: Tense, level: Level, honorific: bool = False) -> str:
    """Return ``noun`` with 이/가 아니다 as a statement's end."""
    predicate = Predicate("아니", descriptive=True)
    return f"{attach(noun, SUBJECT)} {(predicate.respected() if honorific else predicate).end(tense, level)}"


# --- numbers --------------------------------------------------------------------------------------------------------

_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_DIGITS = ("", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구")


def native(number: int) -> str:
    """Return a native number, 1 to 99, as it stands before a counter: 한, 두, 열한, 스무, 스물한."""
    assert 1 <= number <= 99, number
    return "스무" if number == 20 else _TENS[number // 10] + _ONES[number % 10]


def sino(number: int) -> str:
    """Return a Sino-Korean number, 1 to 99,999,999, without spaces inside a group of four digits: 삼십, 만 오천."""
    assert 1 <= number < 10**8, number
    high, low = divmod(number, 10_000)
    groups = [("" if high == 1 else _below_ten_thousand(high)) + "만"] if high else []
    return " ".join([*groups, *([_below_ten_thousand(low)] if low else [])])


def _below_ten_thousand(number: int) -> str:
    digits = f"{number:04d}"
    parts = []
    for digit, unit in zip(digits, ("천", "백", "십", "")):
        one_unsaid = digit == "1" and unit != ""  # 백, not 일백
        if digit != "0":
            parts.append(("" if one_unsaid else _DIGITS[int(digit)]) + unit)
    return "".join(parts)


def clock(hour: int, minute: int = 0) -> str:
    """Return a time of day: native hours, Sino-Korean minutes (두 시 삼십 분)."""
    return f"{native(hour)} 시" + (f" {sino(minute)} 분" if minute else "")


def date(month: int, day: int) -> str:
    """Return a date (삼월 오일); June and October lose a consonant (유월, 시월)."""
    return f"{ {6: '유', 10: '시'}.get(month) or sino(month) }월 {sino(day)}일"
