// The page's words, in each language a table of the same keys.

let tables = {};
let language = "en";

export function learn(all, first) {
  tables = all;
  language = first in all ? first : "en";
}

export const languages = () => Object.keys(tables);
export const spoken = () => language;

export function speak(next) {
  language = next;
}

// What is called ``key`` in the language of the page; {name} is filled in. An unknown key is a bug that shows.
export function t(key, fields = {}) {
  const template = tables[language][key] ?? `?${key}?`;
  return template.replace(/\{(\w+)\}/g, (_, name) => fields[name] ?? "");
}

// The same where fields are elements: a list of strings and elements.
export function sentence(key, fields) {
  return t(key, Object.fromEntries(Object.keys(fields).map((name) => [name, `\u0001${name}\u0001`])))
    .split("\u0001")
    .map((piece, place) => (place % 2 ? fields[piece] : piece));
}
