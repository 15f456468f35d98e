// The pose to show now: the stream, a hold while it stalls, or rest.

import { StreamClock } from "./clock";
import type { Frame, Hello, VoiceState } from "./protocol";
import { blendPoses, copyPose, newPose, Timeline, type Pose } from "./timeline";

export type Mode = "rest" | "live" | "held";

const HOLD_S = 1.2; // a stream that stalls for longer eases to rest
const EASE_S = 1.4;
const CATCH_UP_S = 0.3; // after a hold or a reset
const STALL_FRAMES = 1.5;

/** Turns frames into poses at the display's rate. Times are seconds of the local clock. */
export class Playback {
  readonly pose: Pose;
  mode: Mode = "rest";
  voice: VoiceState = "idle";
  /** What the stream's face shows; null where it has none. */
  face: Float32Array | null = null;
  readonly clock = new StreamClock();

  private readonly timeline = new Timeline();
  private readonly target: Pose;
  private readonly from: Pose;
  private readonly resting: Pose;
  private blendStart = -Infinity;
  private blendLength = 0;
  private playhead = NaN;
  private takenOver: boolean; // the pose of an earlier connection, still to be left

  constructor(
    private readonly hello: Pick<Hello, "bones" | "fps" | "sampleRate">,
    rest: Pose,
    shown: Pose | null,
  ) {
    this.resting = rest;
    this.pose = newPose(hello.bones.length);
    this.target = newPose(hello.bones.length);
    this.from = newPose(hello.bones.length);
    copyPose(this.pose, shown ?? rest);
    this.takenOver = shown !== null;
  }

  /** Stream sample that is on the screen; NaN before the first frame. */
  get sample(): number {
    return this.playhead;
  }

  /** Whether the pose is on its way from another one to the stream's. */
  blending(at: number): boolean {
    return at < this.blendStart + this.blendLength;
  }

  /** Take a frame that arrived at `at`. */
  push(frame: Frame, at: number): void {
    if (frame.reset || frame.sample < (this.timeline.newest?.sample ?? 0)) {
      this.timeline.clear();
      this.blend(at, CATCH_UP_S);
    }
    this.timeline.push(frame);
    this.clock.arrive(frame.sample / this.hello.sampleRate, at, frame.reset);
  }

  /** Compute `pose` for local time `at`. */
  update(at: number): Pose {
    const mode = this.follow(at);
    if (mode !== this.mode || this.takenOver) {
      this.takenOver = false;
      if (mode === "rest") this.blend(at, EASE_S);
      else if (mode === "live") this.blend(at, CATCH_UP_S);
      this.mode = mode;
    }
    if (mode === "rest") {
      this.voice = "idle";
      this.face = null;
      copyPose(this.target, this.resting);
    }
    const t = (at - this.blendStart) / this.blendLength;
    if (t >= 0 && t < 1) blendPoses(this.pose, this.from, this.target, t * t * (3 - 2 * t));
    else copyPose(this.pose, this.target);
    return this.pose;
  }

  private follow(at: number): Mode {
    if (!this.clock.synced) return "rest";
    const time = this.clock.time(at, 1 / this.hello.fps);
    this.playhead = time * this.hello.sampleRate;
    const found = this.timeline.sample(this.playhead, this.target);
    if (!found) return "rest";
    this.voice = found.state;
    this.face = found.face;
    const starved = found.starved / this.hello.sampleRate;
    if (starved > HOLD_S) return "rest";
    if (starved > STALL_FRAMES / this.hello.fps) return "held";
    // Leaving rest or a hold: only once fresh frames are there.
    return this.mode !== "live" && starved > 0 ? this.mode : "live";
  }

  private blend(at: number, length: number): void {
    copyPose(this.from, this.pose);
    this.blendStart = at;
    this.blendLength = length;
  }
}
