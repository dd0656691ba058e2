// Keeps the part of the page with the attribute data-live up to date: it is loaded again when a change comes, at most twice a second,
// and every ten seconds, so that "ago" stays true and a service that is away is seen.
"use strict";
const part = document.querySelector("[data-live]");
if (part) {
  let waiting = false;
  const load = async () => {
    waiting = false;
    try {
      const answer = await fetch(part.dataset.live, { credentials: "same-origin" });
      if (answer.redirected) location.reload();
      else if (answer.ok) part.innerHTML = await answer.text();
    } catch {
      showAway();
    }
  };
  const soon = () => {
    if (!waiting) {
      waiting = true;
      setTimeout(load, 500);
    }
  };
  const showAway = () => {
    if (!document.querySelector("#away")) {
      const words = document.createElement("p");
      words.id = "away";
      words.className = "problem";
      words.textContent = "The service does not answer. What is shown may be old.";
      part.prepend(words);
    }
  };
  new EventSource("/v1/stream").addEventListener("change", soon);
  setInterval(soon, 10000);
}
