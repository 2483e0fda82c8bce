// The form that moves or holds money: between two accounts, or in legs that are zero together in each asset.

import { amountOf, onSubmit, partyNamed, wrong } from "/console/forms.js";
import { Legs } from "/console/legs.js";
import { formatWithSign } from "/console/money.js";

const NAME = "transfer"; // among the drafts
const OPERATIONS = { move: "transfer", hold: "hold" };

export class TransferForm {
  #form = document.getElementById("transfer-form");
  #two = document.getElementById("two-accounts");
  #legs;
  #commands;
  #drafts;

  /** assetOf: of an account, null where that is not known. */
  constructor(commands, drafts, activity, assetOf) {
    [this.#commands, this.#drafts] = [commands, drafts];
    const { elements } = this.#form;
    this.#legs = new Legs(document.getElementById("many-legs"), assetOf, () => elements.asset.value.trim());
    this.#form.addEventListener("input", () => drafts.changed(NAME));
    this.#form.addEventListener("change", () => this.#arrange());
    for (const name of ["from", "to"]) {
      // The asset follows the account, once it is known.
      elements[name].addEventListener("change", () => {
        const asset = assetOf(elements[name].value.trim());
        if (asset !== null) elements.asset.value = asset;
      });
    }
    onSubmit(this.#form, (message) => activity.add("refused", "Not sent", message), () => this.#send());
    this.#arrange();
  }

  /** What the form would do from here on is another transfer: who pressed Send again would pay again. */
  answered(answer, forms) {
    if (answer.kind !== "done" || !forms.includes(NAME)) return;
    this.#form.elements.amount.value = "";
    this.#legs.clear();
  }

  fill(from, to, amount, asset) {
    const { elements } = this.#form;
    [elements.from.value, elements.to.value, elements.amount.value, elements.asset.value] = [from, to, amount, asset];
  }

  #arrange() {
    const { elements } = this.#form;
    const isMany = elements.many.checked;
    this.#two.hidden = this.#two.disabled = isMany;
    this.#legs.show(isMany);
    elements.deadline.closest("label").hidden = elements.deadline.disabled = elements.what.value !== "hold";
  }

  async #send() {
    const { elements } = this.#form;
    const isHold = elements.what.value === "hold";
    const { fields, sum } = elements.many.checked ? this.#legs.asked() : this.#between();
    const reference = elements.reference.value.trim();
    if (reference !== "") fields.reference = reference;
    if (isHold && elements.deadline.value !== "") fields.deadline = deadlineOf(elements.deadline.value);
    const operation = OPERATIONS[elements.what.value];
    const id = this.#drafts.idFor(NAME, { operation, ...fields });
    const words = isHold
      ? { done: `Held ${sum}`, failed: `${sum} was not held`, asked: `Holding ${sum}, id ${id}` }
      : { done: `Moved ${sum}`, failed: `${sum} did not go through`, asked: `${sum}, id ${id}` };
    const nothing = isHold ? "Nothing is held." : "No money moved.";
    await this.#commands.run({ operation, command: { id, ...fields }, words, nothing });
  }

  #between() {
    const { from, to, amount, asset } = this.#form.elements;
    const fields = {
      from: partyNamed(from.value.trim(), "from"),
      to: partyNamed(to.value.trim(), "to"),
      amount: amountOf(amount.value, asset.value.trim(), "amount"),
      asset: asset.value.trim(),
    };
    return { fields, sum: `${formatWithSign(fields.amount, fields.asset)} from ${fields.from} to ${fields.to}` };
  }
}

function deadlineOf(local) {
  const at = new Date(local);
  if (Number.isNaN(at.getTime())) throw wrong("When the hold ends must be a date and a time.", "deadline");
  return at.toISOString();
}
