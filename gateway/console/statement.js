// The statement of an account, below its card: what moved it and the balance after it, newest first, page by page.

import { format } from "/console/money.js";
import { shownUpTo } from "/console/stale.js";
import { readEntries } from "/console/wallet_api.js";

const PAGE = 10;
const time = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

export class Statement {
  #account;
  #box;
  #list;
  #said;
  #older;
  #template = document.getElementById("line-template");
  #newest = 0; // the version of the first line
  #next = null; // the cursor behind the last line
  #reading = false;
  #again = false;

  /** `box`: a <details>; nothing is read while it is closed. */
  constructor(account, box) {
    this.#account = account;
    this.#box = box;
    [this.#list, this.#said, this.#older] = [".lines", ".said", ".older"].map((name) => box.querySelector(name));
    box.addEventListener("toggle", () => this.changed());
    this.#older.addEventListener("click", () => this.#read(this.#next, (page) => this.#append(page)));
  }

  /** There may be newer lines. One read at a time, however fast balances move. */
  changed() {
    if (this.#box.open) this.#read(null, (page) => this.#renew(page));
  }

  async #read(cursor, show) {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = this.#older.disabled = true;
    const answer = await readEntries(this.#account, PAGE, cursor);
    this.#reading = this.#older.disabled = false;
    if (answer.kind === "done") show(answer.document);
    this.#tell(answer.kind === "done" ? this.#noteOn(answer.document) : answer.problem.title ?? "No answer arrived");
    if (this.#again) {
      this.#again = false;
      this.changed();
    }
  }

  #noteOn({ stale_since: since }) {
    if (since !== undefined) return `Shown ${shownUpTo(since)}.`;
    return this.#newest === 0 ? "Nothing has moved yet." : "";
  }

  /** Newer lines before those that are shown; where some lie between, only the newest page is shown. */
  #renew(page) {
    const newer = page.entries.filter((entry) => entry.version > this.#newest);
    if (newer.length === 0) return;
    if (newer.at(-1).version === this.#newest + 1 && this.#newest > 0) {
      this.#list.prepend(...newer.map((entry) => this.#line(entry, page.asset)));
    } else {
      this.#list.replaceChildren();
      this.#append(page);
    }
    this.#newest = newer[0].version;
  }

  #append(page) {
    this.#list.append(...page.entries.map((entry) => this.#line(entry, page.asset)));
    this.#next = page.next ?? null;
    this.#older.hidden = this.#next === null;
  }

  #line(entry, asset) {
    const { version, at, amount, posted, accounts, reference } = entry;
    const line = this.#template.content.firstElementChild.cloneNode(true);
    line.dataset.version = version;
    const moved = line.querySelector(".amount-moved");
    moved.textContent = amount === "0" ? unmoved(entry, asset) : (amount.startsWith("-") ? "" : "+") + format(amount, asset);
    moved.classList.toggle("in", !amount.startsWith("-") && amount !== "0");
    line.querySelector(".balance").textContent = format(posted, asset);
    line.querySelector(".detail").textContent = [time.format(new Date(at)), ...accounts, reference].filter(Boolean).join(" · ");
    return line;
  }

  #tell(text) {
    this.#said.textContent = text;
    this.#said.hidden = text === "";
  }
}

/** What a line says that moved nothing: a hold that began or ended, or what an account may do. */
function unmoved({ kind, held_change: held }, asset) {
  if (held === undefined) return kind.replaceAll("_", " ");
  return held.startsWith("-") ? `let go ${format(held.slice(1), asset)}` : `held ${format(held, asset)}`;
}
