// The connection to the balancer: one event stream, its state said plainly, and a way back after any fault.

const SILENT_AFTER = 5_000;
const RETRY_FIRST = 1_000;
const RETRY_MOST = 15_000;

/**
 * Live follows one fleet. It calls back: onSnapshot(snapshot), onFleets(ids), onOpen(),
 * onRefused() when the server answered with something else than a stream, and onState(state, seconds)
 * with state "connecting", "connected" (nothing has arrived yet), "live", "silent" (nothing new arrives) or "reconnecting".
 */
export class Live {
  constructor(callbacks) {
    this.callbacks = callbacks;
    this.retry = RETRY_FIRST;
    this.state = "connecting";
    this.heard = 0;
    setInterval(() => this.watch(), 1000);
  }

  /** follow opens the stream of a fleet; without one the server chooses, and fleet is set when that is known. */
  follow(fleet) {
    this.fleet = fleet;
    this.heard = 0;
    this.say("connecting");
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.source?.close();
    const query = this.fleet ? `?fleet=${encodeURIComponent(this.fleet)}` : "";
    const source = new EventSource(`api/v1/events${query}`);
    this.source = source;
    source.addEventListener("open", () => {
      this.retry = RETRY_FIRST;
      this.say("connected");
      this.callbacks.onOpen();
    });
    source.addEventListener("fleets", (event) => {
      this.callbacks.onFleets(JSON.parse(event.data));
    });
    source.addEventListener("snapshot", (event) => {
      this.heard = Date.now();
      this.say("live");
      this.callbacks.onSnapshot(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      this.say("reconnecting");
      // A browser gives up on its own after an answer that is not a stream (a restart behind a proxy, 503, 404).
      if (source.readyState === EventSource.CLOSED && source === this.source) {
        this.callbacks.onRefused();
        this.later();
      }
    });
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), this.retry);
    this.retry = Math.min(this.retry * 2, RETRY_MOST);
  }

  watch() {
    const quiet = Date.now() - this.heard;
    if ((this.state === "live" || this.state === "silent") && this.heard && quiet > SILENT_AFTER) {
      this.say("silent", Math.round(quiet / 1000));
    }
  }

  say(state, seconds = 0) {
    this.state = state;
    this.callbacks.onState(state, seconds);
  }
}
