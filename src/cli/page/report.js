/* Sorting of tables by a click on a header. The page is whole without it. */
"use strict";
for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    if (!body || body.rows.length < 3) {
        continue;
    }
    for (const header of table.tHead.rows[0].cells) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = header.textContent;
        header.replaceChildren(button);
        button.addEventListener("click", () => {
            const descending = header.getAttribute("aria-sort") !== "descending";
            for (const other of header.parentNode.cells) {
                other.removeAttribute("aria-sort");
            }
            header.setAttribute("aria-sort", descending ? "descending" : "ascending");
            const key = (row) => {
                const text = row.cells[header.cellIndex].textContent;
                const number = parseFloat(text.replace(/,/g, ""));
                return Number.isNaN(number) ? text : number;
            };
            const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? 1 : -1);
            const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)) * (descending ? -1 : 1));
            body.append(...rows);
        });
    }
}
