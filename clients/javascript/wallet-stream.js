// Live balances of a fanfold service: one WebSocket for all watched accounts. It reconnects by itself and resumes by version.
// The protocol: gateway/protocol/PROTOCOL.md. What every client of it does alike: tests/data/stream_cases.json.

const WAIT_MS_MIN = 250;
const WAIT_MS_MAX = 8_000;
const PING_MS = 15_000;
const PONG_MS = 10_000;
const ACCOUNTS_AT_ONCE = 1_000;
const RETURN_MS_MAX = 60_000;

/** Whether trying again after this close code would change nothing. Not 1000: a client says no goodbye, so a proxy did. */
export const isFinal = (code) => [1002, 1003, 1007, 1009, 1010].includes(code) || (code >= 4500 && code <= 4999);

/** Refusals of a subscribe that pass. After any other, asking again changes nothing. */
export const PASSING = ["upstream_unavailable", "overloaded", "not_ready", "view_rebuilding", "stopping"];

const SIGNED_OUT = [4501, 4502, 4503]; // what said who is there is missing, not accepted, or was revoked

const NOTHING = () => {};
const HEARD = ["state", "balance", "transfer", "missed", "absent", "unread", "read", "trouble", "leftOut", "heartbeat"];

/**
 * Watches accounts. `on`: what is told, each left out where nobody wants it (`wallet-stream.d.ts`).
 * A balance is passed on only when its version is newer than the one held, or when it is a state of another history.
 */
export class WalletStream {
  #url;
  #on;
  #token;
  #wish;
  #socket = null;
  #watched = new Map(); // account -> newest version held, null before the first
  #histories = new Map(); // account -> which history of the log that version is of
  #names = new Map(); // sub -> account, of this connection
  #numbers = new Map(); // account -> sub, of this connection
  #asked = new Map(); // id of a subscribe -> its accounts, until it is answered
  #prefixes = new Map(); // prefix -> id of its subscribe over this connection
  #found = new Set(); // accounts that are watched for a prefix, and were not asked for by name
  #partly = new Set(); // prefixes of which not every account is named
  #unserved = new Set(); // accounts whose subscribe was refused
  #unread = new Set(); // accounts that are subscribed and whose partition cannot be read: they come when it can be
  #awaited = new Map(); // account -> the version that was acknowledged and has not come: what is held of it is old
  #complete = false; // whether everything that was watched at the connect has been told over this connection
  #nextId = 1;
  #attempts = 0;
  #returnMs = null; // what a goodbye said of when to come back
  #reconnect = null;
  #pings = null;
  #pong = null;
  #answered = true;
  #live = true;
  #page = null; // what is listened to of a page, until `stop`

  /** token: gives what says who is there, at each connection; "" where nobody asks. maxRateHz: at most so many frames a second. */
  constructor(url, on, token = () => "", { maxRateHz } = {}) {
    this.#url = url;
    this.#token = token;
    this.#wish = maxRateHz === undefined ? { transfers: true } : { transfers: true, max_rate_hz: maxRateHz };
    this.#on = Object.fromEntries(HEARD.map((name) => [name, on[name]?.bind(on) ?? NOTHING]));
  }

  start() {
    this.stop();
    if (typeof document !== "undefined") {
      this.#page = new AbortController();
      const { signal } = this.#page;
      window.addEventListener("online", () => this.#wakeUp(), { signal });
      window.addEventListener("offline", () => this.#socket && this.#ping(this.#socket), { signal });
      document.addEventListener("visibilitychange", () => document.hidden || this.#wakeUp(), { signal });
      // A page that is kept for the way back goes on then: it says goodbye, and connects again when it is shown.
      window.addEventListener("pagehide", () => this.#leave(), { signal });
      window.addEventListener("pageshow", () => this.#wakeUp(), { signal });
    }
    this.#connect();
  }

  /** Tells nothing more. `start` goes on from the versions that are held. */
  stop() {
    this.#page?.abort();
    clearTimeout(this.#reconnect);
    this.#endPings();
    this.#reconnect = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  watch(account) {
    if (this.#watched.has(account) && !this.#found.delete(account)) return;
    if (!this.#watched.has(account)) this.#watched.set(account, null);
    this.#subscribe([account]);
  }

  unwatch(account) {
    if (!this.#watched.has(account) || this.#found.has(account)) return;
    const sub = this.#numbers.get(account);
    if (this.#isCovered(account)) this.#found.add(account);
    else this.#forget(account);
    if (sub !== undefined) this.#send({ op: "unsubscribe", subs: [sub] });
  }

  /** Every account whose name begins so, also those that open later. */
  watchPrefix(prefix) {
    if (this.#prefixes.has(prefix)) return;
    this.#prefixes.set(prefix, null);
    this.#subscribeTo(prefix);
  }

  unwatchPrefix(prefix) {
    if (!this.#prefixes.delete(prefix)) return;
    this.#partly.delete(prefix);
    this.#send({ op: "unsubscribe", prefix });
    const left = [...this.#found].filter((account) => !this.#isCovered(account));
    // Who came back asked for them by name, too, to say what it has of them.
    const subs = left.map((account) => this.#numbers.get(account)).filter((sub) => sub !== undefined);
    for (let start = 0; start < subs.length; start += ACCOUNTS_AT_ONCE) {
      this.#send({ op: "unsubscribe", subs: subs.slice(start, start + ACCOUNTS_AT_ONCE) });
    }
    for (const account of left) this.#forget(account);
  }

  #isCovered(account) {
    return [...this.#prefixes.keys()].some((prefix) => account.startsWith(prefix));
  }

  #forget(account) {
    this.#watched.delete(account);
    this.#found.delete(account);
    this.#histories.delete(account);
    this.#names.delete(this.#numbers.get(account));
    this.#numbers.delete(account);
    if (this.#unserved.delete(account) | this.#unread.delete(account) | this.#awaited.delete(account)) this.#tellState();
  }

  /** What was waited for may have passed, and what was connected may be dead: a machine that slept, another network. */
  #wakeUp() {
    if (this.#reconnect !== null) {
      clearTimeout(this.#reconnect);
      this.#connect();
    } else if (this.#socket !== null) {
      this.#ping(this.#socket);
    }
  }

  #leave() {
    const socket = this.#socket;
    if (socket === null) return;
    this.#lost(socket, 1001);
    socket.close(1000);
  }

  #connect() {
    this.#reconnect = null;
    for (const kept of [this.#names, this.#numbers, this.#asked, this.#unserved, this.#unread, this.#awaited, this.#partly]) kept.clear();
    this.#complete = false;
    this.#live = true;
    this.#on.state("connecting", this.#attempts ? "Reconnecting" : "Connecting");
    const socket = new WebSocket(this.#url, ["wallet.v1"]);
    this.#socket = socket;
    this.#expect(socket, () => socket.readyState !== WebSocket.CONNECTING);
    socket.onopen = () => {
      if (socket !== this.#socket) return; // stopped meanwhile
      this.#endPings();
      this.#answered = true;
      const token = this.#token();
      if (token !== "") this.#send({ op: "auth", token });
      this.#subscribe([...this.#watched.keys()]);
      for (const prefix of this.#prefixes.keys()) this.#subscribeTo(prefix);
      this.#tellState();
      this.#pings = setInterval(() => this.#ping(socket), PING_MS);
    };
    socket.onmessage = (event) => socket === this.#socket && this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(socket, event.code);
  }

  #ping(socket) {
    if (this.#pong !== null || this.#send({ op: "ping" }) === null) return;
    this.#answered = false;
    this.#expect(socket, () => this.#answered);
  }

  /** A dead connection may take minutes to close by itself, or to say that it never comes. */
  #expect(socket, hasCome) {
    this.#pong = setTimeout(() => {
      this.#pong = null;
      if (hasCome()) return;
      this.#lost(socket, 1006);
      socket.close();
    }, PONG_MS);
  }

  #endPings() {
    clearInterval(this.#pings);
    clearTimeout(this.#pong);
    this.#pong = null;
  }

  #lost(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#endPings();
    if (isFinal(code)) {
      this.#on.state("ended", `Disconnected (${code}). ${SIGNED_OUT.includes(code) ? "Sign in again." : "Reload the page."}`);
      return;
    }
    // Who is sent away before anything worked waits ever longer, whatever is said.
    const told = this.#attempts === 0 ? this.#returnMs : null;
    const waitMs = told ?? this.#wait();
    if (told !== null) this.#attempts++;
    this.#returnMs = null;
    this.#on.state("lost", "Disconnected, trying again", waitMs);
    this.#reconnect = setTimeout(() => this.#connect(), waitMs);
  }

  #subscribe(accounts) {
    for (let start = 0; start < accounts.length; start += ACCOUNTS_AT_ONCE) {
      const part = accounts.slice(start, start + ACCOUNTS_AT_ONCE);
      const wanted = part.map((account) => {
        const version = this.#watched.get(account);
        if (version === null) return { account };
        const history = this.#histories.get(account);
        return history === undefined ? { account, since: version } : { account, since: version, history };
      });
      const id = this.#send({ op: "subscribe", accounts: wanted, ...this.#wish });
      if (id !== null) this.#asked.set(id, part);
    }
  }

  #subscribeTo(prefix) {
    const id = this.#send({ op: "subscribe", prefix, ...this.#wish });
    this.#prefixes.set(prefix, id);
    if (id !== null) this.#asked.set(id, []);
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return null;
    const id = this.#nextId++;
    this.#socket.send(JSON.stringify({ ...message, id }));
    return id;
  }

  /**
   * Live is said only when everything watched is served, and what was acknowledged has been told, too: until then what is shown is of
   * before. An account that is asked for later, of which nothing is held, takes nothing back; it says so on its card.
   */
  #tellState() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#complete ||= this.#asked.size === 0 && this.#unserved.size === 0 && this.#awaited.size === 0;
    const isTold = this.#complete && this.#awaited.size === 0;
    const served = this.#unserved.size === 0 && (isTold || (!this.#live && this.#numbers.size > 0));
    if (!served) this.#on.state("connecting", this.#unserved.size ? "Connected, some balances cannot be read" : "Connected, reading balances");
    else if (this.#live && (this.#unread.size || this.#partly.size)) this.#on.state("partly", "Live, but some balances cannot be read");
    else this.#on.state(this.#live ? "live" : "behind", this.#live ? "Live" : "Behind, balances may be old");
  }

  #refused({ id, code, title, detail }) {
    const prefix = [...this.#prefixes.keys()].find((each) => this.#prefixes.get(each) === id);
    if (prefix !== undefined) {
      if (!this.#asked.delete(id)) {
        this.#partly.add(prefix);
        this.#on.leftOut(prefix, detail);
      } else this.#prefixRefused(prefix, code, title, detail);
      this.#tellState();
      return;
    }
    for (const account of this.#asked.get(id) ?? []) {
      if (this.#watched.has(account)) this.#unserved.add(account);
    }
    this.#asked.delete(id);
    this.#tellState();
    if (!PASSING.includes(code)) {
      this.#on.trouble(title, detail);
      return;
    }
    const socket = this.#socket;
    setTimeout(() => {
      if (socket !== this.#socket || this.#unserved.size === 0) return;
      const again = [...this.#unserved];
      this.#unserved.clear();
      this.#subscribe(again);
      for (const account of again) this.#unserved.add(account); // until they are served
    }, this.#wait());
  }

  #prefixRefused(prefix, code, title, detail) {
    if (!PASSING.includes(code)) {
      this.#prefixes.delete(prefix);
      this.#on.trouble(title, detail);
      return;
    }
    const socket = this.#socket;
    this.#asked.set(prefix, []); // so that it is not taken for live meanwhile
    setTimeout(() => {
      this.#asked.delete(prefix);
      if (socket === this.#socket && this.#prefixes.has(prefix)) this.#subscribeTo(prefix);
    }, this.#wait());
  }

  /** Half of the wait is random, so that a gateway that comes back is not met by everyone at once. */
  #wait() {
    return Math.min(WAIT_MS_MAX, WAIT_MS_MIN * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
  }

  #receive(frame) {
    this.#answered = true;
    switch (frame.op) {
      case "ack":
        for (const row of frame.accounts ?? []) {
          if (this.#prefixes.has(frame.prefix) && !this.#watched.has(row.account)) {
            this.#watched.set(row.account, null);
            this.#found.add(row.account);
          }
          this.#acknowledged(row);
        }
        if (frame.complete === false && this.#prefixes.has(frame.prefix)) this.#partly.add(frame.prefix);
        else this.#partly.delete(frame.prefix);
        if (this.#asked.delete(frame.id)) this.#attempts = 0;
        this.#tellState();
        break;
      case "balances":
        for (const item of frame.items) this.#changed(item);
        break;
      case "transfer":
        if (this.#names.has(frame.sub)) this.#on.transfer(this.#names.get(frame.sub), frame.id, frame.phase);
        break;
      case "transfers_missed":
        if (this.#names.has(frame.sub)) this.#on.missed(this.#names.get(frame.sub));
        break;
      case "status":
        this.#live = frame.live;
        this.#tellState();
        break;
      case "error":
        this.#refused(frame);
        break;
      case "heartbeat":
        this.#on.heartbeat(frame.positions, frame.time);
        break;
      case "bye":
        this.#returnMs = Math.min(frame.after_ms, RETURN_MS_MAX);
        break;
      // `hello` changes nothing here, and a newer gateway may say more.
    }
  }

  #acknowledged({ account, sub, version, code, history }) {
    if (!this.#watched.has(account)) {
      this.#send({ op: "unsubscribe", subs: [sub] }); // removed before the ack came
      return;
    }
    this.#names.set(sub, account);
    this.#numbers.set(account, sub);
    this.#unserved.delete(account);
    this.#unread.delete(account);
    this.#awaited.delete(account);
    if (history !== undefined) {
      // Of another history no version counts: what comes next is the state.
      if ((this.#histories.get(account) ?? history) !== history) this.#watched.set(account, null);
      this.#histories.set(account, history);
    }
    const held = this.#watched.get(account);
    if (version === null && code !== "account_not_found") {
      // With view_rebuilding it is served, though whether there is such an account is not known yet.
      if (code !== "view_rebuilding") this.#unread.add(account);
      this.#on.unread(account, code);
      return;
    }
    this.#on.read(account);
    if (version === null) {
      this.#watched.set(account, null);
      this.#on.absent(account);
    } else if (held !== null && version < held) {
      // A view that is behind says 503, so this is another log: its data was removed. Begin again with what it says.
      this.#watched.set(account, null);
      this.#send({ op: "unsubscribe", subs: [sub] });
      this.#subscribe([account]);
    } else if (held === null ? !this.#complete : version > held) {
      this.#awaited.set(account, version);
    }
  }

  #changed(item) {
    const account = this.#names.get(item.sub);
    if (account === undefined) return;
    const held = this.#watched.get(account);
    // A state is taken whatever its version: of another history, or of a view that was replaced, it counts for itself.
    if (held === null || item.v > held || item.snapshot) {
      this.#watched.set(account, item.v);
      this.#on.balance(account, item);
    }
    const isAwaited = item.snapshot || item.v >= this.#awaited.get(account);
    if (isAwaited && this.#awaited.delete(account)) this.#tellState();
  }
}
