"""Every error a user can meet: one line, in English and in Korean, with the fields it is raised with."""

import ast
import re
import string
from pathlib import Path

import pytest

import clearhead
from clearhead import errors
from clearhead.errors import ClearheadError, CorpusError, MachineError, RunError, TrainingError, UsageError

SOURCE = Path(clearhead.__file__).parent
MESSAGES = errors.messages()


def subclasses(kind):
    return {kind.__name__}.union(*(subclasses(each) for each in kind.__subclasses__()))


def raised():
    """Yield (where, code, fields or None where they are not written out) for every use of a message in the sources."""
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name.endswith("Error") or (name == "text" and "errors" in ast.unparse(node.func)):
                    code = node.args[0]
                    if (
                        isinstance(code, ast.Constant)
                        and code.value in MESSAGES | {code.value: 0}
                        and is_code(code.value)
                    ):
                        names = [keyword.arg for keyword in node.keywords]
                        names += ["faults"] if name == "FaultsError" else []  # its own argument, listed in the message
                        yield (
                            f"{path.name}:{node.lineno}",
                            code.value,
                            None if None in names else set(names) - {"language"},
                        )


def is_code(value):
    return isinstance(value, str) and re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", value) is not None


def strings():
    """Every string constant in the sources."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def fields(template):
    return {
        name.split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(template) if name is not None
    }


RAISED = list(raised())


def test_the_scan_finds_the_errors():
    codes = {code for _, code, _ in RAISED}
    assert {"unknown-key", "unknown-verb", "no-network", "bug"} <= codes and len(RAISED) > 30


def test_every_code_in_the_sources_has_a_message():
    assert sorted(f"{where} {code}" for where, code, _ in RAISED if code not in MESSAGES) == []


def test_every_message_is_used():
    built = {f"no-{analyser}" for analyser in ("ko-mecab", "ja-mecab")}  # evaluation/scores.py puts these together
    assert sorted(set(MESSAGES) - set(strings()) - built) == []


@pytest.mark.parametrize("code", MESSAGES)
def test_a_message_is_one_line_in_both_languages_with_the_same_fields(code):
    assert set(MESSAGES[code]) == set(errors.LANGUAGES)
    english, korean = MESSAGES[code]["en"], MESSAGES[code]["ko"]
    assert fields(english) == fields(korean)
    for template in (english, korean):
        assert template == template.strip() != "" and "\n" not in template
    assert re.search("[가-힣]", korean) and not re.search("[가-힣]", english)


def test_each_error_is_raised_with_the_fields_its_message_names():
    wrong = [
        f"{where} {code}: given {sorted(given)}, named {sorted(fields(MESSAGES[code]['en']))}"
        for where, code, given in RAISED
        if given is not None and code in MESSAGES and given != fields(MESSAGES[code]["en"])
    ]
    assert wrong == []


@pytest.mark.parametrize("code", MESSAGES)
def test_a_particle_after_a_field_fits_any_word(code):
    """은/는, 이/가, 을/를, 으로/로 depend on the word before, which a template does not know: it has both."""
    assert re.findall(r"\}['\"]?(?:은|는|이|가|을|를|과|와|으로|로)(?=[ .,?])", MESSAGES[code]["ko"]) == []


def test_exit_codes_tell_the_kinds_apart():
    kinds = (UsageError, CorpusError, RunError, MachineError, TrainingError)
    assert [kind.exit_code for kind in kinds] == [2, 3, 4, 5, 6]
    assert all(issubclass(kind, ClearheadError) for kind in kinds)


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C.UTF-8", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"CLEARHEAD_LANG": "ko", "LC_ALL": "C"}, "ko"),
    ],
)
def test_the_language_comes_from_the_environment(monkeypatch, variables, language):
    for name in ("CLEARHEAD_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert errors.locale_language() == language
    assert str(UsageError("bad-set", value="x")) == MESSAGES["bad-set"][language].format(value="x")
