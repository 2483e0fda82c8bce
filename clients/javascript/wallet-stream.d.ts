/** One account as it is: the whole balance, never a difference. Amounts are strings of digits in minor units. */
export interface BalanceItem {
  sub: number;
  /** The version: the greater one is the newer one, within a history. */
  v: number;
  posted: string;
  held: string;
  /** null for an account without a floor. */
  available: string | null;
  /** The time of its last change, RFC 3339 in UTC. */
  at: string;
  /** A state: the first of a subscription, or of another history. It counts whatever its version is. */
  snapshot?: true;
  /** With the first state. */
  asset?: string;
  flags?: ("debit_frozen" | "credit_frozen" | "closed")[];
}

/**
 * `live`: all that is watched is up to date. `partly`: but some accounts cannot be read. `behind`: it may be old.
 * `connecting`: not yet, or some of it was refused.
 * `lost`: it is tried again by itself. `ended`: trying again would change nothing.
 */
export type State = "connecting" | "live" | "partly" | "behind" | "lost" | "ended";

export interface Heard {
  /** text: the same for a person. waitMs: with `lost`, how long it waits before it connects again. */
  state?(name: State, text: string, waitMs?: number): void;
  balance?(account: string, item: BalanceItem): void;
  /** A transfer across partitions of this account has gone to a phase; the newest wins. */
  transfer?(account: string, id: string, phase: string): void;
  /** Phases of its transfers may have gone by: whoever waits for one asks for it. */
  missed?(account: string): void;
  /** There is no such account yet; it is watched all the same. */
  absent?(account: string): void;
  /** Nothing can be told of it for now, and why, as a code. It is watched all the same; `read`, `absent` or a balance takes it back. */
  unread?(account: string, code: string): void;
  /** It can be read (again), or it is known not to be there. */
  read?(account: string): void;
  /**
   * Nothing else was said for a while. positions: `0:17,1:4`, of each partition of what is watched the block up to which everything
   * has been told; time: the gateway's.
   */
  heartbeat?(positions: string, time: string): void;
  /** More accounts begin with the prefix than the connection may watch: those that opened later are not told, the others go on. */
  leftOut?(prefix: string, detail: string): void;
  /** A subscribe was refused for good. */
  trouble?(title: string, detail: string): void;
}

/** Whether trying again after this close code would change nothing. */
export function isFinal(code: number): boolean;

/** Codes of refused subscribes that are asked again by themselves. */
export const PASSING: readonly string[];

export class WalletStream {
  /**
   * url: `wss://host/v1/stream`. token: where the service asks who is there, the token or key; asked for at each connection, so that
   * it may be a new one. maxRateHz: of what is watched at most so many frames a second (1 to 1,000), each with the newest; left out,
   * as it comes.
   */
  constructor(url: string, on: Heard, token?: () => string, options?: { maxRateHz?: number });
  start(): void;
  /** Tells nothing more. `start` goes on from the versions that are held. */
  stop(): void;
  watch(account: string): void;
  unwatch(account: string): void;
  /** Every account whose name begins so, also those that open later. */
  watchPrefix(prefix: string): void;
  unwatchPrefix(prefix: string): void;
}
