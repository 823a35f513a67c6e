// Small helpers that touch the document only where something changed, so that a live page does not flicker.

export const byId = (id) => document.getElementById(id);

/** el makes an element: el("td", {className: "num"}, child, "text"). */
export function el(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined) continue;
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** setText writes plain text; text from the server never becomes markup. */
export function setText(node, text) {
  const value = String(text);
  if (node.textContent !== value) node.textContent = value;
}

export function setAttr(node, name, value) {
  const text = value === undefined || value === null ? null : String(value);
  if (node.getAttribute(name) === text) return;
  if (text === null) node.removeAttribute(name);
  else node.setAttribute(name, text);
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** gauge fills a bar to a fraction and marks the worst node on it. */
export function gauge(node, mean, worst = 0) {
  const clamp = (x) => Math.min(1, Math.max(0, x)).toFixed(3);
  node.style.setProperty("--mean", clamp(mean));
  node.style.setProperty("--worst", clamp(worst));
}

let probe;
/** colour resolves a custom property of the style sheet for the canvas, in the theme that is on. */
export function colour(name) {
  if (!probe) {
    probe = el("span", { hidden: true });
    document.body.append(probe);
  }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

let said = "";
/** announce tells a screen reader of a change, once. */
export function announce(text) {
  if (text === said) return;
  said = text;
  setText(byId("announce"), text);
}
