// Draws a balance over time. A picture is made of floating point; whatever is read out beside it is the digits of the log.

import uPlot from "/console/uPlot.esm.js";
import { exponentOf } from "/console/money.js";

const HEIGHT_PX = 220;
const MOUSE = ["mousedown", "mouseup", "click", "dblclick", "mousemove", "mouseleave", "mouseenter"]; // not uPlot's to hear
const DOTS_MAX = 60; // beyond that they are one thick line
const MINUTE_S = 60;
const DAY_S = 86_400;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const parts = new Intl.DateTimeFormat(undefined, { minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1 });
const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const month = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric" });
const COMPACT_MAX = 1e15; // beyond that its words end
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const scientific = new Intl.NumberFormat("en", { notation: "scientific", maximumFractionDigits: 2 });

export class Plot {
  #box;
  #onPoint;
  #plot = null;
  #drawn = null; // points and asset
  #at = 0; // the point that the cursor is at

  /** onPoint: told which point a pointer is moved to. */
  constructor(box, onPoint) {
    [this.#box, this.#onPoint] = [box, onPoint];
    for (const moved of ["pointermove", "pointerdown"]) box.addEventListener(moved, (event) => this.#pointed(event));
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#drawn && this.draw(...this.#drawn));
  }

  /** points: `at` and `posted` of each, the oldest first. */
  draw(points, asset) {
    this.#drawn = [points, asset];
    const scale = 10 ** (exponentOf(asset) ?? 0);
    const data = [points.map(({ at }) => Date.parse(at) / 1000), points.map(({ posted }) => Number(posted) / scale)];
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(points.length), data, this.#box);
  }

  point(index) {
    this.#at = index;
    if (this.#plot === null || this.#plot.data[0][index] === undefined) return;
    const [times, sums] = this.#plot.data;
    this.#plot.setCursor({ left: this.#plot.valToPos(times[index], "x"), top: this.#plot.valToPos(sums[index], "y") });
  }

  /** A browser tells of a pointer that rests, too, when what is under it was drawn again: that is nobody's wish. */
  #pointed({ type, clientX, movementX, movementY }) {
    if (this.#plot === null || (type === "pointermove" && movementX === 0 && movementY === 0)) return;
    this.#onPoint(this.#plot.posToIdx(clientX - this.#plot.over.getBoundingClientRect().left));
  }

  clear() {
    this.#plot?.destroy();
    this.#plot = this.#drawn = null;
  }

  #size() {
    return { width: Math.max(200, this.#box.clientWidth), height: HEIGHT_PX };
  }

  #options(count) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: colour("soft"), font, grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, bind: Object.fromEntries(MOUSE.map((name) => [name, () => null])) },
      scales: { x: { time: true } },
      axes: [{ ...axis, space: 86, values: (_, ticks, _axis, _space, step) => ticks.map((tick) => tickOf(tick, step)) }, { ...axis, size: (_, texts) => widthOf(texts ?? []), values: (_, ticks) => ticks.map(sumOf) }],
      hooks: { draw: [() => this.point(this.#at)] }, // also of another size: before it is drawn nobody knows where a point is
      series: [{}, {
        stroke: colour("accent"),
        width: 2,
        paths: uPlot.paths.stepped({ align: 1 }),
        points: { show: count <= DOTS_MAX, size: 5 },
      }],
    };
  }
}

function sumOf(tick) {
  return (Math.abs(tick) < COMPACT_MAX ? compact : scientific).format(tick);
}

/** Room for the longest text of an axis, in pixels. */
function widthOf(texts) {
  return 20 + 7.5 * Math.max(4, ...texts.map((text) => text.length));
}

/** In the reader's own way to write times: ticks `step` seconds apart, midnight as its day. */
function tickOf(seconds, step) {
  const at = new Date(seconds * 1000);
  if (step >= 28 * DAY_S) return month.format(at);
  if (step >= DAY_S || (at.getHours() === 0 && at.getMinutes() === 0 && step >= MINUTE_S)) return day.format(at);
  return (step >= MINUTE_S ? hour : step >= 1 ? clock : parts).format(at);
}
