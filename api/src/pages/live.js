// Keeps a page new: takes it again when the server says that something happened, without moving what stays.
// Everything is taken over as parsed markup of our own server, which escapes whatever comes from telemetry.
"use strict";

const live = document.getElementById("live");
const state = document.getElementById("state");
let taking = false;
let again = false;

async function take() {
  if (taking) {
    again = true;
    return;
  }
  taking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.ok) {
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const typed = live.querySelector("input");
      const kept = typed ? typed.value : "";
      const focused = document.activeElement && document.activeElement.id;
      live.replaceChildren(...next.getElementById("live").childNodes);
      document.title = next.title;
      const input = live.querySelector("input");
      if (input) {
        input.value = kept;
        if (focused === input.id) input.focus();
      }
      state.textContent = "as of " + new Date().toLocaleTimeString();
    }
  } catch (error) {
    state.textContent = "the server is away; trying again";
  }
  taking = false;
  if (again) {
    again = false;
    take();
  }
}

function follow(path) {
  const events = new EventSource(path);
  for (const kind of ["verdict", "message"]) events.addEventListener(kind, take);
  for (const kind of live.dataset.kinds.split(" ")) events.addEventListener(kind, take);
  events.onopen = () => (state.textContent = "live");
  events.onerror = () => {
    // A stream that has ended is not opened again by itself: take the page a last time.
    state.textContent = events.readyState === EventSource.CLOSED ? "ended" : "the server is away; trying again";
    if (events.readyState === EventSource.CLOSED) take();
  };
}

live.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const action = event.submitter.value;
  const told = form.querySelector("[role=alert]");
  const answer = await fetch(`/v1/rollouts/${form.dataset.rollout}/${action}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ reason: form.elements.reason.value }),
  });
  if (answer.ok) {
    take();
  } else {
    const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
    told.textContent = problem.detail;
  }
});

if (live.dataset.events) follow(live.dataset.events);
// Rows age also while nothing happens.
if (live.dataset.events) setInterval(take, 30000);
