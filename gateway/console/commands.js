// Sends commands and tells what came of them. Sent again with the same id a command runs once, so what is not known is sent again.

import { formatWithSign } from "/console/money.js";
import { send } from "/console/wallet_api.js";
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
    const answer = await send(ROUTES[operation], named, command);
    const { document, problem } = answer;
    if (answer.kind !== "unknown" && command.id !== undefined) this.#onAnswer(answer, this.#drafts.answered(command.id));
    const { result, steps, protocol } = document ?? problem;
    const isAcross = result === "pending" || steps !== undefined || protocol !== undefined;
    if (command.id !== undefined && isAcross) this.#timeline.follow(command.id);
    const again = () => this.run({ operation, named, command, words, nothing });
    if (answer.kind === "unknown") this.#unknown(problem, command.id, words.asked, again);
    else if (answer.kind === "refused") this.#refused(problem, command, words.failed, nothing);
    else if (result === "pending") this.#activity.add("unknown", `Under way: ${words.done}`, "It ends by itself; its steps are shown as they are done.");
    else this.#activity.add("done", words.done, `In the log at position ${document.position ?? "?"}.`);
    return answer.kind === "done";
  }

  /** It may have been done: to be sent again, or asked for. */
  #unknown({ title, detail }, id, asked, again) {
    const actions = [{ text: "Send again with the same id", work: again, once: true }];
    if (id !== undefined) actions.push({ text: "Ask what became of it", work: () => this.#ask(id, asked) });
    this.#activity.add("unknown", `${asked}: ${title}`, detail ?? "", actions);
  }

  async #ask(id, asked) {
    const problem = await this.#timeline.follow(id);
    if (problem !== null) this.#activity.add("refused", `${asked}: ${problem.title ?? "no answer"}`, problem.detail ?? "");
  }

  #refused({ title, detail, available, account }, command, failed, nothing) {
    const giver = account ?? command.from;
    const asset = command.legs?.find((leg) => leg.account === giver)?.asset ?? command.asset;
    const isShort = available !== undefined && giver !== undefined && asset !== undefined;
    const has = isShort ? `${nothing} ${giver} has ${formatWithSign(available, asset)} available.` : detail ?? nothing;
    this.#activity.add("refused", `${failed}: ${title ?? "refused"}`, has);
  }
}
