/** Delay before the next attempt to connect, ms: doubles from 0.4 s to 5 s, with jitter. */
export function backoffMs(attempt: number, random: () => number): number {
  return Math.min(5000, 400 * 2 ** attempt) * (0.75 + 0.5 * random());
}
