// Puts the page together: forms to the REST API, the stream to the cards, and what is watched into this browser's storage.

import { Activity } from "/console/activity.js";
import { Cards } from "/console/cards.js";
import { ACCOUNT, NEW_ASSET, STREAM, WORLD } from "/console/contract.js";
import { Drafts } from "/console/drafts.js";
import { Lag } from "/console/lag.js";
import { formatWithSign, parse } from "/console/money.js";
import { showSignIn, token } from "/console/sign_in.js";
import { WalletStream } from "/console/wallet-stream.js";
import { Timeline } from "/console/timeline.js";
import { openAccount, transfer } from "/console/wallet_api.js";

const STORED = "fanfold.watched";
const byId = (id) => document.getElementById(id);

const activity = new Activity();
const timeline = new Timeline();
const drafts = new Drafts();
const cards = new Cards((account) => {
  stream.unwatch(account);
  remember();
});
function showState(name, text) {
  byId("connection").dataset.state = name;
  byId("connection-text").textContent = text;
  cards.stale(name !== "live" && name !== "partly");
}

const stream = new WalletStream(location.origin.replace(/^http/, "ws") + STREAM, {
  state: showState,
  balance: (account, item) => cards.show(account, item),
  absent: (account) => cards.absent(account),
  unread: (account, code) => cards.unread(account, code),
  read: (account) => cards.read(account),
  transfer: (_account, id) => timeline.changed(id),
  missed: () => timeline.again(),
  trouble: (title, detail) => activity.add("refused", title, detail),
}, token);

function watch(account) {
  if (!cards.has(account)) {
    cards.add(account);
    stream.watch(account);
    remember();
  }
}

function remember() {
  localStorage.setItem(STORED, JSON.stringify(cards.accounts));
  byId("welcome").hidden = cards.accounts.length > 0;
  const options = [WORLD, ...cards.accounts].map((account) => {
    const option = document.createElement("option");
    option.value = account;
    return option;
  });
  byId("accounts").replaceChildren(...options);
}

function remembered() {
  try {
    const accounts = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return Array.isArray(accounts) ? accounts.filter((account) => ACCOUNT.test(account)) : [];
  } catch {
    return [];
  }
}

/** Tell an answer in words; `again` sends an unanswered request once more: `asked` tells that one, for it may have been done. */
function tell(answer, done, failed, asked, again) {
  if (answer.kind === "done" && answer.document.result === "pending") {
    activity.add("unknown", `Under way: ${done}`, "It ends by itself; its steps are shown as they are done.");
  } else if (answer.kind === "done") {
    activity.add("done", done, `In the log at position ${answer.document.position ?? "?"}.`);
  } else {
    const { title, detail } = answer.problem;
    const unknown = answer.kind === "unknown";
    activity.add(answer.kind, `${unknown ? asked : failed}: ${title ?? "refused"}`, detail ?? "", unknown ? again : null);
  }
  return answer.kind === "done";
}

async function open(account, asset, floor) {
  const answer = await openAccount(account, asset, floor);
  const [done, failed, asked] = [`Opened ${account} in ${asset}`, `${account} was not opened`, `Opening ${account}`];
  return tell(answer, done, failed, asked, () => open(account, asset, floor));
}

async function move(command) {
  const sum = formatWithSign(command.amount, command.asset);
  const what = `${sum} from ${command.from} to ${command.to}`;
  const answer = await transfer(command);
  const forms = answer.kind === "unknown" ? [] : drafts.answered(command.id);
  // Whoever pressed Send again would pay again: also when it was "Send again with the same id" that got the answer.
  if (answer.kind === "done" && forms.includes("transfer")) byId("transfer-form").elements.amount.value = "";
  const available = answer.problem?.available;
  if (available !== undefined) {
    answer.problem.detail = `No money moved. ${command.from} has ${formatWithSign(available, command.asset)} available.`;
  }
  const { result, steps, protocol } = answer.document ?? answer.problem ?? {};
  if (result === "pending" || steps !== undefined || protocol !== undefined) timeline.follow(command.id);
  return tell(answer, `Moved ${what}`, `${what} did not go through`, `${what}, id ${command.id}`, () => move(command));
}

/** Runs `work` with the form's values while its button is disabled. A RangeError is shown at the named field. */
function onSubmit(form, work) {
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
      activity.add("refused", "Not sent", error.message);
    } finally {
      button.disabled = false;
    }
  });
}

function accountNamed(text, field = "account") {
  if (ACCOUNT.test(text)) return text;
  throw Object.assign(new RangeError("An account is letters, digits and _ . : - and begins with a letter or digit."), { field });
}

function amountOf(text, asset, field) {
  try {
    return parse(text, asset);
  } catch (error) {
    throw Object.assign(error, { field: error.field ?? field });
  }
}

function partyNamed(text, field) {
  return text === WORLD ? text : accountNamed(text, field);
}

onSubmit(byId("watch-form"), async ({ account }) => {
  watch(accountNamed(account));
  byId("watch-form").reset();
});

onSubmit(byId("open-form"), async ({ account, asset, floor }) => {
  if (!NEW_ASSET.test(asset)) {
    const rule = "The asset must be a code and its decimal places, 0 to 15 without a leading zero, such as USD/2.";
    throw Object.assign(new RangeError(rule), { field: "asset" });
  }
  const lowest = floor === "" ? null : amountOf(floor, asset, "floor");
  if (await open(accountNamed(account), asset, lowest)) {
    watch(account);
    byId("open-form").elements.account.value = "";
  }
});

onSubmit(byId("transfer-form"), async ({ from, to, amount, asset }) => {
  const fields = { from: partyNamed(from, "from"), to: partyNamed(to, "to"), amount: amountOf(amount, asset, "amount"), asset };
  await move({ id: drafts.idFor("transfer", fields), ...fields });
});
byId("transfer-form").addEventListener("input", () => drafts.changed("transfer"));

onSubmit(byId("timeline-form"), async ({ id }) => {
  const problem = await timeline.follow(id);
  if (problem !== null) activity.add("refused", `Not shown: ${problem.title ?? "no answer"}`, problem.detail ?? "");
});

// The asset follows the account, once it is known.
for (const name of ["from", "to"]) {
  byId("transfer-form").elements[name].addEventListener("change", (event) => {
    const asset = cards.assetOf(event.target.value.trim());
    if (asset !== null) byId("transfer-form").elements.asset.value = asset;
  });
}

byId("demo").addEventListener("click", async (event) => {
  event.target.disabled = true;
  for (const account of ["alice", "bob"]) {
    if (!(await open(account, "USD/2", "0"))) break;
    watch(account);
    const fields = { from: WORLD, to: account, amount: "10000", asset: "USD/2" };
    await move({ id: drafts.idFor(`demo ${account}`, fields), ...fields });
  }
  const form = byId("transfer-form").elements;
  [form.from.value, form.to.value, form.amount.value, form.asset.value] = ["alice", "bob", "12.50", "USD/2"];
  event.target.disabled = false;
});

for (const account of remembered()) {
  cards.add(account);
  stream.watch(account);
}
remember();
stream.start();
showSignIn().then((isWaitedFor) => {
  if (!isWaitedFor) return;
  stream.stop();
  showState("lost", "Sign in to see balances");
});
new Lag().start();
