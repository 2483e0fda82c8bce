// What ends a hold: a capture moves what it holds, a void lets it go. Each has one id until it is answered, as a transfer has.

import { formatWithSign } from "/console/money.js";

export class HoldEnds {
  #commands;
  #drafts;
  #activity;

  constructor(commands, drafts, activity) {
    [this.#commands, this.#drafts, this.#activity] = [commands, drafts, activity];
  }

  /** amount: in minor units, null for all that is left. */
  capture(hold, amount, asset) {
    const fields = amount === null ? {} : { amount };
    const id = this.#drafts.idFor(`capture ${hold}`, fields);
    const what = `${amount === null ? "all that is left" : formatWithSign(amount, asset)} of hold ${hold}`;
    const words = { done: `Captured ${what}`, failed: `${what} was not captured`, asked: `Capturing ${what}, id ${id}` };
    return this.#commands.run({ operation: "capture", named: { hold }, command: { id, ...fields }, words, nothing: "No money moved." });
  }

  void(hold) {
    const id = this.#drafts.idFor(`void ${hold}`, {});
    const words = { done: `Let go hold ${hold}`, failed: `Hold ${hold} was not let go`, asked: `Letting go hold ${hold}, id ${id}` };
    return this.#commands.run({ operation: "void", named: { hold }, command: { id }, words, nothing: "What it holds stays held." });
  }

  tell(message) {
    this.#activity.add("refused", "Not sent", message);
  }
}
