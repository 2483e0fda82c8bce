// The cards of watched accounts. Text goes into the page through textContent only.

import { format, formatWithSign } from "/console/money.js";
import { Statement } from "/console/statement.js";

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const FLAGS = { debit_frozen: "Debits frozen", credit_frozen: "Credits frozen", closed: "Closed" };

export class Cards {
  #list = document.getElementById("cards");
  #template = document.getElementById("card-template");
  #cards = new Map(); // account -> { element, asset, posted, statement }
  #onRemove;

  constructor(onRemove) {
    this.#onRemove = onRemove;
  }

  get accounts() {
    return [...this.#cards.keys()];
  }

  assetOf(account) {
    return this.#cards.get(account)?.asset ?? null;
  }

  has(account) {
    return this.#cards.has(account);
  }

  add(account) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    element.dataset.account = account;
    element.querySelector(".name").textContent = account;
    const remove = element.querySelector(".remove");
    remove.setAttribute("aria-label", `Stop watching ${account}`);
    remove.addEventListener("click", () => {
      this.#cards.delete(account);
      element.remove();
      this.#onRemove(account);
    });
    const statement = new Statement(account, element.querySelector(".statement"));
    this.#cards.set(account, { element, asset: null, posted: null, statement });
    this.#list.append(element);
    this.#say(element, "Loading…");
  }

  absent(account) {
    const card = this.#cards.get(account);
    if (card === undefined) return;
    card.posted = null;
    this.#say(card.element, "Not opened yet");
    card.element.querySelector(".note").hidden = false;
  }

  /** What was shown before stays, and is told to be old. */
  unread(account, code) {
    const card = this.#cards.get(account);
    if (card === undefined) return;
    card.element.dataset.unread = code;
    card.element.title = `It cannot be read now (${code}), and is shown as soon as it can be.`;
    if (card.posted === null) this.#say(card.element, "Cannot be read now");
  }

  read(account) {
    const element = this.#cards.get(account)?.element;
    if (element === undefined) return;
    delete element.dataset.unread;
    element.removeAttribute("title");
  }

  show(account, item) {
    const card = this.#cards.get(account);
    if (card === undefined) return;
    card.asset = item.asset ?? card.asset;
    const { element, asset } = card;
    const posted = BigInt(item.posted);
    const figure = element.querySelector(".figure");
    element.classList.remove("absent");
    element.querySelector(".note").hidden = true;
    element.dataset.version = item.v;
    element.dataset.posted = item.posted;
    figure.textContent = formatWithSign(item.posted, asset);
    figure.classList.toggle("negative", posted < 0n);
    element.querySelector(".asset").textContent = asset.split("/")[0];
    element.querySelector(".available").textContent = item.available === null ? "no limit" : format(item.available, asset);
    element.querySelector(".held").textContent = format(item.held, asset);
    element.querySelector(".held-row").hidden = item.held === "0";
    const flags = (item.flags ?? []).map((word) => FLAGS[word] ?? word);
    element.querySelector(".flags").textContent = flags.join(", ");
    element.querySelector(".flags").hidden = flags.length === 0;
    element.querySelector(".version").textContent = `version ${item.v}`;
    const at = element.querySelector(".at");
    at.dateTime = item.at;
    at.title = item.at;
    at.textContent = time.format(new Date(item.at));
    if (card.posted !== null && posted !== card.posted) this.#flash(figure, posted > card.posted ? "rose" : "fell");
    card.posted = posted;
    card.statement.changed();
  }

  stale(isStale) {
    this.#list.classList.toggle("stale", isStale);
  }

  #say(element, text) {
    element.classList.add("absent");
    delete element.dataset.posted;
    element.querySelector(".figure").textContent = text;
    element.querySelector(".asset").textContent = "";
  }

  #flash(figure, direction) {
    figure.classList.remove("rose", "fell");
    void figure.offsetWidth; // starts the animation again when balances move faster than it ends
    figure.classList.add(direction);
  }
}
