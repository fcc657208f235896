// Elements. Text goes in as text, never as markup, whatever it holds.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.classList.add(...value.split(" ").filter(Boolean));
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [property, each] of Object.entries(value)) element.style.setProperty(property, each);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child.nodeType ? child : String(child));
  }
  return element;
}

// h("p.hint#id", {attribute: value, onclick: listener}, "text", element, ...)
export function h(selector, attributes, ...children) {
  const [, tag, rest] = /^(\w+)(.*)$/.exec(selector);
  const element = document.createElement(tag);
  for (const [, mark, name] of rest.matchAll(/([.#])([\w-]+)/g)) {
    if (mark === "#") element.id = name;
    else element.classList.add(name);
  }
  return fill(element, attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// What is said of a token, a run, a number or a formula: the same in every language.
export const data = (text, attributes) => h("span.data", attributes, text);

// "d_model", "Q K^T", "x_{i}": subscripts and superscripts of a formula.
export function math(text) {
  const found = h("span.math");
  for (const [piece, mark, braced, plain] of text.matchAll(/([_^])(?:\{([^}]*)\}|(\w))|[^_^]+/g)) {
    if (mark) found.append(h(mark === "_" ? "sub" : "sup", null, braced ?? plain));
    else found.append(piece);
  }
  return found;
}

export function table(head, rows, attributes) {
  return h(
    "div.scroll",
    { tabindex: 0, role: "region", "aria-label": attributes?.label },
    h(
      "table",
      { class: attributes?.class },
      head &&
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            head.map((cell) => (cell ? h("th", { scope: "col" }, cell) : h("td"))),
          ),
        ),
      h(
        "tbody",
        null,
        rows.map((row) =>
          h(
            "tr",
            { class: row.mark },
            row.map((cell) => h("td", null, cell)),
          ),
        ),
      ),
    ),
  );
}

// A table that is made when somebody opens it: what a picture shows, for those who do not see it. One that has an id
// stays open when the page is drawn anew.
export function behind(summary, make, id) {
  const details = h("details.behind", { id, open: opened.has(id) }, h("summary", null, summary));
  const fill = () => details.children.length === 1 && details.append(make());
  if (opened.has(id)) fill();
  details.addEventListener("toggle", () => {
    if (details.open) fill();
    if (id && details.open) opened.add(id);
    else opened.delete(id);
  });
  return details;
}

const opened = new Set();

// What stands at a place of the page: made anew only where ``shows``, all that it depends on, has changed.
export function kept(place, shows, make) {
  const key = JSON.stringify(shows);
  if (shelf.get(place)?.key !== key) shelf.set(place, { key, element: make() });
  return shelf.get(place).element;
}

// Make everything anew: the screen or its colours have changed.
export const forget = () => shelf.clear();

const shelf = new Map();
