// The drawing of a model after the paper's figure 1: each stack from below, a layer drawn once.

import { h, svg } from "./dom.js";
import { named, parsed } from "./naming.js";
import { go, state } from "./state.js";
import { t } from "./words.js";

const WIDTH = 190; // of a block, in the drawing's own units
const HEIGHT = 34;
const GAP = 14;
const COLUMN = 260;
const MARGIN = 30;
const MIDDLE = WIDTH / 2;

// How many layers a stack has.
export function layers(document, stack) {
  const all = document.parts.map((part) => parsed(part.name)).filter((each) => each.stack === stack);
  return Math.max(-1, ...all.map((each) => each.layer ?? -1)) + 1;
}

export function figure(document, open) {
  const found = ["encoder", "decoder"].filter((stack) => layers(document, stack) > 0);
  const stacks = found.length ? found : ["encoder"]; // a bag of words has no layers
  const columns = stacks.map((stack) => column(document, stack, stack === stacks.at(-1), open));
  const height = Math.max(...columns.map((each) => each.height));
  const width = COLUMN * columns.length + 20;
  const drawn = columns.map((each, place) =>
    svg("g", { transform: `translate(${place * COLUMN + MARGIN} ${height - each.height})` }, each.drawn),
  );
  const memory = columns.length > 1 ? wireAcross(columns, height) : null;
  const size = { "max-width": `${width * 1.15}px` };
  const about = { class: "figure", role: "group", "aria-label": t("figure-label"), style: size };
  return h("div.drawing", null, svg("svg", { viewBox: `0 0 ${width} ${height}`, ...about }, drawn, memory));
}

// From the top of the encoder to what looks at it.
function wireAcross([encoder, decoder], height) {
  const looks = decoder.levels.find((level) => /cross_attention$|^attention$/.test(level.part.name));
  if (!looks) return null;
  const top = height - encoder.height + encoder.top;
  const into = height - decoder.height + looks.y + HEIGHT / 2;
  const path = `M${MARGIN + MIDDLE} ${top}V${top - 16}H${COLUMN + 8}V${into}H${COLUMN + MARGIN}`;
  return [svg("path", { class: "wire strong", d: path }), tip(COLUMN + MARGIN, into, 0)];
}

const tip = (x, y, turn) =>
  svg("path", { class: "tip", d: "M0 0L-7 -4V4Z", transform: `translate(${x} ${y}) rotate(${turn})` });

const words = (place, text) => svg("text", { "text-anchor": "middle", ...place }, text);

const LAST = ["transform", "attention", "", "pooling", "pooler", "output", "labels"]; // "" is the stack's own end

// Which blocks stand in a stack's column, from below: what comes before the layers, one layer, what comes after them.
function contents(document, stack, last, layer) {
  const find = (name) => document.parts.find((part) => part.name === name);
  const side = find("tgt_embedding") && stack === "decoder" ? "tgt" : find("src_embedding") ? "src" : "tgt";
  const above = [
    document.config.norm === "pre" && find(`${stack}.norm`),
    ...(last ? LAST.map((name) => find(name || stack)) : []),
  ];
  return {
    side,
    below: [find(`${side}_embedding`), find(`${side}_segments`), find(`${side}_positions`)].filter(Boolean),
    inside: document.parts.filter((part) => parsed(part.name).stack === stack && parsed(part.name).layer === layer),
    above: above.filter(Boolean),
  };
}

function column(document, stack, last, open) {
  const count = layers(document, stack);
  const layer = Math.min(state().layer ?? 0, count - 1);
  const { side, below, inside, above } = contents(document, stack, last, layer);
  const height = (below.length + inside.length + above.length) * (HEIGHT + GAP) + 104;
  let y = height - 34;
  const stand = (part) => {
    y -= HEIGHT + GAP;
    return { part, y: y + GAP };
  };
  const levels = below.map(stand);
  const bottom = y + 8;
  if (count > 0) y -= 10;
  levels.push(...inside.map(stand));
  const roof = y - 12;
  if (count > 0) y -= 30;
  levels.push(...above.map(stand));
  const lastWire = svg("path", { class: "wire", d: `M${MIDDLE} ${y + GAP}V${y + 4}` });
  const drawn = [
    count > 0 && around(roof, bottom, layer, count),
    levels.map((level, place) => skip(level, levels[place - 1])),
    levels.map((level) => [wireInto(level), block(level, open, document)]),
    lastWire,
    words({ x: MIDDLE, y: height - 6, class: "ends" }, t(begins(document, side))),
    last &&
      words(
        { x: MIDDLE, y: y - 4, class: "ends" },
        t(above.at(-1)?.name === "labels" ? "figure-labels" : ends(document)),
      ),
  ];
  return { drawn: drawn.flat(3).filter(Boolean), height, levels, top: y + 4 };
}

const ends = ({ kind }) => (kind === "masked-language-model" ? "figure-hidden" : "figure-probabilities");

// What goes in below.
function begins({ kind }, side) {
  if (kind === "language-model") return "figure-so-far";
  if (kind === "classifier" || kind === "masked-language-model") return "figure-text";
  return side === "src" ? "figure-inputs" : "figure-outputs";
}

// The frame around a layer, and how often it stands there.
function around(roof, bottom, layer, count) {
  return [
    svg("rect", { class: "stack", x: -16, y: roof, width: WIDTH + 34, height: bottom - roof, rx: 10 }),
    svg("text", { x: WIDTH + 24, y: (bottom + roof) / 2, class: "times" }, `×${count}`),
    svg("text", { x: -10, y: roof + 13, class: "which" }, t("layer-of", { number: layer + 1, count })),
  ];
}

const wireInto = ({ y }) => [
  svg("path", { class: "wire", d: `M${MIDDLE} ${y + HEIGHT + GAP}V${y + HEIGHT + 1}` }),
  tip(MIDDLE, y + HEIGHT, -90),
];

// The way past a sublayer to where it is added.
function skip({ part, y }, below) {
  if (!part.name.endsWith("_residual") || !below) return null;
  const path = `M${MIDDLE} ${below.y + HEIGHT + GAP / 2}H${WIDTH + 10}V${y + HEIGHT / 2}H${WIDTH + 1}`;
  return [svg("path", { class: "wire", d: path }), tip(WIDTH + 1, y + HEIGHT / 2, 180)];
}

function block({ part, y }, open, document) {
  const chosen = open?.name === part.name;
  const choose = () => go({ block: chosen ? null : part.name });
  const onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  };
  return svg(
    "g",
    {
      id: `block-${part.name}`,
      class: `block ${part.kind}${chosen ? " chosen" : ""}`,
      transform: `translate(0 ${y})`,
      tabindex: 0,
      role: "button",
      "aria-pressed": String(chosen),
      "aria-label": named(part.name),
      onclick: choose,
      onkeydown,
    },
    svg("rect", { width: WIDTH, height: HEIGHT, rx: 7 }),
    words({ x: MIDDLE, y: HEIGHT / 2 + 4.5 }, inBlock(part, document)),
  );
}

function inBlock(part, document) {
  const { stack, block: own } = parsed(part.name);
  if (part.kind === "residual") return t(document.config.norm === "pre" ? "figure-residual-pre" : "figure-residual");
  if (["positions", "segments"].includes(part.kind)) return `+ ${t(`part-${stack}`)}`;
  if (part.kind === "norm") return t("figure-norm");
  if (part.kind === "embedding" && document.kind !== "transformer" && document.kind !== "recurrent")
    return t("tensor-embedding");
  if (part.kind === "combined") return t("figure-combined");
  if (part.kind === "recurrent" && !own) return t("figure-recurrent");
  if (!own) return t(`part-${stack}`);
  return t(`block-${stack === "decoder" && own === "self_attention" ? "masked_self_attention" : own}`);
}
