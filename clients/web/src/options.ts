import { PRESETS, type Preset } from "./stage";

/** What the page's address asks for. */
export interface Options {
  transparent: boolean;
  hud: boolean;
  mouth: boolean;
  captions: boolean;
  camera: Preset;
}

/** Read `?transparent=1&hud=0&mouth=0&captions=0&camera=upper|bust|full|side`. */
export function readOptions(search: string): Options {
  const query = new URLSearchParams(search);
  const flag = (name: string, otherwise: boolean): boolean => {
    const value = query.get(name);
    return value === null ? otherwise : value !== "0" && value !== "false";
  };
  const transparent = flag("transparent", false);
  const hud = flag("hud", !transparent);
  const camera = query.get("camera");
  return {
    transparent,
    hud,
    mouth: flag("mouth", true),
    captions: flag("captions", hud),
    camera: PRESETS.find((preset) => preset === camera) ?? "upper",
  };
}
