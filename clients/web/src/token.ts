// The token of an engine that is reached from other machines: asked for, remembered.

const KEY = "gesture-token";

export class Token {
  private value = read();
  private readonly dialog = document.getElementById("token") as HTMLDialogElement;

  get current(): string | null {
    return this.value;
  }

  /** What `fetch` needs beside an address that only the trusted may read. */
  get headers(): Record<string, string> {
    return this.value === null ? {} : { Authorization: `Bearer ${this.value}` };
  }

  /** Ask for another one; `wrong`: the last one was refused. Calls back once it is entered. */
  ask(wrong: boolean, entered: () => void): void {
    const { dialog } = this;
    const form = dialog.querySelector("form")!;
    const input = dialog.querySelector<HTMLInputElement>("input[type=password]")!;
    const keep = dialog.querySelector<HTMLInputElement>("input[type=checkbox]")!;
    dialog.querySelector("[role=alert]")!.textContent = wrong ? "That was not the right token." : "";
    if (dialog.open) return;
    input.value = "";
    form.onsubmit = () => {
      this.value = input.value.trim();
      write(keep.checked ? this.value : null);
      entered();
    };
    dialog.showModal();
  }
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is off: it is asked for each time
  }
}

function write(value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, value);
  } catch {
    // storage is off
  }
}
