// Puts the page together: forms to the REST API, the stream to the cards, and what is watched into this browser's storage.

import { Accounts } from "/console/accounts.js";
import { Activity } from "/console/activity.js";
import { Cards } from "/console/cards.js";
import { Chart } from "/console/chart.js";
import { Commands } from "/console/commands.js";
import { Connection } from "/console/connection.js";
import { NEW_ASSET, STREAM, WORLD } from "/console/contract.js";
import { Drafts, forgetOfKey, unansweredOfKey } from "/console/drafts.js";
import { accountNamed, amountOf, onSubmit, wrong } from "/console/forms.js";
import { HoldEnds } from "/console/hold_ends.js";
import { Lag } from "/console/lag.js";
import { formatWithSign } from "/console/money.js";
import { showSignIn, token } from "/console/sign_in.js";
import { System } from "/console/system.js";
import { Timeline } from "/console/timeline.js";
import { TransferForm } from "/console/transfer_form.js";
import { WalletStream } from "/console/wallet-stream.js";
import { remember, remembered } from "/console/watched.js";

const byId = (id) => document.getElementById(id);

const activity = new Activity();
const timeline = new Timeline();
const drafts = new Drafts();
const commands = new Commands(activity, timeline, drafts, (answer, forms) => transferForm.answered(answer, forms));
const chart = new Chart();
const holdEnds = new HoldEnds(commands, drafts, activity);
const cards = new Cards((account) => unwatch(account), (account) => chart.open(account), holdEnds);
const transferForm = new TransferForm(commands, drafts, activity, (account) => cards.assetOf(account));
const accounts = new Accounts((account) => watch(account), (account) => cards.liveOf(account));
const system = new System(() => cards.assets);
const connection = new Connection((isStale) => cards.stale(isStale));

const stream = new WalletStream(location.origin.replace(/^http/, "ws") + STREAM, {
  state: (name, text, waitMs) => connection.told(name, text, waitMs),
  balance: (account, item) => {
    cards.show(account, item);
    accounts.show(account, item.posted, cards.assetOf(account));
    chart.changed(account);
    system.changed();
  },
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
    watchedChanged();
  }
  cards.point(account);
}

function unwatch(account) {
  stream.unwatch(account);
  chart.gone(account);
  watchedChanged();
}

function watchedChanged() {
  remember(cards.accounts);
  byId("welcome").hidden = cards.accounts.length > 0;
  const options = [WORLD, ...cards.accounts].map((account) => {
    const option = document.createElement("option");
    option.value = account;
    return option;
  });
  byId("accounts").replaceChildren(...options);
}

const notSent = (message) => activity.add("refused", "Not sent", message);

async function open(account, asset, floor) {
  const words = { done: `Opened ${account} in ${asset}`, failed: `${account} was not opened`, asked: `Opening ${account}` };
  const isDone = await commands.run({ operation: "open_account", named: { account }, command: { asset, floor }, words });
  if (isDone) accounts.again();
  return isDone;
}

onSubmit(byId("watch-form"), notSent, async ({ account }) => {
  watch(accountNamed(account));
  byId("watch-form").reset();
});

onSubmit(byId("open-form"), notSent, async ({ account, asset, floor }) => {
  if (!NEW_ASSET.test(asset)) {
    throw wrong("The asset must be a code and its decimal places, 0 to 15 without a leading zero, such as USD/2.", "asset");
  }
  const lowest = floor === "" ? null : amountOf(floor, asset, "floor");
  if (await open(accountNamed(account), asset, lowest)) {
    watch(account);
    byId("open-form").elements.account.value = "";
  }
});

onSubmit(byId("timeline-form"), notSent, async ({ id }) => {
  const problem = (await timeline.follow(id))?.problem;
  if (problem !== undefined) activity.add("refused", `Not shown: ${problem.title ?? "no answer"}`, problem.detail ?? "");
});

byId("demo").addEventListener("click", async (event) => {
  event.target.disabled = true;
  for (const account of ["alice", "bob"]) {
    if (!(await open(account, "USD/2", "0"))) break;
    watch(account);
    const fields = { from: WORLD, to: account, amount: "10000", asset: "USD/2" };
    const id = drafts.idFor(`demo ${account}`, fields);
    const what = `${formatWithSign(fields.amount, fields.asset)} from ${WORLD} to ${account}`;
    const words = { done: `Moved ${what}`, failed: `${what} did not go through`, asked: `${what}, id ${id}` };
    await commands.run({ operation: "transfer", command: { id, ...fields }, words, nothing: "No money moved." });
  }
  transferForm.fill("alice", "bob", "12.50", "USD/2");
  event.target.disabled = false;
});

for (const account of remembered()) {
  cards.add(account);
  stream.watch(account);
}
watchedChanged();
stream.start();
showSignIn(forgetOfKey, unansweredOfKey).then((isWaitedFor) => {
  if (isWaitedFor) {
    stream.stop();
    connection.told("lost", "Sign in to see balances");
    return;
  }
  commands.tellUnanswered();
  accounts.again();
  system.start();
  new Lag((isBehind) => connection.behind(isBehind)).start();
});
