"""Shares even out by moves that come to an end, and what is free goes to where there is least."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.ownership import Slice
from watcher.core.slice_shares import (
    MOST_SLICES,
    WATCHES_PER_SLICE,
    Shares,
    assigned,
    moves,
    slices_of_source,
)

GROUPS = {"source a": 4, "source b": 1, "channel a": 4, "channel b": 1, "channel c": 3}
SLICES = [Slice(group, number) for group, count in GROUPS.items() for number in range(count)]


@st.composite
def shares(draw: st.DrawFn, *, all_serve_all: bool = False) -> Shares:
    sessions = range(1, draw(st.integers(1, 5)) + 1)
    groups = (
        st.just(frozenset(GROUPS)) if all_serve_all else st.frozensets(st.sampled_from([*GROUPS]))
    )
    owner = st.sampled_from([None, *sessions])
    return Shares(
        served={session: draw(groups) for session in sessions},
        owners={owned: draw(owner) for owned in SLICES},
    )


def after(shares: Shares) -> Shares:
    """Return the shares once replicas have claimed and given up what they should."""
    owners = {**shares.owners, **assigned(shares)}
    for _, moved in moves(Shares(served=shares.served, owners=owners)):
        one_free = Shares(served=shares.served, owners={**owners, moved: None})
        owners[moved] = assigned(one_free)[moved]
    return Shares(served=shares.served, owners=owners)


@given(shares())
def test_a_replica_that_can_serve_a_free_slice_gets_it_and_moves_end(
    before: Shares,
) -> None:
    even = after(before)

    for owned, owner in even.owners.items():
        if before.owners[owned] is None and before.able(owned.group):
            assert owner is not None
            assert owned.group in even.served[owner]
    assert moves(even) == []
    assert assigned(even) == {}


@given(shares(all_serve_all=True))
def test_no_replica_has_two_slices_more_than_another(before: Shares) -> None:
    even = after(before)
    total = Counter(even.owners.values())
    by_group = Counter((owner, owned.group) for owned, owner in even.owners.items())

    counts = [total[session] for session in even.served]
    assert max(counts) - min(counts) <= 1
    for group in GROUPS:
        of_group = [by_group[session, group] for session in even.served]
        assert max(of_group) - min(of_group) <= 1


@given(st.integers(0, 400_000), st.integers(0, 400_000))
def test_a_source_is_divided_as_it_grows_and_not_to_and_fro(active: int, before: int) -> None:
    stored = slices_of_source(before, None)
    now = slices_of_source(active, stored)

    assert now == MOST_SLICES or active <= now * WATCHES_PER_SLICE
    assert now >= stored or active * 4 <= stored * WATCHES_PER_SLICE
    assert slices_of_source(active, now) == now
