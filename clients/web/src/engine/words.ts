// Words as hashed character n-grams (streamer/words.py).

import type { WordSpec } from "./manifest";

const LONGEST = 64;

/** A word lower-cased, compatibility-folded, with letters, digits and ' kept. */
export function normalise(text: string): string {
  const folded = [...text].slice(0, LONGEST).join("").normalize("NFKC");
  return [...folded]
    .map(caseFolded)
    .join("")
    .replace(/[^\p{L}\p{N}']/gu, "");
}

/** The bucket ids [slots] of a word; zeros for an empty one. */
export function wordIds(text: string, spec: WordSpec): Int32Array {
  const out = new Int32Array(spec.slots);
  const word = normalise(text);
  if (!word) return out;
  const marked = [...`<${word}>`];
  const grams = [`=${word}`];
  for (let i = 0; i + 2 < marked.length; i++) grams.push(marked.slice(i, i + 3).join(""));
  grams.slice(0, spec.slots).forEach((gram, i) => {
    out[i] = (crc32(new TextEncoder().encode(gram)) % (spec.buckets - 1)) + 1;
  });
  return out;
}

/** The CRC-32 of zlib, PNG and Ethernet. */
export function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});

/** Unicode's full case folding of one character, which JavaScript does not have by name. */
function caseFolded(character: string): string {
  if (character === "\u0131" || /[\u13a0-\u13f5]/.test(character)) return character;
  if (/[\u13f8-\u13fd\uab70-\uabbf]/.test(character)) return character.toUpperCase();
  if (character === "\u1e9e") return "ss";
  // By way of capitals, so that \u00df becomes ss and every sigma the same.
  return [...character.toUpperCase()].map((c) => c.toLowerCase()).join("");
}
