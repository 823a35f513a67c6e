// The page: one store, one stream, and what draws them.

import { announce, byId, el, setHidden, setText } from "./dom.js";
import { Charts } from "./charts.js";
import { Decisions } from "./decisions.js";
import * as f from "./format.js";
import { Live } from "./live.js";
import { Nodes } from "./nodes.js";
import { Store } from "./store.js";
import { showLive, showSummary } from "./summary.js";

const query = new URLSearchParams(location.search);
const theme = query.get("theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;

const store = new Store();
const charts = new Charts(store, query.get("range"));
const decisions = new Decisions();
const nodes = new Nodes();
const picker = byId("fleet");
let fleet = query.get("fleet");
/** choice counts the fleets that were chosen, so that an answer for an earlier one is dropped. */
let choice = 0;

async function readHistory() {
  store.hold();
  const asked = choice;
  const params = new URLSearchParams({ since: String(store.lastAt) });
  if (fleet) params.set("fleet", fleet);
  try {
    const answer = await fetch(`api/v1/history?${params}`);
    if (!answer.ok) throw new Error(`history: ${answer.status}`);
    const history = await answer.json();
    if (asked === choice) store.load(history);
  } catch {
    // The stream's state already says that the balancer is out of reach; it reads the history again on its return.
    if (asked === choice) store.load({ columns: { at: [] }, changes: store.changes });
  }
  draw();
}

let drawing = false;
/** draw paints the newest state once a frame, however many snapshots came. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const s = store.snapshot;
    if (!s) return;
    showSummary(s);
    nodes.render(s);
    decisions.render(store.changes, new Date(s.now));
    charts.render();
  });
}

function onSnapshot(s) {
  if (fleet && s.fleet !== fleet) return;
  const before = store.snapshot;
  showEmpty(null);
  if (!store.add(s)) readHistory();
  if (before && before.decision.desired !== s.decision.desired) {
    announce(`Desired ${before.decision.desired} to ${s.decision.desired}, ${f.urgency(s.decision.urgency)}: ${s.decision.reason}`);
  }
  draw();
}

const NO_FLEET = ["No fleet yet",
  "A fleet shows up here a second after its first socket node sends a heartbeat. The page waits; it needs no reload."];
const UNKNOWN = "This balancer has no heartbeat of it yet. Choose another fleet above, or wait: the page keeps asking.";

/** showEmpty puts words in the place of the board; null brings the board back. */
function showEmpty(words) {
  setHidden(byId("empty"), !words);
  setHidden(byId("board"), Boolean(words));
  if (!words) return;
  setText(byId("empty-title"), words[0]);
  setText(byId("empty-text"), words[1]);
}

/** onRefused finds out whether the fleet is unknown, so that the page can say so and offer the others. */
async function onRefused() {
  const asked = choice;
  try {
    const { fleets } = await (await fetch("api/v1/status")).json();
    if (asked !== choice || !fleet || fleets.includes(fleet)) return;
    showEmpty([`${fleet} is not known here`, UNKNOWN]);
    onFleets(fleets);
  } catch {
    // Out of reach: the stream's state says so, and its next try asks again.
  }
}

function onFleets(ids) {
  if (!ids.length && !fleet) showEmpty(NO_FLEET);
  if (!ids.length) return;
  fleet ??= ids[0];
  live.fleet = fleet;
  const names = ids.includes(fleet) ? ids : [...ids, fleet];
  picker.replaceChildren(...names.map((id) => el("option", { value: id, selected: id === fleet }, id)));
  picker.disabled = names.length < 2;
}

function select(id) {
  fleet = id;
  choice++;
  query.set("fleet", id);
  history.replaceState(null, "", `?${query}`);
  store.reset();
  decisions.reset();
  live.follow(id);
}

const live = new Live({
  onSnapshot,
  onFleets,
  onOpen: readHistory,
  onRefused,
  onState(state, seconds) {
    if (!state.startsWith("connect")) announce(state === "silent" ? "no new data" : state);
    showLive(state, seconds);
  },
});

picker.addEventListener("change", () => select(picker.value));
live.follow(fleet);
