// What tables do not do by themselves: heads that keys reach, and a focus that stays when rows are drawn anew.
(() => {
  let held = null;

  function named(head) {
    const order = head.classList.contains("sort-desc") ? "descending" : "ascending";
    return head.classList.contains("sorted") ? order : "none";
  }

  function mend() {
    for (const head of document.querySelectorAll("th.sortable")) {
      head.tabIndex = 0;
      head.setAttribute("aria-sort", named(head));
    }
    if (held === null || held.isConnected || document.activeElement !== document.body) return;
    const links = [...document.querySelectorAll(".q-table a[href]")];
    held = links.find((link) => link.getAttribute("href") === held.getAttribute("href")) ?? null;
    held?.focus({ preventScroll: true });
  }

  document.addEventListener("focusin", (event) => {
    held = event.target.closest(".q-table a[href]");
  });
  document.addEventListener("keydown", (event) => {
    if (!["Enter", " "].includes(event.key) || !event.target.matches("th.sortable")) return;
    event.preventDefault();
    event.target.click();
  });
  new MutationObserver(mend).observe(document.documentElement, {
    childList: true,
    subtree: true,
    attributeFilter: ["class"],
  });
})();
