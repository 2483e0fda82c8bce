// One transfer, step by step: what each partition did for it and when, and the accounts after it, from GET /v1/transfers/{id}.

import { format } from "/console/money.js";
import { shownUpTo } from "/console/stale.js";
import { readTransfer } from "/console/wallet_api.js";

const ACTIONS = { try: "Try", confirm: "Confirm", cancel: "Cancel" };
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});

export class Timeline {
  #box = document.getElementById("timeline");
  #head = document.getElementById("timeline-head");
  #legs = document.getElementById("timeline-legs");
  #list = document.getElementById("timeline-steps");
  #template = document.getElementById("timeline-template");
  #id = null;
  #asked = 0;

  /** Show this transfer from now on. Returns what was answered, null where it was asked for anew meanwhile. */
  async follow(id) {
    this.#id = id.toLowerCase();
    return this.#read();
  }

  /** The transfer went to another phase: read again, when it is the one shown. */
  async changed(id) {
    if (id === this.#id) await this.#read();
  }

  /** Phases may have gone by: read again what is shown. */
  async again() {
    if (this.#id !== null) await this.#read();
  }

  async #read() {
    const asked = ++this.#asked; // phases may come faster than answers: only the newest answer counts
    const answer = await readTransfer(this.#id);
    if (asked !== this.#asked) return null;
    if (answer.kind === "done") this.#show(answer.document);
    return answer;
  }

  #show(transfer) {
    const { result, phase, protocol, code, state } = transfer;
    this.#box.dataset.result = result;
    this.#box.dataset.id = transfer.id;
    this.#box.hidden = false;
    const stands = result === "pending" ? `Under way: ${phase}` : result === "refused" ? `Refused: ${code}` : `Result: ${state ?? result}`;
    const since = transfer.stale_since;
    const old = since === undefined ? undefined : `what became of it is shown ${shownUpTo(since)}`;
    this.#head.textContent = [stands, protocol, old].filter(Boolean).join(" · ");
    this.#legs.replaceChildren(...(transfer.legs ?? transfer.left ?? []).map(legLine));
    const after = transfer.step_accounts ?? [];
    const steps = (transfer.steps ?? []).map((step, at) => ({ ...step, after: after[at] ?? [] })).sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0));
    const lines = steps.map((step) =>
      this.#line(step.code === "done" ? "done" : "refused", step.at, step.partition, stepText(step), step.position, step.after),
    );
    if (steps.length === 0) lines.push(this.#line(result, transfer.at, null, "Decided in one partition", transfer.position));
    for (const wait of transfer.waiting_for ?? []) {
      lines.push(this.#line("waiting", null, wait.partition, `Waits for ${wait.action} of step ${wait.step}`, ""));
    }
    this.#list.replaceChildren(...lines);
  }

  #line(kind, at, partition, what, position, after = []) {
    const line = this.#template.content.firstElementChild.cloneNode(true);
    line.classList.add(kind);
    line.querySelector(".what").textContent = what;
    const time = line.querySelector("time");
    if (at === null) time.remove();
    else [time.dateTime, time.title, time.textContent] = [at, at, clock.format(new Date(at))];
    line.querySelector(".place").textContent = partition === null ? position : `partition ${partition} ${position}`.trim();
    if (after.length > 0) line.append(afterText(after));
    return line;
  }
}

/** The accounts after a step: what a reader could see then. */
function afterText(accounts) {
  const text = document.createElement("p");
  text.className = "after";
  text.textContent = accounts
    .map(({ account, asset, posted, held }) => {
      const name = account === "@transit" ? "in transit" : account;
      return `${name} ${format(posted, asset)}${held === "0" ? "" : `, held ${format(held, asset)}`}`;
    })
    .join(" · ");
  return text;
}

function stepText({ step, action, code }) {
  return `${ACTIONS[action] ?? action} of step ${step}: ${code.replaceAll("_", " ")}`;
}

function legLine({ account, amount, asset }) {
  const line = document.createElement("li");
  line.textContent = `${account ?? "another account"} ${asset === null ? amount : format(amount, asset)} ${(asset ?? "").split("/")[0]}`;
  return line;
}
