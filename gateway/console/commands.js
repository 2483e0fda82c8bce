// Sends commands and tells what came of them. Sent again with the same id a command runs once, so what is not known is sent again.

import { formatWithSign } from "/console/money.js";
import { NO_ANSWER, send } from "/console/wallet_api.js";
import { ROUTES } from "/console/contract.js";

export class Commands {
  #activity;
  #timeline;
  #drafts;
  #onAnswer;

  /** onAnswer: told each answer that came, with the names of the forms that still hold what it answers. */
  constructor(activity, timeline, drafts, onAnswer) {
    [this.#activity, this.#timeline, this.#drafts, this.#onAnswer] = [activity, timeline, drafts, onAnswer];
  }

  /**
   * operation: of the table of addresses; named: what stands in its path; words: `done`, `failed` and `asked`, the last for what may
   * have been done; nothing: what a refusal means for the money, in this command's words.
   * Returns whether it is done.
   */
  async run({ operation, named = {}, command, words, nothing = "Nothing changed." }) {
    const request = { operation, named, command, words, nothing };
    if (command.id !== undefined) this.#drafts.sent(command.id, request);
    const answer = await send(ROUTES[operation], named, command);
    const { document, problem } = answer;
    if (command.id !== undefined && answer.kind !== "unknown") {
      if (answer.isDecided) this.#onAnswer(answer, this.#drafts.answered(command.id));
      else this.#drafts.turnedAway(command.id);
    }
    const { result, steps, protocol } = document ?? problem;
    const isAcross = result === "pending" || steps !== undefined || protocol !== undefined;
    if (command.id !== undefined && isAcross) this.#timeline.follow(command.id);
    if (answer.kind === "unknown") this.#unknown(problem, request);
    else if (answer.kind === "refused") this.#refused(problem, command, words.failed, nothing);
    else if (result === "pending") this.#activity.add("unknown", `Under way: ${words.done}`, "It ends by itself; its steps are shown as they are done.");
    else this.#activity.add("done", words.done, `In the log at position ${document.position ?? "?"}.`);
    return answer.kind === "done";
  }

  /** A line for each that was sent before the page was loaded and that nobody answered. */
  tellUnanswered() {
    for (const request of this.#drafts.requests) this.#unknown(NO_ANSWER, request);
  }

  /** It may have been done: to be sent again, or asked for. */
  #unknown({ title, detail }, request) {
    const { command: { id }, words: { asked } } = request;
    const actions = [{ text: "Send again with the same id", work: () => this.run(request), once: true }];
    if (id !== undefined) actions.push({ text: "Ask what became of it", work: () => this.#ask(id, asked) });
    this.#activity.add("unknown", `${asked}: ${title}`, detail ?? "", actions);
  }

  /** What is found is its answer: the same once more is another transfer. What is not found may still be on its way. */
  async #ask(id, asked) {
    const answer = await this.#timeline.follow(id);
    if (answer?.kind === "done") {
      const kind = answer.document.result === "refused" ? "refused" : "done";
      this.#onAnswer({ ...answer, kind }, this.#drafts.answered(id));
    } else if (answer !== null) {
      this.#activity.add("refused", `${asked}: ${answer.problem.title ?? "no answer"}`, answer.problem.detail ?? "");
    }
  }

  #refused({ title, detail, available, account }, command, failed, nothing) {
    const giver = account ?? command.from;
    const asset = command.legs?.find((leg) => leg.account === giver)?.asset ?? command.asset;
    const isShort = available !== undefined && giver !== undefined && asset !== undefined;
    const has = isShort ? `${nothing} ${giver} has ${formatWithSign(available, asset)} available.` : detail ?? nothing;
    this.#activity.add("refused", `${failed}: ${title ?? "refused"}`, has);
  }
}
