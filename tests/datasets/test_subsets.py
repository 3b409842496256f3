"""Parts of a data set: chosen by name, nested, the same whatever the order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from camdbench.core.errors import UsageError
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.datasets.subsets import by_ids, few_shot, labelled_fraction, random_sample, select_images

NAMES = [f"image-{index:03d}" for index in range(100)]
LABELS = [index % 4 for index in range(100)]


class TestSample:
    @settings(max_examples=20, deadline=None)
    @given(order=st.permutations(NAMES), count=st.integers(1, 100), seed=st.integers(0, 5))
    def test_the_same_images_whatever_their_order(self, order: list[str], count: int, seed: int) -> None:
        assert {order[index] for index in random_sample(order, count, seed)} == {
            NAMES[index] for index in random_sample(NAMES, count, seed)
        }

    def test_a_smaller_sample_is_a_part_of_a_larger_one(self) -> None:
        assert set(random_sample(NAMES, 10, 0)) < set(random_sample(NAMES, 30, 0))

    def test_without_repetition_and_in_order(self) -> None:
        found = random_sample(NAMES, 40, 3)
        assert found == sorted(set(found))
        assert len(found) == 40

    def test_seeds_differ(self) -> None:
        assert random_sample(NAMES, 20, 0) != random_sample(NAMES, 20, 1)

    def test_every_image_is_as_likely(self) -> None:
        counts = np.bincount([index for seed in range(400) for index in random_sample(NAMES[:20], 5, seed)], minlength=20)
        assert chisquare(counts).pvalue > 0.001

    @pytest.mark.parametrize("count", [0, 101])
    def test_more_than_there_are_is_refused(self, count: int) -> None:
        with pytest.raises(UsageError, match=rf"--sample {count}: the data set has 100 images"):
            random_sample(NAMES, count, 0)


class TestListed:
    def test_in_the_file_s_order(self, tmp_path: Path) -> None:
        (tmp_path / "ids.txt").write_text("# mine\nimage-007\n\n  image-003 \n")
        assert by_ids(NAMES, tmp_path / "ids.txt") == [7, 3]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image-0070\n", r"--image-ids .*ids\.txt: no image 'image-0070'; did you mean 'image-0"),
            ("image-007\nimage-007\n", r"image-007 is listed twice"),
            ("# none\n", r"no ids; expected one id per line"),
        ],
    )
    def test_mistakes_are_named(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "ids.txt").write_text(text)
        with pytest.raises(UsageError, match=message):
            by_ids(NAMES, tmp_path / "ids.txt")

    def test_a_file_that_is_not_there_or_no_text(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"cannot be read \(|damaged \(not UTF-8"):
            by_ids(NAMES, tmp_path / "none.txt")
        (tmp_path / "ids.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UsageError, match=r"cannot be read \(|damaged \(not UTF-8"):
            by_ids(NAMES, tmp_path / "ids.txt")


class TestChosen:
    def test_a_subset_is_a_data_set(self) -> None:
        whole = shortcuts(size=32, count=30)
        part = select_images(whole, sample=6, seed=1)
        assert len(part.ids) == len(part.labels) == 6
        for index, name in enumerate(part.ids):
            position = list(whole.ids).index(name)
            assert part[index].id == name
            assert part.labels[index] == whole.labels[position]
            assert torch.equal(part[index].image, whole[position].image)
        assert part.classes == whole.classes
        assert part.fingerprint() == whole.fingerprint()

    def test_list_then_sample_then_limit(self, tmp_path: Path) -> None:
        whole = shortcuts(size=32, count=30)
        names = [whole.ids[index] for index in (20, 3, 9, 4)]
        (tmp_path / "ids.txt").write_text("\n".join(names))
        assert list(select_images(whole, ids=tmp_path / "ids.txt").ids) == names
        assert list(select_images(whole, ids=tmp_path / "ids.txt", limit=2).ids) == names[:2]
        few = select_images(whole, ids=tmp_path / "ids.txt", sample=3)
        assert list(few.ids) == [names[index] for index in random_sample(names, 3, 0)]
        assert list(select_images(whole, sample=5, limit=2).ids) == [whole.ids[index] for index in random_sample(whole.ids, 5, 0)[:2]]

    def test_nothing_asked_for_is_the_data_set_itself(self) -> None:
        whole = shortcuts(size=32, count=8)
        assert select_images(whole) is whole
        assert select_images(whole, limit=99) is whole

    def test_a_limit_below_one_is_refused(self) -> None:
        with pytest.raises(UsageError, match="--limit 0"):
            select_images(shortcuts(size=32, count=8), limit=0)


class TestEpisodes:
    def test_so_many_of_each_class_and_all_others_besides(self) -> None:
        train, rest = few_shot(NAMES, LABELS, shots=5, episode=0)
        assert np.bincount([LABELS[index] for index in train]).tolist() == [5] * 4
        assert sorted(train + rest) == list(range(100))

    def test_episodes_differ_and_fewer_shots_are_a_part_of_more(self) -> None:
        assert few_shot(NAMES, LABELS, shots=5, episode=0) != few_shot(NAMES, LABELS, shots=5, episode=1)
        assert set(few_shot(NAMES, LABELS, shots=1, episode=2).train) < set(few_shot(NAMES, LABELS, shots=10, episode=2).train)

    def test_a_class_with_too_few_images_is_named(self) -> None:
        with pytest.raises(UsageError, match="shots=3: class 2 has 1 images"):
            few_shot(NAMES[:9], [0, 0, 0, 1, 1, 1, 2, 1, 0], shots=3, episode=0)
        with pytest.raises(UsageError, match="shots=0"):
            few_shot(NAMES, LABELS, shots=0, episode=0)

    def test_images_without_a_label_are_never_trained_on(self) -> None:
        assert 0 not in few_shot(NAMES, [-1, *LABELS[1:]], shots=20, episode=0).train

    @pytest.mark.parametrize(("fraction", "expected"), [(0.2, 5), (0.01, 1), (1.0, 25)])
    def test_a_labelled_fraction_of_each_class(self, fraction: float, expected: int) -> None:
        train, rest = labelled_fraction(NAMES, LABELS, fraction)
        assert np.bincount([LABELS[index] for index in train]).tolist() == [expected] * 4
        assert sorted(train + rest) == list(range(100))

    @pytest.mark.parametrize("fraction", [0, 1.5, -0.1])
    def test_a_share_that_is_none(self, fraction: float) -> None:
        with pytest.raises(UsageError, match="out of range"):
            labelled_fraction(NAMES, LABELS, fraction)
