// The engine's comfort settings as the panel shows them. Which of them an engine
// has, its `settings` events say; names and limits are those of PROTOCOL.md.

export interface Slider {
  kind: "slider";
  name: string;
  label: string;
  low: number;
  high: number;
  step: number;
  /** Of the value as it is shown: 100 for per cent. */
  scale: number;
  unit: string;
}

export interface Choice {
  kind: "choice";
  name: string;
  label: string;
  options: readonly (readonly [string, string])[];
}

export interface Switch {
  kind: "switch";
  name: string;
  label: string;
}

export type Control = Slider | Choice | Switch;
export type Value = number | string | boolean;

function part(name: string, label: string, high = 1): Slider {
  return { kind: "slider", name, label, low: 0, high, step: 0.05, scale: 100, unit: "%" };
}

export const GROUPS: readonly { title: string; controls: readonly Control[] }[] = [
  {
    title: "Gestures",
    controls: [
      part("amplitude", "Size", 1.5),
      part("energy", "Energy", 2),
      part("rate", "How many gestures"),
      part("left", "Left arm"),
      part("right", "Right arm"),
      part("fingers", "Fingers"),
      part("head", "Head"),
      part("body", "Body"),
    ],
  },
  {
    title: "Fit to the avatar",
    controls: [
      { kind: "slider", name: "spread", label: "Arms away from the body", low: -30, high: 60, step: 1, scale: 1, unit: "°" },
      { kind: "slider", name: "torso_radius", label: "Keep hands out of the body", low: 0, high: 0.4, step: 0.01, scale: 100, unit: "cm" },
    ],
  },
  {
    title: "Smoothness",
    controls: [
      {
        kind: "choice",
        name: "filter",
        label: "Filter",
        options: [["none", "None (least delay)"], ["damped", "Damped"], ["one_euro", "1 euro"]],
      },
      { kind: "slider", name: "smoothing_ms", label: "Smoothing", low: 20, high: 1000, step: 10, scale: 1, unit: "ms" },
    ],
  },
  {
    title: "Face",
    controls: [part("mouth", "Mouth opens")],
  },
  {
    title: "While nobody speaks",
    controls: [
      part("breathing", "Breathing"),
      part("sway", "Sway"),
      part("attention", "Shows that it listens"),
      {
        kind: "choice",
        name: "mood",
        label: "Mood",
        options: [["auto", "As the voice"], ["listening", "Listening"], ["thinking", "Thinking"], ["speaking", "Speaking"]],
      },
    ],
  },
  {
    title: "Right now",
    controls: [
      { kind: "switch", name: "still", label: "Stand still" },
      { kind: "switch", name: "lock_left", label: "Hold the left arm" },
      { kind: "switch", name: "lock_right", label: "Hold the right arm" },
    ],
  },
];

/** Gestures that `trigger` asks for. */
export const TRIGGERS = [
  ["wave", "Wave"],
  ["nod", "Nod"],
  ["shake", "Shake head"],
  ["shrug", "Shrug"],
  ["point", "Point"],
] as const;

/** What `fit` measures on the avatar. */
export const FITS = [["body", "Keep hands out of this body"]] as const;

/** What `profile` does with the avatar's settings. */
export const PROFILES = [
  ["save", "Save for this avatar"],
  ["load", "Load saved"],
  ["neutral", "Neutral"],
] as const;

/** A value in words: for the eye and for screen readers. */
export function spoken({ scale, unit, step }: Slider, value: number): string {
  const digits = step * scale < 1 ? 1 : 0;
  return `${(value * scale).toFixed(digits)} ${unit}`;
}
