// How the translation came about: the beam as a tree, each node's distribution and attention, rivals, greedy, the cache.

import { behind, data, h, svg, table } from "../dom.js";
import { numberAs } from "../follow.js";
import { missing } from "../left.js";
import { picture } from "../matrix.js";
import { label, labels } from "../naming.js";
import { percent, range, sum, whole, written } from "../numbers.js";
import { answered, ask, served } from "../server.js";
import { go, state } from "../state.js";
import { sentence, t } from "../words.js";

const [WIDE, HIGH] = [118, 34];

export function decoding(store) {
  const { beam } = store.document;
  return [
    h("p.lead", null, t("decoding-lead")),
    beam && tree(beam),
    beam && node(store, beam),
    beam && rivals(store),
    against(store),
    cache(store.document),
  ];
}

export const path = (beam, at) => {
  const found = [];
  for (let node = beam.nodes[at]; node && node.parent !== null; node = beam.nodes[node.parent]) found.unshift(node);
  return found;
};

// The first token of the translation, until another is chosen.
const chosenNode = (beam) => Math.min(state().node ?? path(beam, beam.best)[0]?.node ?? 0, beam.nodes.length - 1);

// Where each node stands: a column a step, those that lived on above those that were dropped.
function places(beam, dropped) {
  const found = new Map([[0, { x: 0, y: 0 }]]);
  const steps = Math.max(...beam.nodes.map((each) => each.step)) + 1;
  let highest = 1;
  for (let step = 0; step < steps; step += 1) {
    const at = beam.nodes.filter((each) => each.step === step && (dropped || each.kept));
    at.sort((a, b) => Number(b.kept) - Number(a.kept) || b.log_prob - a.log_prob);
    at.forEach((each, row) => found.set(each.node, { x: step + 1, y: row }));
    highest = Math.max(highest, at.length);
  }
  return { found, columns: steps + 1, rows: highest };
}

function tree(beam) {
  const dropped = state().dropped !== 0;
  const { found, columns, rows } = places(beam, dropped);
  const best = new Set([0, ...path(beam, beam.best).map((each) => each.node)]);
  const chosen = chosenNode(beam);
  const [x, y] = [(each) => found.get(each.node).x * WIDE + 6, (each) => found.get(each.node).y * HIGH + 6];
  const edges = [];
  const boxes = [];
  for (const each of beam.nodes) {
    if (!found.has(each.node)) continue;
    const marks = `${each.kept ? "kept" : "dropped"}${each.finished ? " finished" : ""}${best.has(each.node) ? " best" : ""}`;
    const parent = beam.nodes[each.parent];
    if (parent && found.has(parent.node)) {
      const [from, to] = [x(parent) + WIDE - 18, x(each)];
      edges.push(
        svg("path", {
          class: `edge ${marks}`,
          d: `M${from} ${y(parent) + 13}C${from + 10} ${y(parent) + 13} ${to - 10} ${y(each) + 13} ${to} ${y(each) + 13}`,
        }),
      );
    }
    boxes.push(box(each, x(each), y(each), marks, chosen));
  }
  const [width, height] = [columns * WIDE + 4, rows * HIGH + 8];
  const size = { width: `${width}px`, height: `${height}px` };
  return h(
    "section.card",
    null,
    h("h3", null, t("beam-tree")),
    h("p.hint", null, t("beam-tree-words", { size: beam.beam_size, penalty: beam.length_penalty })),
    h(
      "p.legend",
      null,
      ["best", "kept", "finished", "dropped"].map((mark) => h(`span.key.${mark}`, null, t(`node-${mark}`))),
      h(
        "label.check",
        null,
        h("input#choose-dropped", {
          type: "checkbox",
          checked: dropped,
          onchange: (event) => go({ dropped: event.target.checked ? 1 : 0 }),
        }),
        t("show-dropped"),
      ),
    ),
    h(
      "div.scroll",
      { tabindex: 0, role: "region", "aria-label": t("beam-tree") },
      svg(
        "svg",
        { viewBox: `0 0 ${width} ${height}`, class: "tree", role: "group", "aria-label": t("beam-tree"), style: size },
        edges,
        boxes,
      ),
    ),
    behind(t("as-table"), () => nodeTable(beam), "tree-table"),
  );
}

function box(each, x, y, marks, chosen) {
  const text = each.step < 0 ? each.text : label(each);
  const short = [...text].length > 10 ? `${[...text].slice(0, 9).join("")}…` : text;
  const open = () => go({ node: each.node });
  return svg(
    "g",
    {
      id: `node-${each.node}`,
      class: `node ${marks}${each.node === chosen ? " chosen" : ""}`,
      transform: `translate(${x} ${y})`,
      tabindex: 0,
      role: "button",
      "aria-pressed": String(each.node === chosen),
      "aria-label": t("node-label", { text, log_prob: written(each.log_prob), score: written(each.score) }),
      onclick: open,
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        open();
      },
    },
    svg("rect", { width: WIDE - 18, height: 27, rx: 6 }),
    svg("text", { class: "data", x: 7, y: 12 }, short),
    svg("text", { class: "figures", x: 7, y: 22.5 }, `${written(each.log_prob)} · ${written(each.score)}`),
  );
}

function nodeTable(beam) {
  const rows = beam.nodes.slice(1).map((each) => [
    String(each.step + 1),
    h(
      "button.number",
      { type: "button", onclick: () => go({ node: each.node }) },
      data(
        path(beam, each.node)
          .map((one) => one.text)
          .join(""),
      ),
    ),
    written(each.log_prob),
    written(each.score),
    t(
      each.node === beam.best
        ? "node-best"
        : each.finished && each.kept
          ? "node-finished"
          : each.kept
            ? "node-kept"
            : "node-dropped",
    ),
  ]);
  return table([t("step"), t("hypothesis"), t("log-prob"), t("score"), ""], rows, { label: t("beam-tree") });
}

// One hypothesis: what the model says next of it, and where it looks for that.
function node(store, beam) {
  const at = beam.nodes[chosenNode(beam)];
  const asked = at.top ? at : null;
  const text = path(beam, at.node)
    .map((one) => one.text)
    .join("")
    .trim();
  return h(
    "section.card",
    null,
    h("h3", null, t("node-title"), " ", data(`“${text}”`)),
    h(
      "dl.pairs",
      null,
      [
        ["log-prob", written(at.log_prob)],
        ["score", written(at.score)],
        ["entropy", asked ? t("nats", { value: written(at.entropy) }) : "–"],
      ].map(([key, value]) => h("div", null, h("dt", null, t(key)), h("dd", null, value))),
    ),
    h("p.hint", null, t(asked ? "node-words" : at.finished ? "node-finished-words" : "node-dropped-words")),
    asked &&
      h(
        "div.pair",
        null,
        topTen(store, at.top, at.chosen, taught(beam, at)),
        at.cross !== null && at.cross !== undefined && (missing(store, "beam.cross") ?? crossRow(store, at)),
      ),
  );
}

// The position of the translation that says what a hypothesis is followed by, where it is a beginning of it.
const taught = (beam, { node, step }) =>
  node === 0 || path(beam, beam.best).some((each) => each.node === node) ? step + 1 : null;

// place: which of the document's steps it is; null where it is none of them, and its numbers lead nowhere.
export function topTen(store, top, chosen, place, title = t("top-ten")) {
  const most = Math.exp(top[0].log_prob);
  const from = (what, { id }, write, value) => {
    const known = place === null ? undefined : store.tensor(`output.${what}`)?.at(place, id);
    return typeof known === "number" ? numberAs(write, store, `output.${what}`, place, id) : write(value);
  };
  const rows = top.map((each) => {
    const bar = h("i.bar", { "aria-hidden": "true" });
    bar.style.setProperty("--share", (Math.exp(each.log_prob) / most).toFixed(3));
    return Object.assign(
      [
        data(label(each)),
        from("logits", each, written, each.logit),
        from("log_probs", each, written, each.log_prob),
        h("span.share", null, bar, from("probabilities", each, percent, Math.exp(each.log_prob))),
      ],
      { mark: each.id === chosen ? "chosen" : null },
    );
  });
  return h(
    "div",
    null,
    h("h4", null, title),
    table([t("token"), t("logit"), t("log-prob"), t("probability")], rows, { label: title }),
  );
}

function crossRow(store, at) {
  const cross = store.tensor("beam.cross");
  const [, layers, count, length] = cross.shape;
  const words = labels(store.document.src.tokens).slice(0, length);
  const mean = (layer, j) => sum(range(count).map((head) => cross.at(at.cross, layer, head, j))) / count;
  const rows = [...range(layers).map((layer) => t("layer-number", { number: layer + 1 })), t("mean")];
  const value = (i, j) => (i < layers ? mean(i, j) : sum(range(layers).map((layer) => mean(layer, j))) / layers);
  return h(
    "div",
    null,
    picture({
      id: "cross-row",
      matrix: { rows: rows.length, columns: length, value },
      labels: { rows, columns: words },
      name: t("cross-row"),
      most: 1,
    }),
  );
}

// At each step the runners-up, and what the model would have said had it chosen one.
function rivals(store) {
  const { rivals: all, steps, tgt } = store.document;
  const step = Math.min(state().step ?? 0, Math.max(0, steps.length - 1));
  const said = steps[step];
  const told = all.filter((each) => each.step === step);
  const others = said ? said.top.filter((each) => each.id !== said.chosen).slice(0, served() ? 9 : 3) : [];
  const rows = told.map((each) => [
    data(label(each)),
    percent(Math.exp(each.log_prob)),
    data(each.translation),
    written(each.score),
  ]);
  const asked = (rival) => ({ prefix: [...tgt.outputs.slice(0, step), rival].map((token) => token.id).join(",") });
  return h(
    "section.card",
    null,
    h("h3", null, t("rivals")),
    h("p.hint", null, t("rivals-words")),
    h(
      "p.tokens",
      { role: "group", "aria-label": t("step") },
      tgt.outputs.map((token, place) =>
        h(
          `button.token#step-${place}`,
          {
            type: "button",
            class: place === step ? "tone0 chosen" : "tone1",
            "aria-pressed": String(place === step),
            onclick: () => go({ step: place }),
          },
          h("span.characters.data", null, label(token)),
          h("span.id", null, steps[place]?.log_prob === undefined ? "" : percent(Math.exp(steps[place].log_prob))),
        ),
      ),
    ),
    rows.length > 0 &&
      table([t("instead"), t("probability"), t("would-have-said"), t("score")], rows, { label: t("rivals") }),
    served() &&
      h(
        "p.moves",
        null,
        others.map((each) =>
          h(
            "button",
            { type: "button", onclick: () => ask("rival", asked(each)) },
            data(label(each)),
            " ",
            percent(Math.exp(each.log_prob)),
          ),
        ),
      ),
    served() && others.map((each) => answered("rival", asked(each), forced(each))),
    said && behind(t("top-ten"), () => topTen(store, said.top, said.chosen, step), "rivals-top"),
  );
}

const forced = (rival) => (found) =>
  h(
    "p",
    null,
    sentence("forced", {
      word: data(label(rival)),
      translation: h("b.data", null, found.translation),
      score: data(written(found.score)),
    }),
  );

function against({ document: { greedy, tgt } }) {
  if (!greedy) return null;
  const rows = [
    [t("beam-search"), data(tgt.text), written(tgt.log_prob ?? null), written(tgt.score ?? null)],
    [t("greedy-search"), data(greedy.text), written(greedy.log_prob ?? null), written(greedy.score)],
  ];
  return h(
    "section.card",
    null,
    h("h3", null, t("greedy-against-beam")),
    h("p.hint", null, t(greedy.text === tgt.text ? "greedy-same" : "greedy-differs")),
    table([t("search"), t("translation"), t("log-prob"), t("score")], rows, { label: t("greedy-against-beam") }),
  );
}

function cache({ cache: kept }) {
  if (!kept?.length) return null;
  const most = Math.max(...kept.map((each) => each.bytes));
  const rows = kept.map((each) => {
    const bar = h("i.bar", { "aria-hidden": "true" });
    bar.style.setProperty("--share", (each.bytes / most).toFixed(3));
    return [String(each.step + 1), String(each.positions), h("span.share", null, bar, whole(each.bytes))];
  });
  return h(
    "section.card",
    null,
    h("h3", null, t("cache")),
    h("p.hint", null, t("cache-words")),
    table([t("step"), t("positions-kept"), t("bytes")], rows, { label: t("cache") }),
  );
}
