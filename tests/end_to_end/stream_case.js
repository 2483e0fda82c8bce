// One of the shared cases, in Node or in a page: tells what the client told, until the sentinel or until it has ended.

/** case: of stream_cases.json; url: of the scripted gateway; WalletStream: the module's. */
export const played = ({ WalletStream }, url, { watch, prefix, sentinel, options }) =>
  new Promise((resolve) => {
    const told = [];
    const lives = []; // how many balances had been told whenever it said that it is live
    const done = (how) => {
      stream.stop();
      resolve({ told, how, lives });
    };
    const on = {
      balance: (account, item) => (account === sentinel ? done("told") : told.push([account, item.v, item.posted])),
      trouble: () => done("refused"),
      state: (name) => {
        if (name === "live") lives.push(told.length);
        if (name === "ended") done("ended");
      },
    };
    const stream = new WalletStream(url, on, undefined, options);
    if (prefix !== undefined) stream.watchPrefix(prefix);
    else for (const account of [...watch, sentinel]) stream.watch(account);
    stream.start();
  });
