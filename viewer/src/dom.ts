// Elements from data. Data is hostile: it reaches the page as text nodes and attribute values set one
// by one, never as markup; no code here parses HTML.

export type Child = Node | string | number | null | undefined | false | Child[];
type Attributes = Record<string, string | number | boolean | undefined | ((event: Event) => void)>;

function add(node: Element, child: Child): void {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) child.forEach((one) => add(node, one));
  else node.append(child instanceof Node ? child : document.createTextNode(String(child)));
}

function isAttributes(value: unknown): value is Attributes {
  return typeof value === "object" && value !== null && !(value instanceof Node) && !Array.isArray(value);
}

function fill<T extends Element>(node: T, rest: (Attributes | Child)[]): T {
  for (const part of rest) {
    if (!isAttributes(part)) {
      add(node, part as Child);
      continue;
    }
    for (const [name, value] of Object.entries(part)) {
      if (value === undefined || value === false) continue;
      if (typeof value === "function") node.addEventListener(name, value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  return node;
}

// h("td.number.soft", {scope: "row"}, "12", child): functions among the attributes are listeners.
export function h(kind: string, ...rest: (Attributes | Child)[]): HTMLElement {
  const [name, ...classes] = kind.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  return fill(node, rest);
}

export function svg(kind: string, ...rest: (Attributes | Child)[]): SVGElement {
  const [name, ...classes] = kind.split(".");
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  return fill(node, rest);
}

export function link(route: string, kind: string, ...rest: Child[]): HTMLElement {
  return h(kind.startsWith("a") ? kind : "a." + kind, { href: "#" + route }, ...rest);
}

export interface Column {
  text: string;
  number?: boolean;
}

// A table in a frame that scrolls by itself and can be reached by keyboard.
export function table(caption: string, columns: (string | Column)[], rows: Child[][]): HTMLElement {
  const heads = columns.map((c) => (typeof c === "string" ? { text: c } : c)) as Column[];
  return h("div.scroll", { tabindex: 0, role: "group", "aria-label": caption || "table" },
    h("table", caption && h("caption", caption),
      h("thead", h("tr", heads.map((head) => h(head.number ? "th.number" : "th", { scope: "col" }, head.text)))),
      h("tbody", rows.map((row) => h("tr", row.map((value, i) =>
        i === 0 ? h("th", { scope: "row" }, value) : h(heads[i]?.number ? "td.number" : "td", value)))))));
}

export const number = (text: string): Column => ({ text, number: true });

// A chart with its title, and the figures it is drawn from for those who cannot see it.
export function figure(title: string, note: Child, chart: Element | null, behind?: HTMLElement): HTMLElement {
  return h("figure.card", h("figcaption", h("h3", title), note && h("p.small.soft", note)),
    chart && h("div.chart", chart),
    behind && h("details.behind", h("summary", "The figures as a table"), behind));
}

// Shows `rows` in pieces, so that ten thousand do not hold up the page.
export function growing<T>(rows: T[], make: (row: T, index: number) => Node, into: Element, step = 300) {
  let shown = 0;
  const more = h("button.more", { type: "button", click: () => grow(step) });
  function grow(count: number) {
    const end = Math.min(rows.length, shown + count);
    const part = document.createDocumentFragment();
    for (; shown < end; ++shown) part.append(make(rows[shown], shown));
    into.append(part);
    more.hidden = shown >= rows.length;
    more.textContent = `Show ${Math.min(step, rows.length - shown)} more of ${rows.length - shown}`;
  }
  grow(step);
  return { more, reach: (index: number) => { if (index >= shown) grow(index + 50 - shown); } };
}

// Redraws what `holder` holds; what had the focus in it, by its name, has it afterwards.
export function keepFocus(holder: Element, redraw: () => void): void {
  const name = (node: Element) => node.getAttribute("aria-label") ?? node.textContent;
  const focused = document.activeElement;
  const wanted = focused && holder.contains(focused) ? name(focused) : null;
  redraw();
  if (wanted === null) return;
  for (const node of holder.querySelectorAll<HTMLElement | SVGElement>("button, [tabindex]"))
    if (name(node) === wanted) { node.focus({ preventScroll: true }); return; }
}
