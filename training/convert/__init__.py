"""Other people's data to a store: `python -m training convert KIND SOURCE -o STORE`.

A *source* (`training.convert.sources`) knows its recordings and reads one of
them into takes: speech with motion of any length at 15 fps. `clips` cuts takes
into clips and judges their windows, `pipeline` runs it all over several
processes. Adding a kind of data is a new source.
"""
