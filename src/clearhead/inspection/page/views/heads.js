// All heads at once: which there are, what each looks at, how spread out it is, and what happens without it.

import { attentionChoices, chosenAttention } from "../choices.js";
import { data, h, kept, table } from "../dom.js";
import { follow } from "../follow.js";
import { lines } from "../lines.js";
import { thumbnail } from "../canvas.js";
import { missing } from "../left.js";
import { picture } from "../matrix.js";
import { attentions, heads, named, parsed } from "../naming.js";
import { entropy, range, sum, written } from "../numbers.js";
import { answered, ask, served } from "../server.js";
import { go, state } from "../state.js";
import { sentence, spoken, t } from "../words.js";

export function allHeads(store) {
  const chosen = chosenAttention(store.document);
  return [
    h("p.lead", null, t("heads-lead")),
    h("div.choices", null, attentionChoices(store.document, chosen, true)),
    one(store, chosen),
    pressed(
      kept("overview", [spoken()], () => overview(store)),
      chosen,
    ),
    without(store, chosen),
    history(store, chosen),
  ];
}

// One head, or the mean of a layer's: its matrix and its lines.
export function one(store, { part, head, rows, keys, i }) {
  const matrix = store.matrix(`${part}.weights`, head);
  const chosen = state().word ?? null;
  return h(
    "section.card",
    null,
    h("h3", null, `${named(part)} · ${head === "mean" ? t("heads-mean") : t("head-number", { number: head + 1 })}`),
    h("p.hint", null, t("lines-words")),
    missing(store, `${part}.weights`) ??
      h(
        "div.pair",
        null,
        picture({
          id: "head-weights",
          matrix,
          labels: { rows, columns: keys },
          name: t("matrix-weights"),
          chosen: [i, null],
          most: 1,
          pick: (a, b) => {
            go({ i: a, j: b });
            if (head !== "mean") follow(`${part}.weights`, head, a, b);
          },
        }),
        lines({
          matrix,
          left: rows,
          right: keys,
          chosen: chosen !== null && chosen < rows.length ? chosen : null,
          pick: (word) => go({ word }),
          name: t("lines"),
        }),
      ),
  );
}

// The overview, with the small picture of the head that is looked at pressed.
function pressed(all, { part, head }) {
  for (const each of all.querySelectorAll(".small"))
    each.setAttribute("aria-pressed", String(each.dataset.head === `${part}.${head}`));
  return all;
}

// Every layer by head: a small picture and the mean entropy of its rows.
function overview(store) {
  const groups = new Map();
  for (const part of attentions(store.document)) {
    const { stack, block } = parsed(part);
    const kind = `${stack}.${block}`;
    groups.set(kind, [...(groups.get(kind) ?? []), part]);
  }
  return h(
    "section.card",
    null,
    h("h3", null, t("overview")),
    h("p.hint", null, t("overview-words")),
    h(
      "div.overview",
      null,
      [...groups.values()].map((parts) =>
        h(
          "div",
          null,
          h("h4", null, kindOf(parts[0])),
          parts.map((part) => ofLayer(store, part)),
        ),
      ),
    ),
  );
}

function ofLayer(store, part) {
  const each =
    missing(store, `${part}.weights`) ?? range(heads(store.document, part)).map((head) => small(store, part, head));
  return h("div.layer", null, h("span.hint", null, t("layer-number", { number: (parsed(part).layer ?? 0) + 1 })), each);
}

const kindOf = (part) => {
  const { stack, block } = parsed(part);
  return `${t(`part-${stack}`)} · ${t(`block-${stack === "decoder" && block === "self_attention" ? "masked_self_attention" : block}`)}`;
};

export function meanEntropy(matrix) {
  return sum(range(matrix.rows).map((i) => entropy(matrix.row(i)))) / matrix.rows;
}

function small(store, part, head) {
  const matrix = store.matrix(`${part}.weights`, head);
  const spread = written(meanEntropy(matrix));
  const words = t("small-head", { part: named(part), number: head + 1, entropy: spread });
  return h(
    "button.small",
    {
      type: "button",
      "data-head": `${part}.${head}`,
      "aria-label": words,
      title: words,
      onclick: () => go({ part, head }),
    },
    thumbnail(matrix, 56, 56, 1),
    h("span", { "aria-hidden": "true" }, spread),
  );
}

// What comes out of a model, and what it is called.
const CAME_OUT = {
  transformer: { heading: "translation", usual: ({ tgt }) => tgt.text },
  classifier: { heading: "label", usual: ({ tgt }) => tgt.text },
  "language-model": { heading: "next-token", usual: ({ steps }) => steps.at(-1).top[0].text },
  "masked-language-model": { heading: "masked-filled", usual: ({ tgt }) => tgt.text },
};

// A head switched off: the change of the translation's log-probability, and what is said instead.
function without(store, { part, head }) {
  const { ablations } = store.document;
  const { heading, usual } = CAME_OUT[store.document.kind] ?? CAME_OUT.transformer;
  const of = ablations.filter((each) => each.part === part);
  const rows = of.map((each) =>
    Object.assign(
      [
        t("head-number", { number: each.head + 1 }),
        written(each.delta_log_prob),
        each.translation === usual(store.document) ? t("same-translation") : data(each.translation),
      ],
      { mark: each.head === head ? "chosen" : null },
    ),
  );
  const button =
    served() &&
    head !== "mean" &&
    h(
      "button.action",
      { type: "button", onclick: () => ask("ablation", { part, head }) },
      t("switch-off", { number: head + 1 }),
    );
  if (!rows.length && !button) return null;
  return h(
    "section.card",
    null,
    h("h3", null, t("without")),
    h("p.hint", null, t("without-words"), " ", t(`without-${store.document.kind}`)),
    rows.length > 0 && [map(store), table([t("head"), t("delta-log-prob"), t(heading)], rows, { label: t("without") })],
    button,
    answered("ablation", { part, head }, switchedOff),
  );
}

const switchedOff = (found) =>
  h(
    "p",
    null,
    sentence("switched-off", {
      change: h("b", null, written(found.delta_log_prob)),
      translation: data(found.translation),
    }),
  );

// All of them as one picture, a row a layer.
function map(store) {
  const { ablations } = store.document;
  const parts = [...new Set(ablations.map((each) => each.part))];
  const count = Math.max(...ablations.map((each) => each.head)) + 1;
  const found = new Map(ablations.map((each) => [`${each.part}.${each.head}`, each.delta_log_prob]));
  const matrix = { rows: parts.length, columns: count, value: (i, j) => found.get(`${parts[i]}.${j}`) ?? 0 };
  return picture({
    id: "ablations",
    matrix,
    labels: { rows: parts.map(short), columns: range(count).map((head) => String(head + 1)) },
    name: t("delta-log-prob"),
    pick: (i, j) => go({ part: parts[i], head: j }),
    cell: 34,
  });
}

const short = (part) => {
  const { stack, layer, block } = parsed(part);
  return `${t(`short-${stack}`)}${layer + 1} ${t(`short-${block}`)}`;
};

// The same sentence as the training went on.
function history(store, { head }) {
  const { checkpoints, src } = store.document;
  if (!checkpoints.length) return null;
  const place = Math.min(state().checkpoint ?? checkpoints.length - 1, checkpoints.length - 1);
  const at = checkpoints[place];
  const cross = at.cross ? store.tensor(at.cross) : null;
  const moment = at.step === null ? t("checkpoint-last") : t("checkpoint-step", { step: at.step });
  const facts = [
    ["score", at.score],
    ["reference-log-prob", at.reference_log_prob],
    ["valid-loss", at.loss],
  ].filter(([, value]) => value !== null && value !== undefined);
  const slider = h("input#choose-checkpoint", {
    type: "range",
    min: 0,
    max: checkpoints.length - 1,
    value: place,
    "aria-label": t("checkpoint"),
    "aria-valuetext": moment,
    oninput: (event) => go({ checkpoint: Number(event.target.value) }),
  });
  return h(
    "section.card",
    null,
    h("h3", null, t("checkpoints")),
    h("p.hint", null, t("checkpoints-words")),
    h("div.slider", null, slider, h("b", null, moment)),
    h("p.said-then", null, data(at.translation || "∅")),
    h(
      "dl.pairs",
      null,
      facts.map(([key, value]) => h("div", null, h("dt", null, t(key)), h("dd", null, written(value)))),
    ),
    cross ? crossThen(cross, at, src, head) : at.cross && missing(store, at.cross),
  );
}

function crossThen(cross, at, src, head) {
  const [layers, count, rows, columns] = cross.shape;
  const all = range(layers).flatMap((layer) =>
    head === "mean" ? range(count).map((each) => [layer, each]) : [[layer, Math.min(head, count - 1)]],
  );
  const value = (i, j) => sum(all.map(([layer, each]) => cross.at(layer, each, i, j))) / all.length;
  return picture({
    id: "cross-then",
    matrix: { rows, columns, value },
    labels: {
      rows: at.tokens?.map((token) => token.text.trim()),
      columns: src.tokens.map((token) => token.text.trim()),
    },
    name: t("cross-then"),
    most: 1,
  });
}
