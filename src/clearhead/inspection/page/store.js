// The document's tensors: 16-bit integers, deflated, read on the spot.

import { range, sum } from "./numbers.js";

// Said where a tensor is not in the file.
export class Absent extends Error {}

export class Store {
  constructor(document, bytes) {
    this.document = { ...document, config: { ...document.config.body, ...document.config } }; // of a classifier: its body's
    this.bytes = bytes;
    this.views = new Map();
  }

  static async open(document) {
    const packed = Uint8Array.from(atob(document.blob), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Store(document, await new Response(stream).arrayBuffer());
  }

  has(name) {
    return this.tensor(name) !== null;
  }

  // {name, shape, at(...index)}, or null. What one scalar operation gives of another tensor is not in the file.
  tensor(name) {
    if (!this.views.has(name)) this.views.set(name, this.stored(name) ?? this.derived(name));
    return this.views.get(name);
  }

  // The same, where there is no going on without it.
  needed(name) {
    const found = this.tensor(name);
    if (!found) throw new Absent(name);
    return found;
  }

  stored(name) {
    const entry = this.document.tensors[name];
    if (!entry) return null;
    const { shape, dtype, offset, scale } = entry;
    const count = shape.reduce((product, size) => product * size, 1);
    const numbers =
      dtype === "bool" ? new Uint8Array(this.bytes, offset, count) : new Int16Array(this.bytes, offset, count);
    const factor = dtype === "bool" ? 1 : scale;
    return reader(name, shape, (place) => numbers[place] * factor);
  }

  derived(name) {
    const cut = name.lastIndexOf(".");
    const [part, what] = [name.slice(0, cut), name.slice(cut + 1)];
    if (what === "scaled" || what === "masked") {
      const scores = this.stored(`${part}.scores`);
      const mask = what === "masked" ? this.stored(`${part}.mask`) : null;
      const q = this.stored(`${part}.q`);
      if (!scores || !q || (!mask && what === "masked")) return null;
      const divisor = q.shape.length === 3 ? Math.sqrt(q.shape[2]) : 1;
      const wide = scores.shape.at(-1) * scores.shape.at(-2);
      const read = (place) => (mask && !mask.flat(place % wide) ? -Infinity : scores.flat(place) / divisor);
      return reader(name, scores.shape, read);
    }
    if (what === "sum" && part.endsWith("_input")) {
      const summands = ["embedding", "segments", "positions"]
        .map((each) => this.stored(part.replace("input", each)))
        .filter(Boolean);
      const read = (place) => summands.reduce((total, each) => total + each.flat(place), 0);
      return summands.length > 0 ? reader(name, summands[0].shape, read) : null;
    }
    if (what === "sum" && part.endsWith("_residual")) {
      const [x, y] = [this.stored(`${part}.input`), this.stored(`${part.replace(/_residual$/, "")}.output`)];
      return x && y && reader(name, x.shape, (place) => x.flat(place) + y.flat(place));
    }
    if (what === "activated" && this.document.config.activation === "relu") {
      const inner = this.stored(`${part}.inner`);
      return inner && reader(name, inner.shape, (place) => Math.max(0, inner.flat(place)));
    }
    if (what === "attentional") {
      const combined = this.stored(`${part}.combined`);
      return combined && reader(name, combined.shape, (place) => Math.tanh(combined.flat(place)));
    }
    if (part === "output") return this.said(name, what);
    if (part === "labels") return this.ofLabels(name, what);
    return what === "concatenated" ? this.concatenated(name, part) : null;
  }

  // What stands in the top ten of each step; of other tokens of the vocabulary nothing is known.
  said(name, what) {
    const { steps, config } = this.document;
    const of = { logits: ({ logit }) => logit, log_probs: ({ log_prob }) => log_prob };
    const read = of[what] ?? (({ log_prob }) => Math.exp(log_prob));
    const found = steps.map(({ top }) => new Map(top.map((each) => [each.id, read(each)])));
    const at = (step, id) => found[step]?.get(id) ?? null;
    return steps.length ? { name, shape: [steps.length, config.tgt_vocabulary], at } : null;
  }

  // What n-grams say of the labels together, and the labels' shares.
  ofLabels(name, what) {
    if (what === "pooled_ngrams") {
      const each = this.stored("labels.ngrams");
      const total = (label) => sum(range(each.shape[0]).map((place) => each.at(place, label)));
      return each && reader(name, [1, each.shape[1]], total);
    }
    const { labels } = this.document;
    return what === "probabilities" && labels.length
      ? reader(name, [1, labels.length], (label) => labels[label].prob)
      : null;
  }

  // The heads' answers side by side.
  concatenated(name, part) {
    const z = this.stored(`${part}.z`);
    if (!z) return null;
    const [, length, width] = z.shape;
    const read = (place) => {
      const [row, column] = [Math.floor(place / (z.shape[0] * width)), place % (z.shape[0] * width)];
      return z.at(Math.floor(column / width), row, column % width);
    };
    return reader(name, [length, z.shape[0] * width], read);
  }

  // The matrix (rows, columns) of one head, or of a tensor without heads.
  matrix(name, head) {
    const tensor = this.tensor(name);
    if (!tensor) return null;
    const [rows, columns] = tensor.shape.length === 1 ? [1, ...tensor.shape] : tensor.shape.slice(-2);
    const start = tensor.shape.length === 3 ? (head ?? 0) * rows * columns : 0;
    const value =
      tensor.shape.length === 3 && head === "mean"
        ? (i, j) => range(tensor.shape[0]).reduce((total, k) => total + tensor.at(k, i, j), 0) / tensor.shape[0]
        : (i, j) => tensor.flat(start + i * columns + j);
    return { name, head, rows, columns, value, row: (i) => range(columns).map((j) => value(i, j)) };
  }
}

function reader(name, shape, flat) {
  const at = (...index) => flat(index.reduce((place, each, axis) => place * shape[axis] + each, 0));
  return { name, shape, flat, at };
}
