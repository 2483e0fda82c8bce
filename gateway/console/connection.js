// One word on whether what is shown is what is: live, behind, or when it is tried again.

const SECOND_MS = 1000;

export class Connection {
  #line = document.getElementById("connection");
  #text = document.getElementById("connection-text");
  #wait = document.getElementById("connection-wait"); // not read out: it counts the seconds
  #onStale;
  #state = ["connecting", "Connecting"];
  #retryAt = null; // when it connects again, as performance.now()
  #isBehind = false; // readers are behind the log
  #ticks = null;

  /** onStale: told whether balances that are shown may be old. */
  constructor(onStale) {
    this.#onStale = onStale;
  }

  /** The stream's state; `waitMs`: how long it waits before it connects again. */
  told(name, text, waitMs) {
    this.#state = [name, text];
    this.#retryAt = waitMs === undefined ? null : performance.now() + waitMs;
    clearInterval(this.#ticks);
    if (this.#retryAt !== null) this.#ticks = setInterval(() => this.#show(), SECOND_MS / 2);
    this.#show();
  }

  /** Whether readers see the end of the log late. */
  behind(isBehind) {
    if (isBehind === this.#isBehind) return;
    this.#isBehind = isBehind;
    this.#show();
  }

  #show() {
    const [name, text] = this.#state;
    const isBehind = name === "behind" || (name === "live" && this.#isBehind);
    const state = isBehind ? "behind" : name;
    if (this.#line.dataset.state !== state) this.#line.dataset.state = state;
    const isLost = this.#retryAt !== null;
    const said = isLost ? (navigator.onLine ? "Disconnected" : "Offline") : name === "live" && isBehind ? "Behind the log" : text;
    if (this.#text.textContent !== said) this.#text.textContent = said; // what is said again is read out again
    this.#wait.textContent = isLost ? `, reconnecting in ${this.#seconds()} s` : "";
    this.#onStale(!["live", "partly"].includes(name));
  }

  #seconds() {
    return Math.max(1, Math.ceil((this.#retryAt - performance.now()) / SECOND_MS));
  }
}
