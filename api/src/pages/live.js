// Keeps a page new: takes it again when the server says that something happened, and changes only what has changed, so that nothing else
// moves: what is open, typed, focused or scrolled stays so. All of it is parsed markup of our own server, which escapes what telemetry says.
"use strict";

const live = document.getElementById("live");
const state = document.getElementById("state");
const asOf = document.getElementById("as-of");
const news = document.getElementById("news");
let taking = false;
let again = false;

const isSame = (now, next) => now.nodeType === next.nodeType && now.nodeName === next.nodeName && (now.id || "") === (next.id || "");
// A person opens and closes; the server does not.
const isKept = (element, name) => element.localName === "details" && name === "open";

function renewElement(now, next) {
  if (now.hasAttribute("data-kept")) return;
  for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && !isKept(now, name)) now.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (!isKept(now, name) && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  renewChildren(now, next);
}

function renewChildren(now, next) {
  let at = now.firstChild;
  for (const child of [...next.childNodes]) {
    let match = at;
    if (child.id) while (match && !isSame(match, child)) match = match.nextSibling;
    if (match && isSame(match, child)) {
      while (at !== match) at = drop(at);
      if (match.nodeType === Node.ELEMENT_NODE) renewElement(match, child);
      else if (match.data !== child.data) match.data = child.data;
      at = match.nextSibling;
    } else {
      now.insertBefore(child, at);
    }
  }
  while (at) at = drop(at);
}

function drop(node) {
  const after = node.nextSibling;
  node.remove();
  return after;
}

async function take() {
  if (taking) {
    again = true;
    return;
  }
  taking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    const next = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
    // What stands here is better than what went wrong while it was read again.
    if (next && !next.querySelector("[data-trouble]")) {
      const before = live.querySelector("h1").textContent;
      renewChildren(live, next.getElementById("live"));
      document.title = next.title;
      const after = live.querySelector("h1").textContent;
      if (after !== before) news.textContent = after;
      asOf.textContent = "as of " + new Date().toLocaleTimeString();
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

async function decide(form, action) {
  const told = form.querySelector("[role=alert]");
  const token = form.elements.token;
  const headers = { "content-type": "application/json" };
  if (token.value) headers.authorization = `Bearer ${token.value}`;
  told.textContent = "";
  const answer = await fetch(`/v1/rollouts/${form.dataset.rollout}/${action}`, {
    method: "POST",
    headers,
    body: JSON.stringify({ reason: form.elements.reason.value }),
  });
  if (answer.ok) {
    form.elements.reason.value = "";
    take();
    return;
  }
  const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
  told.textContent = problem.detail;
  if (answer.status === 401 || answer.status === 403) {
    document.getElementById("token-asked").hidden = false;
    token.focus();
  }
}

live.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  decide(form, event.submitter.value).catch(() => {
    form.querySelector("[role=alert]").textContent = "The server did not answer: nothing was decided. Try again.";
  });
});

if (live.dataset.events) {
  follow(live.dataset.events);
  // Rows age also while nothing happens.
  setInterval(take, 30000);
}
