"use strict";
(function () {
  var body = document.body;
  var cells = Array.from(document.querySelectorAll("article.cell:not(.same)"));
  var current = -1;

  function show(number) {
    if (!cells.length) return;
    if (cells[current]) cells[current].classList.remove("current");
    current = Math.max(0, Math.min(cells.length - 1, number));
    cells[current].classList.add("current");
    cells[current].scrollIntoView({ block: "start" });
    place();
  }
  function place() {
    document.getElementById("place").textContent = cells.length ? (current < 0 ? "" : current + 1 + " of ") + cells.length + " changes" : "";
  }
  function toggle(name, button) {
    button.setAttribute("aria-pressed", String(body.classList.toggle(name)));
  }
  var actions = {
    previous: function () { show(current - 1); },
    next: function () { show(current + 1); },
    view: function (button) { toggle("unified", button); },
    outputs: function (button) { toggle("no-outputs", button); },
    unchanged: function (button) {
      toggle("unfolded", button);
      document.querySelectorAll("details.gap").forEach(function (gap) { gap.open = body.classList.contains("unfolded"); });
    },
    theme: function () {
      var root = document.documentElement;
      var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
    }
  };
  function act(name) { actions[name](document.querySelector('[data-do="' + name + '"]')); }
  document.querySelectorAll("[data-do]").forEach(function (button) {
    button.addEventListener("click", function () { act(button.dataset.do); });
  });
  var keys = { j: "next", ArrowRight: "next", k: "previous", ArrowLeft: "previous", u: "view", o: "outputs", e: "unchanged", d: "theme" };
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (keys[event.key]) { event.preventDefault(); act(keys[event.key]); }
  });
  document.querySelectorAll("#index a, article h3 > a:first-child").forEach(function (link) {
    link.addEventListener("click", function () {
      var number = cells.indexOf(document.getElementById(link.getAttribute("href").slice(1)));
      if (number >= 0) setTimeout(function () { show(number); }, 0);
    });
  });
  document.querySelectorAll(".figure").forEach(function (figure) {
    function mode(name) {
      figure.classList.toggle("difference", name === "difference");
      figure.classList.toggle("fade", name === "fade");
    }
    figure.querySelectorAll("[data-mode]").forEach(function (control) {
      control.addEventListener(control.type === "range" ? "input" : "click", function () {
        mode(control.dataset.mode);
        var after = figure.querySelector(".new img");
        if (after) after.style.opacity = control.dataset.mode === "fade" ? control.value / 100 : "";
      });
    });
  });
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (part) { part.open = false; });
  });
  place();
})();
