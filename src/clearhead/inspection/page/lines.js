// Lines between words: how strongly each word on the left looks at each on the right.

import { h, svg } from "./dom.js";

const ROW = 26;
const WIDTH = 420;

// matrix: weights {rows, columns, value}; left, right: texts; chosen: the row that stands out, or null.
export function lines({ matrix, left, right, chosen, pick, name }) {
  const height = ROW * Math.max(left.length, right.length) + 8;
  const y = (place) => ROW * place + ROW / 2 + 4;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "lines", role: "img", "aria-label": name });
  for (let i = 0; i < matrix.rows; i += 1) {
    if (chosen !== null && i !== chosen) continue;
    for (let j = 0; j < matrix.columns; j += 1) {
      const weight = matrix.value(i, j);
      if (weight < 0.02) continue;
      drawing.append(
        svg("path", {
          d: `M138 ${y(i)}C200 ${y(i)} 220 ${y(j)} 282 ${y(j)}`,
          "stroke-opacity": Math.min(1, 0.08 + weight).toFixed(3),
          "stroke-width": (0.5 + 4 * weight).toFixed(2),
        }),
      );
    }
  }
  left.forEach((text, place) => {
    const label = svg(
      "text",
      { x: 132, y: y(place) + 4, "text-anchor": "end", class: place === chosen ? "data chosen" : "data" },
      text,
    );
    label.addEventListener("click", () => pick(place === chosen ? null : place));
    drawing.append(label);
  });
  right.forEach((text, place) => drawing.append(svg("text", { x: 288, y: y(place) + 4, class: "data" }, text)));
  return h("div.drawing", null, drawing);
}
