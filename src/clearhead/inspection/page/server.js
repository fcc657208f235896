// What is computed on demand where the page comes from "clearhead inspect --serve".

import { h } from "./dom.js";
import { go } from "./state.js";
import { spoken, t } from "./words.js";

let asked = null;
const answers = new Map();

export function connect(text) {
  asked = text === null ? null : { text };
}

export const served = () => asked !== null;

const question = (what, fields) => `${what}?${new URLSearchParams({ ...asked, ...fields })}`;

// Ask the server, once; the page is drawn anew when it has answered.
export async function ask(what, fields) {
  const address = question(what, fields);
  if (answers.has(address)) return;
  answers.set(address, null);
  setTimeout(() => go({})); // says that it is being computed
  try {
    const response = await fetch(address);
    answers.set(address, await response.json());
  } catch {
    answers.set(address, { error: null });
  }
  go({});
}

// What became of a question: nothing where it was not asked, that it is being computed, what is wrong, or ``show`` of it.
export function answered(what, fields, show) {
  const answer = answers.get(question(what, fields));
  if (answer === undefined) return null;
  if (answer === null) return h("p.hint", { role: "status" }, t("asking"));
  if (answer.error === undefined) return show(answer);
  return h("p.note", { role: "alert" }, answer.error?.[spoken()] ?? t("not-answered"));
}
