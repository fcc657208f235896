// What a file leaves out so that it stays small, and how to see it all the same.

import { h } from "./dom.js";
import { sentence, t } from "./words.js";

const command = () => h("code", null, "clearhead inspect RUN --serve");

// All that is missing; nothing where nothing is.
export function leftOut({ document }) {
  const left = document.left_out ?? [];
  const what = left.map((each) => t(`left-${each.what}`, each)).join("; ");
  return left.length > 0 && h("p.note", null, sentence("left-out", { what, command: command() }));
}

// That what stands here otherwise is missing, where one of these tensors is.
export function missing(store, ...names) {
  const left = store.document.left_out?.length > 0 && names.some((name) => !store.has(name));
  return left ? h("p.note", null, sentence("left-here", { command: command() })) : null;
}
