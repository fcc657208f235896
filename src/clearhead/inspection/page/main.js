// The page: what is shown where, and in which language.

import { buttons } from "./choices.js";
import { data, forget, h, kept } from "./dom.js";
import { panel } from "./follow.js";
import { forgetColours, paintAll } from "./canvas.js";
import { connect, served } from "./server.js";
import { begin, go, listen, state } from "./state.js";
import { Store } from "./store.js";
import { start, tour } from "./tour.js";
import { allHeads } from "./views/heads.js";
import { attention } from "./views/attention.js";
import { classifier } from "./views/classifier.js";
import { compare } from "./views/compare.js";
import { decoding } from "./views/decoding.js";
import { insideLayers } from "./views/layers.js";
import { language } from "./views/language.js";
import { masked } from "./views/masked.js";
import { learn, languages, speak, spoken, t } from "./words.js";
import { model } from "./views/model.js";
import { recurrent } from "./views/recurrent.js";
import { tokens } from "./views/tokens.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const app = document.getElementById("app");
const LONGEST = 2000;

let store = null;
let others = [];
let typed = { text: "" };

// The views that the document has something for, in the order of the model.
function views() {
  const { parts, kind, beam } = store.document;
  const has = (wanted) => parts.some((part) => part.kind === wanted);
  const all = [
    ["model", () => model(store), true],
    ["tokens", () => tokens(store), true],
    ["attention", () => attention(store), has("attention")],
    ["heads", () => allHeads(store), has("attention")],
    ["layers", () => insideLayers(store), has("residual")],
    ["recurrent", () => recurrent(store), has("recurrent")],
    ["decoding", () => decoding(store), Boolean(beam)],
    ["language", () => language(store), kind === "language-model"],
    ["masked", () => masked(store), kind === "masked-language-model"],
    ["classifier", () => classifier(store), kind === "classifier"],
    ["compare", () => compare(store, others), others.length > 0],
  ];
  return all.filter(([, , present]) => present);
}

function header() {
  const { run, src, tgt } = store?.document ?? {};
  const labels = store?.document.labels ?? [];
  const said = labels.length ? [...labels].sort((a, b) => b.prob - a.prob)[0].label : tgt?.text;
  return h(
    "header",
    null,
    h(
      "div",
      null,
      h("p.eyebrow", null, t("title"), run?.name && [" · ", data(run.name)]),
      store ? h("h1", null, h("span.data", null, src.text || tgt.text)) : h("h1", null, t("title")),
      store &&
        src.text &&
        said &&
        h("p.translation", null, h("span", { "aria-hidden": "true" }, "→ "), h("span.data", null, said)),
    ),
    h(
      "div.tools",
      null,
      buttons(
        t("language"),
        languages().map((each) => [each, t(`language-${each}`)]),
        spoken(),
        (next) => {
          speak(next);
          go({ language: next });
        },
      ),
      store && h("button.action#tour", { type: "button", onclick: () => go(start()) }, t("tour")),
    ),
    served() && question(typed),
  );
}

// Served, any sentence can be asked, with a beginning that the translation must have, and another beside it.
function question({ text, prefix, other }) {
  const field = (name, value, required) => [
    h("label", { for: name }, t(`ask-${name}`)),
    h(`input#${name}`, { name, value, maxlength: LONGEST, required, autocomplete: "off" }),
  ];
  return h(
    "form.question",
    { method: "get", action: "/" },
    h("input", { type: "hidden", name: "language", value: spoken() }),
    h("div", null, field("text", text, true), h("button.action", { type: "submit" }, t("look"))),
    h(
      "details",
      { open: Boolean(prefix || other) },
      h("summary", null, t("ask-more")),
      h("div", null, (!store || store.document.beam) && field("prefix", prefix), field("other", other)),
    ),
  );
}

function render() {
  const focused = document.activeElement?.id;
  const [x, y] = [scrollX, scrollY];
  const all = views();
  const open = all.find(([name]) => name === state().view) ?? all[0];
  const tab = ([name]) =>
    h(
      `button.tab#tab-${name}`,
      {
        type: "button",
        "aria-current": name === open[0] ? "page" : null,
        onclick: () => go({ view: name, follow: null }),
      },
      t(`view-${name}`),
    );
  const side = state().follow ? panel(store) : null;
  document.documentElement.lang = spoken();
  document.title = `${store.document.src.text || store.document.tgt.text} · ${t("title")}`;
  app.replaceChildren(
    kept("header", [spoken()], header),
    kept("nav", [spoken(), open[0]], () => h("nav", { "aria-label": t("views") }, all.map(tab))),
    state().tour
      ? tour(
          store.document,
          all.map(([name]) => name),
        )
      : "",
    h(
      "div.stage",
      { class: side ? "with-side" : null },
      h("main", { id: "view" }, h("h2", null, t(`view-${open[0]}`)), open[1]()),
      side ?? "",
    ),
    kept("footer", [spoken()], footer),
  );
  paintAll();
  const current = app.querySelector(".tab[aria-current]");
  if (current) current.parentElement.scrollLeft = current.offsetLeft - 40;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  scrollTo(x, y);
}

function footer() {
  const { run } = store.document;
  return h(
    "footer",
    null,
    h("p", null, t("footer", { version: run.version ?? "" })),
    run.weights_sha256 && h("p", null, t("weights"), " ", h("code", null, run.weights_sha256)),
  );
}

// What the server has to say instead of a document.
function refuse(problem) {
  document.documentElement.lang = spoken();
  document.title = t("title");
  const said = problem ? h("p.note", { role: "alert" }, problem[spoken()]) : h("p.lead", null, t("type-a-sentence"));
  app.replaceChildren(header(), said);
  paintAll();
}

// The sentence is on the screen before the numbers are unpacked.
const shown = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

async function boot() {
  const page = read("document");
  learn(read("words"), document.documentElement.lang);
  begin({ view: "model", head: 0, i: 0 });
  if (languages().includes(state().language)) speak(state().language);
  typed = page.typed;
  connect(page.served ? typed.text : null);
  let draw = () => refuse(page.error);
  if (page.document) {
    store = new Store(page.document, null);
    app.replaceChildren(header());
    await shown();
    store = await Store.open(page.document);
    others = await Promise.all(page.document.compare.map(Store.open));
    draw = render;
  }
  listen(draw);
  draw();
  const redraw = () => {
    forgetColours();
    forget();
    draw();
  };
  if (document.fonts.status === "loading") {
    await document.fonts.ready;
    redraw();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) redraw();
    width = innerWidth;
  });
  app.dataset.ready = "true";
}

boot();
