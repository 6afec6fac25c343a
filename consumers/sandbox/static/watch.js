// Looks again at what AWS and the ledger say, as long as the page is open. Without it "Look again" does the same.
"use strict";

const PERIOD_MILLISECONDS = 2000;
const watched = document.querySelectorAll("[data-watch]");

async function lookAgain() {
  if (document.hidden) return;
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of watched) {
    const now = fresh.getElementById(part.id);
    // What has the focus stays, so that nobody loses their place.
    if (now && now.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) part.innerHTML = now.innerHTML;
  }
}

// A page that answers a form has no address of its own to look at again.
const shown = performance.getEntriesByType("navigation")[0];
if (watched.length && shown && shown.responseStatus === 200) {
  setInterval(() => lookAgain().catch(() => {}), PERIOD_MILLISECONDS);
}
