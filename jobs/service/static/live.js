// Keeps the part of the page with the attribute data-live up to date: it is loaded again when a change comes, at most twice a second,
// and every ten seconds, so that "ago" stays true and a service that is away is seen. Only what changed is replaced, and the focus stays
// on its link, so that nobody who reads or uses the keyboard is disturbed.
"use strict";
const part = document.querySelector("[data-live]");
if (part) {
  let waiting = false;
  const load = async () => {
    waiting = false;
    try {
      const answer = await fetch(part.dataset.live, { credentials: "same-origin", signal: AbortSignal.timeout(20000) });
      if (answer.redirected) location.reload();
      else if (answer.ok) show(await answer.text());
      else if (answer.status !== 404) showAway((await answer.json()).detail);
    } catch {
      showAway("The service does not answer");
    }
  };
  const show = (text) => {
    document.querySelector("#away")?.remove();
    const fresh = new DOMParser().parseFromString(text, "text/html").body;
    const link = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    [...fresh.children].forEach((block, place) => {
      const old = part.children[place];
      if (!old) part.append(block);
      else if (!old.isEqualNode(block)) old.replaceWith(block);
    });
    if (link && !part.contains(document.activeElement)) {
      [...part.querySelectorAll("a")].find((one) => one.getAttribute("href") === link)?.focus({ preventScroll: true });
    }
    tell();
  };
  const tell = () => {
    const place = document.querySelector("#told");
    const words = part.querySelector("h1")?.textContent;
    if (place && words && place.textContent !== words) place.textContent = words;
  };
  const soon = () => {
    if (!waiting) {
      waiting = true;
      setTimeout(load, 500);
    }
  };
  const showAway = (why) => {
    const words = document.querySelector("#away") ?? document.createElement("p");
    if (!words.id) {
      words.id = "away";
      words.className = "problem";
      words.role = "alert";
      part.before(words);
    }
    const text = `${why.charAt(0).toUpperCase()}${why.slice(1)}. What is shown may be old.`;
    if (words.textContent !== text) words.textContent = text;
  };
  let changes;
  const follow = () => {
    if (document.hidden) return;
    changes?.close();
    changes = new EventSource("/v1/stream");
    changes.addEventListener("change", soon);
    changes.addEventListener("reset", soon);
    changes.addEventListener("error", ({ target }) => {
      // A browser asks again where the connection broke, but not where the stream was refused.
      if (target === changes && target.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
    });
  };
  // A browser opens six connections to a host. Streams of hidden tabs would take them all, and no further page would load.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) changes?.close();
    else {
      follow();
      soon();
    }
  });
  follow();
  setInterval(soon, 10000);
}
// What the service is still finding out is asked for again until it is found.
const found = document.querySelector("[data-found]");
if (found) {
  const ask = async () => {
    let wait = 10000;
    try {
      const answer = await fetch(found.dataset.found, { credentials: "same-origin", signal: AbortSignal.timeout(20000) });
      if (answer.redirected) location.reload();
      else if (answer.ok) {
        wait = 1500;
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
        found.replaceChildren(...fresh.childNodes);
      }
    } catch {
      // The service is away: it is asked again.
    }
    again(wait);
  };
  const again = (wait) => {
    if (found.querySelector("[data-again]")) setTimeout(ask, wait);
  };
  again(1500);
}
