"""The page's server: for this machine alone, with bounds, and clear about what it does not take."""

import http.client
import json
import threading
from urllib.parse import urlencode

import pytest

from clearhead.errors import UsageError
from clearhead.inspection import serve
from clearhead.inspection.inspector import Inspector as RealInspector

from . import chromium
from .documents import classified, classifier, continued, hidden, language_model, masked_model, translated
from .small import recurrent, transformer


class Inspector:
    """Answers at once, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def document(self, text, *, prefix=""):
        self.asked.append((text, prefix))
        if not text.strip():
            raise UsageError("nothing-to-inspect")
        assert text != "a fault", "off by 1"
        return translated()

    def rival(self, text, prefix):
        self.asked.append((text, prefix))
        return {"translation": "달린다 another", "log_prob": -1.0, "score": -0.5}

    def ablation(self, text, part, head):
        return {"part": part, "head": head, "delta_log_prob": -0.25, "translation": text}

    def column(self, name, column):
        return {"weights": [0.5] * 16, "bias": 1.0}


@pytest.fixture(scope="module")
def server():
    server = serve.Server(Inspector())
    thread = threading.Thread(target=serve.serve, args=(server,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def get(server, path, host=None, **query):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    headers = {"Host": host} if host is not None else {}
    connection.request("GET", f"{path}?{urlencode(query)}" if query else path, headers=headers)
    response = connection.getresponse()
    return response, response.read().decode("utf-8", "replace")


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1" and server.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1", ""])
def test_a_foreign_name_is_refused(server, host):
    response, said = get(server, "/", host=host.format(port=server.server_port))
    assert response.status == 421 and "127.0.0.1" in said and "주소" in said
    for own in (f"127.0.0.1:{server.server_port}", f"localhost:{server.server_port}"):
        assert get(server, "/", host=own)[0].status == 200


def test_every_answer_has_a_policy(server):
    for path in ("/", "/?text=a", "/?text=", "/nowhere", "/hangul.woff", "/rival?text=a&prefix=1"):
        response, _ = get(server, path)
        policy = response.getheader("Content-Security-Policy")
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert response.getheader("X-Content-Type-Options") == "nosniff"


def test_the_served_page_is_the_policys(server):
    response, content = get(server, "/", text="a")
    assert response.status == 200
    assert content.split('content="', 1)[1].split('"', 1)[0] + "; frame-ancestors 'none'" == response.getheader(
        "Content-Security-Policy"
    )


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/", {"text": ""}, "no text to look at"),
        ("/", {"text": "a" * 2001}, "2001 characters"),
        ("/", {"text": "a", "prefix": "b" * 2001}, "2001 characters"),
        ("/", {"text": "a", "other": "b" * 2001}, "2001 characters"),
        ("/", {"prefix": "b"}, "no text to look at"),
        ("/rival", {"text": "a" * 2001, "prefix": "1"}, "2001 characters"),
        ("/rival", {"text": "a", "prefix": "1,x"}, "prefix="),
        ("/rival", {"text": "a", "prefix": "1,-2"}, "prefix="),
        ("/rival", {"text": "a", "prefix": ",".join(["1"] * 3000)}, "prefix="),
        ("/ablation", {"text": "a", "part": "x", "head": ""}, "head="),
        ("/column", {"name": "x", "column": "99999999999"}, "column="),
        ("/../../etc/passwd", {}, "nothing here"),
        ("/page.py", {}, "nothing here"),
    ],
)
def test_bad_input_gets_a_message_in_both_languages(server, path, query, words):
    response, content = get(server, path, **query)
    assert response.status == 400
    if path == "/":
        content = content.split('id="document">', 1)[1].split("</script>", 1)[0]
    error = json.loads(content)["error"]
    assert words in error["en"] and error["ko"] != error["en"]


def test_a_beginning_and_a_sentence_beside_it_may_be_asked(server):
    _, content = get(server, "/", text="a", prefix="b", other="c")
    held = json.loads(content.split('id="document">', 1)[1].split("</script>", 1)[0])
    assert held["typed"] == {"text": "a", "prefix": "b", "other": "c"} and held["document"]["compare"][0]["src"]
    assert server.inspector.asked[-2:] == [("a", "b"), ("c", "")]


def test_another_run_stands_beside_the_first():
    server = serve.Server(Inspector(), beside=Inspector())
    thread = threading.Thread(target=serve.serve, args=(server,))
    thread.start()
    try:
        for query, asked in (({"prefix": "b"}, ("a", "b")), ({"prefix": "b", "other": "c"}, ("c", ""))):
            _, content = get(server, "/", text="a", **query)
            held = json.loads(content.split('id="document">', 1)[1].split("</script>", 1)[0])
            assert held["document"]["compare"][0]["src"] and server.beside.asked[-1] == asked
            assert server.inspector.asked[-1] == ("a", "b")
    finally:
        server.shutdown()
        thread.join()


def test_a_fault_of_ours_is_said_and_the_server_goes_on(server):
    response, content = get(server, "/", text="a fault")
    assert response.status == 500 and "off by 1" in content and "오류" in content
    assert get(server, "/", text="a")[0].status == 200


def test_the_server_passes_on_what_was_asked(server):
    _, said = get(server, "/rival", text="a b", prefix="5,7")
    assert json.loads(said)["translation"] == "달린다 another" and server.inspector.asked[-1] == ("a b", [5, 7])
    _, said = get(server, "/ablation", text="개", part="encoder", head="3")
    assert json.loads(said) == {"part": "encoder", "head": 3, "delta_log_prob": -0.25, "translation": "개"}


def weights_of(model, task="translation"):
    """An inspector that knows a model's weights, without a run folder."""
    found = object.__new__(RealInspector)
    found.model, found.task = model, task
    return found


def cells(cell):
    names = {"lstm": ("input_gate", "forget_gate", "candidate", "output_gate"), "rnn": ("candidate",)}
    names = names.get(cell, ("reset_gate", "update_gate", "candidate"))
    layers = ("encoder.layers.0.forward", "encoder.layers.1.backward", "decoder.layers.0", "decoder.layers.1")
    return [f"{layer}.{name}:{row}.3" for layer in layers for name in names for row in (0, 2)]


ATTENDED = {
    "lstm": ("additive", ["attention.q:1.3", "attention.k:2.3", "attention.scores:1.2"]),
    "gru": ("general", ["attention.k:2.3"]),
    "rnn": ("dot", []),
}
FOLLOWED = {
    "translator": (
        translated,
        lambda: transformer(d_model=16, n_encoder_layers=2, spread=0.1).model,
        ["output.logits:1.TOP", "encoder.layers.0.feed_forward.inner:1.3", "decoder.layers.1.cross_attention.k:2.1.3"],
    ),
    "language model": (continued, language_model, ["output.logits:1.TOP"]),
    "masked language model": (hidden, masked_model, ["output.logits:1.TOP", "transform.inner:1.3"]),
    "classifier": (classified, classifier, ["labels.logits:0.1", "pooler.inner:0.3"]),
    "gated classifier": (
        lambda: classified("recurrent"),
        lambda: classifier("recurrent"),
        ["labels.logits:0.1", "encoder.layers.0.backward.forget_gate:2.3"],
    ),
}


def recurrent_ones(cell, attention, places):
    choices = {"cell": cell, "attention": attention}
    own = [*cells(cell), *places, "decoder.combined:1.3", "output.logits:1.TOP"]
    return lambda: translated("recurrent", **choices), lambda: recurrent(**choices).model, own


FOLLOWED |= {cell: recurrent_ones(cell, *attended) for cell, attended in ATTENDED.items()}


@pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here (Debian: apt-get install chromium)")
@pytest.mark.parametrize("kind", FOLLOWED)
def test_what_is_multiplied_by_learned_weights_and_added_up_is_the_number(server, kind, monkeypatch):
    """Inputs from the file, weights from the server: with the bias, and bent where it is a gate, the number itself."""
    make, model, places = FOLLOWED[kind]
    document, real = make(), weights_of(model(), "classification" if "class" in kind else "translation")
    monkeypatch.setattr(Inspector, "document", lambda *_, **__: document)
    monkeypatch.setattr(Inspector, "column", lambda _, name, column: real.column(name, column))
    with chromium.chromium() as tab:
        tab.open(f"{server.address}?text=a")
        for place in places:
            best = document["steps"][1]["top"][2]["id"] if "TOP" in place else None
            tab.run(f"location.hash = 'view=model&follow={place.replace('TOP', str(best))}'")
            tab.wait(f"document.querySelector('.follow code')?.innerText === {place.split(':')[0]!r}")
            tab.wait("document.querySelector('.follow .total')")
            said = tab.run(
                "[...document.querySelectorAll('.follow .value, .follow .total')].map((each) => each.innerText)"
            )
            value, *_, total = [float(each.split("=")[-1].replace("−", "-").replace("·10", "e")) for each in said]
            assert abs(value - total) < 5e-3, (place, said)
        assert tab.errors == []


@pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here (Debian: apt-get install chromium)")
def test_the_page_asks_its_server_and_nobody_else(server):
    with chromium.chromium() as tab:
        tab.open(f"{server.address}?text=My+sister&language=ko")
        tab.run("location.hash = 'view=decoding'")
        tab.wait("document.querySelector('.moves button')")
        tab.run("[...document.querySelectorAll('.moves button')].at(-1).click()")
        tab.wait("document.getElementById('app').innerText.includes('달린다 another')")
        tab.run("location.hash = 'view=heads&head=2'")
        tab.wait("document.querySelector('main .action')")
        tab.run("document.querySelector('main .action').click()")
        tab.wait("document.getElementById('app').innerText.includes('−0.250')")
        tab.run("location.hash = 'view=attention&follow=encoder.layers.0.self_attention.q:0.1.2'")
        tab.wait("document.querySelector('.follow .total')")
        assert all(address.startswith((server.address, "data:")) for address in tab.requests)
        assert tab.errors == []
        tab.open(f"{server.address}?text=&language=ko")
        assert "문장을 입력하세요" in tab.run("document.querySelector('.note').innerText")
