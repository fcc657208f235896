// The way through the model, drawn as in the paper's figure 1 (figure.js); each block opens.

import { behind, data, h, math, table } from "../dom.js";
import { equation } from "../equations.js";
import { figure, layers } from "../figure.js";
import { leftOut } from "../left.js";
import { named, parsed } from "../naming.js";
import { whole } from "../numbers.js";
import { go, state } from "../state.js";
import { t } from "../words.js";

export function model(store) {
  const { document } = store;
  const open = document.parts.find((part) => part.name === state().block) ?? null;
  return [
    h("p.lead", null, t("model-lead")),
    h(
      "div.twin.model",
      null,
      h("section.card", null, figure(document, open)),
      h("div", null, open ? about(store, open) : overall(store)),
    ),
  ];
}

// What the whole model is, where no block is open.
function overall(store) {
  const { config, run, src, tgt } = store.document;
  const rows = Object.entries({
    kind: t(`kind-${store.document.kind}`),
    parameters: run.parameters === undefined ? null : whole(run.parameters),
    d_model: config.d_model ?? config.d_hidden,
    n_heads: config.n_heads,
    d_ff: config.d_ff,
    layers: [config.n_encoder_layers, config.n_decoder_layers, config.n_layers]
      .filter((each) => each !== undefined)
      .join(" + "),
    norm: config.norm && t(`norm-${config.norm}`),
    vocabulary: [config.src_vocabulary, config.tgt_vocabulary]
      .filter((each) => each !== undefined)
      .map(whole)
      .join(" / "),
    length: [src, { tokens: tgt.inputs }]
      .map(({ tokens }) => tokens.length)
      .filter((count) => count > 0)
      .join(" / "),
  }).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h(
    "section.card",
    null,
    h("h3", null, t("model-overall")),
    h("p.hint", null, t("model-open")),
    leftOut(store),
    h(
      "dl.pairs",
      null,
      rows.map(([key, value]) => h("div", null, h("dt", null, t(`fact-${key}`)), h("dd.data", null, String(value)))),
    ),
    behindParts(store),
  );
}

function behindParts(store) {
  const rows = store.document.parts.map((part) => [
    h("button.number", { type: "button", onclick: () => go({ block: part.name }) }, named(part.name)),
    h("code", null, part.name),
    data(Object.values(part.shapes).at(-1)?.join(" × ") ?? ""),
  ]);
  const all = () => table([t("part"), t("name-in-code"), t("shape")], rows, { label: t("model-overall") });
  return behind(t("as-table"), all, "parts-table");
}

const VIEWS = {
  attention: "attention",
  residual: "layers",
  feed_forward: "layers",
  embedding: "tokens",
  positions: "tokens",
  sum: "tokens",
  segments: "tokens",
  transform: "masked",
  recurrent: "recurrent",
  recurrent_attention: "recurrent",
  pooling: "classifier",
  pooler: "classifier",
  labels: "classifier",
};

// Where what a model says is shown.
const SAID = { "language-model": "language", "masked-language-model": "masked" };

// One block: where it is, its equation, its tensors' shapes, its code.
function about(store, part) {
  const { stack, layer } = parsed(part.name);
  const count = layers(store.document, stack);
  const move = (to) => go({ layer: to, block: part.name.replace(/layers\.\d+/, `layers.${to}`) });
  const view = part.kind === "output" ? (SAID[store.document.kind] ?? "decoding") : VIEWS[part.kind];
  return h(
    "section.card",
    { "aria-live": "polite" },
    h("h3", null, named(part.name)),
    h("p", null, t(`about-${part.kind}`)),
    equation(part.equation, store.document.config) &&
      h("p.formula", null, math(equation(part.equation, store.document.config))),
    h("p.hint", null, /^\d/.test(part.section) ? reference(part) : t("not-in-paper")),
    table(
      [t("tensor"), t("shape")],
      Object.entries(part.shapes).map(([name, shape]) => [h("code", null, name), data(shape.join(" × "))]),
      { label: t("shape") },
    ),
    h("p.hint", null, h("code", null, part.name)),
    layer !== null &&
      h(
        "p.moves",
        null,
        h("button", { type: "button", disabled: layer === 0, onclick: () => move(layer - 1) }, t("layer-below")),
        h(
          "button",
          { type: "button", disabled: layer === count - 1, onclick: () => move(layer + 1) },
          t("layer-above"),
        ),
      ),
    view &&
      h(
        "button.action",
        {
          type: "button",
          onclick: () => go({ view, ...(part.kind === "attention" ? { part: part.name } : {}), layer: layer ?? 0 }),
        },
        t("look-inside"),
      ),
    code(store, part),
  );
}

function reference(part) {
  const section = h(
    "a",
    { href: "https://arxiv.org/abs/1706.03762", rel: "noreferrer", target: "_blank" },
    t("paper-section", { section: part.section }),
  );
  return /^\d+$/.test(part.equation) ? [section, `, ${t("paper-equation", { equation: part.equation })}`] : section;
}

function code(store, part) {
  const source = store.document.sources?.[part.source];
  return h(
    "details.code",
    null,
    h("summary", null, t("in-our-code"), " ", h("code", null, part.source)),
    source && h("pre", { tabindex: 0 }, h("code", null, source)),
  );
}
