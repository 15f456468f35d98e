/** Call `take` with each file that is dropped anywhere on the page or chosen. */
export function acceptFiles(take: (file: File) => void): void {
  const hint = document.getElementById("drop")!;
  const input = document.getElementById("file") as HTMLInputElement;
  let depth = 0; // enter and leave come for every element that is crossed
  const show = (value: boolean): void => void hint.classList.toggle("shown", value);
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    depth++;
    show(true);
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) show(false);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    show(false);
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
  });
  document.getElementById("choose")!.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) take(file);
    input.value = "";
  });
}
