"""The on-disk format of training data: what converters write and every loop reads.

A store is a folder:

- `manifest.json`: format version, kind, skeleton (its `mean` is what networks
  subtract), fps, sample rate, angle and BC constants, speakers, splits, window
  and filter settings, source, licence, one entry a shard with its SHA-256, and
  what was dropped and why. It is written last, so a folder with one is whole.
- `shards/NAME.safetensors`: the clips of one recording (a video, a take), see
  `training.store.shards`.
- `vocabulary.json`: word to index, PAD 0, SOS 1, EOS 2, UNK 3 (ha2g.md 1.7).
- `journal.jsonl`: only while a conversion is under way; it resumes from there.
- `summary.png`, `report.json`: what was kept and dropped, for people.

A *clip* is one stretch of speech with motion and words; a *window* is the 34
frames that the papers' networks see. Windows are cut from clips on reading, so
that longer crops come from the same store.

Read with `Store` (`training.store.reader`), write with `StoreWriter`
(`training.store.writer`); `training.store.example` makes a small one.
"""
