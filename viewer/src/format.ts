// Figures in words.
export const isNumber = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);
export const percent = (x: unknown): string => (isNumber(x) ? (100 * x).toFixed(1) + "\u00a0%" : "–");
export const points = (x: unknown): string => (isNumber(x) ? (x > 0 ? "+" : x < 0 ? "−" : "") + Math.abs(100 * x).toFixed(1) : "–");
export const pValue = (p: unknown): string => (!isNumber(p) ? "–" : p < 0.0001 ? "<0.0001" : p.toFixed(4));
export const interval = (i: unknown, show: (x: unknown) => string): string =>
  Array.isArray(i) ? `[${show(i[0])}, ${show(i[1])}]` : "";
export const plural = (n: number, word: string): string => `${count(n)} ${word}${n === 1 ? "" : /(s|sh|ch)$/.test(word) ? "es" : "s"}`;
export const count = (n: number): string => n.toLocaleString("en").replace(/,/g, "\u202f");
export const cut = (text: string, length: number): string => (text.length > length ? text.slice(0, length - 1) + "…" : text);

export function seconds(s: unknown): string {
  if (!isNumber(s)) return "";
  const sign = s < 0 ? "−" : "";
  const size = Math.abs(s);
  if (size >= 600) return `${sign}${(size / 60).toFixed(1)} min`;
  if (size >= 1) return `${sign}${size.toFixed(size < 10 ? 3 : 2)} s`;
  return `${sign}${(1000 * size).toFixed(size < 0.01 ? 3 : 1)} ms`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  if (n < 1 << 20) return `${(n / 1024).toFixed(1)} KiB`;
  return `${(n / (1 << 20)).toFixed(1)} MiB`;
}

export const conditionText = (condition: Record<string, string>): string => {
  const parts = Object.entries(condition).map(([factor, level]) => `${factor}=${level}`);
  return parts.length ? parts.join(", ") : "(no factors)";
};

export const tones: Record<string, string> = {
  gap: "bad", "gap in these tasks": "bad", "no gap shown": "good",
  "too few runs": "warn", refused: "warn", "not comparable": "warn",
};
