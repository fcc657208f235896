// The tour: a walk through the page for someone who has never seen a Transformer.

import { h } from "./dom.js";
import { attentions } from "./naming.js";
import { go, state } from "./state.js";
import { t } from "./words.js";

// Each stop: its words, the view, and what is shown there.
const STOPS = [
  { name: "welcome", at: { view: "model", block: null } },
  { name: "tokens", at: { view: "tokens", side: "src" } },
  { name: "positions", at: { view: "tokens", side: "src" }, mark: "#waves" },
  { name: "vectors", at: { view: "attention", head: 0 }, part: 0, mark: "#step-q" },
  { name: "scores", at: { view: "attention", head: 0 }, part: 0, mark: ".ladder" },
  { name: "sum", at: { view: "attention", head: 0 }, part: 0, mark: "#step-z" },
  { name: "heads", at: { view: "heads", head: 0 }, part: 0 },
  { name: "layers", at: { view: "layers" } },
  { name: "cross", at: { view: "heads", head: "mean" }, part: -1 },
  { name: "beam", at: { view: "decoding" } },
  { name: "end", at: { view: "model", block: null } },
];

export function stops(document, views) {
  return STOPS.filter(
    (stop) =>
      views.includes(stop.at.view) &&
      (stop.name !== "cross" || document.parts.some((part) => part.name.includes("cross_attention"))),
  );
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
    h("p", null, t(`tour-${stop.name}-words`)),
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
