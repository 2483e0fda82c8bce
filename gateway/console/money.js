// Amounts are digit strings of minor units; here they are only ever strings and BigInt, never floating point.

import { ASSET } from "/console/contract.js";

const SIGNS = { USD: "$", EUR: "€", GBP: "£", JPY: "¥" };

/** Decimal places of an asset such as "USD/2", of an older log's too; null when it is none. */
export function exponentOf(asset) {
  return ASSET.test(asset) ? Number(asset.split("/")[1]) : null;
}

/** "-1234567" in "USD/2" as "−12,345.67"; the sign is a real minus. */
export function format(minor, asset) {
  const value = BigInt(minor);
  const exponent = exponentOf(asset) ?? 0;
  const digits = (value < 0n ? -value : value).toString().padStart(exponent + 1, "0");
  const whole = digits.slice(0, digits.length - exponent).replace(/\B(?=(\d{3})+$)/g, ",");
  const part = exponent === 0 ? "" : "." + digits.slice(-exponent);
  return (value < 0n ? "−" : "") + whole + part;
}

/** The same with the currency's sign where it has a common one. */
export function formatWithSign(minor, asset) {
  const text = format(minor, asset);
  const sign = SIGNS[asset.split("/")[0]] ?? "";
  return text.startsWith("−") ? "−" + sign + text.slice(1) : sign + text;
}

/** What a person typed, "12,345.6", as minor units "1234560". Throws RangeError with a message for that person and its `field`. */
export function parse(typed, asset) {
  const exponent = exponentOf(asset);
  if (exponent === null) {
    throw Object.assign(new RangeError("The asset must be a code and its decimal places, such as USD/2."), { field: "asset" });
  }
  const match = /^(-?)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.([0-9]+))?$/.exec(typed.trim());
  if (match === null) throw new RangeError("An amount is digits with a point, such as 12.50.");
  const part = match[3] ?? "";
  if (part.length > exponent) throw new RangeError(`${asset.split("/")[0]} has ${exponent} decimal places.`);
  return BigInt(match[1] + match[2].replaceAll(",", "") + part.padEnd(exponent, "0")).toString();
}
