// Elements without a framework. Text is always text: nothing here parses HTML.

/** An element by its id. */
export const byId = (id) => document.getElementById(id);

/** A new element: properties beginning with "on" are listeners, the others attributes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** Text in which `backticks` mark code. */
export const coded = (text) =>
  text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

/** Words for screen readers alone. */
export const heard = (text) => el("span", { class: "only-heard" }, text);

/** A mark that is seen, with words that are heard. */
export const mark = (symbol, words, kind = "") =>
  el("span", { class: `mark ${kind}` }, el("span", { "aria-hidden": "true" }, symbol), heard(words));
