// Which accounts this browser watches.

import { ACCOUNT } from "/console/contract.js";

const STORED = "fanfold.watched";

export function remember(accounts) {
  localStorage.setItem(STORED, JSON.stringify(accounts));
}

export function remembered() {
  try {
    const accounts = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return Array.isArray(accounts) ? accounts.filter((account) => ACCOUNT.test(account)) : [];
  } catch {
    return [];
  }
}
