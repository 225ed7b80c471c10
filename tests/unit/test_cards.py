"""Which cards a run takes; the driver's answers are given, as this needs no card."""

import pytest

from optimizer.cards import CPU, Card, card_held, cards, chosen, use_of
from optimizer.errors import CardError

TWO = (Card(0, "GPU-aaa", "RTX 4080", 16 << 30), Card(1, "GPU-bbb", "RTX 3060", 12 << 30))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("0", ["GPU-aaa"]),
        ("1, 0", ["GPU-bbb", "GPU-aaa"]),
        ("GPU-bbb", ["GPU-bbb"]),
        ("all", ["GPU-aaa", "GPU-bbb"]),
        ("cpu,cpu", ["", ""]),
    ],
)
def test_cards_are_named_by_number_uuid_or_all(wanted: str, found: list[str]) -> None:
    assert [place.visible for place in chosen(wanted, TWO)] == found


@pytest.mark.parametrize(
    ("wanted", "known", "sentence"),
    [
        ("2", TWO, r"no card '2' on this machine; it has: 0 \(RTX 4080\), 1 \(RTX 3060\)"),
        ("0", (), "it has: none"),
        ("", TWO, "no card ''"),
        ("0,GPU-aaa", TWO, "a card is named twice"),
        ("all", (), "knows no card"),
    ],
)
def test_cards_that_are_not_there_are_refused(
    wanted: str, known: tuple[Card, ...], sentence: str
) -> None:
    with pytest.raises(CardError, match=sentence):
        chosen(wanted, known)


def test_a_worker_sees_its_card_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    (place,) = chosen("1", TWO)
    assert place.label == "GPU 1 (RTX 3060)"
    assert place.environment()["CUDA_VISIBLE_DEVICES"] == "GPU-bbb"
    assert CPU.environment()["CUDA_VISIBLE_DEVICES"] == ""


def test_one_job_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.cards.PATIENCE_SECONDS", 0.0)
    with card_held("GPU-test-a", "GPU 0 (RTX 4080)", "study night"):
        with (
            pytest.raises(CardError, match=r"GPU 0 \(RTX 4080\) is in use by .*study night"),
            card_held("GPU-test-a", "GPU 0 (RTX 4080)", "study day"),
        ):
            pass
        with card_held("GPU-test-b", "GPU 1", "study day"), card_held(None, "cpu", "study day"):
            pass


def test_the_driver_is_asked_without_cuda() -> None:
    """Here or on a machine with cards: whole answers or none."""
    for card in cards():
        assert card.uuid and card.memory_bytes > 0
        assert use_of(card.uuid) is not None
    assert use_of("GPU-nowhere") is None
