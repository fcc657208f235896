// Language models: at each place what might come next.

import { data, h } from "../dom.js";
import { label } from "../naming.js";
import { percent, written } from "../numbers.js";
import { go, state } from "../state.js";
import { t } from "../words.js";
import { topTen } from "./decoding.js";

export function language(store) {
  const { steps, tgt, src } = store.document;
  const inputs = tgt.inputs.length ? tgt.inputs : src.tokens;
  const place = Math.min(state().step ?? steps.length - 1, steps.length - 1);
  const step = steps[place];
  return [
    h("p.lead", null, t("language-lead")),
    h(
      "section.card",
      null,
      h("h3", null, t("next-token")),
      h("p.hint", null, t("next-token-words")),
      h(
        "p.tokens",
        { role: "group", "aria-label": t("token") },
        steps.map((each, at) =>
          h(
            `button.token#step-${at}`,
            {
              type: "button",
              class: at === place ? "tone0 chosen" : "tone1",
              "aria-pressed": String(at === place),
              onclick: () => go({ step: at }),
            },
            h("span.characters.data", null, inputs[at] ? label(inputs[at]) : ""),
            h("span.id", null, each.log_prob === undefined ? "" : percent(Math.exp(each.log_prob))),
          ),
        ),
      ),
      step &&
        h(
          "dl.pairs",
          null,
          h("div", null, h("dt", null, t("entropy")), h("dd", null, t("nats", { value: written(step.entropy) }))),
          tgt.outputs[place] &&
            h("div", null, h("dt", null, t("next-in-text")), h("dd.data", null, label(tgt.outputs[place]))),
        ),
      step && topTen(store, step.top, step.chosen, place),
    ),
  ];
}
