// Masked language models: at each place what might stand there.

import { data, h, math } from "../dom.js";
import { equation } from "../equations.js";
import { follow } from "../follow.js";
import { picture } from "../matrix.js";
import { label, labels } from "../naming.js";
import { percent, written } from "../numbers.js";
import { go, state } from "../state.js";
import { t } from "../words.js";
import { topTen } from "./decoding.js";

// The layer between the encoder's vectors and the words; not every model has one.
function transform(store) {
  const words = labels(store.document.src.tokens);
  const stages = ["inner", "activated", "output"].map((each) => `transform.${each}`).filter((name) => store.has(name));
  return (
    stages.length > 0 &&
    h(
      "section.card",
      null,
      h("h3", null, t("part-transform")),
      h("p.hint", null, t("about-transform")),
      h("p.formula", null, math(equation("transform", store.document.config))),
      stages.map((name) =>
        picture({
          id: name,
          matrix: store.matrix(name),
          labels: { rows: words },
          name: t(`tensor-${name.split(".")[1]}`),
          pick: (i, d) => follow(name, i, d),
          cell: 12,
        }),
      ),
    )
  );
}

// A hidden token takes up its mask's characters; what the model puts there is another token.
const hidden = ({ steps, src }, place) => steps[place].chosen !== src.tokens[place].id;

export function masked(store) {
  const { document } = store;
  const { steps, src, tgt } = document;
  const places = steps.map((_, at) => at).filter((at) => src.tokens[at].start !== null);
  const first = places.find((at) => hidden(document, at)) ?? places[0];
  const place = places.includes(state().step) ? state().step : first;
  const step = steps[place];
  return [
    h("p.lead", null, t("masked-lead")),
    h(
      "section.card",
      null,
      h("h3", null, t("masked-title")),
      h("p.hint", null, t(places.some((at) => hidden(document, at)) ? "masked-words" : "masked-none-words")),
      tgt.text && h("p.said-then", null, data(tgt.text)),
      h(
        "p.tokens",
        { role: "group", "aria-label": t("token") },
        places.map((at) =>
          h(
            `button.token#step-${at}`,
            {
              type: "button",
              class: at === place ? "tone0 chosen" : hidden(document, at) ? "special" : "tone1",
              "aria-pressed": String(at === place),
              onclick: () => go({ step: at }),
            },
            h("span.characters.data", null, label(src.tokens[at])),
            h("span.id", null, percent(Math.exp(steps[at].log_prob))),
          ),
        ),
      ),
      h(
        "dl.pairs",
        null,
        h("div", null, h("dt", null, t("entropy")), h("dd", null, t("nats", { value: written(step.entropy) }))),
        h("div", null, h("dt", null, t("masked-in-text")), h("dd.data", null, label(src.tokens[place]))),
      ),
      topTen(store, step.top, step.chosen, place, t("masked-top")),
    ),
    transform(store),
  ];
}
