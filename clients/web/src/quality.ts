/** From fine to cheap: shadows, then fewer pixels. */
export const LEVELS = [
  { shadows: true, pixels: 1 },
  { shadows: false, pixels: 1 },
  { shadows: false, pixels: 0.75 },
  { shadows: false, pixels: 0.5 },
] as const;

const WINDOW_S = 2;
const ENOUGH_FPS = 22; // OBS draws 30 a second by default: that is no weakness

/** Gives up finery, for good, on machines that cannot draw it in time. */
export class Quality {
  level = 0;
  private seconds = -WINDOW_S; // the first frames compile shaders
  private frames = 0;

  /** Note the time since the last frame; true when the level has changed. */
  update(dt: number): boolean {
    if (dt > 2) return false; // the page was hidden
    if (this.seconds >= 0) this.frames++;
    this.seconds += dt;
    if (this.seconds < WINDOW_S) return false;
    const slow = this.frames / this.seconds < ENOUGH_FPS;
    this.seconds = this.frames = 0;
    if (!slow || this.level === LEVELS.length - 1) return false;
    this.level++;
    return true;
  }
}
