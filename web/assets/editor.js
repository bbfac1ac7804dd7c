"use strict";
// In the editor of an environment the form and the JSON follow each other. The server turns one into the other, by the
// rules that it saves by; what was typed since it was asked is never overwritten.
(() => {
  const form = document.getElementById("editor");
  if (!form) return;
  let typed = 0; // grows with every change
  let timer = 0;
  let pending = ""; // the side whose change the other one has not taken over

  // One button is enough here: it goes by the side that was edited last.
  form.querySelector(".dialog-actions button[value=review-json]")?.remove();
  const reviews = form.querySelectorAll("button[value=review-form]");

  const sides = { form: () => form.querySelector(".editor-form"), json: () => form.querySelector(".editor-json") };
  const names = (root) => [...root.querySelectorAll("[name]")].map((el) => el.name).join(" ");
  const fieldOf = (root, name) => root.querySelector(`[name="${CSS.escape(name)}"]`)?.closest(".field");

  const sideOf = (el) => (sides.json().contains(el) ? "json" : "form");

  form.addEventListener("input", (e) => {
    pending = sideOf(e.target);
    for (const button of reviews) button.value = "review-" + pending;
    typed += 1;
    clearTimeout(timer);
    timer = setTimeout(() => sync(pending, typed), 250);
  });

  // Whoever goes to the other side finds it up to date. The JSON takes nothing before it has followed the form, since it
  // is replaced as a whole then; the fields of the form follow one by one, around the one that is typed into.
  form.addEventListener("focusout", (e) => {
    if (!pending || !form.contains(e.relatedTarget) || !e.relatedTarget.name || sideOf(e.relatedTarget) === pending) return;
    clearTimeout(timer);
    const done = sync(pending, typed);
    if (pending === "json") return;
    const text = e.relatedTarget;
    text.readOnly = true;
    const late = setTimeout(() => { text.readOnly = false; }, 3000);
    done.finally(() => { clearTimeout(late); text.readOnly = false; });
  });

  let last = Promise.resolve(); // one question at a time: a later one carries what came of the one before
  function sync(side, mine) {
    last = last.then(() => ask(side, mine));
    return last;
  }

  async function ask(side, mine) {
    const body = new URLSearchParams(new FormData(form));
    body.set("step", "sync-" + side);
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("editor");
      if (!page || mine !== typed && (side === "form" || pending === "json")) return;
      take(page, side, mine !== typed);
      if (mine === typed) pending = "";
    } catch {
      // nothing is lost: the form is sent as it is when it is reviewed
    }
  }

  // take shows what the server made of a side; late when the person has gone on to the form meanwhile.
  function take(page, side, late) {
    const [other, own] = [page.querySelector(".editor-form"), sides.form()];
    const readable = !page.querySelector(".editor-json [aria-invalid]");
    if (late && (!readable || names(other) !== names(own))) return;
    if (readable && names(other) !== names(own)) replace(own, other);
    else if (readable || side === "form") follow(own, other, side === "json", late ? document.activeElement : null);
    const text = form.querySelector("[name=json]");
    if (side === "form" && readable) text.value = page.querySelector("[name=json]").value;
    copyFault(fieldOf(page, "json"), fieldOf(form, "json"));
    form.elements.services.value = page.querySelector("[name=services]").value;
    document.getElementById("editor-notes").replaceChildren(...page.querySelector("#editor-notes").childNodes);
  }

  // follow takes over, field by field, what the same fields hold and what is wrong with them.
  function follow(own, other, values, except) {
    const [mine, theirs] = [own, other].map((root) => [...root.querySelectorAll("[name]")]);
    theirs.forEach((el, i) => {
      if (mine[i] === except) return;
      if (values && el.type === "radio") mine[i].checked = el.checked;
      else if (values && mine[i].value !== el.value) mine[i].value = el.value;
      copyFault(fieldOf(other, el.name), fieldOf(own, el.name));
    });
    const titles = other.querySelectorAll("legend, button[value^=remove-service]");
    own.querySelectorAll("legend, button[value^=remove-service]").forEach((el, i) => { if (titles[i]) el.textContent = titles[i].textContent; });
  }

  // replace takes the new fields and leaves the person where they are.
  function replace(side, other) {
    const at = document.activeElement;
    const was = side.contains(at) ? { name: at.name, value: at.type === "radio" ? at.value : null, from: at.selectionStart, to: at.selectionEnd } : null;
    side.replaceChildren(...other.childNodes);
    if (!was) return;
    const again = [...side.querySelectorAll("[name]")].find((el) => el.name === was.name && (was.value === null || el.value === was.value));
    again?.focus();
    if (again && was.from != null) again.setSelectionRange(was.from, was.to);
  }

  // copyFault says beside a field what is wrong with it, or takes that away.
  function copyFault(from, to) {
    if (!from || !to) return;
    to.classList.toggle("field-wrong", from.classList.contains("field-wrong"));
    to.querySelector(".error")?.remove();
    const fault = from.querySelector(".error");
    if (fault) to.append(fault.cloneNode(true));
    const [is, shows] = [from.querySelector("[name]"), to.querySelector("[name]")];
    for (const name of ["aria-invalid", "aria-describedby"]) {
      if (is.hasAttribute(name)) shows.setAttribute(name, is.getAttribute(name));
      else shows.removeAttribute(name);
    }
  }
})();
