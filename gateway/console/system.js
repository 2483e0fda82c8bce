// What came from outside and what is in flight, of every asset that is watched: with the wallets it is zero together.

import { format } from "/console/money.js";
import { readSystem } from "/console/wallet_api.js";

const EVERY_MS = 5000;
const SOON_MS = 500;
const ASSETS_MAX = 8;

export class System {
  #section = document.getElementById("system");
  #list = document.getElementById("system-assets");
  #template = document.getElementById("system-template");
  #assets;
  #timer = null;
  #reading = false;

  /** assets: tells which ones there are to show. */
  constructor(assets) {
    this.#assets = assets;
  }

  /** Ask for as long as somebody looks at the page. */
  start() {
    this.#later(0);
  }

  /** Money has moved. However fast it does, it is asked once in a while. */
  changed() {
    if (!this.#reading) this.#later(SOON_MS, true);
  }

  #later(ms, onlySooner = false) {
    if (onlySooner && this.#timer?.soon) return;
    clearTimeout(this.#timer?.id);
    this.#timer = { soon: onlySooner, id: setTimeout(() => this.#read(), ms) };
  }

  async #read() {
    this.#reading = true;
    if (document.visibilityState === "visible") {
      const assets = this.#assets().slice(0, ASSETS_MAX);
      const answers = await Promise.all(assets.map((asset) => readSystem(asset)));
      // Without an answer what was shown would be of then: who may not see it sees nothing, too.
      const told = answers.filter(({ kind }) => kind === "done").map(({ document }) => document);
      this.#list.replaceChildren(...told.map((each) => this.#line(each)));
      this.#section.hidden = told.length === 0;
    }
    this.#reading = false;
    this.#later(EVERY_MS);
  }

  #line({ asset, world, transit }) {
    const line = this.#template.content.firstElementChild.cloneNode(true);
    const [code] = asset.split("/");
    line.dataset.asset = asset;
    line.querySelector(".asset").textContent = code;
    line.querySelector(".world").textContent = format(world, asset);
    line.querySelector(".transit").textContent = format(transit, asset);
    line.querySelector(".wallets").textContent = format((-(BigInt(world) + BigInt(transit))).toString(), asset);
    return line;
  }
}
