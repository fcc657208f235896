// Where the reader stands: one flat record, kept in the address so that a place can be pointed to.

const listeners = [];
let current = {};

export const state = () => current;

export function begin(defaults) {
  current = { ...defaults, ...read() };
  addEventListener("hashchange", () => go(read(), false));
}

export function listen(listener) {
  listeners.push(listener);
}

export function go(change, record = true) {
  current = { ...current, ...change };
  if (record) {
    const kept = Object.entries(current).filter(([, value]) => value !== null && value !== undefined && value !== "");
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  }
  for (const listener of listeners) listener(change);
}

function read() {
  const found = {};
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    found[name] = /^\d+$/.test(value) ? Number(value) : value;
  }
  return found;
}
