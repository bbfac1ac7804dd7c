"use strict";
// What pages do beyond loading: they say how old their data is, count time, and open dialogs. Without this script every
// page still works: it shows what was true when it was loaded, and says when that was.
(() => {
  const byId = (id) => document.getElementById(id);

  // --- time: shown in the reader's zone, by the server's clock ---

  let ahead = 0; // of the server's clock, in ms
  const now = () => Date.now() + ahead;
  const clockForm = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const minuteForm = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const dayForm = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  const momentForm = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

  function ago(at) {
    const s = Math.max(0, Math.round((now() - at) / 1000));
    if (s < 5) return "just now";
    if (s < 60) return `${s - (s % 5)} s ago`;
    if (s < 3600) return `${Math.floor(s / 60)} min ago`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
    return `${Math.floor(s / 86400)} d ago`;
  }

  function left(at) {
    const s = Math.round((at - now()) / 1000);
    if (s <= 0) return "over";
    const two = (n) => String(n).padStart(2, "0");
    if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)} left`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min left`;
    return `${Math.floor(s / 86400)} d left`;
  }

  const forms = {
    clock: (at) => clockForm.format(at),
    moment: (at) => momentForm.format(at),
    ago,
    until: (at) => (sameDay(at, now()) ? "" : dayForm.format(at) + " ") + minuteForm.format(at),
  };

  const put = (el, text) => { if (el.textContent !== text) el.textContent = text; };

  function showTimes(root) {
    for (const el of root.querySelectorAll("time[data-time]")) {
      const at = Date.parse(el.dateTime);
      if (Number.isNaN(at)) continue;
      put(el, forms[el.dataset.time](at));
      if (!el.title) el.title = momentForm.format(at);
    }
    for (const el of root.querySelectorAll("[data-left]")) put(el, left(Date.parse(el.dataset.left)));
  }

  // --- how live the page is ---

  const silence = 7000; // ms without a beat after which the stream counts as cut; beats come every 2 s
  const pollEvery = 3000;
  const restartEvery = 20000; // a stream that stays silent is opened anew
  const live = byId("live");
  const latest = 5000; // ms that a message may be on its way longer than the quickest one
  const state = { quickest: -Infinity, beat: performance.now(), seq: "", at: live?.dataset.at ?? "", polled: 0, restarted: performance.now(), over: false, streaming: false };

  function say(kind, words, withTime) {
    if (!live) return;
    live.dataset.state = kind;
    const word = byId("live-text");
    const time = withTime && state.at ? `data from ${clockForm.format(Date.parse(state.at))}` : "";
    put(word, words);
    let when = byId("live-at");
    if (!when) {
      when = document.createElement("span");
      when.id = "live-at";
      word.after(when);
    }
    put(when, time);
  }

  function signedOut() {
    state.over = true;
    say("over", "signed out", true);
    const link = document.createElement("a");
    link.href = "/login?next=" + encodeURIComponent(location.pathname + location.search);
    link.textContent = "sign in";
    byId("live-text").replaceChildren("signed out · ", link);
  }

  // beat is told by every message of the stream and every answer to a poll.
  function beat(detail, polled) {
    const told = typeof detail.data === "string" ? JSON.parse(detail.data) : detail;
    if (told.over) return signedOut();
    if (!told.at) return;
    ahead = Date.parse(told.at) + (told.age || 0) - Date.now();
    state.quickest = Math.max(state.quickest, ahead);
    state.at = told.at;
    state.seq = told.seq || state.seq;
    state.beat = performance.now();
    if (!polled) state.streaming = true;
    if (told.age > 5000) say("stale", "no database ·", true);
    else if (state.quickest - ahead > latest) say("stale", "catching up ·", true);
    else if (polled) say("polling", "polling ·", true);
    else say("live", "live", false);
  }

  function poll() {
    const stream = byId("stream");
    state.polled = performance.now();
    const url = new URL(stream.getAttribute("hx-sse:connect"), location.href);
    url.searchParams.set("poll", "1");
    if (state.seq) url.searchParams.set("since", state.seq);
    htmx.ajax("GET", url.pathname + url.search, { source: "#poll", swap: "none" }).catch(() => {});
  }

  // restart opens the stream anew: the element is replaced, so that what the old one still holds open ends with it.
  function restart() {
    state.restarted = performance.now();
    const old = byId("stream");
    const held = old._htmx?.sse;
    const fresh = old.cloneNode(false);
    fresh.removeAttribute("data-htmx-powered");
    old.replaceWith(fresh);
    held?.reader?.cancel().catch(() => {});
    held?.abortController?.abort();
    htmx.process(fresh);
  }

  function watch() {
    if (!live || !byId("stream") || document.hidden || state.over) return;
    const at = performance.now();
    if (at - state.beat < silence && state.streaming) return;
    if (at - state.beat >= silence) {
      state.streaming = false;
      say("reconnecting", "reconnecting ·", true);
    }
    if (at - state.polled >= pollEvery && at - state.restarted > 1500) poll();
    if (at - state.restarted >= restartEvery) restart();
  }

  document.addEventListener("beat", (e) => beat(e.detail, e.target.id === "poll"));
  const broken = (e) => {
    const status = e.detail.status ?? e.detail.ctx?.response?.status;
    if (e.target.id !== "stream" && e.target.id !== "poll") return;
    if (status === 401 || status === 403) return signedOut();
    if (state.over) return;
    state.streaming = false;
    state.beat = Math.min(state.beat, performance.now() - silence);
    say("reconnecting", "reconnecting ·", true);
  };
  for (const name of ["htmx:sse:error", "htmx:response:error", "htmx:error", "htmx:sse:close"]) document.addEventListener(name, broken);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !live || state.over) return;
    state.beat = state.restarted = performance.now(); // the stream comes back by itself
    state.streaming = false;
    say("reconnecting", "reconnecting ·", true);
    showTimes(document);
  });

  // --- a press that nothing came back for ---

  // unanswered says so where the press was made: in its dialog, which goes on as it is, or in a line over the page.
  function unanswered(pressed) {
    const inside = pressed.closest("form.ask, #outcome");
    if (!inside) {
      document.dispatchEvent(new CustomEvent("viridian:say", { detail: "The server cannot be reached. Nothing was changed." }));
      return;
    }
    inside.querySelector(".unanswered")?.remove();
    const note = document.createElement("p");
    note.className = "flash tone-bad unanswered";
    note.setAttribute("role", "alert");
    const mark = document.createElement("span");
    mark.className = "glyph";
    mark.setAttribute("aria-hidden", "true");
    mark.textContent = "✕";
    const words = document.createElement("span");
    words.textContent = inside.matches("form")
      ? "Nothing came back from the server, so it is not known whether this was done. Press again: it is done once, not twice."
      : "The server cannot be reached just now. This is how it was seen last.";
    note.append(mark, words);
    (inside.querySelector(".ask-told") ?? inside).append(note);
    note.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("htmx:error", (e) => {
    const pressed = e.target;
    if (pressed instanceof Element && !["stream", "poll", "steps"].includes(pressed.id)) unanswered(pressed);
  });
  document.addEventListener("htmx:before:request", (e) => {
    if (e.target instanceof Element) e.target.closest("form.ask")?.querySelector(".unanswered")?.remove();
  });

  // --- dialogs ---

  const dialog = byId("dialog"); // a wall has none
  document.addEventListener("htmx:after:settle", (e) => {
    showTimes(e.target);
    if (e.target !== dialog || !dialog?.firstElementChild) return;
    if (!dialog.open) dialog.showModal();
    (dialog.querySelector("[autofocus]") ?? byId("dialog-title"))?.focus();
  });
  dialog?.addEventListener("close", () => dialog.replaceChildren());
  document.addEventListener("viridian:close", () => dialog?.close());
  document.addEventListener("click", (e) => {
    if (e.target.closest("[data-close]") && dialog?.open) {
      e.preventDefault();
      dialog.close();
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(e.target)) menu.open = false;
  });
  document.addEventListener("keydown", (e) => {
    if (e.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("change", (e) => { if (e.target.matches(".filter select")) e.target.form.requestSubmit(); });

  showTimes(document);
  setInterval(() => {
    if (!document.hidden) showTimes(document);
    watch();
  }, 1000);
  if (live && byId("stream")) say("reconnecting", "connecting ·", true);
})();
