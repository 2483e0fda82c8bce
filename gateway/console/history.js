// How the balance of an account went, read out of its statement: the newest changes first, older ones page by page.

import { readEntries } from "/console/wallet_api.js";

const PAGE = 1000;

export class History {
  #account;
  #next = null;
  points = []; // entries of the statement, the oldest first
  asset = null;
  staleSince = undefined;

  constructor(account) {
    this.#account = account;
  }

  get hasOlder() {
    return this.#next !== null;
  }

  /** The page before what is there. Returns the problem where it cannot be read, else null. */
  async older() {
    return this.#read(this.#next, (page) => {
      this.points.unshift(...page.entries.reverse());
      this.#next = page.next ?? null;
    });
  }

  /** What came since, behind what is there; where some lies between, or the newest there is of another history, only the newest page. */
  async newer() {
    return this.#read(null, (page) => {
      const entries = page.entries.reverse();
      const last = this.points.at(-1);
      const joint = last === undefined ? -1 : entries.findIndex(({ version }) => version === last.version);
      if (joint >= 0 && entries[joint].transfer === last.transfer && entries[joint].posted === last.posted) {
        this.points.push(...entries.slice(joint + 1));
      } else {
        this.points = entries;
        this.#next = page.next ?? null;
      }
    });
  }

  async #read(cursor, take) {
    const answer = await readEntries(this.#account, PAGE, cursor);
    if (answer.kind !== "done") return answer.problem;
    this.asset = answer.document.asset;
    this.staleSince = answer.document.stale_since;
    take(answer.document);
    return null;
  }
}
