// The legs of a transfer of many: a line each, and whether they are zero together in each asset.

import { LEGS_MAX } from "/console/contract.js";
import { amountOf, partyNamed, wrong } from "/console/forms.js";
import { format } from "/console/money.js";

export class Legs {
  #box;
  #list;
  #sum;
  #add;
  #template = document.getElementById("leg-template");
  #assetOf;
  #usual;
  #made = 0;

  /** box: a <fieldset>. assetOf: of an account, null where that is not known; usual: tells the one of a new leg. */
  constructor(box, assetOf, usual) {
    [this.#box, this.#assetOf, this.#usual] = [box, assetOf, usual];
    [this.#list, this.#sum, this.#add] = [".leg-lines", ".sum", ".add-leg"].map((name) => box.querySelector(name));
    this.#add.addEventListener("click", () => this.#append().querySelector("input").focus());
    box.addEventListener("input", () => this.#tellSum());
  }

  show(isShown) {
    this.#box.hidden = this.#box.disabled = !isShown;
    while (isShown && this.#list.children.length < 2) this.#append();
    this.#tellSum();
  }

  /** What is written of amounts goes, who is meant stays. */
  clear() {
    for (const { amount } of this.#fields()) amount.value = "";
    this.#tellSum();
  }

  /** The fields of a command, and its sum in words. Throws RangeError. */
  asked() {
    const legs = this.#fields().map(({ account, amount, asset }) => ({
      account: partyNamed(account.value.trim(), account.name),
      amount: amountOf(amount.value, asset.value.trim(), amount.name, asset.name),
      asset: asset.value.trim(),
    }));
    const over = Object.entries(sums(legs)).filter(([, sum]) => sum !== 0n);
    if (over.length > 0) throw wrong(`What is given and received must be zero together. ${left(over)}`, this.#fields()[0].amount.name);
    const given = legs.filter(({ amount }) => amount.startsWith("-"));
    const what = sums(given.map((leg) => ({ ...leg, amount: leg.amount.slice(1) })));
    const sum = Object.entries(what).map(([asset, units]) => `${format(units.toString(), asset)} ${asset.split("/")[0]}`).join(" and ");
    return { fields: { legs }, sum: `${sum} in ${legs.length} legs` };
  }

  #fields() {
    return [...this.#list.children].map((line) => Object.fromEntries(["account", "amount", "asset"].map((name) => [name, line.querySelector(`.${name}`)])));
  }

  #append() {
    const line = this.#template.content.firstElementChild.cloneNode(true);
    const number = ++this.#made;
    for (const [name, label] of [["account", "Account"], ["amount", "Amount"], ["asset", "Asset"]]) {
      const field = line.querySelector(`.${name}`);
      field.name = `leg-${number}-${name}`; // a name of its own, by which a wrong one is found
      field.setAttribute("aria-label", `${label} of leg ${number}`);
    }
    const [account, asset] = [line.querySelector(".account"), line.querySelector(".asset")];
    asset.value = this.#usual();
    account.addEventListener("change", () => {
      asset.value = this.#assetOf(account.value.trim()) ?? asset.value;
      this.#tellSum();
    });
    const remove = line.querySelector(".remove");
    remove.setAttribute("aria-label", `Remove leg ${number}`);
    remove.addEventListener("click", () => {
      line.remove();
      this.#add.focus();
      this.#arrange();
      this.#box.dispatchEvent(new Event("input", { bubbles: true })); // it is another transfer now
    });
    this.#list.append(line);
    this.#arrange();
    return line;
  }

  #arrange() {
    const count = this.#list.children.length;
    for (const line of this.#list.children) line.querySelector(".remove").hidden = count <= 2;
    this.#add.hidden = count >= LEGS_MAX;
  }

  #tellSum() {
    const read = this.#fields().flatMap(({ amount, asset }) => {
      try {
        return [{ amount: amountOf(amount.value, asset.value.trim()), asset: asset.value.trim() }];
      } catch {
        return [];
      }
    });
    const over = Object.entries(sums(read)).filter(([, sum]) => sum !== 0n);
    this.#sum.dataset.state = over.length > 0 ? "over" : "zero";
    this.#sum.textContent = over.length > 0 ? left(over) : read.length < 2 ? "" : "Zero together: what is given is what is received.";
  }
}

function sums(legs) {
  const found = {};
  for (const { amount, asset } of legs) found[asset] = (found[asset] ?? 0n) + BigInt(amount);
  return found;
}

function left(over) {
  return over
    .map(([asset, sum]) => `${format((sum < 0n ? -sum : sum).toString(), asset)} ${asset.split("/")[0]} more is ${sum < 0n ? "given than received" : "received than given"}.`)
    .join(" ");
}
