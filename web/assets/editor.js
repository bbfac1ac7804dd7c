"use strict";
// In the editor of an environment the form and the JSON follow each other. The server turns one into the other, by the
// rules that it saves by; what was typed since it was asked is never overwritten.
(() => {
  const form = document.getElementById("editor");
  if (!form) return;
  let typed = 0; // grows with every change
  let timer = 0;

  const sides = { form: () => form.querySelector(".editor-form"), json: () => form.querySelector(".editor-json") };
  const names = (root) => [...root.querySelectorAll("[name]")].map((el) => el.name).join(" ");
  const fieldOf = (root, name) => root.querySelector(`[name="${CSS.escape(name)}"]`)?.closest(".field");

  form.addEventListener("input", (e) => {
    const side = sides.json().contains(e.target) ? "json" : "form";
    typed += 1;
    clearTimeout(timer);
    timer = setTimeout(() => sync(side, typed), 250);
  });

  async function sync(side, mine) {
    const body = new URLSearchParams(new FormData(form));
    body.set("step", "sync-" + side);
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("editor");
      if (page && mine === typed) take(page, side);
    } catch {
      // nothing is lost: the form is sent as it is when it is reviewed
    }
  }

  function take(page, side) {
    const other = page.querySelector(".editor-form");
    if (side === "json" && !page.querySelector(".editor-json [aria-invalid]") || names(other) !== names(sides.form())) replace(sides.form(), other);
    else for (const el of other.querySelectorAll("[name]")) copyFault(fieldOf(other, el.name), fieldOf(sides.form(), el.name));
    const text = form.querySelector("[name=json]");
    if (side === "form") text.value = page.querySelector("[name=json]").value;
    copyFault(fieldOf(page, "json"), fieldOf(form, "json"));
    form.elements.services.value = page.querySelector("[name=services]").value;
    document.getElementById("editor-notes").replaceChildren(...page.querySelector("#editor-notes").childNodes);
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
