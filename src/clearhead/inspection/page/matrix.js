// A matrix as a picture: a canvas that pointer and arrow keys read, and a table behind it.

import { layout, paint, read, size, wait } from "./canvas.js";
import { behind, data, h, table } from "./dom.js";
import { range, written } from "./numbers.js";
import { t } from "./words.js";

// matrix: {rows, columns, value(i, j)}; labels: {rows, columns}, lists of texts or nothing; most: what is full colour;
// chosen: [i, j], either may be null; pick(i, j): a cell was chosen; cell: the largest cell; name: what it is.
export function picture({ id, matrix, labels = {}, name, chosen = [], pick, most, cell = 34 }) {
  const cells = read(matrix);
  const full = most ?? cells.most;
  const [rows, columns] = [matrix.rows, matrix.columns];
  const label = `${t("picture-label", { name, rows, columns })}`;
  const canvas = h("canvas", { id, tabindex: 0, role: "img", "aria-label": label });
  const frame = h("div.canvas", null, canvas);
  const said = h("output.said", null, "\u00a0");
  const words = (axis, index) => labels[axis]?.[index] ?? String(index + 1);
  const say = (i, j) =>
    said.replaceChildren(
      data(`${words("rows", i)} · ${words("columns", j)}`),
      h("b", null, written(matrix.value(i, j))),
    );
  let room = 0;
  let place = null;
  wait({
    canvas,
    measure: () => (room = frame.clientWidth),
    size: () => size(canvas, (place = layout(cells, labels, room, cell))),
    paint: () => paint(canvas, cells, place, full, chosen),
  });
  const again = (at) => paint(canvas, cells, place, full, at);
  listen(canvas, { cells, chosen, pick, say, again, find: (event) => under(canvas, event, cells, place) });
  return h(
    "figure.matrix",
    null,
    h("figcaption", null, h("span", null, name), scale(full, cells.negative)),
    frame,
    said,
    behind(
      t("as-table"),
      () =>
        table(
          ["", ...range(columns).map((j) => data(words("columns", j)))],
          range(rows).map((i) => [data(words("rows", i)), ...range(columns).map((j) => written(matrix.value(i, j)))]),
          { label: name },
        ),
      id && `${id}-table`,
    ),
  );
}

// The cell under a pointer, or null.
function under(canvas, event, { rows, columns }, { corner, width, height }) {
  const box = canvas.getBoundingClientRect();
  const i = Math.floor((event.clientY - box.top - corner.y) / height);
  const j = Math.floor((event.clientX - box.left - corner.x) / width);
  return i >= 0 && j >= 0 && i < rows && j < columns ? [i, j] : null;
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function listen(canvas, { cells, chosen, pick, say, again, find }) {
  let at = [chosen[0] ?? 0, chosen[1] ?? 0];
  canvas.addEventListener("pointermove", (event) => {
    const found = find(event);
    if (found) say(...found);
  });
  canvas.addEventListener("click", (event) => {
    const found = find(event);
    if (found && pick) pick(...found);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (step) {
      const within = (place, count) => Math.min(count - 1, Math.max(0, place));
      at = [within(at[0] + step[0], cells.rows), within(at[1] + step[1], cells.columns)];
      say(...at);
      again(at);
      event.preventDefault();
    } else if (event.key === "Enter" && pick) pick(...at);
  });
}

// What the colours mean, from the least to the most.
function scale(most, negative) {
  const colours = h("i", { class: negative ? "signed" : "share" });
  return h("span.scale", { "aria-hidden": "true" }, negative ? written(-most) : "0", colours, written(most));
}
