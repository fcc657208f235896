// Classifiers: what the label is, and how much each token speaks for it.

import { data, h, table } from "../dom.js";
import { label } from "../naming.js";
import { percent, range, written } from "../numbers.js";
import { t } from "../words.js";

export function classifier({ document: { labels, contributions, src } }) {
  return [
    h("p.lead", null, t("classifier-lead")),
    h("section.card", null, h("h3", null, t("labels")), labelTable(labels)),
    Object.entries(contributions ?? {}).map(([way, values]) => contribution(way, values, src.tokens)),
  ];
}

export function labelTable(labels, name = t("labels")) {
  const rows = [...labels]
    .sort((a, b) => b.prob - a.prob)
    .map((each, place) => {
      const bar = h("i.bar", { "aria-hidden": "true" });
      bar.style.setProperty("--share", each.prob.toFixed(3));
      return Object.assign([data(each.label), written(each.logit), h("span.share", null, bar, percent(each.prob))], {
        mark: place === 0 ? "chosen" : null,
      });
    });
  return table([t("label"), t("logit"), t("probability")], rows, { label: name });
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
