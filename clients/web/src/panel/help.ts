// Words that help: OBS step by step, and what to do when nothing moves.

function list(steps: readonly string[]): HTMLOListElement {
  const ol = document.createElement("ol");
  for (const step of steps) {
    const li = document.createElement("li");
    // `like this` becomes code; everything else is text.
    step.split("`").forEach((part, i) => {
      const node = i % 2 ? document.createElement("code") : document.createElement("span");
      node.textContent = part;
      li.append(node);
    });
    ol.append(li);
  }
  return ol;
}

/** What to do in OBS; visible: the lag of motion behind voice, ms. */
export function obsSteps(visible: number): HTMLElement {
  const page = new URL("?transparent=1", location.href).href;
  const delay = Number.isFinite(visible) ? `\`${Math.round(visible)} ms\`` : "the delay that the status card names";
  return list([
    "In OBS add a source: Browser.",
    `Its URL: \`${page}\``,
    "Width and height: those of your canvas. Tick “Use custom frame rate”, 60.",
    "Leave the custom CSS as it is: the page is transparent by itself.",
    `Click the gear beside your microphone in the mixer, then Advanced Audio Properties: Sync Offset ${delay}, so that voice and hands meet.`,
    "Clap in front of the microphone: hands and sound should come together. Move the offset until they do.",
    "The avatar is framed by `&camera=upper`, `bust`, `full` or `side` at the end of the URL.",
  ]);
}

/** From the likeliest to the rarest. */
export function connectionHelp(): HTMLElement {
  return list([
    "The card says “Waiting for the engine”: start it with `gesture live`. The page comes back by itself.",
    "It says “Idle” while you speak: the engine hears another microphone. `gesture devices` lists them, `gesture live --device NAME` takes one.",
    "It says “Speaking” and nothing moves: open Motion above; Size may be 0, or Stand still on.",
    "Another machine shows this page: that takes `--bind`, TLS and a token; `gesture doctor` checks the rest.",
    "The picture stutters: the card's Screen rate is low. Close other 3D programs, or make the window smaller.",
    "Voice and hands are apart: set the audio delay of the status card in OBS, see above.",
  ]);
}
