// The way through the model, drawn as in the paper's figure 1; each block opens.

import { data, h, math, svg, table } from "../dom.js";
import { EQUATIONS } from "../equations.js";
import { named, parsed } from "../naming.js";
import { whole } from "../numbers.js";
import { go, state } from "../state.js";
import { t } from "../words.js";

const BLOCK = { width: 190, height: 34, gap: 14 };

export function model(store) {
  const { document } = store;
  const open = document.parts.find((part) => part.name === state().block) ?? null;
  return [
    h("p.lead", null, t("model-lead")),
    h(
      "div.twin.model",
      null,
      h("section.card", null, figure(store, open)),
      h("div", null, open ? about(store, open) : overall(store)),
    ),
  ];
}

// The blocks of a stack from below: [part, words]; a layer is drawn once and opened by its number.
function blocks(document, stack) {
  const layer = Math.min(state().layer ?? 0, layers(document, stack) - 1);
  const own = document.parts.filter((part) => parsed(part.name).stack === stack && parsed(part.name).layer === layer);
  return { layer, own };
}

export function layers(document, stack) {
  const found = document.parts
    .map((part) => parsed(part.name))
    .filter((each) => each.stack === stack && each.layer !== null);
  return found.length ? Math.max(...found.map((each) => each.layer)) + 1 : 0;
}

function figure(store, open) {
  const { document } = store;
  const stacks = ["encoder", "decoder"].filter((stack) => layers(document, stack) > 0);
  const columns = stacks.map((stack) => column(store, stack, open));
  const height = Math.max(...columns.map((each) => each.height));
  const width = 260;
  const drawing = svg("svg", {
    viewBox: `0 0 ${width * columns.length + 20} ${height}`,
    class: "figure",
    role: "group",
    "aria-label": t("figure-label"),
    style: { "max-width": `${(width * columns.length + 20) * 1.15}px` },
  });
  const crosses = columns.map((each, place) => {
    drawing.append(svg("g", { transform: `translate(${place * width + 30} ${height - each.height})` }, each.drawn));
    return each;
  });
  const [encoder, decoder] = crosses;
  if (decoder?.cross !== undefined) {
    const [top, into] = [height - encoder.height + encoder.top, height - decoder.height + decoder.cross];
    const left = 30 + BLOCK.width / 2;
    drawing.append(
      svg("path", { class: "wire strong", d: `M${left} ${top}V${top - 16}H${width + 8}V${into}H${width + 30}` }),
      arrow(width + 30, into, 0),
    );
  }
  return h("div.drawing", null, drawing);
}

const arrow = (x, y, turn) =>
  svg("path", { class: "tip", d: "M0 0L-7 -4V4Z", transform: `translate(${x} ${y}) rotate(${turn})` });

// One stack, drawn from below: embedding, positions, sum, the layers, what comes out.
function column(store, stack, open) {
  const { document } = store;
  const side = stack === "encoder" || document.kind === "language-model" ? "src" : "tgt";
  const { layer, own } = blocks(document, stack);
  const count = layers(document, stack);
  const find = (name) => document.parts.find((part) => part.name === name);
  const sideFound = find(`${side}_embedding`) ? side : side === "src" ? "tgt" : "src";
  const below = [find(`${sideFound}_embedding`), find(`${sideFound}_positions`)].filter(Boolean);
  const above = [
    document.config.norm === "pre" && find(`${stack}.norm`),
    ...(stack === "decoder" || count === 0 || document.kind !== "transformer"
      ? [find("output") ?? find("labels")]
      : []),
  ].filter(Boolean);
  const rows = [
    ...below.map((part) => ({ part })),
    ...own.map((part) => ({ part, inside: true })),
    ...above.map((part) => ({ part })),
  ];
  const height = rows.length * (BLOCK.height + BLOCK.gap) + 96;
  const drawn = [];
  const [middle, right] = [BLOCK.width / 2, BLOCK.width + 14];
  let y = height - 26;
  drawn.push(
    svg(
      "text",
      { x: middle, y: height - 6, "text-anchor": "middle", class: "ends" },
      t(side === "src" ? "figure-inputs" : "figure-outputs"),
    ),
  );
  const marks = {};
  const levels = [];
  for (const row of rows) {
    if (row.inside && !marks.inside) [marks.inside, y] = [y, y - 10];
    if (!row.inside && marks.inside && !marks.outside) [marks.outside, y] = [y - 12, y - 30];
    const topOf = y - BLOCK.height;
    drawn.push(svg("path", { class: "wire", d: `M${middle} ${y + BLOCK.gap}V${y + 1}` }), arrow(middle, y, -90));
    drawn.push(block(row.part, topOf, open));
    levels.push({ ...row, y: topOf });
    if (row.part.name.includes("cross_attention") && !row.part.name.endsWith("residual"))
      marks.cross = topOf + BLOCK.height / 2;
    y = topOf - BLOCK.gap;
  }
  if (marks.inside && !marks.outside) marks.outside = y - 8;
  levels.forEach((level, place) => {
    if (!level.part.name.endsWith("_residual") || !place) return;
    const [from, to] = [levels[place - 1].y + BLOCK.height + BLOCK.gap / 2, level.y + BLOCK.height / 2];
    drawn.unshift(
      svg("path", { class: "wire skip", d: `M${middle} ${from}H${right - 4}V${to}H${BLOCK.width + 1}` }),
      arrow(BLOCK.width + 1, to, 180),
    );
  });
  if (marks.inside) {
    drawn.unshift(
      svg("rect", {
        class: "stack",
        x: -16,
        y: marks.outside,
        width: BLOCK.width + 34,
        height: marks.inside - marks.outside + 8,
        rx: 10,
      }),
    );
    drawn.push(
      svg("text", { x: BLOCK.width + 24, y: (marks.inside + marks.outside) / 2, class: "times" }, `×${count}`),
    );
    drawn.push(
      svg("text", { x: -10, y: marks.outside + 13, class: "which" }, t("layer-of", { number: layer + 1, count })),
    );
  }
  drawn.push(svg("path", { class: "wire", d: `M${middle} ${y + BLOCK.gap}V${y + 4}` }));
  if (stack === "decoder" || stacksAlone(document))
    drawn.push(svg("text", { x: middle, y: y - 4, "text-anchor": "middle", class: "ends" }, t("figure-probabilities")));
  return { drawn, height, cross: marks.cross, top: y + 4 };
}

const stacksAlone = (document) => !layers(document, "decoder") || !layers(document, "encoder");

function block(part, y, open) {
  const chosen = open?.name === part.name;
  const name = words(part);
  const choose = () => go({ block: chosen ? null : part.name });
  return svg(
    "g",
    {
      id: `block-${part.name}`,
      class: `block ${part.kind}${chosen ? " chosen" : ""}`,
      transform: `translate(0 ${y})`,
      tabindex: 0,
      role: "button",
      "aria-pressed": String(chosen),
      "aria-label": `${named(part.name)}`,
      onclick: choose,
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose();
      },
    },
    svg("rect", { width: BLOCK.width, height: BLOCK.height, rx: 7 }),
    svg("text", { x: BLOCK.width / 2, y: BLOCK.height / 2 + 4.5, "text-anchor": "middle" }, name),
  );
}

function words(part) {
  const { stack, block: own } = parsed(part.name);
  if (part.kind === "residual") return t("figure-residual");
  if (part.kind === "positions") return `+ ${t(`part-${stack}`)}`;
  if (part.kind === "norm") return t("figure-norm");
  if (!own) return t(`part-${stack}`);
  return t(`block-${stack === "decoder" && own === "self_attention" ? "masked_self_attention" : own}`);
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
    length: `${src.tokens.length} / ${tgt.inputs.length}`,
  }).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h(
    "section.card",
    null,
    h("h3", null, t("model-overall")),
    h("p.hint", null, t("model-open")),
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
  return h(
    "details.behind",
    null,
    h("summary", null, t("as-table")),
    table([t("part"), t("name-in-code"), t("shape")], rows, { label: t("model-overall") }),
  );
}

const VIEWS = {
  attention: "attention",
  residual: "layers",
  feed_forward: "layers",
  embedding: "tokens",
  positions: "tokens",
  sum: "tokens",
  output: "decoding",
  recurrent: "recurrent",
  recurrent_attention: "recurrent",
  labels: "classifier",
};

// One block: where it is, its equation, its tensors' shapes, its code.
function about(store, part) {
  const { stack, layer } = parsed(part.name);
  const count = layers(store.document, stack);
  const move = (to) => go({ layer: to, block: part.name.replace(/layers\.\d+/, `layers.${to}`) });
  const view = VIEWS[part.kind];
  return h(
    "section.card",
    { "aria-live": "polite" },
    h("h3", null, named(part.name)),
    h("p", null, t(`about-${part.kind}`)),
    EQUATIONS[part.equation] && h("p.formula", null, math(EQUATIONS[part.equation])),
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
