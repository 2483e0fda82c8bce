// The ids of transfers that were sent and are not answered: what is sent again unchanged has the same id, and moves money once.

import { newTransferId } from "/console/wallet_api.js";

const STORED = "fanfold.unanswered"; // for this tab, so that loading the page again does not forget them

export class Drafts {
  #held = remembered(); // name of a form -> { content, id }

  /** The id for what the form holds: the one that it was sent with, until a field changes or an answer comes. */
  idFor(name, fields) {
    const content = JSON.stringify(fields);
    if (this.#held[name]?.content !== content) this.#held[name] = { content, id: newTransferId() };
    this.#remember();
    return this.#held[name].id;
  }

  /** A field of the form was touched: what it holds is another transfer from now on. */
  changed(name) {
    delete this.#held[name];
    this.#remember();
  }

  /** Names of the forms that still hold what was answered. */
  answered(id) {
    const names = Object.keys(this.#held).filter((name) => this.#held[name].id === id);
    names.forEach((name) => this.changed(name));
    return names;
  }

  #remember() {
    sessionStorage.setItem(STORED, JSON.stringify(this.#held));
  }
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED)) ?? {};
  } catch {
    return {};
  }
}
