// Documents side by side: two runs, two sentences, or the members of a committee.

import { attentionChoices, chosenAttention } from "../choices.js";
import { data, h, table } from "../dom.js";
import { missing } from "../left.js";
import { picture } from "../matrix.js";
import { label } from "../naming.js";
import { percent, written } from "../numbers.js";
import { sentence, t } from "../words.js";
import { labelTable } from "./classifier.js";
import { meanEntropy } from "./heads.js";

export function compare(store, others) {
  return [
    h("p.lead", null, t("compare-lead")),
    h(
      "div.choices",
      null,
      store.document.parts.some((part) => part.kind === "attention") &&
        attentionChoices(store.document, chosenAttention(store.document), true),
    ),
    h(
      "div.sides",
      null,
      [store, ...others].map((each, place) => side(each, place + 1)),
    ),
  ];
}

function side(store, number) {
  const { document } = store;
  const named = (what) => `${number} · ${what}`;
  const said = document.tgt.inputs.length ? document.tgt.outputs : document.src.tokens;
  const rows = document.steps.map((step, place) => {
    const chosen = said[place];
    return [
      String(place + 1),
      data(chosen ? label(chosen) : ""),
      step.log_prob === undefined ? "–" : percent(Math.exp(step.log_prob)),
      written(step.entropy),
    ];
  });
  return h(
    "section.card",
    null,
    h("p.eyebrow", null, data(document.run.name ?? "")),
    h("p.pairing", null, data(document.src.text || document.tgt.text)),
    document.src.text && document.tgt.text && h("p.pairing", null, h("b.data", null, document.tgt.text)),
    document.beam && h("p.hint", null, `${t("score")} ${written(document.tgt.score)}`),
    weights(store),
    document.labels.length > 0 && labelTable(document.labels, named(t("labels"))),
    rows.length > 0 &&
      table([t("step"), t("token"), t("probability"), t("entropy")], rows, { label: named(t("view-decoding")) }),
  );
}

function weights(store) {
  if (store.document.parts.some((part) => part.name === "attention"))
    return shown(store, "attention", 0, chosenRows(store));
  if (!store.document.parts.some((part) => part.kind === "attention")) return null;
  const chosen = chosenAttention(store.document);
  return shown(store, chosen.part, chosen.head, { rows: chosen.rows, columns: chosen.keys });
}

const chosenRows = ({ document }) => ({
  rows: document.tgt.inputs.map(label),
  columns: document.src.tokens.map(label),
});

function shown(store, part, head, words) {
  const matrix = store.matrix(`${part}.weights`, head);
  if (!matrix) return missing(store, `${part}.weights`);
  return [
    picture({ matrix, labels: words, name: t("matrix-weights"), most: 1 }),
    h("p.hint", null, sentence("mean-entropy", { value: data(written(meanEntropy(matrix))) })),
  ];
}
