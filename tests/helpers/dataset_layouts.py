"""Tiny data sets in exactly the layouts that the readers read; each file is written as its owners count and name things.

Every picture has one white rectangle on a dark ground: it is the object, so that boxes and masks can be held against pixels.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.io import savemat

from camdbench.core.imagenet_classes import imagenet_classes
from camdbench.datasets.folder_layout import read_lines

FISH, SHARK, SKI = "n01443537", "n01484850", "n04228054"


class Scene(NamedTuple):
    """A picture, its object's box with exclusive ends, and its mask."""

    picture: Image.Image
    box: tuple[int, int, int, int]
    mask: np.ndarray


def scene(seed: int) -> Scene:
    """A dark noise picture of its own size with one white rectangle."""
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(40, 70, 2))
    wide, high = int(random.integers(8, width // 2)), int(random.integers(8, height // 2))
    x0, y0 = int(random.integers(1, width - wide)), int(random.integers(1, height - high))
    pixels = random.integers(0, 60, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=bool)
    mask[y0 : y0 + high, x0 : x0 + wide] = True
    pixels[mask] = 255
    return Scene(Image.fromarray(pixels), (x0, y0, x0 + wide, y0 + high), mask)


def put(picture: Image.Image, file: Path) -> None:
    """Save a picture with its folders, as close to its pixels as the format allows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 100, "subsampling": 0} if file.suffix.lower() in (".jpg", ".jpeg") and picture.mode == "RGB" else {}
    picture.save(file, **({"quality": 100} | options if file.suffix.lower() in (".jpg", ".jpeg") else {}))


def write(file: Path, text: str) -> None:
    """Write a text file with its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def grey(mask: np.ndarray, value: int = 255) -> Image.Image:
    """A mask as a grey picture."""
    return Image.fromarray(np.where(mask, value, 0).astype(np.uint8))


def xml(objects: list[tuple[str, tuple[int, ...]]]) -> str:
    edges = ("xmin", "ymin", "xmax", "ymax")
    parts = [
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{edge}>{value}</{edge}>" for edge, value in zip(edges, box, strict=True))
        + "</bndbox></object>"
        for name, box in objects
    ]
    return f"<annotation>{''.join(parts)}</annotation>"


def imagenet(root: Path, boxes: str = "xml") -> None:
    """Two classes; boxes count from 0 and include both ends; an object of another class stands in each file."""
    listing = ["ImageId,PredictionString"]
    for number, wnid in enumerate([FISH, FISH, SHARK]):
        name = f"ILSVRC2012_val_{number + 1:08d}"
        picture, (x0, y0, x1, y1), _ = scene(number)
        put(picture, root / "val" / wnid / f"{name}.JPEG")
        objects = [("n02084071", (0, 0, 5, 5)), (wnid, (x0, y0, x1 - 1, y1 - 1))]
        if boxes == "xml":
            write(root / "Annotations" / "CLS-LOC" / "val" / f"{name}.xml", xml(objects))
        listing.append(f"{name}," + " ".join(f"{called} {' '.join(map(str, box))}" for called, box in objects) + " ")
    if boxes == "csv":
        write(root / "LOC_val_solution.csv", "\n".join(listing))


def pets(root: Path) -> None:
    """A breed of cats and one of dogs; the trimap is 1 inside, 3 along the inner border of the object, 2 outside."""
    home = root / "oxford-iiit-pet"
    for split, start in (("trainval", 0), ("test", 2)):
        lines = []
        for number, (breed, label, kind) in enumerate([("Abyssinian", 1, 1), ("american_bulldog", 2, 2)]):
            name = f"{breed}_{start + number + 1}"
            picture, (x0, y0, x1, y1), mask = scene(start + number)
            trimap = np.where(mask, 3, 2).astype(np.uint8)
            trimap[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1] = 1
            put(picture, home / "images" / f"{name}.jpg")
            put(Image.fromarray(trimap), home / "annotations" / "trimaps" / f"{name}.png")
            lines.append(f"{name} {label} {kind} 1")
        write(home / "annotations" / f"{split}.txt", "\n".join(lines) + "\n")


def _class_map(mask: np.ndarray, label: int) -> np.ndarray:
    """The class plus one on the object, void on the line below it."""
    found = np.where(mask, label + 1, 0).astype(np.uint8)
    found[np.roll(mask, 1, 0) & ~mask] = 255
    return found


def voc2012(root: Path) -> None:
    """Two images of a single class and one of two: an aeroplane (0) and, smaller, a person (14)."""
    home = root / "VOCdevkit" / "VOC2012"
    for number, label in enumerate([0, 14, 0]):
        name = f"2007_{number:06d}"
        picture, _, mask = scene(number)
        found = _class_map(mask, label)
        if number == 2:
            found[:3, :4] = 15
        values = Image.fromarray(found).convert("P")
        values.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
        put(picture, home / "JPEGImages" / f"{name}.jpg")
        put(values, home / "SegmentationClass" / f"{name}.png")
    names = [f"2007_{number:06d}" for number in range(3)]
    for split, chosen in (("train", names[:1]), ("val", names[1:]), ("trainval", names)):
        write(home / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(chosen) + "\n")


def sbd(root: Path) -> None:
    """The same scenes as VOC's, in MATLAB files."""
    for number, label in enumerate([0, 14, 0]):
        name = f"2008_{number:06d}"
        picture, _, mask = scene(number)
        found = np.where(mask, label + 1, 0).astype(np.uint8)
        if number == 2:
            found[:3, :4] = 15
        put(picture, root / "img" / f"{name}.jpg")
        (root / "cls").mkdir(exist_ok=True)
        savemat(root / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": found, "CategoriesPresent": np.unique(found[found > 0])}})
    names = [f"2008_{number:06d}" for number in range(3)]
    write(root / "train.txt", names[0] + "\n")
    write(root / "val.txt", "\n".join(names[1:]) + "\n")


def aircraft(root: Path) -> None:
    """Two variants of one family; boxes count from 1 and include both ends."""
    home = root / "fgvc-aircraft-2013b" / "data"
    write(home / "variants.txt", "707-320\nA340-600\n")
    write(home / "families.txt", "Boeing 707\nA340\n")
    write(home / "manufacturers.txt", "Boeing\nAirbus\n")
    boxes, lists = [], {"variant": [], "family": [], "manufacturer": []}
    for number in range(3):
        name, second = f"{1025794 + number:07d}", number == 1
        picture, (x0, y0, x1, y1), _ = scene(number)
        put(picture, home / "images" / f"{name}.jpg")
        boxes.append(f"{name} {x0 + 1} {y0 + 1} {x1} {y1}")
        lists["variant"].append(f"{name} {'A340-600' if second else '707-320'}")
        lists["family"].append(f"{name} {'A340' if second else 'Boeing 707'}")
        lists["manufacturer"].append(f"{name} {'Airbus' if second else 'Boeing'}")
    write(home / "images_box.txt", "\n".join(boxes) + "\n")
    for level, lines in lists.items():
        for split in ("train", "val", "trainval", "test"):
            write(home / f"images_{level}_{split}.txt", "\n".join(lines) + "\n")


def cars(root: Path) -> None:
    """Two models; boxes count from 1 and include both ends."""
    home = root / "stanford_cars"
    (home / "devkit").mkdir(parents=True)
    savemat(
        home / "devkit" / "cars_meta.mat", {"class_names": np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object)}
    )
    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    for split, start in (("train", 0), ("test", 2)):
        held = np.zeros((1, 2), dtype=[(field, object) for field in fields])
        for number in range(2):
            picture, (x0, y0, x1, y1), _ = scene(start + number)
            put(picture, home / f"cars_{split}" / f"{number + 1:05d}.jpg")
            held[0, number] = (x0 + 1, y0 + 1, x1, y1, 2 - number, f"{number + 1:05d}.jpg")
        file = home / "devkit" / "cars_train_annos.mat" if split == "train" else home / "cars_test_annos_withlabels.mat"
        savemat(file, {"annotations": held})


def flowers102(root: Path) -> None:
    """Six images of three classes; the lists name images by number, from 1."""
    home = root / "flowers-102"
    for number in range(6):
        put(scene(number).picture, home / "jpg" / f"image_{number + 1:05d}.jpg")
    savemat(home / "imagelabels.mat", {"labels": np.array([[77, 77, 1, 1, 102, 102]], dtype=np.uint8)})
    savemat(home / "setid.mat", {"trnid": np.array([[1, 3]]), "valid": np.array([[5, 4]]), "tstid": np.array([[6, 2, 4]])})


def cub200(root: Path, *, segmentations: bool = True) -> None:
    """Two species; boxes are x, y, width, height; five people marked the object, two of them also the column beside it."""
    home = root / "CUB_200_2011"
    names = ["001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg", "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg"]
    files = [name.replace(".jpg", f"_{index}.jpg") for name in names for index in range(2)]
    boxes = []
    for number, name in enumerate(files):
        picture, (x0, y0, x1, y1), mask = scene(number)
        put(picture, home / "images" / name)
        boxes.append(f"{number + 1} {x0}.0 {y0}.0 {x1 - x0}.0 {y1 - y0}.0")
        if segmentations:
            marked = np.where(np.roll(mask, 1, 1), 102, 0)
            put(Image.fromarray(np.where(mask, 255, marked).astype(np.uint8)), (root / "segmentations" / name).with_suffix(".png"))
    lines = {
        "images": [f"{number + 1} {name}" for number, name in enumerate(files)],
        "image_class_labels": ["1 1", "2 1", "3 2", "4 2"],
        "train_test_split": ["1 1", "2 0", "3 1", "4 0"],
        "bounding_boxes": boxes,
        "classes": ["1 001.Black_footed_Albatross", "2 002.Laysan_Albatross"],
    }
    for name, held in lines.items():
        write(home / f"{name}.txt", "\n".join(held) + "\n")


def hard_imagenet(root: Path) -> None:
    """Two classes of the fifteen; a mask is named after the wnid and the picture."""
    for number, wnid in enumerate([SKI, "n02492660", SKI]):
        name = f"ILSVRC2012_val_{number + 1:08d}.JPEG"
        picture, _, mask = scene(number)
        put(picture, root / "val" / wnid / name)
        put(grey(mask), root / "hardImageNet" / "val" / f"{wnid}_{name}")


def unrel(root: Path) -> None:
    """A dog on a bike, once as subject and once as object; then a person, who has no class in ImageNet."""
    entries = np.empty((2, 1), dtype=object)
    for number in range(2):
        picture, (x0, y0, x1, y1), _ = scene(number)
        put(picture, root / "images" / f"{number + 1}.jpg")
        dog = {"category": "dog" if number == 0 else "person", "box": np.array([[x0 + 1, y0 + 1, x1, y1]])}
        bike = {"category": "bike", "box": np.array([[1, 1, 10, 10]])}
        objects = np.empty((3, 1), dtype=object)
        objects[:, 0] = [dog, bike, dog] if number == 0 else [dog, {**bike, "category": "sky"}, dog]
        entries[number, 0] = {"im_id": number + 1, "filename": f"{number + 1}.jpg", "objects": objects, "relationships": objects}
    savemat(root / "annotations.mat", {"annotations": entries})


def kvasir(root: Path) -> None:
    """Eight pictures of each of the eight classes."""
    names = "dyed-lifted-polyps dyed-resection-margins esophagitis normal-cecum normal-pylorus normal-z-line polyps ulcerative-colitis"
    for label, name in enumerate(names.split()):
        for number in range(8):
            put(scene(8 * label + number).picture, root / name / f"{number}.jpg")


def chest_xray(root: Path) -> None:
    """Grey pictures, and one in colours, as among the real ones."""
    for split in ("train", "val", "test"):
        put(scene(0).picture.convert("L"), root / split / "NORMAL" / "IM-0001-0001.jpeg")
        put(scene(1).picture, root / split / "PNEUMONIA" / "person1_virus_6.jpeg")


def aerial(root: Path, *, masks: bool = True) -> None:
    """Two classes in two splits, with masks."""
    for split, start in (("train", 0), ("test", 2)):
        for number, name in enumerate(["forest", "water"]):
            picture, _, mask = scene(start + number)
            put(picture, root / split / name / "tile_1.jpg")
            if masks:
                put(grey(mask), root / "masks" / split / name / "tile_1.png")


def folder(root: Path) -> None:
    """Two classes with masks and boxes."""
    lines = ["image,x0,y0,x1,y1"]
    for number, name in enumerate(["cat/a.jpg", "cat/b.png", "dog/a.jpg"]):
        picture, box, mask = scene(number)
        put(picture, root / "images" / name)
        put(grey(mask), (root / "masks" / name).with_suffix(".png"))
        lines.append(",".join(map(str, (name, *box))))
    write(root / "boxes.csv", "\n".join(lines))


def coco(root: Path) -> None:
    """Three pictures of two classes, each with one polygon, whose corners are those of the box."""
    images, annotations = list[dict[str, object]](), list[dict[str, object]]()
    for number in range(3):
        picture, (x0, y0, x1, y1), mask = scene(number)
        put(picture, root / "val2017" / f"{number:012}.jpg")
        images.append({"id": 7 * number, "file_name": f"{number:012}.jpg", "height": picture.height, "width": picture.width})
        own = {"bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]], "area": int(mask.sum())}
        annotations.append({"id": number, "image_id": 7 * number, "category_id": 1 + 17 * (number % 2), "iscrowd": 0} | own)
    content = {"images": images, "annotations": annotations, "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]}
    write(root / "annotations" / "instances_val2017.json", json.dumps(content))


def imagenet_s(root: Path) -> None:
    """The 50 class folders, three images; a segmentation numbers classes by the rank of their folders, another object stands beside."""
    wnids = sorted([*(item.wnid for item in imagenet_classes()[3:50]), FISH, SHARK, SKI])
    home = root / "ImageNetS50"
    for wnid in wnids:
        (home / "validation" / wnid).mkdir(parents=True, exist_ok=True)
    for number, wnid in enumerate([FISH, FISH, SKI]):
        picture, _, mask = scene(number)
        classes = np.where(mask, wnids.index(wnid) + 1, 0)
        classes[:2, :3], classes[-1] = 1000, np.where(mask[-1], classes[-1], 300 - number)
        put(picture, home / "validation" / wnid / f"ILSVRC2012_val_{number + 1:08d}.JPEG")
        colours = np.stack([classes % 256, classes // 256, 0 * classes], 2).astype(np.uint8)
        put(Image.fromarray(colours), home / "validation-segmentation" / wnid / f"ILSVRC2012_val_{number + 1:08d}.png")


def waterbirds(root: Path, *, birds: bool = True) -> None:
    """The four images of CUB's layout in four groups, two of them of the test split, with CUB's boxes and segmentations."""
    cub200(root)
    home, rows = root / "waterbird_complete95_forest2water2", ["img_id,img_filename,y,split,place,place_filename"]
    for number, name in enumerate(read_lines(root / "CUB_200_2011" / "images.txt")):
        file = name.split()[1]
        put(scene(number).picture, home / file)
        rows.append(f"{number + 1},{file},{number // 2},{2 if number % 2 else 0},{number % 2},/f/forest/{number}.jpg")
    write(home / "metadata.csv", "\n".join(rows) + "\n")
    if not birds:
        shutil.rmtree(root / "CUB_200_2011")
        shutil.rmtree(root / "segmentations")


def imagenet9(root: Path) -> None:
    """One image of three of the nine classes, in four variants, and the groups of ImageNet's classes."""
    names = ["dog", "bird", "vehicle", "reptile", "carnivore", "insect", "instrument", "primate", "fish"]
    for variant in ("original", "mixed_next", "mixed_same", "mixed_rand"):
        for label, name in enumerate(names):
            (root / variant / "val" / f"{label:02d}_{name}").mkdir(parents=True, exist_ok=True)
            if label in (0, 4, 8):
                put(scene(label).picture, root / variant / "val" / f"{label:02d}_{name}" / f"n{label}_1.JPEG")
    write(root / "in_to_in9.json", json.dumps({str(index): index % 10 - 1 for index in range(1000)}))


def voc2007(root: Path) -> None:
    """Three images: a dog with a small cat, a cat with a difficult dog, two people of whom one is difficult."""
    home = root / "VOCdevkit" / "VOC2007"
    others = [("cat", (1, 1, 4, 3), 0), ("dog", (1, 1, 3, 3), 1), None]
    for number, (label, other) in enumerate(zip(["dog", "cat", "person"], others, strict=True)):
        picture, (x0, y0, x1, y1), _ = scene(number)
        put(picture, home / "JPEGImages" / f"{number:06d}.jpg")
        middle = (y0 + y1) // 2
        halves = [((x0 + 1, y0 + 1, x1, middle), 0), ((x0 + 1, middle + 1, x1, y1), 1)]
        own = [((x0 + 1, y0 + 1, x1, y1), 0)] if other else halves
        objects = [(label, *one) for one in own] + ([other] if other else [])
        sizes = f"<size><width>{picture.width}</width><height>{picture.height}</height><depth>3</depth></size>"
        write(home / "Annotations" / f"{number:06d}.xml", f"<annotation>{sizes}{''.join(map(_difficult_object, objects))}</annotation>")
    write(home / "ImageSets" / "Main" / "test.txt", "000000\n000001\n")
    write(home / "ImageSets" / "Main" / "val.txt", "000002\n")


def _difficult_object(given: tuple[str, tuple[int, ...], int]) -> str:
    name, box, difficult = given
    inside = "".join(f"<{edge}>{value}</{edge}>" for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{inside}</bndbox></object>"


def funnybirds(root: Path) -> None:
    """Two classes of two test images: the rectangle is beak above and wing below, an object of the background lies in a corner."""
    parts = {"beak": 1, "eye": 0, "foot": 2, "tail": 3, "wing": 1}
    write(root / "classes.json", json.dumps([{"class_idx": 1, "parts": parts}, {"class_idx": 0, "parts": parts | {"beak": 0}}]))
    write(root / "parts.json", json.dumps({name: [] for name in parts}))
    write(root / "dataset_test.json", json.dumps([{"class_idx": label} for label in (0, 0, 1)]))
    for number, label in enumerate((0, 0, 1)):
        picture, (x0, y0, x1, y1), mask = scene(number)
        colours = np.zeros((*mask.shape, 4), dtype=np.uint8)
        colours[..., 3] = 255
        colours[y0:y1, x0:x1, :3] = (0, 255, 2)
        colours[y0 : y0 + 3, x0:x1, :3] = (255, 255, 0)
        colours[0, :2, :3] = 204 + number
        name = f"{label}/{number:06d}"
        put(picture.convert("RGBA"), root / "test" / f"{name}.png")
        put(Image.fromarray(colours), root / "test_part_map" / f"{name}.png")
        for version, value in (("body_", 10), ("body_beak_wing", 20), ("background_interventions/0", 30)):
            put(Image.new("RGBA", picture.size, (value, value, value, 255)), root / "test_interventions" / name / f"{version}.png")
