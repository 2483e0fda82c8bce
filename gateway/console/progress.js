// How far a partition is with what takes long, in words.

const WHAT = { start: "its log is folded", rebuild: "its view is made again", rollback: "its view is rolled back" };
const count = new Intl.NumberFormat("en");

/** progress: of a partition in GET /v1/positions. */
export function progressOf({ what, done, total, unit, seconds_left: left }) {
  const of = total === null ? "" : ` of about ${count.format(total)}`;
  const still = left === null ? "" : `, about ${Math.ceil(left)} s left`;
  return `${WHAT[what] ?? what}, ${count.format(done)}${of} ${unit}${still}`;
}
