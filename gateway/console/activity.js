// What was asked and what came of it, newest first. A refusal shows its problem document's title and detail.

const LINES_MAX = 50;

export class Activity {
  #list = document.getElementById("activity");
  #empty = document.getElementById("activity-empty");
  #template = document.getElementById("activity-template");

  /** kind: done, refused, unknown. `retry`, when given, becomes a button. */
  add(kind, what, detail, retry = null) {
    const line = this.#template.content.firstElementChild.cloneNode(true);
    line.classList.add(kind);
    line.querySelector(".what").textContent = what;
    line.querySelector(".detail").textContent = detail;
    if (retry !== null) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Send again with the same id";
      button.addEventListener("click", () => {
        button.remove();
        retry();
      });
      line.append(button);
    }
    this.#empty.hidden = true;
    this.#list.prepend(line);
    while (this.#list.children.length > LINES_MAX) this.#list.lastElementChild.remove();
  }
}
