// Numbers as they are written, and what is reckoned from a list of them.

export function written(value) {
  if (value === null || value === undefined) return "–";
  if (value === -Infinity) return "−∞";
  const size = Math.abs(value);
  const text =
    size >= 1000 ? value.toFixed(0) : size >= 100 ? value.toFixed(1) : size >= 10 ? value.toFixed(2) : value.toFixed(3);
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

// With more digits, where one number is looked at.
export function exact(value) {
  if (value === -Infinity) return "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-4) return value.toFixed(5).replace("-", "−");
  const [digits, power] = value.toExponential(2).split("e");
  return `${digits}·10^{${power}}`.replaceAll("-", "−");
}

export const whole = (value) => value.toLocaleString("en-US");
export const percent = (value) => (value < 5e-4 ? "< 0.1 %" : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`);
export const sum = (values) => values.reduce((total, value) => total + value, 0);

// In nats; 0 times log 0 is 0.
export const entropy = (shares) => -sum(shares.map((share) => (share > 0 ? share * Math.log(share) : 0)));

export const range = (length) => Array.from({ length }, (_, place) => place);

// The places of the ``count`` largest, falling.
export function largest(values, count) {
  return range(values.length)
    .sort((a, b) => values[b] - values[a])
    .slice(0, count);
}

export const cosine = (a, b) => {
  const dot = (x, y) => sum(x.map((value, place) => value * y[place]));
  const size = Math.sqrt(dot(a, a) * dot(b, b));
  return size ? dot(a, b) / size : 0;
};
