"use strict";
// What the keyboard does beyond the browser's own: the command palette, shortcuts, copying; and the small comforts of
// forms. Everything here has another way that works without a script.
(() => {
  const signedIn = document.querySelector(".nav") !== null;

  // --- opening a dialog over the page ---

  const open = (href) => htmx.ajax("GET", href, { target: "#dialog", swap: "innerHTML" }).catch(() => {}); // what went wrong is told by an event

  // --- the command palette ---

  const palette = document.createElement("dialog");
  palette.className = "palette";
  palette.setAttribute("aria-label", "Find");
  palette.innerHTML =
    '<label class="visually-hidden" for="palette-input">Find an environment, a generation or an action</label>' +
    '<input id="palette-input" class="palette-input" type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" ' +
    'aria-autocomplete="list" autocomplete="off" spellcheck="false" placeholder="Environment, generation or action">' +
    '<ul id="palette-list" class="palette-list" role="listbox" aria-label="Found"></ul>' +
    '<p class="palette-foot" aria-hidden="true"><kbd>↑</kbd> <kbd>↓</kbd> choose · <kbd>Enter</kbd> go · <kbd>Esc</kbd> close</p>' +
    '<p class="visually-hidden" role="status" id="palette-status"></p>';
  document.getElementById("palette-slot")?.append(palette);
  const input = palette.querySelector("input");
  const list = palette.querySelector("ul");
  let asked = 0; // the newest question; older answers are dropped
  let moved = false; // by the arrows since that was asked: a late answer leaves the choice where it is

  const options = () => [...list.querySelectorAll(".palette-option")];
  const chosen = () => list.querySelector('[aria-selected="true"][data-href]');

  function choose(option) {
    for (const o of options()) o.setAttribute("aria-selected", String(o === option));
    input.setAttribute("aria-activedescendant", option?.id ?? "");
    option?.scrollIntoView({ block: "nearest" });
  }

  async function look() {
    const mine = ++asked;
    moved = false;
    let text = "";
    try {
      const answer = await fetch("/find/options?q=" + encodeURIComponent(input.value), { headers: { "HX-Request": "true" } });
      if (answer.status === 401) return void (location.href = "/login?next=" + encodeURIComponent(location.pathname + location.search));
      if (answer.ok) text = await answer.text();
    } catch {
      text = "";
    }
    if (mine !== asked) return;
    const at = moved ? chosen()?.dataset.href : "";
    list.innerHTML = text || '<li class="palette-none" role="option" aria-disabled="true" aria-selected="false">The search cannot be asked just now.</li>';
    choose(options().find((o) => o.dataset.href === at) ?? options()[0]);
    const n = options().length;
    palette.querySelector("#palette-status").textContent = n === 1 ? "1 found" : n + " found";
  }

  function openPalette() {
    if (!signedIn || palette.open) return;
    input.value = "";
    list.replaceChildren();
    palette.showModal();
    input.focus();
    look();
  }

  function go(option) {
    if (!option) return;
    palette.close();
    if (option.hasAttribute("data-dialog")) open(option.dataset.href);
    else location.href = option.dataset.href;
  }

  input.addEventListener("input", look);
  palette.addEventListener("keydown", (e) => {
    const all = options();
    const at = all.indexOf(chosen());
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step && all.length) {
      e.preventDefault();
      moved = true;
      choose(all[(at + step + all.length) % all.length]);
    } else if (e.key === "Enter") {
      e.preventDefault();
      go(chosen());
    }
  });
  list.addEventListener("click", (e) => go(e.target.closest("[data-href]")));
  palette.addEventListener("click", (e) => { if (e.target === palette) palette.close(); });

  // --- shortcuts ---

  const places = { e: "/", f: "/fleet", a: "/audit", t: "/tokens", s: "/sessions" };
  const acts = { r: ["/rollback"], p: ["/promote"], w: ["/weights"], l: ["/lock", "/unlock"], e: ["/edit"] };
  const single = () => {
    try {
      return localStorage.getItem("viridian-keys") !== "off";
    } catch {
      return true; // storage is turned off
    }
  };
  let leader = -Infinity; // when g was pressed

  // A field in a dialog that has just closed keeps the focus until the next frame: nobody types into what is not shown.
  const typing = (el) => el instanceof HTMLElement && el.checkVisibility() &&
    (el.isContentEditable || el.matches("input:not([type=checkbox], [type=radio]), textarea, select"));

  const does = { r: "roll back", p: "promote", w: "set weights of", l: "lock or unlock", e: "edit" };

  // say tells in a line what came of a key.
  const told = document.createElement("p");
  told.className = "told";
  told.setAttribute("role", "status");
  document.body.append(told);
  let quiet = 0;
  function say(text) {
    told.textContent = text;
    clearTimeout(quiet);
    quiet = setTimeout(() => { told.textContent = ""; }, 4000);
  }

  document.addEventListener("viridian:say", (e) => say(e.detail));

  // act presses the way to a deed that the page shows, if it is a page about one environment.
  function act(key) {
    if (!location.pathname.startsWith("/environments/") || !(key in acts)) return false;
    for (const end of acts[key]) {
      const links = [...document.querySelectorAll("main a[href]")].filter((a) => a.pathname.endsWith(end)); // those in a closed menu too
      const number = (a) => Number(/\/generations\/(\d+)\//.exec(a.pathname)?.[1] ?? 0);
      const link = links.reduce((best, a) => (!best || number(a) > number(best) ? a : best), null); // the newest generation
      if (!link) continue;
      if (link.hasAttribute("hx-get")) open(link.getAttribute("href"));
      else location.href = link.href;
      return true;
    }
    const off = [...document.querySelectorAll("main button[data-way]")].find((b) => acts[key].some((end) => b.dataset.way.split("?")[0].endsWith(end)));
    say(off ? `${off.textContent}: ${off.nextElementSibling.textContent}` : `There is nothing to ${does[key]} here now.`);
    return true;
  }

  document.addEventListener("keydown", (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey && e.key.toLowerCase() === "k") {
      e.preventDefault();
      openPalette();
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || !single() || typing(e.target) || document.querySelector("dialog[open]") || !signedIn) return;
    const led = performance.now() - leader < 1500;
    leader = -Infinity;
    if (led && places[e.key]) location.href = places[e.key];
    else if (e.key === "g") leader = performance.now();
    else if (e.key === "/") openPalette();
    else if (e.key === "?") open("/keys");
    else if (led || !act(e.key)) return;
    e.preventDefault();
  });

  // --- copying ---

  const status = document.createElement("p");
  status.className = "visually-hidden";
  status.setAttribute("role", "status");
  document.body.append(status);

  document.addEventListener("click", async (e) => {
    const button = e.target.closest("[data-copy]");
    if (!button) return;
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector(".copy-text"));
      button.textContent = "Marked: copy it with Ctrl-C";
    }
    status.textContent = button.textContent;
    setTimeout(() => { button.textContent = label; }, 2500);
  });

  // --- forms ---

  // A dialog that can show what its values come to does so while they are changed. What is typed stays as it is.
  let changes = 0;
  let soon = 0;
  document.addEventListener("input", (e) => {
    const form = e.target.closest("form.ask");
    if (!form?.hasAttribute("data-preview") || e.target.name === "reason") return;
    changes += 1;
    clearTimeout(soon);
    soon = setTimeout(() => preview(form, changes), 150);
  });

  async function preview(form, mine) {
    const body = new URLSearchParams(new FormData(form));
    body.set("preview", "true");
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
      const shown = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("form.ask");
      if (!shown || mine !== changes || !form.isConnected) return;
      dress(shown.parentNode);
      for (const part of [".ask-told", ".dialog-actions"]) {
        const [now, then] = [form.querySelector(part), shown.querySelector(part)];
        if (now.innerHTML !== then.innerHTML) now.replaceChildren(...then.childNodes); // a button that is just pressed stays
      }
      for (const hidden of shown.querySelectorAll("input[type=hidden]")) form.elements[hidden.name].value = hidden.value;
    } catch {
      // it can still be sent, and is looked at then
    }
  }

  function dress(root) {
    for (const button of root.querySelectorAll("button[name=preview]")) {
      button.form.setAttribute("data-preview", ""); // it goes by itself: see above
      button.remove();
    }
    for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
    const box = root.querySelector("#single-keys");
    if (box) box.checked = single();
  }

  document.addEventListener("change", (e) => {
    if (e.target.id === "single-keys") localStorage.setItem("viridian-keys", e.target.checked ? "on" : "off");
  });
  document.addEventListener("htmx:after:settle", (e) => {
    dress(e.target.parentNode ?? document);
  });
  dress(document);
})();
