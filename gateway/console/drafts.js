// The ids of transfers that were sent and are not answered: what is sent again unchanged has the same id, and moves money once.

import { newTransferId } from "/console/wallet_api.js";
import { who } from "/console/sign_in.js";

const STORED = "fanfold.unanswered"; // for this tab, so that loading the page again does not forget them

/** Forgets what a key sent: nothing tells whose it is once the key is gone. What a token's subject sent waits for that subject. */
export function forgetOfKey() {
  if (who().kind === "key") sessionStorage.removeItem(`${STORED} key`);
}

/** The ids of what goes with a key that signs out, sent and not answered by anybody: only who has them can ask what became of it. */
export function unansweredOfKey() {
  if (who().kind !== "key") return [];
  const kept = remembered(`${STORED} key`);
  return Object.keys(kept).filter((id) => kept[id].sends > 0).sort();
}

export class Drafts {
  #stored = `${STORED} ${who().subject ?? who().kind}`; // nobody sees or sends what another has sent
  #unanswered = remembered(this.#stored); // id -> { content, sends: how many nobody answered, request: what `Commands.run` is asked }
  #held = new Map(); // name of a form -> the id of what it holds

  /** The id for what the form holds: the one that the same content was sent with, as long as no answer says what became of it. */
  idFor(name, fields) {
    const content = JSON.stringify([name, fields]);
    const known = Object.keys(this.#unanswered).find((id) => this.#unanswered[id].content === content);
    const id = known ?? newTransferId();
    this.#unanswered[id] ??= { content, sends: 0 };
    this.#held.set(name, id);
    return id;
  }

  /** It is about to be sent: from here on it may be done. request: what sends it again, of plain values. */
  sent(id, request) {
    const draft = this.#unanswered[id];
    if (draft === undefined) return; // its end is known already
    draft.sends++;
    draft.request = request;
    this.#remember();
  }

  /** A field of the form was touched: what it holds is not what was sent. Its id is kept, for that may be done. */
  changed(name) {
    this.#held.delete(name);
  }

  /** It is known what became of it. Names of the forms that still hold it. */
  answered(id) {
    delete this.#unanswered[id];
    this.#remember();
    const names = [...this.#held].filter(([, held]) => held === id).map(([name]) => name);
    names.forEach((name) => this.#held.delete(name));
    return names;
  }

  /** This sending of it did nothing; one before it that nobody answered may have. */
  turnedAway(id) {
    const draft = this.#unanswered[id];
    if (draft === undefined) return;
    draft.sends--;
    if (draft.sends <= 0) delete this.#unanswered[id];
    this.#remember();
  }

  /** What to send again of what nobody answered, the oldest first. */
  get requests() {
    return Object.keys(this.#unanswered).sort().map((id) => this.#unanswered[id].request).filter((request) => request !== undefined);
  }

  #remember() {
    sessionStorage.setItem(this.#stored, JSON.stringify(this.#unanswered));
  }
}

function remembered(stored) {
  try {
    return JSON.parse(sessionStorage.getItem(stored)) ?? {};
  } catch {
    return {};
  }
}
