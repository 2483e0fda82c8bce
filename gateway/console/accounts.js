// The accounts that there are, by the beginning of their names, page by page. Who picks one watches it.

import { format } from "/console/money.js";
import { readAccounts } from "/console/wallet_api.js";

const PAGE = 20;
const TYPED_MS = 250;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export class Accounts {
  #field = document.getElementById("accounts-prefix");
  #list = document.getElementById("accounts-found");
  #more = document.getElementById("accounts-more");
  #said = document.getElementById("accounts-said");
  #template = document.getElementById("account-template");
  #onPick;
  #liveOf;
  #lines = new Map(); // account -> its line
  #typed = null;
  #asked = 0;
  #next = null;

  /** onPick: told the name of the account that was picked. liveOf: posted and version of a watched one that is live, else null. */
  constructor(onPick, liveOf) {
    [this.#onPick, this.#liveOf] = [onPick, liveOf];
    this.#field.addEventListener("input", () => {
      clearTimeout(this.#typed);
      this.#typed = setTimeout(() => this.again(), TYPED_MS);
    });
    this.#more.addEventListener("click", () => this.#read(this.#next));
    document.getElementById("accounts-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.again();
    });
  }

  /** Read the first page anew. */
  again() {
    return this.#read(null);
  }

  /** What is watched is told here too as it is. */
  show(account, posted, asset) {
    const line = this.#lines.get(account);
    if (line?.isConnected) line.querySelector(".balance").textContent = balanceOf(posted, asset);
  }

  async #read(cursor) {
    const asked = ++this.#asked; // what was typed since counts, not which answer comes last
    this.#more.disabled = true;
    const answer = await readAccounts(this.#field.value.trim(), PAGE, cursor);
    if (asked !== this.#asked) return;
    this.#more.disabled = false;
    if (answer.kind !== "done") {
      this.#said.textContent = answer.problem.detail ?? answer.problem.title ?? "They cannot be read now.";
      return;
    }
    const { accounts, next, stale = [] } = answer.document;
    if (cursor === null) this.#lines.clear();
    const lines = accounts.map((account) => this.#line(account));
    if (cursor === null) this.#list.replaceChildren(...lines);
    else this.#list.append(...lines);
    if (cursor !== null) lines[0]?.querySelector("button").focus(); // the button that was pressed may be gone
    this.#next = next ?? null;
    this.#more.hidden = this.#next === null;
    this.#said.textContent = [this.#counted(), stale.length > 0 ? "Some are old: the log of their partition is damaged." : ""].filter(Boolean).join(" ");
  }

  /** A page may be empty and still have a next one. */
  #counted() {
    const count = this.#list.children.length;
    if (count === 0 && this.#next === null) return this.#field.value.trim() === "" ? "There are none yet." : "No account's name begins so.";
    return `${count}${this.#next === null ? "" : " and more"}, as of ${clock.format(new Date())}.`;
  }

  #line({ account, asset, posted, version }) {
    const line = this.#template.content.firstElementChild.cloneNode(true);
    const live = this.#liveOf(account); // the newer one counts: what is listed was read a moment ago, what is live may not be told yet
    line.querySelector(".name").textContent = account;
    line.querySelector(".balance").textContent = balanceOf(live !== null && live.version >= version ? live.posted : posted, asset);
    this.#lines.set(account, line);
    line.querySelector("button").addEventListener("click", () => this.#onPick(account));
    return line;
  }
}

function balanceOf(posted, asset) {
  return `${format(posted, asset)} ${asset.split("/")[0]}`;
}
