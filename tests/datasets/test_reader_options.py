"""What is particular about single readers: their options, and the ways in which their files can be wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import dataset_layouts as fixtures
from helpers.each import each
from PIL import Image

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.imagenet_classes import imagenet_positions
from camdbench.datasets.aerial import aerial
from camdbench.datasets.aircraft import aircraft
from camdbench.datasets.cub200 import cub200
from camdbench.datasets.flowers102 import flowers102
from camdbench.datasets.folder import folder
from camdbench.datasets.funnybirds import BACKGROUND_OBJECT, PART_VALUES, funnybirds
from camdbench.datasets.hard_imagenet import WNIDS, hard_imagenet
from camdbench.datasets.imagenet import imagenet
from camdbench.datasets.imagenet9 import groups_of_imagenet, imagenet9
from camdbench.datasets.imagenet_s import imagenet_s
from camdbench.datasets.kvasir import kvasir
from camdbench.datasets.on_disk import filled
from camdbench.datasets.pets import pets
from camdbench.datasets.transforms import box_of
from camdbench.datasets.unrel import unrel
from camdbench.datasets.voc2007 import voc2007
from camdbench.datasets.voc2012 import voc2012
from camdbench.datasets.waterbirds import waterbirds
from camdbench.models.zoo import load_classifier


class TestImageNet:
    def test_an_end_may_be_read_as_exclusive(self, tmp_path: Path) -> None:
        fixtures.imagenet(tmp_path)
        inclusive, exclusive = (imagenet(tmp_path, box_ends=ends, preprocess="keep")[0].boxes for ends in ("inclusive", "exclusive"))
        assert (inclusive - exclusive).tolist() == [[0, 0, 1, 1]]

    def test_only_boxes_of_the_image_s_own_class_count(self, tmp_path: Path) -> None:
        fixtures.imagenet(tmp_path)
        assert imagenet(tmp_path)[0].boxes.shape == (1, 4)

    def test_an_image_without_a_file_of_boxes_has_none(self, tmp_path: Path) -> None:
        fixtures.imagenet(tmp_path)
        next(tmp_path.rglob("*_00000001.xml")).unlink()
        assert imagenet(tmp_path)[0].boxes.shape == (0, 4)

    def test_loose_pictures_are_explained(self, tmp_path: Path) -> None:
        fixtures.put(fixtures.scene(0).picture, tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
        with pytest.raises(UsageError, match="images are directly in val/, not in folders by WordNet identifier"):
            imagenet(tmp_path)

    def test_the_training_images_have_their_own_layout_of_boxes(self, tmp_path: Path) -> None:
        fixtures.imagenet(tmp_path)
        (tmp_path / "val").rename(tmp_path / "train")
        home = tmp_path / "Annotations" / "CLS-LOC"
        for file in list((home / "val").iterdir()):
            wnid = next((tmp_path / "train").rglob(f"{file.stem}.JPEG")).parent.name
            (home / "train" / wnid).mkdir(parents=True, exist_ok=True)
            file.rename(home / "train" / wnid / file.name)
        data = imagenet(tmp_path, split="train", preprocess="keep")
        assert torch.equal(data[2].boxes, box_of(data[2].image.mean(0) > 0.5))


class TestPets:
    @each("core", ["1", "2", "3", "12", "13", "23", "123"])
    def test_the_core_is_any_part_of_the_trimap(self, tmp_path: Path, core: str) -> None:
        fixtures.pets(tmp_path)
        trimap = np.asarray(Image.open(next(tmp_path.rglob("Abyssinian_1.png"))))
        mask = pets(tmp_path, split="trainval", core=core, preprocess="keep")[0].mask
        assert np.array_equal(mask, np.isin(trimap, [int(value) for value in core]))

    def test_masks_may_be_boxes(self, tmp_path: Path) -> None:
        fixtures.pets(tmp_path)
        sample = pets(tmp_path, split="trainval", masks="bbox", preprocess="keep")[0]
        assert sample.mask.sum() == (sample.boxes[0, 2] - sample.boxes[0, 0]) * (sample.boxes[0, 3] - sample.boxes[0, 1])

    def test_masks_may_be_files_that_somebody_made(self, tmp_path: Path) -> None:
        fixtures.pets(tmp_path)
        data = pets(tmp_path, split="trainval", preprocess="keep")
        for index, name in enumerate(data.ids):
            fixtures.put(fixtures.grey(~data[index].mask.numpy()), tmp_path / "sam" / f"{name}.png")
        other = pets(tmp_path, split="trainval", preprocess="keep", masks=str(tmp_path / "sam"))
        assert torch.equal(other[0].mask, ~data[0].mask)
        assert torch.equal(other[0].boxes, data[0].boxes)
        assert other.fingerprint() != data.fingerprint()
        (tmp_path / "sam" / f"{data.ids[1]}.png").unlink()
        with pytest.raises(UsageError, match=r"1 of 2 masks are missing, first .*american_bulldog_2\.png"):
            pets(tmp_path, split="trainval", masks=str(tmp_path / "sam"))

    def test_a_source_of_masks_that_is_none(self, tmp_path: Path) -> None:
        fixtures.pets(tmp_path)
        with pytest.raises(UsageError, match="masks='box': expected gt, bbox or a folder of masks"):
            pets(tmp_path, masks="box")


class TestVOC:
    def test_single_keeps_the_images_of_one_class(self, tmp_path: Path) -> None:
        fixtures.voc2012(tmp_path)
        assert voc2012(tmp_path, split="trainval").ids == ["2007_000000", "2007_000001"]

    def test_multi_takes_the_largest_class_as_label_and_knows_the_others(self, tmp_path: Path) -> None:
        fixtures.voc2012(tmp_path)
        sample = voc2012(tmp_path, split="trainval", labels="multi", preprocess="keep")[2]
        assert sample.label == 0
        assert sample.present.nonzero().flatten().tolist() == [0, 14]
        assert sample.class_masks[14].sum() == 12
        assert torch.equal(sample.mask, sample.class_masks[0])

    def test_void_is_no_object(self, tmp_path: Path) -> None:
        fixtures.voc2012(tmp_path)
        values = np.asarray(Image.open(next(tmp_path.rglob("SegmentationClass/2007_000000.png"))))
        assert (values == 255).any()
        sample = voc2012(tmp_path, split="train", preprocess="keep")[0]
        assert sample.mask.sum() == (values == 1).sum()
        assert np.array_equal(sample.void, values == 255)

    def test_void_goes_where_the_class_map_goes(self, tmp_path: Path) -> None:
        fixtures.voc2012(tmp_path)
        sample = voc2012(tmp_path, split="trainval", labels="multi", preprocess="resize224_distort", size=90)[2]
        assert sample.void.shape == sample.image.shape[1:]
        below = sample.class_masks[0].roll(1, 0) & ~sample.class_masks[0]  # the fixture draws a line of void below the object
        assert (sample.void & below).any()
        assert not (sample.void & sample.class_masks.any(0)).any()

    def test_a_class_map_that_cannot_be_read_shows_nothing_and_says_so(self, tmp_path: Path) -> None:
        fixtures.voc2012(tmp_path)
        next(tmp_path.rglob("SegmentationClass/2007_000001.png")).write_bytes(b"no picture")
        data = voc2012(tmp_path, split="trainval", labels="multi")
        assert data.labels == [0, -1, 0]
        with pytest.raises(SampleError, match=r"2007_000001\.png: cannot be decoded"):
            data[1]
        assert voc2012(tmp_path, split="trainval").ids == ["2007_000000", "2007_000001"], "not left out in silence"


class TestCUB:
    def test_three_of_five_people_make_a_mask_unless_told(self, tmp_path: Path) -> None:
        fixtures.cub200(tmp_path)
        strict, lenient = (cub200(tmp_path, agree=agree, preprocess="keep")[0].mask for agree in (3, 2))
        assert 0 < strict.sum() < lenient.sum()

    def test_it_has_boxes_alone_without_the_segmentations(self, tmp_path: Path) -> None:
        fixtures.cub200(tmp_path, segmentations=False)
        sample = cub200(tmp_path)[0]
        assert sample.mask is None
        assert sample.boxes is not None
        filled_box = cub200(tmp_path, masks="bbox", preprocess="keep")[0]
        assert torch.equal(filled_box.mask, filled_box.image.mean(0) > 0.5)

    def test_names_are_words(self, tmp_path: Path) -> None:
        fixtures.cub200(tmp_path)
        assert cub200(tmp_path).classes == ["Black footed Albatross", "Laysan Albatross"]


class TestHardImageNet:
    def test_there_are_fifteen_classes_of_imagenet(self) -> None:
        assert len(set(WNIDS)) == 15
        assert list(WNIDS) == sorted(WNIDS)
        assert all(wnid in imagenet_positions() for wnid in WNIDS)

    def test_labels_count_either_way(self, tmp_path: Path) -> None:
        fixtures.hard_imagenet(tmp_path)
        hard, whole = (hard_imagenet(tmp_path, labels=labels) for labels in ("hard", "imagenet"))
        assert [hard.classes[label] for label in hard.labels] == [whole.classes[label] for label in whole.labels]
        assert len(hard.classes) == 15
        assert set(whole.labels) == {379, 795}

    def test_a_mask_of_another_class_is_refused(self, tmp_path: Path) -> None:
        fixtures.hard_imagenet(tmp_path)
        fixtures.put(fixtures.scene(0).picture, tmp_path / "hardImageNet" / "val" / "n01440764_ILSVRC2012_val_00000009.JPEG")
        with pytest.raises(UsageError, match="to none of the 15 classes"):
            hard_imagenet(tmp_path)


class TestUnRel:
    def test_each_category_of_an_image_is_a_sample_with_its_boxes_once(self, tmp_path: Path) -> None:
        fixtures.unrel(tmp_path)
        data = unrel(tmp_path, preprocess="keep")
        assert data.ids == ["1/dog", "1/bike"]
        assert [data.classes[label] for label in data.labels] == ["golden retriever", "mountain bike"]
        assert data[0].boxes.shape == (1, 4)
        assert data[1].boxes.tolist() == [[0, 0, 10, 10]]

    def test_the_table_of_classes_may_be_another(self, tmp_path: Path) -> None:
        fixtures.unrel(tmp_path)
        fixtures.write(tmp_path / "mine.csv", f"name,wnid\nperson,{fixtures.SKI}\n")
        assert unrel(tmp_path, mapping=str(tmp_path / "mine.csv")).ids == ["2/person"]
        fixtures.write(tmp_path / "mine.csv", "name,wnid\nperson,n123\n")
        with pytest.raises(UsageError, match="'n123' is not a class of ImageNet"):
            unrel(tmp_path, mapping=str(tmp_path / "mine.csv"))

    def test_every_class_of_the_table_is_one_of_imagenet(self, tmp_path: Path) -> None:
        fixtures.unrel(tmp_path)
        assert unrel(tmp_path).ids


class TestKvasir:
    def test_the_splits_divide_each_class(self, tmp_path: Path) -> None:
        fixtures.kvasir(tmp_path)
        parts = {split: kvasir(tmp_path, split=split) for split in ("train", "val", "test")}
        assert {split: np.bincount(data.labels).tolist() for split, data in parts.items()} == {
            "train": [6] * 8,
            "val": [1] * 8,
            "test": [1] * 8,
        }
        everything = [name for data in parts.values() for name in data.ids]
        assert len(set(everything)) == len(everything) == 64

    def test_another_seed_is_another_split_and_the_same_seed_the_same(self, tmp_path: Path) -> None:
        fixtures.kvasir(tmp_path)
        assert kvasir(tmp_path).ids == kvasir(tmp_path, seed=0).ids
        assert kvasir(tmp_path).ids != kvasir(tmp_path, seed=1).ids

    def test_a_class_that_is_missing_is_named(self, tmp_path: Path) -> None:
        fixtures.kvasir(tmp_path)
        (tmp_path / "polyps").rename(tmp_path / "polypi")
        with pytest.raises(UsageError, match="polyps does not exist"):
            kvasir(tmp_path)


class TestListings:
    def test_a_variant_without_a_name_is_named(self, tmp_path: Path) -> None:
        fixtures.aircraft(tmp_path)
        fixtures.write(next(tmp_path.rglob("variants.txt")), "707-320\n")
        with pytest.raises(UsageError, match=r"names 'A340-600', which variants\.txt does not hold"):
            aircraft(tmp_path)

    def test_a_line_that_is_cut_off_is_named_with_its_number(self, tmp_path: Path) -> None:
        fixtures.pets(tmp_path)
        fixtures.write(next(tmp_path.rglob("test.txt")), "Abyssinian_3 1 1 1\nAbyssinian_4 1\n")
        with pytest.raises(UsageError, match=r"test\.txt, line 2: expected IMAGE BREED KIND NUMBER, found 'Abyssinian_4 1'"):
            pets(tmp_path)

    def test_flowers_number_from_one(self, tmp_path: Path) -> None:
        fixtures.flowers102(tmp_path)
        data = flowers102(tmp_path, split="test")
        assert data.ids == ["image_00006", "image_00002", "image_00004"]
        assert data.labels == [101, 76, 0]

    def test_aerial_images_may_lack_masks_altogether_but_not_some(self, tmp_path: Path) -> None:
        fixtures.aerial(tmp_path)
        (tmp_path / "masks" / "test" / "water" / "tile_1.png").unlink()
        with pytest.raises(UsageError, match=r"1 of 2 masks are missing, first water/tile_1\.jpg"):
            aerial(tmp_path)
        fixtures.aerial(tmp_path / "plain", masks=False)
        assert aerial(tmp_path / "plain")[0].mask is None


class TestFolder:
    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("cat/a.jpeg,1,2,3,4", r"boxes\.csv: no image 'cat/a\.jpeg'; did you mean 'cat/a\.jpg'"),
            ("cat/a.jpg,1,2,x,4", r"boxes\.csv: expected numbers, found '1 2 x 4'"),
            ("cat/a.jpg,5,2,5,4", "is empty; ends are exclusive"),
            ("cat/a.jpg,5,2", "expected numbers"),
        ],
    )
    def test_a_wrong_line_of_boxes_is_named(self, tmp_path: Path, line: str, message: str) -> None:
        fixtures.folder(tmp_path)
        fixtures.write(tmp_path / "boxes.csv", f"image,x0,y0,x1,y1\n{line}\n")
        with pytest.raises(UsageError, match=message):
            folder(tmp_path)

    def test_a_column_that_is_missing_is_named(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        fixtures.write(tmp_path / "boxes.csv", "image,x,y,w,h\n")
        with pytest.raises(UsageError, match="has no column 'x0'; expected image,x0,y0,x1,y1"):
            folder(tmp_path)

    def test_an_image_may_have_no_box_or_two(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        fixtures.write(tmp_path / "boxes.csv", "image,x0,y0,x1,y1\ncat/a.jpg,0,0,5,5\ncat/a.jpg,2,2,9,9\n")
        data = folder(tmp_path, preprocess="keep")
        assert [len(data[index].boxes) for index in range(3)] == [2, 0, 0]

    def test_folders_may_be_named_as_imagenets(self, tmp_path: Path) -> None:
        for seed, wnid in enumerate([fixtures.SHARK, fixtures.FISH]):
            fixtures.put(fixtures.scene(seed).picture, tmp_path / wnid / "a.jpg")
        data = folder(tmp_path, classes="imagenet")
        assert data.labels == [1, 2]
        assert data.classes[2] == "great white shark"

    def test_masks_without_images_are_ambiguous(self, tmp_path: Path) -> None:
        fixtures.put(fixtures.scene(0).picture, tmp_path / "cat" / "a.jpg")
        (tmp_path / "masks").mkdir()
        with pytest.raises(UsageError, match="has masks/ but no images/: put the class folders into ROOT/images"):
            folder(tmp_path)

    def test_a_mask_of_another_size_is_an_error_of_that_sample(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        Image.new("L", (7, 9)).save(tmp_path / "masks" / "cat" / "a.png")
        data = folder(tmp_path)
        with pytest.raises(SampleError, match=r"a\.jpg: the mask has 7 x 9 pixels, the image"):
            data[0]
        assert data[1].mask is not None

    def test_pictures_stand_upright_and_masks_belong_to_that(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        picture, _, mask = fixtures.scene(0)
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "images" / "cat" / "a.jpg", exif=exif, quality=100, subsampling=0)
        sample = folder(tmp_path, preprocess="keep")[0]
        assert np.array_equal(sample.image.mean(0) > 0.5, mask)
        assert np.array_equal(sample.mask, mask)


def test_filled_boxes_hold_the_pixels_whose_middle_they_hold() -> None:
    boxes = torch.tensor([[0.6, 0.0, 2.4, 1.0], [3.0, 1.0, 4.0, 2.0]])
    assert filled(boxes, (2, 4)).int().tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert not filled(torch.zeros(0, 4), (2, 4)).any()
    assert filled(None, (2, 4)) is None


def segmentation(root: Path, image: str) -> Path:
    return (root / "ImageNetS50" / "validation-segmentation" / image).with_suffix(".png")


class TestImageNetS:
    def test_a_mask_is_the_rank_of_its_folder_and_void_is_1000(self, tmp_path: Path) -> None:
        fixtures.imagenet_s(tmp_path)
        ranks = sorted(folder.name for folder in (tmp_path / "ImageNetS50" / "validation").iterdir())
        for labels, order in (("imagenet", imagenet_positions()), ("subset", {wnid: rank for rank, wnid in enumerate(ranks)})):
            data = imagenet_s(tmp_path, subset=50, labels=labels, preprocess="keep")
            for index, item in enumerate(data.items):
                colours = np.asarray(Image.open(segmentation(tmp_path, item.id))).astype(int)
                numbers, wnid = colours[..., 0] + 256 * colours[..., 1], item.file.parent.name
                assert np.array_equal(data[index].mask, numbers == ranks.index(wnid) + 1)
                assert np.array_equal(data[index].void, numbers == 1000)
                assert item.label == order[wnid]

    def test_missing_class_folders_would_number_the_classes_anew(self, tmp_path: Path) -> None:
        fixtures.imagenet_s(tmp_path)
        next(folder for folder in (tmp_path / "ImageNetS50" / "validation").iterdir() if not any(folder.iterdir())).rmdir()
        with pytest.raises(UsageError, match="has 49 class folders, not 50"):
            imagenet_s(tmp_path, subset=50)

    def test_a_segmentation_without_colours_is_an_error_of_its_image(self, tmp_path: Path) -> None:
        fixtures.imagenet_s(tmp_path)
        data = imagenet_s(tmp_path, subset=50)
        fixtures.put(fixtures.grey(fixtures.scene(0).mask), segmentation(tmp_path, data.ids[0]))
        with pytest.raises(SampleError, match="its mode is L; expected RGB"):
            data[0]


class TestWaterbirds:
    def test_groups_are_label_and_place_and_splits_are_numbered(self, tmp_path: Path) -> None:
        fixtures.waterbirds(tmp_path)
        found = {name: [waterbirds(tmp_path, split=name)[index] for index in range(2)] for name in ("train", "test")}
        assert [(one.label, one.background, one.group) for one in found["train"]] == [(0, 0, 0), (1, 0, 2)]
        assert [(one.label, one.background, one.group) for one in found["test"]] == [(0, 1, 1), (1, 1, 3)]
        assert not waterbirds(tmp_path, split="val").ids
        assert [one.group_share for one in (*found["train"], *found["test"])] == [0.5, 0.5, 0, 0]  # one land bird, one water bird, on land

    def test_boxes_and_masks_are_those_of_cub(self, tmp_path: Path) -> None:
        fixtures.waterbirds(tmp_path)
        for ours, theirs in zip(waterbirds(tmp_path, preprocess="keep"), cub200(tmp_path, preprocess="keep"), strict=True):
            assert ours.id == theirs.id
            assert torch.equal(ours.boxes, theirs.boxes)
            assert torch.equal(ours.mask, theirs.mask)
            assert torch.equal(ours.file_boxes.numbers, theirs.file_boxes.numbers)

    def test_without_cub_there_are_groups_and_without_its_lists_tight_boxes(self, tmp_path: Path) -> None:
        fixtures.waterbirds(tmp_path)
        (tmp_path / "CUB_200_2011" / "bounding_boxes.txt").unlink()
        sample = waterbirds(tmp_path, preprocess="keep")[0]
        assert torch.equal(sample.boxes, box_of(sample.mask))
        fixtures.waterbirds(tmp_path / "alone", birds=False)
        sample = waterbirds(tmp_path / "alone")[0]
        assert (sample.boxes, sample.mask, sample.group) == (None, None, 1)

    def test_an_image_that_cub_lacks_is_named(self, tmp_path: Path) -> None:
        fixtures.waterbirds(tmp_path)
        file = tmp_path / "CUB_200_2011" / "images.txt"
        file.write_text("\n".join(file.read_text().splitlines()[:-1]))
        with pytest.raises(UsageError, match=r"image 002\.Laysan_Albatross/\S+ has no box"):
            waterbirds(tmp_path)


class TestImageNet9:
    @pytest.mark.parametrize(("variant", "backgrounds"), [("original", [0, 4, 8]), ("mixed_next", [1, 5, 0]), ("mixed_rand", [-1] * 3)])
    def test_labels_are_the_numbers_of_the_folders(self, tmp_path: Path, variant: str, backgrounds: list[int]) -> None:
        fixtures.imagenet9(tmp_path)
        data = imagenet9(tmp_path, split=variant)
        assert data.labels == [0, 4, 8]
        assert data.classes == ["dog", "bird", "vehicle", "reptile", "carnivore", "insect", "instrument", "primate", "fish"]
        assert [data[index].background for index in range(3)] == backgrounds

    def test_gap_is_mixed_same_and_then_mixed_rand(self, tmp_path: Path) -> None:
        fixtures.imagenet9(tmp_path)
        data = imagenet9(tmp_path, split="gap")
        assert data.labels == [0, 4, 8, 0, 4, 8]
        assert [data[index].background for index in range(6)] == [0, 4, 8, -1, -1, -1]
        assert [own.partition("/")[0] for own in data.ids] == ["mixed_same"] * 3 + ["mixed_rand"] * 3

    def test_another_number_of_folders_is_refused(self, tmp_path: Path) -> None:
        fixtures.imagenet9(tmp_path)
        (tmp_path / "original" / "val" / "05_insect").rmdir()
        with pytest.raises(UsageError, match="original/val has the folders 00_dog"):
            imagenet9(tmp_path)

    def test_groups_of_imagenet_s_classes(self, tmp_path: Path) -> None:
        fixtures.imagenet9(tmp_path)
        assert groups_of_imagenet(tmp_path / "in_to_in9.json") == tuple(index % 10 - 1 for index in range(1000))
        fixtures.write(tmp_path / "wrong.json", '{"0": 9}')
        for name, reason in (("wrong.json", "expected a group from -1 to 8"), ("none.json", "cannot be read as JSON")):
            with pytest.raises(UsageError, match=reason):
                groups_of_imagenet(tmp_path / name)

    def test_the_network_of_the_page_predicts_the_group_of_the_predicted_class(self, tmp_path: Path) -> None:
        fixtures.imagenet9(tmp_path)
        page = (Path(__file__).parents[2] / "docs" / "datasets" / "imagenet9.md").read_text(encoding="utf-8")
        [(_, code)] = re.findall(r"^```python file=(\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        names: dict[str, Any] = {}
        exec(code, names)
        grouped, whole = names["network"]("resnet18@random", str(tmp_path / "in_to_in9.json")), load_classifier("resnet18@random")
        images = torch.rand(4, 3, 32, 32)
        logits = whole(images)
        groups = torch.tensor([index % 10 - 1 for index in range(1000)])
        expected = [[float(own[groups == group].max()) for group in (*range(9), -1)] for own in logits]
        assert torch.allclose(grouped(images), torch.tensor(expected), rtol=1e-5)
        assert (grouped(images).argmax(1) % 10).tolist() == (groups[logits.argmax(1)] % 10).tolist()


class TestVOC2007:
    def test_the_label_has_the_largest_boxes_and_easy_classes_are_present(self, tmp_path: Path) -> None:
        fixtures.voc2007(tmp_path)
        data = voc2007(tmp_path)
        assert [data.classes[label] for label in data.labels] == ["dog", "cat"]
        present = [[data.classes[index] for index in data[number].present.nonzero().flatten()] for number in range(2)]
        assert present == [["cat", "dog"], ["cat"]]  # the dog of the second image is difficult

    def test_each_class_of_an_image_is_a_sample(self, tmp_path: Path) -> None:
        fixtures.voc2007(tmp_path)
        data = voc2007(tmp_path, labels="each", preprocess="keep")
        assert data.ids == ["000000/cat", "000000/dog", "000001/cat"]
        assert data[0].boxes.tolist() == [[0, 0, 4, 3]]  # the file counts from 1, ends inclusive

    def test_the_difficult_subset_has_small_objects_beside_others(self, tmp_path: Path) -> None:
        fixtures.voc2007(tmp_path)
        found = voc2007(tmp_path, labels="each", subset="difficult", preprocess="keep")
        expected = []
        for number, other in enumerate(("cat", "dog")):
            picture, (x0, y0, x1, y1), _ = fixtures.scene(number)
            small = 4 * (x1 - x0) * (y1 - y0) < picture.width * picture.height
            expected += [f"00000{number}/{other}"] * (other == "cat") + [f"00000{number}/{'dog' if other == 'cat' else 'cat'}"] * small
        assert found.ids == expected

    def test_difficult_objects_of_a_class_that_counts_keep_their_boxes(self, tmp_path: Path) -> None:
        fixtures.voc2007(tmp_path)
        sample = voc2007(tmp_path, split="val", preprocess="keep")[0]
        assert len(sample.boxes) == 2
        assert torch.equal(filled(sample.boxes, sample.image.shape[1:]), sample.image.mean(0) > 0.5)


class TestFunnyBirds:
    def test_parts_of_each_pixel_follow_the_image(self, tmp_path: Path) -> None:
        fixtures.funnybirds(tmp_path)
        data = funnybirds(tmp_path)
        for number in range(3):
            parts, (x0, y0, x1, y1) = data[number].parts, fixtures.scene(number).box
            assert bool((parts[y0 : y0 + 3, x0:x1] == PART_VALUES["beak"]).all())
            assert bool((parts[y0 + 3 : y1, x0:x1] == PART_VALUES["wing02"]).all())
            assert parts[0, :3].tolist() == [BACKGROUND_OBJECT + number] * 2 + [0]
        doubled = funnybirds(tmp_path, preprocess="fit(size=100)")[0]
        assert doubled.parts.shape == doubled.mask.shape == (100, 100)
        assert torch.equal(doubled.mask, (doubled.parts > 0) & (doubled.parts < BACKGROUND_OBJECT))

    def test_versions_are_read_when_they_are_asked_for(self, tmp_path: Path) -> None:
        fixtures.funnybirds(tmp_path)
        versions = funnybirds(tmp_path, preprocess="fit(size=32)")[2].interventions
        assert versions.names == ["background_interventions/0", "body_", "body_beak_wing"]
        for image, value in ((versions.with_parts(()), 10), (versions.with_parts({"wing", "beak"}), 20), (versions.without_object(0), 30)):
            assert torch.equal(image, torch.full((3, 32, 32), value / 255))
        with pytest.raises(SampleError, match="no version 'body_eye'"):
            versions.with_parts(["eye"])
        shutil.rmtree(tmp_path / "test_interventions")
        assert funnybirds(tmp_path)[0].interventions is None

    def test_classes_have_their_parts(self, tmp_path: Path) -> None:
        fixtures.funnybirds(tmp_path)
        birds = funnybirds(tmp_path).birds
        assert [dict(bird.parts)["beak"] for bird in birds] == [0, 1]
        fixtures.write(tmp_path / "dataset_test.json", '[{"class_idx": 2}]')
        with pytest.raises(UsageError, match=r"class_idx that classes\.json does not hold"):
            funnybirds(tmp_path)
