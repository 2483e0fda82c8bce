// The cards of watched accounts. Text goes into the page through textContent only.

import { Holds } from "/console/holds.js";
import { format, formatWithSign } from "/console/money.js";
import { Statement } from "/console/statement.js";

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const FLAGS = { debit_frozen: "Debits frozen", credit_frozen: "Credits frozen", closed: "Closed" };

export class Cards {
  #list = document.getElementById("cards");
  #template = document.getElementById("card-template");
  #isStale = true; // until the stream says that it is live
  #cards = new Map(); // account -> { element, asset, posted, held, statement, holds }
  #onRemove;
  #onChart;
  #holdEnds;

  /** onRemove, onChart: told the account. holdEnds: what ends a hold. */
  constructor(onRemove, onChart, holdEnds) {
    [this.#onRemove, this.#onChart, this.#holdEnds] = [onRemove, onChart, holdEnds];
  }

  /** Of what is watched, as far as it is known. */
  get assets() {
    return [...new Set([...this.#cards.values()].map(({ asset }) => asset))].filter((asset) => asset !== null);
  }

  get accounts() {
    return [...this.#cards.keys()];
  }

  assetOf(account) {
    return this.#cards.get(account)?.asset ?? null;
  }

  /** posted in minor units, and its version; null where it is not known, or may be old. */
  liveOf(account) {
    const card = this.#cards.get(account);
    const isLive = card !== undefined && card.posted !== null && card.element.dataset.unread === undefined && !this.#isStale;
    return isLive ? { posted: card.posted, version: Number(card.element.dataset.version) } : null;
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
      const beside = element.nextElementSibling ?? element.previousElementSibling;
      this.#cards.delete(account);
      element.remove();
      (beside?.querySelector(".remove") ?? document.getElementById("watch-account")).focus(); // keys go on from there
      this.#onRemove(account);
    });
    const statement = new Statement(account, element.querySelector(".statement"));
    const chart = element.querySelector(".to-chart");
    chart.setAttribute("aria-label", `Chart of ${account}`);
    chart.addEventListener("click", () => this.#onChart(account));
    const holds = new Holds(account, element.querySelector(".holds"), () => this.assetOf(account), this.#holdEnds);
    this.#cards.set(account, { element, asset: null, posted: null, statement, holds });
    this.#list.append(element);
    this.#say(element, "Loading…");
  }

  /** Bring it into sight. */
  point(account) {
    this.#cards.get(account)?.element.scrollIntoView({ block: "nearest" });
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
    this.read(account); // who tells its balance has read it
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
    card.holds.changed();
  }

  stale(isStale) {
    this.#isStale = isStale;
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
