// Inside a layer: add and norm before and after, and which units of the feed-forward network fire.

import { select, tokenChoice } from "../choices.js";
import { data, h, math, svg, table } from "../dom.js";
import { equation } from "../equations.js";
import { follow, number } from "../follow.js";
import { missing } from "../left.js";
import { picture } from "../matrix.js";
import { named, parsed, rowsOf } from "../naming.js";
import { largest, percent, range, sum, written } from "../numbers.js";
import { go, state } from "../state.js";
import { sentence, t } from "../words.js";

export function insideLayers(store) {
  const { document } = store;
  const stems = [
    ...new Set(
      document.parts.filter((part) => part.kind === "residual").map((part) => part.name.replace(/\.\w+$/, "")),
    ),
  ];
  const stem = stems.includes(state().stem) ? state().stem : stems[0];
  const blocks = ["self_attention", "cross_attention", "feed_forward"].filter((block) =>
    document.parts.some((part) => part.name === `${stem}.${block}_residual`),
  );
  const block = blocks.includes(state().sublayer) ? state().sublayer : blocks[0];
  const words = rowsOf(document, stem);
  const i = Math.min(state().i ?? 0, words.length - 1);
  return [
    h("p.lead", null, t("layers-lead")),
    h(
      "div.choices",
      null,
      select(
        "choose-stem",
        t("layer"),
        stems.map((each) => [each, named(each)]),
        stem,
        (each) => go({ stem: each }),
      ),
      select(
        "choose-sublayer",
        t("sublayer"),
        blocks.map((each) => [
          each,
          t(`block-${parsed(stem).stack === "decoder" && each === "self_attention" ? "masked_self_attention" : each}`),
        ]),
        block,
        (each) => go({ sublayer: each }),
      ),
      tokenChoice("choose-token", t("token"), words, i, (place) => go({ i: place })),
    ),
    missing(store, `${stem}.${block}_residual.output`, `${stem}.feed_forward.inner`),
    store.has(`${stem}.${block}_residual.output`) && addAndNorm(store, `${stem}.${block}`, words, i),
    store.has(`${stem}.feed_forward.activated`) && feedForward(store, `${stem}.feed_forward`, words, i),
    journey(store, words, parsed(stem).stack, i),
  ];
}

function addAndNorm(store, block, words, i) {
  const pre = store.has(`${block}_residual.normed`);
  const tensors = [
    ["input", `${block}_residual.input`],
    ...(pre ? [["normed", `${block}_residual.normed`]] : []),
    ["sublayer", `${block}.output`],
    ["sum", `${block}_residual.sum`],
    ...(pre ? [] : [["after", `${block}_residual.output`]]),
  ];
  const rows = tensors.map(([what, name]) => {
    const row = store.matrix(name).row(i);
    const mean = sum(row) / row.length;
    return [
      t(`flow-${what}`),
      written(mean),
      written(Math.sqrt(sum(row.map((value) => (value - mean) ** 2)) / row.length)),
      written(Math.hypot(...row)),
    ];
  });
  return h(
    "section.card",
    null,
    h("h3", null, t("add-and-norm")),
    h("p.hint", null, t(pre ? "add-and-norm-pre" : "add-and-norm-post")),
    h("p.formula", null, math("LayerNorm(x) = γ (x − μ) / σ + β")),
    h("p.formula", null, math(pre ? "x + Sublayer(LayerNorm(x))" : "LayerNorm(x + Sublayer(x))")),
    table([sentence("vector-of", { word: data(words[i]) }), t("mean"), t("spread"), t("length-of-vector")], rows, {
      label: t("add-and-norm"),
    }),
    h(
      "div.pair",
      null,
      tensors.map(([what, name]) =>
        picture({
          id: `flow-${what}`,
          matrix: store.matrix(name),
          labels: { rows: words },
          name: t(`flow-${what}`),
          chosen: [i, null],
          pick: (a, d) => follow(name, a, d),
          cell: 12,
        }),
      ),
      ["gamma", "beta"].map((what) => learned(store, `${block}_residual.${what}`, what)),
    ),
  );
}

// What the normalisation has learned: a number for each dimension, the same for all tokens.
function learned(store, name, what) {
  return (
    store.has(name) &&
    picture({
      id: `flow-${what}`,
      matrix: store.matrix(name),
      labels: { rows: [t(`tensor-${what}`)] },
      name: t(`flow-${what}`),
      pick: (_, d) => follow(name, d),
      cell: 12,
    })
  );
}

function feedForward(store, block, words, i) {
  const activated = store.matrix(`${block}.activated`);
  const row = activated.row(i);
  const firing = row.filter((value) => value > 0).length;
  const units = largest(row.map(Math.abs), 10).filter((unit) => row[unit] !== 0);
  const rows = units.map((unit) => [
    t("unit-number", { number: unit + 1 }),
    number(store, `${block}.inner`, i, unit),
    number(store, `${block}.activated`, i, unit),
    h(
      "span.data",
      null,
      largest(
        range(words.length).map((place) => activated.value(place, unit)),
        3,
      )
        .filter((place) => activated.value(place, unit) > 0)
        .map((place) => words[place])
        .join(", "),
    ),
  ]);
  return h(
    "section.card",
    null,
    h("h3", null, t("feed-forward")),
    h("p.hint", null, t("feed-forward-words")),
    h("p.formula", null, math(equation("2", store.document.config))),
    h(
      "p",
      null,
      sentence("units-firing", {
        word: data(words[i]),
        firing: h("b", null, String(firing)),
        all: data(String(row.length)),
        share: data(percent(firing / row.length)),
      }),
    ),
    table([t("unit"), t("before-activation"), t("after-activation"), t("fires-most-for")], rows, {
      label: t("feed-forward"),
    }),
    h(
      "div",
      null,
      picture({
        id: "inner",
        matrix: store.matrix(`${block}.inner`),
        labels: { rows: words },
        name: t("before-activation"),
        chosen: [i, null],
        pick: (a, u) => follow(`${block}.inner`, a, u),
        cell: 12,
      }),
      picture({
        id: "activated",
        matrix: activated,
        labels: { rows: words },
        name: t("after-activation"),
        chosen: [i, null],
        pick: (a, u) => follow(`${block}.activated`, a, u),
        cell: 12,
      }),
    ),
  );
}

// How far each sublayer moves a token's vector on its way up.
function journey(store, words, stack, i) {
  const residuals = store.document.parts
    .filter((part) => part.kind === "residual" && parsed(part.name).stack === stack)
    .map((part) => part.name)
    .filter((name) => store.has(`${name}.sum`) && store.has(`${name}.output`));
  if (!residuals.length) return null;
  const steps = residuals.map((name) => {
    const [before, after] = [store.matrix(`${name}.input`).row(i), store.matrix(`${name}.output`).row(i)];
    const dot = sum(before.map((value, d) => value * after[d]));
    return {
      name: name.replace(/_residual$/, ""),
      added: Math.hypot(...store.matrix(`${name.replace(/_residual$/, "")}.output`).row(i)),
      before: Math.hypot(...before),
      like: dot / (Math.hypot(...before) * Math.hypot(...after) || 1),
    };
  });
  const most = Math.max(...steps.flatMap((each) => [each.added, each.before]));
  const [height, width] = [20, 640];
  const bars = steps.map((each, place) => [
    svg(
      "text",
      { x: 210, y: place * height + 14, "text-anchor": "end" },
      named(each.name).split(" · ").slice(1).join(" · "),
    ),
    svg("rect", { class: "before", x: 218, y: place * height + 3, width: (each.before / most) * 400, height: 6 }),
    svg("rect", { class: "added", x: 218, y: place * height + 10, width: (each.added / most) * 400, height: 6 }),
  ]);
  return h(
    "section.card",
    null,
    h("h3", null, sentence("journey", { word: data(words[i]) })),
    h("p.hint", null, t("journey-words")),
    h("p.legend", null, h("span.key.before", null, t("flow-input")), h("span.key.added", null, t("flow-sublayer"))),
    h(
      "div.drawing",
      null,
      svg(
        "svg",
        {
          viewBox: `0 0 ${width} ${steps.length * height + 6}`,
          class: "bars",
          role: "img",
          "aria-label": t("journey-words"),
        },
        bars,
      ),
    ),
    h(
      "details.behind",
      null,
      h("summary", null, t("as-table")),
      table(
        [t("part"), t("flow-input"), t("flow-sublayer"), t("likeness")],
        steps.map((each) => [named(each.name), written(each.before), written(each.added), written(each.like)]),
        { label: t("add-and-norm") },
      ),
    ),
  );
}
