// Makes the pages nicer where scripts run; everything works without it.
"use strict";

const LOCALE = "en-GB";
const DAY = { day: "numeric", month: "long", year: "numeric" };
const SHORT_DAY = { ...DAY, month: "short" };
const MINUTE = { hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
const SHAPES = {
  "day": new Intl.DateTimeFormat(LOCALE, DAY),
  "short-day": new Intl.DateTimeFormat(LOCALE, SHORT_DAY),
  "short": new Intl.DateTimeFormat(LOCALE, { ...SHORT_DAY, ...MINUTE }),
  "moment": new Intl.DateTimeFormat(LOCALE, { ...DAY, ...MINUTE, second: "2-digit" }),
};

const all = (selector, root = document) => root.querySelectorAll(selector);

// Times in the reader's zone; the title keeps UTC.
function showLocalTimes(root) {
  for (const time of all("time[data-show]", root)) {
    const shape = SHAPES[time.dataset.show];
    time.textContent = shape.format(new Date(time.dateTime)).replace(" at ", ", ");
  }
}

function showCopyButtons(root) {
  for (const button of all("[data-copy]", root)) button.hidden = false;
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = label; }, 2000);
}

const ticks = () => [...all('input[form="selection"]')];

function countSelection() {
  const label = document.getElementById("selected");
  const everyone = document.getElementById("all");
  if (!label || !everyone) return;
  const boxes = ticks();
  const chosen = boxes.filter((box) => box.checked).length;
  everyone.hidden = false;
  everyone.checked = chosen > 0 && chosen === boxes.length;
  everyone.indeterminate = chosen > 0 && chosen < boxes.length;
  label.textContent = chosen === 0 ? "With the selected users:" : `With ${chosen === 1 ? "1 user" : `${chosen} users`}:`;
}

function prepare(root) {
  showLocalTimes(root);
  showCopyButtons(root);
  countSelection();
}

function closeDialog() {
  const dialog = document.getElementById("dialog");
  if (dialog?.open) dialog.close();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  if (event.target.closest("dialog [data-close]")) {
    event.preventDefault();
    closeDialog();
  }
  if (event.target.id === "dialog") closeDialog();
});

document.addEventListener("change", (event) => {
  if (event.target.id === "all") for (const box of ticks()) box.checked = event.target.checked;
  countSelection();
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "dialog-content") return;
  const dialog = document.getElementById("dialog");
  if (!dialog.open) dialog.showModal();
  showLocalTimes(dialog);
});

// After an action the row is another one: the result is where to go on from.
document.addEventListener("htmx:afterSettle", (event) => {
  prepare(document);
  if (event.detail.requestConfig?.verb !== "post") return;
  closeDialog();
  document.getElementById("outcome")?.focus();
});

// A page of an error is shown whole: signed out, not allowed, or out of order.
document.addEventListener("htmx:responseError", (event) => {
  const { requestConfig, xhr } = event.detail;
  if (requestConfig.verb === "get") {
    location.assign(requestConfig.path.split("#")[0]);
    return;
  }
  closeDialog();
  const result = document.getElementById("result");
  if (xhr.status === 401 || !result) location.reload();
  else result.textContent = `This was not done (${xhr.status}). Load the page again, then try once more.`;
});

document.addEventListener("htmx:sendError", () => {
  closeDialog();
  const result = document.getElementById("result");
  if (result) result.textContent = "The ledger can't be reached now. Try again in a moment.";
});

prepare(document);
