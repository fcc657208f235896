// Classifiers: what the label is, and how much each token speaks for it.

import { data, h, math, table } from "../dom.js";
import { equation } from "../equations.js";
import { follow, numberAs } from "../follow.js";
import { missing } from "../left.js";
import { picture } from "../matrix.js";
import { label } from "../naming.js";
import { percent, range, written } from "../numbers.js";
import { sentence, t } from "../words.js";

export function classifier(store) {
  const { committee, labels, contributions, src } = store.document;
  return [
    h("p.lead", null, t("classifier-lead")),
    committee && together(committee),
    h("section.card", null, h("h3", null, t("labels")), labelTable(labels, t("labels"), store)),
    oneVector(store),
    Object.entries(contributions ?? {}).map(([way, values]) => contribution(way, values, src.tokens)),
  ];
}

// With a store its numbers lead to where they come from.
export function labelTable(labels, name = t("labels"), store = null) {
  const from = (what, each, write, value) =>
    store?.has("labels.logits") ? numberAs(write, store, `labels.${what}`, 0, labels.indexOf(each)) : write(value);
  const rows = [...labels]
    .sort((a, b) => b.prob - a.prob)
    .map((each, place) => {
      const bar = h("i.bar", { "aria-hidden": "true" });
      bar.style.setProperty("--share", each.prob.toFixed(3));
      const share = h("span.share", null, bar, from("probabilities", each, percent, each.prob));
      return Object.assign([data(each.label), from("logits", each, written, each.logit), share], {
        mark: place === 0 ? "chosen" : null,
      });
    });
  return table([t("label"), t("logit"), t("probability")], rows, { label: name });
}

const STAGES = {
  "pooling.output": "part-pooling",
  "pooler.inner": "pooler-inner",
  "pooler.output": "pooler-output",
  "labels.ngrams": "labels-ngrams",
};

// From all tokens' vectors to the numbers that the labels are read from.
function oneVector(store) {
  const names = Object.keys(STAGES).filter((name) => store.has(name));
  const { config, labels, src } = store.document;
  if (!names.length) return missing(store, "pooling.output");
  return h(
    "section.card",
    null,
    h("h3", null, t("one-vector")),
    h("p.hint", null, t("about-pooling"), " ", names.includes("pooler.output") && t("about-pooler")),
    ["pooling", names.includes("pooler.output") && "pooler", "labels"]
      .filter(Boolean)
      .map((name) => h("p.formula", null, math(equation(name, config)))),
    names.map((name) =>
      picture({
        id: name,
        matrix: store.matrix(name),
        labels:
          name === "labels.ngrams"
            ? { rows: src.tokens.map(label), columns: labels.map((each) => each.label) }
            : { rows: [t("whole-text")] },
        name: t(STAGES[name]),
        pick: (i, d) => follow(name, i, d),
        cell: 14,
      }),
    ),
  );
}

// What a committee says, and each of its members.
function together({ name, members, labels }) {
  const rows = labels.map(({ label: own, prob }) => [
    data(own),
    h("b", null, percent(prob)),
    ...members.map((member) => percent(member.labels.find((each) => each.label === own).prob)),
  ]);
  const head = [t("label"), data(name), ...members.map((member) => [data(member.name), ` × ${written(member.share)}`])];
  return h(
    "section.card",
    null,
    h("h3", null, t("committee")),
    h("p.hint", null, sentence("committee-words", { first: data(members[0].name) })),
    table(head, rows, { label: t("committee") }),
    h("p.hint", null, t("committee-each")),
    members.slice(1).map((member) => h("p.hint", null, h("code", null, `clearhead inspect ${member.path}`))),
  );
}

function contribution(way, values, tokens) {
  const most = Math.max(...values.map(Math.abs)) || 1;
  const rows = range(values.length).map((place) => {
    const bar = h("i.bar", { "aria-hidden": "true", class: values[place] < 0 ? "against" : "for" });
    bar.style.setProperty("--share", (Math.abs(values[place]) / most).toFixed(3));
    return [data(tokens[place] ? label(tokens[place]) : ""), h("span.share", null, bar, written(values[place]))];
  });
  const words = tokens.map((token, place) => {
    const mark = h("mark.data", { class: values[place] < 0 ? "against" : "for" }, label(token));
    mark.style.setProperty("--share", (Math.abs(values[place] ?? 0) / most).toFixed(3));
    return [mark, " "];
  });
  return h(
    "section.card",
    null,
    h("h3", null, t(`contribution-${way}`)),
    h("p.hint", null, t(`contribution-${way}-words`)),
    h("p.marked", null, words),
    table([t("token"), t("contribution")], rows, { label: t(`contribution-${way}`) }),
  );
}
