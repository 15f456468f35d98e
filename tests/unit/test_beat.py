import asyncio

from streamer.beat import Beat


async def test_the_first_goes_on_at_once_and_the_rest_in_their_time() -> None:
    out = list[int]()
    done = asyncio.Event()

    def emit(item: int) -> None:
        out.append(item)
        if item == 3:
            done.set()

    beat = Beat[int](0.001, emit)
    beat.put([1, 2, 3])
    assert out == [1]
    assert beat.waiting == 2
    await done.wait()
    assert out == [1, 2, 3]
    assert beat.waiting == 0


async def test_what_waits_goes_before_the_next_step() -> None:
    out = list[int]()
    beat = Beat[int](1e3, out.append)
    beat.put([1, 2, 3])
    beat.put([4, 5])
    assert out == [1, 2, 3, 4]
    beat.flush()
    assert out == [1, 2, 3, 4, 5]


async def test_cancelled_items_never_go_on() -> None:
    out = list[int]()
    beat = Beat[int](1e3, out.append)
    beat.put([1, 2])
    beat.cancel()
    beat.put([])
    beat.flush()
    assert out == [1]
