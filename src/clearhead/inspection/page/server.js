// What is computed on demand where the page comes from "clearhead inspect --serve".

let address = null;

export function connect(text) {
  address = text === null ? null : { text };
}

export const served = () => address !== null;

// The server's answer, or {error} with a message in each language.
export async function ask(what, fields) {
  try {
    const query = new URLSearchParams({ ...address, ...fields });
    const response = await fetch(`${what}?${query}`);
    return await response.json();
  } catch {
    return { error: null };
  }
}
