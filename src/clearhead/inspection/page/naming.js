// What the parts of a model and their tensors are called, and which words stand at their rows and columns.

import { t } from "./words.js";

export const label = (token) => token.text.trim() || (token.text ? "␣" : "∅");

export const labels = (tokens) => tokens.map(label);

// Whether there is one vector for all of the text.
export const ofWholeText = (name) => /^(pooling|pooler|labels)\./.test(name) && !name.endsWith(".ngrams");

// The words at the rows of a part: what its queries or vectors belong to.
export function rowsOf(document, name) {
  if (ofWholeText(name)) return [t("whole-text")];
  if (!document.tgt.inputs.length) return labels(document.src.tokens);
  if (document.kind === "language-model") return labels(document.tgt.inputs);
  const ofSource = name.startsWith("encoder") || name.startsWith("src_") || /(cross_|^)attention\.[kv]$/.test(name);
  return labels(ofSource ? document.src.tokens : document.tgt.inputs);
}

// The words that an attention looks at.
export function keysOf(document, part) {
  return part.includes("cross_attention") || part === "attention"
    ? labels(document.src.tokens)
    : rowsOf(document, part);
}

// "encoder.layers.0.self_attention" -> {stack: "encoder", layer: 0, block: "self_attention"}.
export function parsed(name) {
  const found = /^(\w+)\.layers\.(\d+)(?:\.(.+))?$/.exec(name);
  return found
    ? { stack: found[1], layer: Number(found[2]), block: found[3] ?? "" }
    : { stack: name, layer: null, block: "" };
}

// A part in words: "Encoder · layer 1 · self-attention".
export function named(part) {
  const { stack, layer, block } = parsed(part);
  const words = [t(`part-${stack}`)];
  if (layer !== null) words.push(t("layer-number", { number: layer + 1 }));
  if (block)
    words.push(t(`block-${stack === "decoder" && block === "self_attention" ? "masked_self_attention" : block}`));
  return words.join(" · ");
}

// The attentions of a document: their parts' names, in the order of the model.
export function attentions(document) {
  return document.parts.filter((part) => part.kind === "attention").map((part) => part.name);
}

export function heads(document, part) {
  const shape = document.parts.find((each) => each.name === part)?.shapes.weights;
  return shape?.length === 3 ? shape[0] : 1;
}
