// The REST side of the console. Every answer is a value: done, refused with its problem document, or not known.

import { ASKED_AGAIN, ROUTES } from "/console/contract.js";
import { token } from "/console/sign_in.js";

/** A UUIDv7: time first, so that the service can forget old ids without ever running one twice. */
export function newTransferId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let time = BigInt(Date.now());
  for (let i = 5; i >= 0; i--, time >>= 8n) bytes[i] = Number(time & 0xffn);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** What became of a transfer or hold, or where it stands now. Its result tells; a refused one is read as well as a done one. */
export function readTransfer(id) {
  return send(ROUTES.get_transfer, { transfer: id });
}

/** A page of what moved an account, the newest first; `cursor`: the `next` of the page before, null for the first. */
export function readEntries(account, limit, cursor) {
  return send(ROUTES.get_entries, { account }, undefined, { limit, ...(cursor === null ? {} : { cursor }) });
}

/** A page of accounts whose names begin so. */
export function readAccounts(prefix, limit, cursor) {
  return send(ROUTES.get_accounts, {}, undefined, { limit, ...(prefix === "" ? {} : { prefix }), ...(cursor === null ? {} : { cursor }) });
}

/** The account as it was: at a version, or at a time. */
export function readAsOf(account, moment) {
  return send(ROUTES.get_account, { account }, undefined, { as_of: moment });
}

/** The holds that are open on an account. */
export function readHolds(account) {
  return send(ROUTES.get_holds, { account });
}

/** What came from outside and what is in flight. */
export function readSystem(asset) {
  return send(ROUTES.get_system, {}, undefined, { asset });
}

/** How far each partition is, and how far readers are behind the log. */
export function readPositions() {
  return send(ROUTES.get_positions, {});
}

export const NO_ANSWER = { title: "No answer arrived", detail: "It may have been done. Sending it again is safe: it never runs twice." };

const NOT_LOOKED_AT = [401, 403]; // who asks was turned away, whatever was asked

/** isDecided: whether the answer is of what was asked; a refusal may be of who asks, or of something in between. `named`: what stands in the path of the route between its fixed parts; `query`: its parameters. */
export async function send({ method, path }, named, body, query = {}) {
  const asked = new URLSearchParams(query).toString();
  const target = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(named[name])) + (asked && `?${asked}`);
  let response, document;
  try {
    response = await fetch(target, {
      method,
      headers: {
        ...(token() === "" ? {} : { authorization: `Bearer ${token()}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    });
    document = await response.json();
  } catch {
    return { kind: "unknown", problem: NO_ANSWER };
  }
  // What something in between says for itself tells nothing about what became of the request.
  const isOurs = document !== null && (response.ok ? method === "GET" || "result" in document : "code" in document);
  if (response.ok && isOurs) return { kind: "done", document, isDecided: true };
  const isUnknown = response.ok || response.status >= 500 || ASKED_AGAIN.includes(response.status);
  const isDecided = !isUnknown && isOurs && !NOT_LOOKED_AT.includes(response.status);
  return { kind: isUnknown ? "unknown" : "refused", isDecided, problem: isOurs ? document : isUnknown ? NO_ANSWER : {} };
}
