// Spares reloading; every page works without it.
"use strict";

// [data-live="URL"]: the server sends events whose data is HTML; each takes the place of the element whose id is the
// event's name. [data-live-state] says whether they come.
for (const holder of document.querySelectorAll("[data-live]")) {
  const state = document.querySelector("[data-live-state]");
  const say = (kind, text) => {
    if (state) {
      state.className = `state ${kind}`;
      state.textContent = text;
    }
  };
  const source = new EventSource(holder.dataset.live);
  source.onopen = () => say("good", "Live");
  source.onerror = () => {
    // Where no stream answers, as after the session's end, browsers do not ask again.
    if (source.readyState === EventSource.CLOSED) say("bad", "Stopped: load the page again");
    else say("warn", "Reconnecting");
  };
  for (const part of holder.querySelectorAll("[data-part]")) {
    source.addEventListener(part.dataset.part, (event) => {
      const page = new DOMParser().parseFromString(event.data, "text/html");
      part.replaceChildren(...page.body.childNodes);
    });
  }
  addEventListener("pagehide", () => source.close());
}

// A restored page would show what was true when it was left.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// Buttons that only a script can serve are hidden without it.
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
