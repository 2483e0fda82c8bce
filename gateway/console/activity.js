// What was asked and what came of it, newest first. A refusal shows its problem document's title and detail.

const LINES_MAX = 50;

export class Activity {
  #list = document.getElementById("activity");
  #empty = document.getElementById("activity-empty");
  #template = document.getElementById("activity-template");

  /** kind: done, refused, unknown. actions: buttons, a text and what each does; `once`: it goes then. */
  add(kind, what, detail, actions = []) {
    const line = this.#template.content.firstElementChild.cloneNode(true);
    line.classList.add(kind);
    line.querySelector(".what").textContent = what;
    line.querySelector(".detail").textContent = detail;
    for (const { text, work, once } of actions) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => {
        if (once) button.remove();
        work();
      });
      line.append(button);
    }
    this.#empty.hidden = true;
    this.#list.prepend(line);
    while (this.#list.children.length > LINES_MAX) this.#list.lastElementChild.remove();
  }
}
