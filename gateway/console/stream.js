// One WebSocket for all watched accounts. It reconnects by itself and resumes by version.

const WAIT_MS_MIN = 250;
const WAIT_MS_MAX = 8_000;
const PING_MS = 15_000;
const ACCOUNTS_AT_ONCE = 1_000;

/** Codes after which trying again changes nothing; the table is gateway/protocol/close_codes.py. */
const isTerminal = (code) => [1000, 1002, 1003, 1007, 1009].includes(code) || (code >= 4500 && code <= 4999);

/**
 * Watches accounts. `on` has: state(name, text), balance(account, item), transfer(account, id, phase), missed(account),
 * absent(account), trouble(title, detail).
 * A balance is passed on only when its version is newer than the one held.
 */
export class Stream {
  #url;
  #on;
  #socket = null;
  #watched = new Map(); // account -> newest version held, null before the first
  #names = new Map(); // sub -> account, of this connection
  #numbers = new Map(); // account -> sub, of this connection
  #nextId = 1;
  #attempts = 0;
  #reconnect = null;
  #pings = null;
  #answered = true;
  #live = true;

  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  start() {
    window.addEventListener("online", () => this.#connectNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#connectNow());
    window.addEventListener("pagehide", () => this.#socket?.close(1000));
    this.#connect();
  }

  watch(account) {
    if (this.#watched.has(account)) return;
    this.#watched.set(account, null);
    this.#subscribe([account]);
  }

  unwatch(account) {
    this.#watched.delete(account);
    const sub = this.#numbers.get(account);
    if (sub !== undefined) {
      this.#numbers.delete(account);
      this.#names.delete(sub);
      this.#send({ op: "unsubscribe", subs: [sub] });
    }
  }

  #connectNow() {
    if (this.#reconnect !== null) {
      clearTimeout(this.#reconnect);
      this.#connect();
    }
  }

  #connect() {
    this.#reconnect = null;
    this.#names.clear();
    this.#numbers.clear();
    this.#live = true;
    this.#on.state("connecting", this.#attempts ? "Reconnecting" : "Connecting");
    const socket = new WebSocket(this.#url, ["wallet.v1"]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempts = 0;
      this.#answered = true;
      this.#tellState();
      this.#subscribe([...this.#watched.keys()]);
      this.#pings = setInterval(() => this.#ping(socket), PING_MS);
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(socket, event.code);
  }

  #ping(socket) {
    if (!this.#answered) {
      this.#lost(socket, 1006); // a dead connection may take minutes to close by itself
      socket.close();
      return;
    }
    this.#answered = false;
    this.#send({ op: "ping" });
  }

  #lost(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearInterval(this.#pings);
    if (isTerminal(code)) {
      this.#on.state("lost", `Disconnected (${code}). Reload the page.`);
      return;
    }
    // Half of the wait is random, so that a gateway that comes back is not met by everyone at once.
    const wait = Math.min(WAIT_MS_MAX, WAIT_MS_MIN * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
    this.#on.state("lost", "Disconnected, trying again");
    this.#reconnect = setTimeout(() => this.#connect(), wait);
  }

  #subscribe(accounts) {
    for (let start = 0; start < accounts.length; start += ACCOUNTS_AT_ONCE) {
      const wanted = accounts.slice(start, start + ACCOUNTS_AT_ONCE).map((account) => {
        const version = this.#watched.get(account);
        return version === null ? { account } : { account, since: version };
      });
      this.#send({ op: "subscribe", accounts: wanted, transfers: true });
    }
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ ...message, id: this.#nextId++ }));
    }
  }

  #tellState() {
    this.#on.state(this.#live ? "live" : "connecting", this.#live ? "Live" : "Connected, balances may be delayed");
  }

  #receive(frame) {
    this.#answered = true;
    switch (frame.op) {
      case "ack":
        for (const row of frame.accounts ?? []) this.#acknowledged(row);
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
        this.#on.trouble(frame.title, frame.detail);
        break;
    }
  }

  #acknowledged({ account, sub, version }) {
    if (!this.#watched.has(account)) {
      this.#send({ op: "unsubscribe", subs: [sub] }); // removed before the ack came
      return;
    }
    this.#names.set(sub, account);
    this.#numbers.set(account, sub);
    const held = this.#watched.get(account);
    if (version === null) {
      this.#watched.set(account, null);
      this.#on.absent(account);
    } else if (held !== null && version < held) {
      // A view that is behind says 503, so this is another log: its data was removed. Begin again with what it says.
      this.#watched.set(account, null);
      this.#send({ op: "unsubscribe", subs: [sub] });
      this.#subscribe([account]);
    }
  }

  #changed(item) {
    const account = this.#names.get(item.sub);
    if (account === undefined) return;
    const held = this.#watched.get(account);
    if (held === null || item.v > held) {
      this.#watched.set(account, item.v);
      this.#on.balance(account, item);
    }
  }
}
