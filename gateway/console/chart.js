// One account's balance over time: a picture, a cursor over its changes that keys move too, and what the log itself says of that moment.

import { format } from "/console/money.js";
import { History } from "/console/history.js";
import { shownUpTo } from "/console/stale.js";
import { readAsOf } from "/console/wallet_api.js";

const REST_MS = 300; // the log is asked once the cursor rests
const SOON_MS = 500;
const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const byId = (id) => document.getElementById(id);

export class Chart {
  #section = byId("chart");
  #slider = byId("chart-cursor");
  #then = byId("chart-then");
  #log = byId("chart-log");
  #summary = byId("chart-summary");
  #older = byId("chart-older");
  #moment = byId("chart-moment");
  #plot = null;
  #account = null;
  #opener = null; // the button that was pressed
  #history = null;
  #asked = 0;
  #rest = null;
  #soon = null;

  constructor() {
    byId("chart-close").addEventListener("click", () => this.close());
    this.#slider.addEventListener("input", () => this.#point(Number(this.#slider.value)));
    this.#older.addEventListener("click", () => this.#read((history) => history.older()));
    this.#moment.addEventListener("change", () => this.#askAt());
  }

  async open(account) {
    const opener = document.activeElement;
    const { Plot } = await import("/console/plot.js"); // who looks at no chart loads none
    this.#plot ??= new Plot(byId("chart-plot"), (index) => this.#point(index));
    [this.#account, this.#opener] = [account, opener];
    this.#history = new History(account);
    byId("chart-title").textContent = `${account} over time`;
    this.#section.hidden = false;
    this.#section.scrollIntoView({ block: "nearest" });
    byId("chart-title").focus();
    await this.#read((history) => history.newer());
  }

  close() {
    this.#section.hidden = true;
    this.#opener?.focus(); // keys go on from where it was opened
    this.#opener = null;
    this.#account = this.#history = null;
    clearTimeout(this.#rest);
    clearTimeout(this.#soon);
    this.#plot?.clear();
  }

  /** Its balance has moved. However fast it does, it is read once in a while. */
  changed(account) {
    if (account !== this.#account || this.#soon !== null) return;
    this.#soon = setTimeout(() => {
      this.#soon = null;
      if (account === this.#account) this.#read((history) => history.newer());
    }, SOON_MS);
  }

  gone(account) {
    if (account === this.#account) this.close();
  }

  async #read(more) {
    const history = this.#history;
    const wasAt = this.#pointed();
    this.#older.disabled = true;
    const problem = await more(history);
    this.#older.disabled = false;
    if (history !== this.#history) return; // another account is looked at meanwhile
    if (problem !== null) {
      this.#summary.textContent = problem.detail ?? problem.title ?? "It cannot be read now.";
      return;
    }
    this.#draw(wasAt);
  }

  /** wasAt: the version that the cursor was at, null for the newest. */
  #draw(wasAt) {
    const { points, asset } = this.#history;
    this.#older.hidden = !this.#history.hasOlder;
    this.#summary.textContent = summaryOf(this.#history);
    byId("chart-drawn").hidden = points.length === 0;
    if (points.length === 0) return;
    this.#plot.draw(points, asset);
    this.#slider.max = points.length - 1;
    const at = wasAt === null ? -1 : points.findIndex(({ version }) => version === wasAt);
    this.#point(at < 0 ? points.length - 1 : at);
  }

  /** The version that the cursor is at; null for the newest one, with which it goes on. */
  #pointed() {
    const { points } = this.#history;
    const at = Number(this.#slider.value);
    return points.length === 0 || at >= points.length - 1 ? null : points[at].version;
  }

  #point(index) {
    const { points, asset } = this.#history;
    const { version, at, amount, posted } = points[index];
    this.#slider.value = index;
    this.#plot.point(index);
    const moved = amount === "0" ? "" : ` after ${amount.startsWith("-") ? "" : "+"}${format(amount, asset)}`;
    const text = `${format(posted, asset)} ${asset.split("/")[0]}${moved} · ${time.format(new Date(at))} · version ${version}`;
    this.#slider.setAttribute("aria-valuetext", text);
    this.#then.textContent = text;
    this.#log.textContent = "";
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#askLog(version, posted), REST_MS);
  }

  /** Whether the log itself has the same at this version. */
  async #askLog(version, posted) {
    const then = await this.#asOf(version);
    if (then === null) return;
    const same = then.posted === posted;
    this.#log.dataset.state = same ? "same" : "differs";
    this.#log.textContent = same
      ? `The log itself says so, at position ${then.position}.`
      : `The log itself says ${format(then.posted, then.asset)}, at position ${then.position}: read the statement again.`;
  }

  /** As it was at a time that was typed. */
  async #askAt() {
    const at = new Date(this.#moment.value);
    if (Number.isNaN(at.getTime())) return;
    clearTimeout(this.#rest);
    const then = await this.#asOf(at.toISOString());
    if (then === null) return;
    const index = this.#history.points.findLastIndex(({ version }) => version <= then.version);
    if (index >= 0) this.#point(index);
    clearTimeout(this.#rest);
    this.#log.dataset.state = "same";
    const open = then.final === false ? " More of that moment may still come." : "";
    this.#log.textContent = `${time.format(at)}: ${format(then.posted, then.asset)} ${then.asset.split("/")[0]}, version ${then.version}, says the log at position ${then.position}.${open}`;
  }

  /** The account then; null where somebody asks for another moment meanwhile, or nobody can tell, which is said. */
  async #asOf(moment) {
    const asked = ++this.#asked;
    const account = this.#account;
    const answer = await readAsOf(account, moment);
    if (asked !== this.#asked || account !== this.#account) return null;
    if (answer.kind === "done") return answer.document;
    this.#log.dataset.state = "unknown";
    this.#log.textContent = answer.problem.detail ?? answer.problem.title ?? "Nobody can tell now.";
    return null;
  }
}

/** The picture in words. */
function summaryOf({ points, asset, hasOlder, staleSince }) {
  const old = staleSince === undefined ? "" : ` Shown ${shownUpTo(staleSince)}.`;
  if (points.length === 0) return `Nothing has moved yet.${old}`;
  const sums = points.map(({ posted }) => BigInt(posted));
  const [least, most] = sums.reduce(([least, most], sum) => [sum < least ? sum : least, sum > most ? sum : most], [sums[0], sums[0]]);
  const [code] = asset.split("/");
  const told = (sum) => `${format(sum.toString(), asset)} ${code}`;
  const which = hasOlder ? `The newest ${points.length} changes` : points.length === 1 ? "1 change" : `${points.length} changes`;
  const span = `from ${time.format(new Date(points[0].at))} to ${time.format(new Date(points.at(-1).at))}`;
  return `${which}, ${span}: lowest ${told(least)}, highest ${told(most)}, last ${told(sums.at(-1))}.${old}`;
}
