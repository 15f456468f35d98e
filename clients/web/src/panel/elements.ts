// Plain elements, so that keyboards and screen readers know what to do with them.

export function make<K extends keyof HTMLElementTagNameMap>(tag: K, text = ""): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

export function button(text: string, act: () => void): HTMLButtonElement {
  const element = make("button", text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

/** A row of words, what they name, and what stands behind it. */
export function labelled(text: string, ...parts: HTMLElement[]): HTMLLabelElement {
  const label = make("label");
  label.append(make("span", text), ...parts);
  return label;
}

export function tick(text: string, on: boolean, change: (on: boolean) => void): HTMLLabelElement {
  const input = make("input");
  input.type = "checkbox";
  input.checked = on;
  input.addEventListener("change", () => change(input.checked));
  const label = make("label");
  label.className = "tick";
  label.append(input, make("span", text));
  return label;
}

export type Options = readonly (readonly [value: string, text: string])[];

export function select(options: Options, change: (value: string) => void): HTMLSelectElement {
  const element = make("select");
  for (const [value, text] of options) element.add(new Option(text, value));
  element.addEventListener("change", () => change(element.value));
  return element;
}

/** A paragraph in which `this` is code that one click selects. */
export function prose(text: string): HTMLParagraphElement {
  const p = make("p");
  text.split("`").forEach((part, i) => p.append(i % 2 ? make("code", part) : part));
  return p;
}

/** Puts a text into the clipboard and says so for a moment. */
export function copyButton(text: string, value: () => string): HTMLButtonElement {
  const element = button(text, () => {
    const said = (words: string): void => {
      element.textContent = words;
      setTimeout(() => (element.textContent = text), 2000);
    };
    // Only secure pages may write to the clipboard; the text can be selected too.
    if (!navigator.clipboard) said("Select it and copy");
    else navigator.clipboard.writeText(value()).then(() => said("Copied"), () => said("Select it and copy"));
  });
  element.setAttribute("aria-live", "polite");
  return element;
}
