"""Korean morphology against hand-worked tables, against Unicode's own decomposition, and against itself."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.text import korean
from clearhead.text.korean import AND, BY, OBJECT, SUBJECT, TOPIC, Level, Predicate, Tense, attach

SYLLABLES = [chr(code) for code in range(0xAC00, 0xD7A4)]
FORMAL, POLITE, PLAIN = Level.FORMAL, Level.POLITE, Level.PLAIN
PRESENT, PAST, FUTURE = Tense.PRESENT, Tense.PAST, Tense.FUTURE


def unicode_tail(syllable: str) -> str:
    """The final consonant by Unicode's canonical decomposition, "" for none."""
    jamo = unicodedata.normalize("NFD", syllable)
    return jamo[2] if len(jamo) == 3 else ""


def test_decomposition_is_unicode_s_for_every_syllable():
    assert len(SYLLABLES) == 11_172
    for syllable in SYLLABLES:
        letters = korean.decompose(syllable)
        assert korean.compose(*letters) == syllable
        jamo = unicodedata.normalize("NFD", syllable)
        names = [unicodedata.name(letter).split()[-1] for letter in jamo]
        ours = [unicodedata.name(letter).removeprefix("HANGUL LETTER ") for letter in letters if letter]
        assert names[1] == ours[1]  # vowels have one name
        assert (len(jamo) == 3) == (letters[2] != "")
        assert ord(jamo[0]) - 0x1100 == korean.LEADS.index(letters[0])
        assert (ord(jamo[2]) - 0x11A7 if len(jamo) == 3 else 0) == korean.TAILS.index(letters[2])


@pytest.mark.parametrize("particle", [TOPIC, SUBJECT, OBJECT, AND, BY])
def test_particles_follow_the_final_consonant_of_every_syllable(particle):
    rieul = "\u11af"
    for syllable in SYLLABLES:
        tail = unicode_tail(syllable)
        closed = tail != "" and not (particle is BY and tail == rieul)
        word = "가" + syllable  # a word of its own: 나, 저 and 너 alone have their own subject form
        assert attach(word, particle) == word + particle[0 if closed else 1]


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        # word     topic     subject   object    and       by
        ("학생", ("학생은", "학생이", "학생을", "학생과", "학생으로")),
        ("학교", ("학교는", "학교가", "학교를", "학교와", "학교로")),
        ("서울", ("서울은", "서울이", "서울을", "서울과", "서울로")),
        ("지하철", ("지하철은", "지하철이", "지하철을", "지하철과", "지하철로")),
        ("닭", ("닭은", "닭이", "닭을", "닭과", "닭으로")),
        ("집", ("집은", "집이", "집을", "집과", "집으로")),
        ("나", ("나는", "내가", "나를", "나와", "나로")),
        ("저", ("저는", "제가", "저를", "저와", "저로")),
        ("너", ("너는", "네가", "너를", "너와", "너로")),
        ("누구", ("누구는", "누가", "누구를", "누구와", "누구로")),
    ],
)
def test_particles_of_words(word, forms):
    assert tuple(attach(word, particle) for particle in (TOPIC, SUBJECT, OBJECT, AND, BY)) == forms


# --- conjugation: dictionary form, 합니다체, 해요체, 한다체, past 해요체, -(으)ㄹ, honorific 해요체, (-(으)ㄴ) ---

VERBS = """
가다        갑니다        가요        간다        갔어요        갈        가세요
오다        옵니다        와요        온다        왔어요        올        오세요
보다        봅니다        봐요        본다        봤어요        볼        보세요
주다        줍니다        줘요        준다        줬어요        줄        주세요
배우다      배웁니다      배워요      배운다      배웠어요      배울      배우세요
사다        삽니다        사요        산다        샀어요        살        사세요
타다        탑니다        타요        탄다        탔어요        탈        타세요
서다        섭니다        서요        선다        섰어요        설        서세요
보내다      보냅니다      보내요      보낸다      보냈어요      보낼      보내세요
세다        셉니다        세요        센다        셌어요        셀        세세요
켜다        켭니다        켜요        켠다        켰어요        켤        켜세요
가르치다    가르칩니다    가르쳐요    가르친다    가르쳤어요    가르칠    가르치세요
기다리다    기다립니다    기다려요    기다린다    기다렸어요    기다릴    기다리세요
되다        됩니다        돼요        된다        됐어요        될        되세요
쉬다        쉽니다        쉬어요      쉰다        쉬었어요      쉴        쉬세요
뛰다        뜁니다        뛰어요      뛴다        뛰었어요      뛸        뛰세요
읽다        읽습니다      읽어요      읽는다      읽었어요      읽을      읽으세요
앉다        앉습니다      앉아요      앉는다      앉았어요      앉을      앉으세요
받다        받습니다      받아요      받는다      받았어요      받을      받으세요
닫다        닫습니다      닫아요      닫는다      닫았어요      닫을      닫으세요
입다        입습니다      입어요      입는다      입었어요      입을      입으세요
씻다        씻습니다      씻어요      씻는다      씻었어요      씻을      씻으세요
웃다        웃습니다      웃어요      웃는다      웃었어요      웃을      웃으세요
놓다        놓습니다      놓아요      놓는다      놓았어요      놓을      놓으세요
듣다        듣습니다      들어요      듣는다      들었어요      들을      들으세요
걷다        걷습니다      걸어요      걷는다      걸었어요      걸을      걸으세요
깨닫다      깨닫습니다    깨달아요    깨닫는다    깨달았어요    깨달을    깨달으세요
돕다        돕습니다      도와요      돕는다      도왔어요      도울      도우세요
굽다        굽습니다      구워요      굽는다      구웠어요      구울      구우세요
짓다        짓습니다      지어요      짓는다      지었어요      지을      지으세요
낫다        낫습니다      나아요      낫는다      나았어요      나을      나으세요
모르다      모릅니다      몰라요      모른다      몰랐어요      모를      모르세요
부르다      부릅니다      불러요      부른다      불렀어요      부를      부르세요
오르다      오릅니다      올라요      오른다      올랐어요      오를      오르세요
따르다      따릅니다      따라요      따른다      따랐어요      따를      따르세요
쓰다        씁니다        써요        쓴다        썼어요        쓸        쓰세요
살다        삽니다        살아요      산다        살았어요      살        사세요
만들다      만듭니다      만들어요    만든다      만들었어요    만들      만드세요
열다        엽니다        열어요      연다        열었어요      열        여세요
하다        합니다        해요        한다        했어요        할        하세요
공부하다    공부합니다    공부해요    공부한다    공부했어요    공부할    공부하세요
먹다        먹습니다      먹어요      먹는다      먹었어요      먹을      드세요
마시다      마십니다      마셔요      마신다      마셨어요      마실      드세요
자다        잡니다        자요        잔다        잤어요        잘        주무세요
"""

ADJECTIVES = """
좋다        좋습니다      좋아요      좋다        좋았어요      좋을      좋으세요      좋은
작다        작습니다      작아요      작다        작았어요      작을      작으세요      작은
넓다        넓습니다      넓어요      넓다        넓었어요      넓을      넓으세요      넓은
얇다        얇습니다      얇아요      얇다        얇았어요      얇을      얇으세요      얇은
좁다        좁습니다      좁아요      좁다        좁았어요      좁을      좁으세요      좁은
춥다        춥습니다      추워요      춥다        추웠어요      추울      추우세요      추운
어렵다      어렵습니다    어려워요    어렵다      어려웠어요    어려울    어려우세요    어려운
가깝다      가깝습니다    가까워요    가깝다      가까웠어요    가까울    가까우세요    가까운
아름답다    아름답습니다  아름다워요  아름답다    아름다웠어요  아름다울  아름다우세요  아름다운
크다        큽니다        커요        크다        컸어요        클        크세요        큰
바쁘다      바쁩니다      바빠요      바쁘다      바빴어요      바쁠      바쁘세요      바쁜
예쁘다      예쁩니다      예뻐요      예쁘다      예뻤어요      예쁠      예쁘세요      예쁜
슬프다      슬픕니다      슬퍼요      슬프다      슬펐어요      슬플      슬프세요      슬픈
빠르다      빠릅니다      빨라요      빠르다      빨랐어요      빠를      빠르세요      빠른
게으르다    게으릅니다    게을러요    게으르다    게을렀어요    게으를    게으르세요    게으른
길다        깁니다        길어요      길다        길었어요      길        기세요        긴
달다        답니다        달아요      달다        달았어요      달        다세요        단
빨갛다      빨갛습니다    빨개요      빨갛다      빨갰어요      빨갈      빨가세요      빨간
하얗다      하얗습니다    하얘요      하얗다      하얬어요      하얄      하야세요      하얀
피곤하다    피곤합니다    피곤해요    피곤하다    피곤했어요    피곤할    피곤하세요    피곤한
느리다      느립니다      느려요      느리다      느렸어요      느릴      느리세요      느린
비싸다      비쌉니다      비싸요      비싸다      비쌌어요      비쌀      비싸세요      비싼
맛있다      맛있습니다    맛있어요    맛있다      맛있었어요    맛있을    맛있으세요    맛있는
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def check_predicate(predicate: Predicate, forms: list[str]) -> None:
    formal, polite, plain, past, modifier, honorific = forms
    assert predicate.end(PRESENT, FORMAL) == formal
    assert predicate.end(PRESENT, POLITE) == polite
    assert predicate.end(PRESENT, PLAIN) == plain
    assert predicate.end(PRESENT, FORMAL, question=True) == formal[:-1] + "까"
    assert predicate.end(PRESENT, POLITE, question=True) == polite
    stem = past.removesuffix("어요")
    assert predicate.end(PAST, POLITE) == predicate.end(PAST, POLITE, question=True) == past
    assert predicate.end(PAST, FORMAL) == stem + "습니다"
    assert predicate.end(PAST, FORMAL, question=True) == stem + "습니까"
    assert predicate.end(PAST, PLAIN) == stem + "다"
    assert predicate.end(PAST, PLAIN, question=True) == stem + "니"
    assert [predicate.end(FUTURE, level) for level in (FORMAL, POLITE, PLAIN)] == [
        f"{modifier} {ending}" for ending in ("겁니다", "거예요", "것이다")
    ]
    assert [predicate.end(FUTURE, level, True) for level in (FORMAL, POLITE, PLAIN)] == [
        f"{modifier} {ending}" for ending in ("겁니까", "거예요", "거니")
    ]
    assert predicate.respected().end(PRESENT, POLITE) == honorific


@pytest.mark.parametrize(("dictionary", "forms"), [(row[0], row[1:]) for row in rows(VERBS)])
def test_verbs_in_every_tense_and_level(dictionary, forms):
    check_predicate(Predicate.verb(dictionary), forms)


@pytest.mark.parametrize(("dictionary", "forms"), [(row[0], row[1:]) for row in rows(ADJECTIVES)])
def test_adjectives_in_every_tense_and_level(dictionary, forms):
    predicate = Predicate.adjective(dictionary)
    check_predicate(predicate, forms[:-1])
    assert predicate.modifier() == forms[-1]


@pytest.mark.parametrize(
    ("dictionary", "asked"),
    [("가다", "가니"), ("먹다", "먹니"), ("만들다", "만드니"), ("살다", "사니"), ("듣다", "듣니"), ("춥다", "춥니")],
)
def test_plain_questions(dictionary, asked):
    assert Predicate.verb(dictionary).end(PRESENT, PLAIN, question=True) == asked


GO, READ, STUDY, HELP, EAT = (Predicate.verb(verb) for verb in ("가다", "읽다", "공부하다", "돕다", "먹다"))
MAKE, LIKE, COLD = Predicate.verb("만들다"), Predicate.verb("좋아하다"), Predicate.adjective("춥다")


@pytest.mark.parametrize(
    ("predicate", "forms"),
    [
        # formal, polite, plain of the present; polite past
        (GO.negative(), "가지 않습니다/가지 않아요/가지 않는다/가지 않았어요"),
        (COLD.negative(), "춥지 않습니다/춥지 않아요/춥지 않다/춥지 않았어요"),
        (READ.short_negative(), "안 읽습니다/안 읽어요/안 읽는다/안 읽었어요"),
        (READ.progressive(), "읽고 있습니다/읽고 있어요/읽고 있다/읽고 있었어요"),
        (READ.progressive().respected(), "읽고 계십니다/읽고 계세요/읽고 계시다/읽고 계셨어요"),
        (EAT.progressive().respected(), "드시고 계십니다/드시고 계세요/드시고 계시다/드시고 계셨어요"),
        (EAT.want().respected(), "드시고 싶으십니다/드시고 싶으세요/드시고 싶으시다/드시고 싶으셨어요"),
        (GO.want(), "가고 싶습니다/가고 싶어요/가고 싶다/가고 싶었어요"),
        (GO.want(other=True), "가고 싶어 합니다/가고 싶어 해요/가고 싶어 한다/가고 싶어 했어요"),
        (MAKE.can(), "만들 수 있습니다/만들 수 있어요/만들 수 있다/만들 수 있었어요"),
        (HELP.can(able=False), "도울 수 없습니다/도울 수 없어요/도울 수 없다/도울 수 없었어요"),
        (HELP.must(), "도와야 합니다/도와야 해요/도와야 한다/도와야 했어요"),
        (GO.respected(), "가십니다/가세요/가신다/가셨어요"),
        (MAKE.respected(), "만드십니다/만드세요/만드신다/만드셨어요"),
        (EAT.respected().negative(), "드시지 않습니다/드시지 않아요/드시지 않는다/드시지 않았어요"),
        (Predicate.adjective("아니다"), "아닙니다/아니에요/아니다/아니었어요"),
    ],
)
def test_compound_predicates(predicate, forms):
    shown = [predicate.end(PRESENT, level) for level in (FORMAL, POLITE, PLAIN)]
    assert "/".join([*shown, predicate.end(PAST, POLITE)]) == forms


def test_short_negative_sounds_wrong_before_noun_and_hada():
    assert not STUDY.takes_short_negative
    assert LIKE.takes_short_negative and GO.takes_short_negative and Predicate.verb("하다").takes_short_negative
    assert COLD.takes_short_negative and not Predicate.adjective("아름답다").takes_short_negative


@pytest.mark.parametrize(
    ("dictionary", "so"),
    [
        ("피곤하다", "피곤해서"),
        ("배가 고프다", "배가 고파서"),
        ("춥다", "추워서"),
        ("넓다", "넓어서"),
        ("오다", "와서"),
    ],
)
def test_because(dictionary, so):
    assert Predicate.adjective(dictionary).so() == so


@pytest.mark.parametrize(
    ("noun", "forms"),
    [
        ("학생", "학생입니다/학생이에요/학생이다/학생이었습니다/학생이었어요/학생이었다/학생이세요/학생이 아닙니다"),
        ("의사", "의사입니다/의사예요/의사다/의사였습니다/의사였어요/의사였다/의사세요/의사가 아닙니다"),
    ],
)
def test_copula(noun, forms):
    levels = (FORMAL, POLITE, PLAIN)
    shown = [korean.be(noun, tense, level) for tense in (PRESENT, PAST) for level in levels]
    shown += [korean.be(noun, PRESENT, POLITE, honorific=True), korean.not_be(noun, PRESENT, FORMAL)]
    assert "/".join(shown) == forms
    assert korean.be("학생", PRESENT, PLAIN, question=True) == "학생이니"
    assert korean.be("의사", PRESENT, FORMAL, question=True) == "의사입니까"
    assert korean.be("의사", PRESENT, FORMAL, question=True, honorific=True) == "의사십니까"


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "native", "sino"),
    [
        (1, "한", "일"),
        (2, "두", "이"),
        (3, "세", "삼"),
        (4, "네", "사"),
        (5, "다섯", "오"),
        (10, "열", "십"),
        (11, "열한", "십일"),
        (20, "스무", "이십"),
        (21, "스물한", "이십일"),
        (36, "서른여섯", "삼십육"),
        (99, "아흔아홉", "구십구"),
    ],
)
def test_small_numbers(number, native, sino):
    assert (korean.native(number), korean.sino(number)) == (native, sino)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (100, "백"),
        (110, "백십"),
        (256, "이백오십육"),
        (1000, "천"),
        (1500, "천오백"),
        (10_000, "만"),
        (15_000, "만 오천"),
        (20_000, "이만"),
        (110_000, "십일만"),
        (34_506_070, "삼천사백오십만 육천칠십"),
    ],
)
def test_large_sino_numbers(number, words):
    assert korean.sino(number) == words


def read_sino(words: str) -> int:
    """Read a Sino-Korean number back, by its own rules."""
    digits = {digit: value for value, digit in enumerate("일이삼사오육칠팔구", start=1)}
    units = {"십": 10, "백": 100, "천": 1000}
    total = group = digit = 0
    for letter in words.replace(" ", ""):
        if letter in digits:
            digit = digits[letter]
        elif letter in units:
            group, digit = group + (digit or 1) * units[letter], 0
        else:  # 만
            total, group, digit = (group + digit or 1) * 10_000, 0, 0
    return total + group + digit


@given(st.integers(min_value=1, max_value=10**8 - 1))
def test_a_sino_number_reads_back(number):
    assert read_sino(korean.sino(number)) == number


def test_clock_and_date():
    assert korean.clock(1) == "한 시"
    assert korean.clock(2, 30) == "두 시 삼십 분"
    assert korean.clock(12, 15) == "열두 시 십오 분"
    assert korean.date(3, 5) == "삼월 오일"
    assert korean.date(6, 10) == "유월 십일"
    assert korean.date(10, 31) == "시월 삼십일일"


# --- properties -----------------------------------------------------------------------------------------------------

ENDINGS = st.sampled_from([(tense, level, asked) for tense in Tense for level in Level for asked in (False, True)])
STEMS = st.lists(st.sampled_from(SYLLABLES) | st.sampled_from("르하시이걷듣춥낫크있"), min_size=1, max_size=3).map(
    "".join
)


@given(STEMS, st.booleans(), ENDINGS)
def test_any_stem_conjugates_into_hangul(stem, descriptive, ending):
    words = Predicate(stem, descriptive).end(*ending)
    assert all("가" <= letter <= "힣" or letter == " " for letter in words)
    assert words[-1] in "다까니요"


@given(STEMS)
def test_the_past_is_the_infinitive_closed_with_ssang_siot(stem):
    infinitive, past = korean.infinitive(stem), Predicate(stem).past_stem()
    assert korean.final_consonant(infinitive) == "" and korean.final_consonant(past) == "ㅆ"
    assert korean.with_final(past, "") == infinitive


@given(st.text(st.sampled_from(SYLLABLES), min_size=1, max_size=4))
def test_open_forms_end_in_a_vowel(stem):
    assert korean.final_consonant(korean.open_form(stem)) == ""
