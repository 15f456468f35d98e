// What not every stream carries: blinking, small eye movements, a talking mouth.

/** A source of numbers in [0, 1). */
export type Random = () => number;

const BLINK_S = 0.16;

/** Eyelids: closes every few seconds, sometimes twice. `update` returns 0 open .. 1 closed. */
export class Blink {
  private next: number;

  constructor(private readonly random: Random) {
    this.next = 1 + 2 * random();
  }

  update(at: number): number {
    const t = (at - this.next) / BLINK_S;
    if (t < 0) return 0;
    if (t >= 1) {
      const again = this.random() < 0.15;
      this.next = at + (again ? 0.12 : 1.8 + 4.2 * this.random() ** 1.5);
      return 0;
    }
    // Lids fall faster than they rise.
    return t < 0.35 ? smooth(t / 0.35) : smooth((1 - t) / 0.65);
  }
}

/** Where the eyes look, as an offset from the camera: fixations with quick jumps. */
export class Gaze {
  x = 0;
  y = 0;
  private toX = 0;
  private toY = 0;
  private next = 0;

  constructor(private readonly random: Random) {}

  /** Offsets are in units of the viewing distance. */
  update(at: number, dt: number): void {
    if (at >= this.next) {
      this.next = at + 0.7 + 2.4 * this.random();
      const away = this.random() < 0.25 ? 0.16 : 0.03;
      this.toX = (this.random() - 0.5) * 2 * away;
      this.toY = (this.random() - 0.5) * away;
    }
    const follow = 1 - Math.exp(-dt * 30);
    this.x += (this.toX - this.x) * follow;
    this.y += (this.toY - this.y) * follow;
  }
}

export const VOWELS = ["aa", "ih", "ou", "ee", "oh"] as const;
export type Vowel = (typeof VOWELS)[number];
export type Weights = Readonly<Record<Vowel, number>>;

/**
 * A mouth that moves while the voice speaks: as the stream says, or else syllables
 * at a natural rate, which are decoration and no lip sync.
 */
export class Mouth {
  readonly weights: Record<Vowel, number> = { aa: 0, ih: 0, ou: 0, ee: 0, oh: 0 };
  private vowel: Vowel = "aa";
  private peak = 0;
  private start = 0;
  private length = 0;

  constructor(private readonly random: Random) {}

  update(at: number, dt: number, speaking: boolean, streamed: Weights | null = null): void {
    if (streamed) {
      Object.assign(this.weights, streamed);
      return;
    }
    if (at >= this.start + this.length) {
      this.start = at;
      this.length = 0.13 + 0.12 * this.random();
      const pause = !speaking || this.random() < 0.08;
      this.peak = pause ? 0 : 0.25 + 0.5 * this.random();
      this.vowel = VOWELS[Math.floor(this.random() * VOWELS.length)] ?? "aa";
    }
    const swell = this.peak * Math.sin((Math.PI * (at - this.start)) / this.length) ** 2;
    const follow = 1 - Math.exp(-dt * 28);
    for (const vowel of VOWELS) {
      const goal = vowel === this.vowel && speaking ? swell : 0;
      this.weights[vowel] += (goal - this.weights[vowel]) * follow;
    }
  }
}

function smooth(t: number): number {
  return t * t * (3 - 2 * t);
}
