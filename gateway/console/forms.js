// What all forms do alike: a button that waits for its answer, and a wrong field that is the one that is marked.

import { ACCOUNT, WORLD } from "/console/contract.js";
import { parse } from "/console/money.js";

/** Runs `work` with the form's values while its button is disabled. A RangeError is shown at its `field`, and said by `tell`. */
export function onSubmit(form, tell, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    for (const input of form.elements) input.removeAttribute?.("aria-invalid");
    button.disabled = true;
    try {
      await work(Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()])));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const field = form.elements[error.field ?? "amount"];
      field?.setAttribute("aria-invalid", "true");
      field?.focus();
      tell(error.message);
    } finally {
      button.disabled = false;
    }
  });
}

/** Something that a person typed is wrong: what, and in which field. */
export function wrong(message, field) {
  return Object.assign(new RangeError(message), { field });
}

export function accountNamed(text, field = "account") {
  if (ACCOUNT.test(text)) return text;
  throw wrong("An account is letters, digits and _ . : - and begins with a letter or digit.", field);
}

export function partyNamed(text, field) {
  return text === WORLD ? text : accountNamed(text, field);
}

export function amountOf(text, asset, field, assetField = "asset") {
  try {
    return parse(text, asset);
  } catch (error) {
    throw wrong(error.message, error.field === "asset" ? assetField : field);
  }
}
