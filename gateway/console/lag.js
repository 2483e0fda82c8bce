// One line: whether what is shown is all that the log has, and what does not get on, from GET /v1/positions.

import { progressOf } from "/console/progress.js";
import { shownUpTo } from "/console/stale.js";
import { readPositions } from "/console/wallet_api.js";

const BEHIND_MS = 2000; // less is what a block takes to be shown
const EVERY_MS = 2000; // the service looks at the end of a log once a second at most

export class Lag {
  #line = document.getElementById("lag");
  #onBehind;

  /** onBehind: told whether readers do not see the end of the log. */
  constructor(onBehind) {
    this.#onBehind = onBehind;
  }

  /** Ask for as long as somebody looks at the page. */
  start() {
    const again = async () => {
      if (document.visibilityState === "visible") await this.#read();
      setTimeout(again, EVERY_MS);
    };
    again();
  }

  async #read() {
    const answer = await readPositions();
    const told = answer.kind === "done" ? lineOf(answer.document) : null;
    this.#onBehind(told?.state === "held" || (told?.oldest ?? 0) >= BEHIND_MS);
    this.#line.hidden = told === null; // without an answer nothing is known; that the stream is lost stands beside
    this.#line.dataset.state = told?.state ?? "";
    this.#line.textContent = told?.text ?? "";
  }
}

/** How much readers do not see yet, and what goes on beside it. */
function lineOf({ partitions }) {
  const told = lagOf(partitions);
  const going = partitions.filter(({ progress, reason }) => progress !== undefined && reason === undefined);
  return { ...told, text: [told.text, ...going.map(({ partition, progress }) => `Partition ${partition}: ${progressOf(progress)}`)].join(" · ") };
}

/** Each partition that does not get on with its reason; otherwise how much readers do not see yet, in all of them. */
function lagOf(partitions) {
  const held = partitions.filter((each) => each.reason !== undefined);
  if (held.length > 0) {
    return { state: "held", text: held.map((each) => reasonOf(each)).join(" · ") };
  }
  const sum = (name) => partitions.reduce((total, each) => total + (each[name] ?? 0), 0);
  const blocks = sum("unfolded") + sum("unstored");
  const waits = [];
  for (const unit of ["records", "bytes"]) {
    const unread = partitions.reduce((total, each) => total + (each.unit === unit ? each.unread ?? 0 : 0), 0);
    if (unread > 0) waits.push(`${unread} ${unit} to read`);
  }
  if (blocks > 0) waits.push(`${blocks} ${blocks === 1 ? "block" : "blocks"} to show`);
  if (waits.length === 0) {
    const known = partitions.every((each) => each.unread !== null);
    return { state: "well", text: known ? "Readers see all of the log" : "How far the log is ahead is not known" };
  }
  const oldest = Math.max(0, ...partitions.map((each) => each.oldest_unapplied_ms ?? 0));
  return { state: "behind", oldest, text: `Behind the log: ${waits.join(", ")}${oldest > 0 ? `, the oldest ${ageOf(oldest)} old` : ""}` };
}

function reasonOf({ partition, reason, stale_since: since, progress }) {
  if (progress?.what === "start") return `Partition ${partition} starts: ${progressOf(progress)}`;
  if (since !== undefined) return `Partition ${partition} is shown ${shownUpTo(since)} (${reason})`;
  return reason.startsWith("partition ") ? reason : `partition ${partition}: ${reason}`;
}

function ageOf(ms) {
  return ms < 10_000 ? `${ms} ms` : `${Math.floor(ms / 1000)} s`;
}
