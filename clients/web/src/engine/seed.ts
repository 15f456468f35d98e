// The gesture code's seed (streamer/windowing.py, gesture_seed), which Python
// draws with numpy's SeedSequence (O'Neill's seed_seq_fe).

const POOL = 4;
const SEEDS = 30_000;

/** The Wichmann-Hill seed [3], whole numbers in [1, 30000], of a session's nth start. */
export function gestureSeed(seed: number, start: number): Float32Array {
  const words = generate(mixed([...words32(seed), ...words32(start)]), 3);
  return Float32Array.from(words, (word) => (word % SEEDS) + 1);
}

/** The 32-bit words of a whole number >= 0, lowest first. */
function words32(value: number): number[] {
  const words = [value >>> 0];
  for (let rest = Math.floor(value / 2 ** 32); rest > 0; rest = Math.floor(rest / 2 ** 32)) {
    words.push(rest >>> 0);
  }
  return words;
}

function mixed(entropy: number[]): Uint32Array {
  const pool = new Uint32Array(POOL);
  let constant = 0x43b0d7e5;
  const hash = (value: number): number => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number): number => {
    const result = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0;
    return (result ^ (result >>> 16)) >>> 0;
  };
  for (let i = 0; i < POOL; i++) pool[i] = hash(entropy[i] ?? 0);
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) {
      if (from !== to) pool[to] = mix(pool[to]!, hash(pool[from]!));
    }
  }
  for (const word of entropy.slice(POOL)) {
    for (let to = 0; to < POOL; to++) pool[to] = mix(pool[to]!, hash(word));
  }
  return pool;
}

function generate(pool: Uint32Array, count: number): number[] {
  let constant = 0x8b51f9dd;
  return Array.from({ length: count }, (_, i) => {
    let value = pool[i % POOL]! ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  });
}
