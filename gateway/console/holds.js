// The holds that are open on an account, below its card: each can be captured, in part too, or let go.

import { amountOf, onSubmit } from "/console/forms.js";
import { formatWithSign } from "/console/money.js";
import { shownUpTo } from "/console/stale.js";
import { readHolds } from "/console/wallet_api.js";

const time = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

export class Holds {
  #account;
  #box;
  #asset;
  #end;
  #list;
  #said;
  #template = document.getElementById("hold-template");
  #reading = false;
  #again = false;

  /** box: a <details>, nothing is read while it is closed. asset: tells the account's. end: what ends a hold, see `hold_ends.js`. */
  constructor(account, box, asset, end) {
    [this.#account, this.#box, this.#asset, this.#end] = [account, box, asset, end];
    [this.#list, this.#said] = [".lines", ".said"].map((name) => box.querySelector(name));
    box.addEventListener("toggle", () => this.changed());
  }

  /** There may be others. One read at a time. */
  async changed() {
    if (!this.#box.open) return;
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    const answer = await readHolds(this.#account);
    this.#reading = false;
    if (answer.kind === "done") this.#show(answer.document);
    else this.#said.textContent = answer.problem.title ?? "They cannot be read now.";
    if (this.#again) {
      this.#again = false;
      this.changed();
    }
  }

  /** A line that is there stays: somebody may be typing in it. */
  #show({ holds, more, stale_since: since }) {
    const shown = new Map([...this.#list.children].map((line) => [line.dataset.id, line]));
    const hadFocus = this.#list.contains(document.activeElement);
    this.#list.replaceChildren(...holds.map((hold) => this.#filled(shown.get(hold.id) ?? this.#line(hold.id), hold)));
    if (hadFocus && !this.#list.contains(document.activeElement)) this.#box.querySelector("summary").focus();
    const count = holds.length === 0 ? "Nothing is held." : more ? `The oldest ${holds.length}; there are more.` : "";
    this.#said.textContent = [count, since === undefined ? "" : `Shown ${shownUpTo(since)}.`].filter(Boolean).join(" ");
  }

  #line(id) {
    const line = this.#template.content.firstElementChild.cloneNode(true);
    line.dataset.id = id;
    const form = line.querySelector("form");
    const part = form.elements.part;
    part.setAttribute("aria-label", `How much to capture of hold ${id}, empty for all`);
    onSubmit(form, (message) => this.#end.tell(message), async ({ part: typed }) => {
      const amount = typed === "" ? null : amountOf(typed, this.#asset(), "part", "part");
      await this.#end.capture(id, amount, this.#asset());
      this.changed();
    });
    const release = line.querySelector(".void");
    release.addEventListener("click", async () => {
      release.disabled = true;
      await this.#end.void(id);
      release.disabled = false;
      this.changed();
    });
    return line;
  }

  #filled(line, { id, amount, state, deadline }) {
    line.querySelector(".held-amount").textContent = formatWithSign(amount, this.#asset());
    const ends = deadline === undefined ? "" : `ends ${time.format(new Date(deadline))}`;
    line.querySelector(".detail").textContent = [state === "busy" ? "a capture is on its way" : "", ends, id].filter(Boolean).join(" · ");
    return line;
  }
}
