/* Cells that hold a number stand to the right and are not broken. Tables of class "sortable" sort by a click on a heading; those of class "filterable" get a search
   field and a choice of outcomes above. Nothing is fetched. */
document.addEventListener("DOMContentLoaded", () => {
  const number = (text) => parseFloat(text.replace("−", "-").replace(/,(?=\d{3})/g, "").replace(/[^0-9.eE+-].*$/, ""));

  function sort(table, column, heading) {
    const down = heading.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const key = (row) => row.cells[column].textContent.trim();
    const numeric = rows.every((row) => key(row) === "" || !Number.isNaN(number(key(row))));
    rows.sort((a, b) => {
      const order = numeric
        ? (number(key(a)) || 0) - (number(key(b)) || 0)
        : key(a).localeCompare(key(b));
      return down ? -order : order;
    });
    table.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  }

  document.querySelectorAll(".bd-article table td").forEach((cell) => {
    if (/^[−+-]?[0-9.,]+(\s?%)?(\s?±.*)?$/.test(cell.textContent.trim())) cell.classList.add("number");
  });

  document.querySelectorAll("table.sortable").forEach((table) => {
    table.querySelectorAll("thead th").forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      button.addEventListener("click", () => sort(table, column, heading));
      heading.replaceChildren(button);
    });
  });

  document.querySelectorAll("table.filterable").forEach((table) => {
    const rows = [...table.tBodies[0].rows];
    const outcomes = [...new Set(rows.map((row) => row.dataset.outcome))].sort();
    const bar = document.createElement("div");
    bar.className = "filters";
    const search = document.createElement("input");
    search.type = "search";
    search.placeholder = "Search the claims";
    search.setAttribute("aria-label", "Search the claims");
    const choice = document.createElement("select");
    choice.setAttribute("aria-label", "Show one outcome");
    choice.append(new Option("every verdict", ""), ...outcomes.map((o) => new Option(o, o)));
    const count = document.createElement("span");
    const show = () => {
      const words = search.value.toLowerCase();
      rows.forEach((row) => {
        const fits = !choice.value || row.dataset.outcome === choice.value;
        row.hidden = !(fits && row.textContent.toLowerCase().includes(words));
      });
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    search.addEventListener("input", show);
    choice.addEventListener("change", show);
    bar.append(search, choice, count);
    table.closest(".scrolls").before(bar);
    show();
  });
});
