// The card beside the cursor. It never leaves its chart and never catches the pointer.

import { el, setHidden } from "./dom.js";

const GAP = 14;

export class Tip {
  constructor(plot, box, content) {
    this.plot = plot;
    this.box = box;
    this.content = content;
    this.card = el("div", { className: "tip", hidden: true, "aria-hidden": "true" });
    box.append(this.card);
  }

  /** refresh shows what the cursor points at; only the chart under the pointer or with the focus shows a card. */
  refresh() {
    const { left, idx } = this.plot.cursor;
    const mine = this.box.matches(":hover") || this.box.matches(":focus");
    const hidden = !(left >= 0) || idx === null || idx === undefined || !mine;
    setHidden(this.card, hidden);
    if (hidden) return;
    this.card.replaceChildren(...this.content(idx, this.plot));
    this.place(left + this.plot.over.offsetLeft);
  }

  place(x) {
    const width = this.card.offsetWidth;
    const room = this.box.clientWidth - GAP;
    const right = x + GAP + width <= room;
    const left = right ? x + GAP : Math.max(GAP / 2, x - GAP - width);
    this.card.style.transform = `translate(${Math.round(left)}px, 8px)`;
  }
}

/** pairs is the body of a card: a list of [term, value]. */
export const pairs = (rows) => el("dl", {}, ...rows.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
