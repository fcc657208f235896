// The tour: a walk through the page for someone who has never seen a Transformer.

import { h } from "./dom.js";
import { attentions } from "./naming.js";
import { go, state } from "./state.js";
import { t } from "./words.js";

const crosses = ({ parts }) => parts.some((part) => part.name.includes("cross_attention"));
const sinusoidal = ({ config }) => config.positions === "sinusoidal";
const placed = ({ config }) => config.positions !== undefined && !sinusoidal({ config });

// Each stop: its words, the view, what is shown there, and which documents have it, where not all do.
const STOPS = [
  { name: "welcome", at: { view: "model", block: null } },
  { name: "tokens", at: { view: "tokens", side: "src" } },
  { name: "positions", at: { view: "tokens", side: "src" }, mark: "#waves", when: sinusoidal },
  { name: "places", at: { view: "tokens", side: "src" }, mark: "#position-likeness", when: placed },
  { name: "vectors", at: { view: "attention", head: 0 }, part: 0, mark: "#step-q" },
  { name: "scores", at: { view: "attention", head: 0 }, part: 0, mark: ".ladder" },
  { name: "sum", at: { view: "attention", head: 0 }, part: 0, mark: "#step-z" },
  { name: "heads", at: { view: "heads", head: 0 }, part: 0 },
  { name: "layers", at: { view: "layers" } },
  { name: "recurrent", at: { view: "recurrent" } },
  { name: "cross", at: { view: "heads", head: "mean" }, part: -1, when: crosses },
  { name: "beam", at: { view: "decoding" } },
  { name: "label", at: { view: "classifier" } },
  { name: "next", at: { view: "language" } },
  { name: "hidden", at: { view: "masked" } },
  { name: "end", at: { view: "model", block: null } },
];

export function stops(document, views) {
  return STOPS.filter((stop) => views.includes(stop.at.view) && (stop.when?.(document) ?? true));
}

export function tour(document, views) {
  const walk = stops(document, views);
  const place = Math.min(state().tour, walk.length) - 1;
  const stop = walk[place];
  const to = (next) => {
    const target = walk[next];
    const part = target?.part === undefined ? {} : { part: attentions(document).at(target.part) };
    go(target ? { ...target.at, ...part, tour: next + 1, follow: null } : { tour: null });
    show(target);
  };
  return h(
    "section.tour",
    { role: "region", "aria-label": t("tour") },
    h("p.eyebrow", null, t("tour-place", { number: place + 1, count: walk.length })),
    h("h2", { tabindex: -1 }, t(`tour-${stop.name}`)),
    h("p", null, stop.name === "welcome" && `${t(`tour-welcome-${document.kind}`)} `, t(`tour-${stop.name}-words`)),
    h(
      "p.moves",
      null,
      h("button#tour-back", { type: "button", disabled: place === 0, onclick: () => to(place - 1) }, t("back")),
      h(
        "button.action#tour-next",
        { type: "button", onclick: () => to(place + 1) },
        t(place + 1 < walk.length ? "next" : "tour-done"),
      ),
      place + 1 < walk.length &&
        h("button#tour-leave", { type: "button", onclick: () => go({ tour: null }) }, t("tour-leave")),
    ),
  );
}

function show(stop) {
  const marked = stop?.mark && document.querySelector(stop.mark);
  if (marked) marked.closest("section, figure").scrollIntoView({ block: "start" });
  else scrollTo({ top: 0 });
}

export const start = () => ({ ...STOPS[0].at, tour: 1, follow: null });
