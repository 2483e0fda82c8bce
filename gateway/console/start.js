// How far a start is, and what cannot be read while a view is made again: from /readyz, which says so before anything else can be asked.

const SIDES = [["write_side", "taking money"], ["read_side", "showing balances"]];

/** A line for each partition that is on its way; none where nothing is, or nobody says. */
export async function startLines() {
  let told;
  try {
    told = await (await fetch("/readyz", { signal: AbortSignal.timeout(5_000) })).json();
  } catch {
    return [];
  }
  const starting = SIDES.flatMap(([side, what]) =>
    Object.entries(told?.[side]?.starting?.partitions ?? {}).map(([partition, progress]) => startLine(partition, what, progress)),
  );
  const remade = (told?.unread ?? []).filter(({ code }) => code === "view_rebuilding");
  return starting.length > 0 ? starting : remade.map(({ partition }) => `Partition ${partition}: its view is being made`);
}

function startLine(partition, what, { blocks_folded: folded, blocks, seconds_left: left }) {
  const far = blocks === null || blocks === undefined ? `${folded} blocks folded` : `${folded} of about ${blocks} blocks folded`;
  return `Partition ${partition} starts ${what}: ${far}${left === null || left === undefined ? "" : `, about ${Math.ceil(left)} s left`}`;
}
