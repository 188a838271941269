// Keeps the numbers of a page up to date: where something was posted it asks for the page again and puts the parts
// that have changed in place. What is being used (an open table, a field, a selection) stays as it is.
"use strict";

const parts = () => new Map([...document.querySelectorAll("[data-live]")].map((part) => [part.dataset.live, part]));
const button = document.querySelector("[data-pause]");
const LONGEST = 60_000; // milliseconds that a page is left as it is: clocks run on even if nothing is posted
const SHARE = 5; // a page that takes long to make is asked for less often
let mark = document.documentElement.dataset.mark; // what was posted when the page was made
let stream = null;
let asked = null; // the request under way
let due = false; // whether something was posted since it was sent
let free = 0; // when the next one may be sent

function inUse(part) {
  const selection = document.getSelection();
  const selects = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  return part.contains(document.activeElement) || selects;
}

function replace(old, made) {
  const open = [...old.querySelectorAll("details")].map((one) => one.open);
  const places = [...old.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
  made.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? one.open; });
  old.replaceWith(made);
  made.querySelectorAll(".scroll").forEach((one, place) => one.scrollTo(...(places[place] ?? [0, 0])));
}

async function refresh() {
  due = true;
  if (asked || document.hidden || button.getAttribute("aria-pressed") === "true") return;
  due = false;
  const began = performance.now();
  const wait = free - began;
  if (wait > 0) {
    asked = new Promise((done) => setTimeout(done, wait));
    await asked;
  }
  asked = fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  try {
    const answer = await asked;
    if (answer.redirected) { location.reload(); return; } // signed out
    if (!answer.ok) return;
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    const old = parts();
    for (const part of made.querySelectorAll("[data-live]")) {
      const shown = old.get(part.dataset.live);
      if (shown && shown.innerHTML !== part.innerHTML && !inUse(shown)) replace(shown, document.adoptNode(part));
    }
    document.documentElement.dataset.refreshed = String(Date.now());
  } catch {
    // the server is away; the stream begins again by itself, and asks then
  } finally {
    free = performance.now() + SHARE * (performance.now() - began - Math.max(0, wait));
    asked = null;
    if (due) refresh();
  }
}

function listen() {
  stream?.close();
  stream = null;
  if (document.hidden || button.getAttribute("aria-pressed") === "true") return;
  stream = new EventSource(`/live?seen=${encodeURIComponent(mark)}`);
  stream.addEventListener("posted", (event) => { mark = event.data; refresh(); });
}

if (parts().size) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const paused = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!paused));
    listen();
    if (paused) refresh();
  });
  // A tab that nobody sees holds no connection: browsers have six to a server, for all tabs together.
  document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) refresh(); });
  setInterval(refresh, LONGEST);
  listen();
}
