// What is said of an answer that is old, for its partition's log is damaged behind it (`stale_since`).

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Up to when everything is in it, for a person; `since` is of 1970 where nothing could be read. */
export function shownUpTo(since) {
  return `up to ${clock.format(new Date(since))}: its log is damaged behind that, and what came later is not shown`;
}
