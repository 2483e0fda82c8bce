// Who looks: a token or key, kept for as long as this tab lives and nowhere else, or nobody where nobody is asked.

const KEPT = "fanfold.token";

/** What says who asks; empty where nobody has signed in. */
export const token = () => sessionStorage.getItem(KEPT) ?? "";

/**
 * Whose it is. subject: of a token, by its issuer, the same in a newer token of it; null of a key, which is secret, and of nobody.
 * Only the service knows whether it is true; here it keeps what one has sent from another in the same tab.
 */
export function who() {
  if (token() === "") return { kind: "nobody", subject: null };
  try {
    const { iss, sub } = JSON.parse(atob(token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    if (typeof sub === "string") return { kind: "token", subject: `${iss} ${sub}` };
  } catch {
    // it is no token
  }
  return { kind: "key", subject: null };
}

/** Shows whether the service asks who asks, and takes a token where it does. Everything is asked for anew with it. Whether one is
 * waited for. leave: told before another one's is taken. lost: the ids of what is forgotten with this one, which is told first. */
export async function showSignIn(leave, lost) {
  const form = document.getElementById("sign-in");
  const said = document.getElementById("who");
  let told = ""; // ids, so that nobody is told them twice and nothing is forgotten that was not told
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = form.elements.token.value.trim();
    if (given !== token()) {
      const ids = lost().join(", ");
      if (ids !== told) {
        told = ids;
        said.hidden = false;
        said.textContent =
          `This key sent what nobody answered, and it may have been made: ${ids}. The console forgets that with the key. ` +
          "Note the ids, to ask with the key what became of them, and press Sign in once more to go on.";
        return;
      }
      leave();
    }
    if (given === "") sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, given);
    location.reload();
  });
  let asks, tellsAll;
  try {
    const ready = await (await fetch("/readyz")).json();
    [asks, tellsAll] = [ready.auth, "degraded" in ready];
  } catch {
    return false; // that the service is away is told beside
  }
  document.getElementById("metrics-link").hidden = asks === "tokens" || !tellsAll; // a link gives no token, and a brief door no metrics
  form.hidden = asks !== "tokens";
  said.hidden = asks !== "off" && token() === "";
  said.textContent = asks === "off" ? "Nobody is asked who asks" : "Signed in; an empty field signs out";
  return asks === "tokens" && token() === "";
}
