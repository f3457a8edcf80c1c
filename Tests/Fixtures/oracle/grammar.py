"""The picture language of tiny-sprint: scenes, captions, drawn pictures, and a judge of a picture against its scene.

    r = random.Random(1234)
    scene = sample_scene(r)
    prompt = caption(scene, r)
    verdict = check(picture, scene)     # picture: (128, 128, 3) uint8

The order of the draws from the generator and the arithmetic of the judge are fixed: tiny-sprint was trained and
measured with them, and figures in other documents quote their counts.
"""
import functools
import random

import numpy as np

SIDE = 128
COLORS = {"red": (215, 35, 35), "orange": (245, 140, 25), "yellow": (250, 225, 50), "green": (35, 150, 60), "cyan": (50, 205, 215),
          "blue": (35, 70, 215), "purple": (130, 45, 170), "pink": (250, 150, 195), "white": (245, 245, 245), "black": (22, 22, 22),
          "gray": (135, 135, 135)}
PALETTE = np.array(list(COLORS.values()), np.float32)
NAMES = list(COLORS)
FOREGROUNDS = [name for name in NAMES if name != "gray"]
SHAPES = ["circle", "square", "triangle", "star", "ring", "cross", "heart", "diamond"]
SIZES = ["small", "medium", "large"]
PLACES = ["left", "right", "top", "bottom"]
RADII = {"small": (14, 17), "medium": (26, 30), "large": (42, 47)}
DIRECTION = {"center": (0, 0), "left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}

# Repeated words are weights.
SHAPE_WORDS = {"circle": ["circle", "circle", "disc"], "square": ["square", "square", "box"], "triangle": ["triangle"], "star": ["star"],
               "ring": ["ring", "ring", "donut"], "cross": ["cross", "cross", "plus sign"], "heart": ["heart"],
               "diamond": ["diamond", "diamond", "rhombus"]}
SIZE_WORDS = {"small": ["small", "small", "tiny", "little"], "large": ["large", "large", "big", "huge"], "medium": ["", "", "medium"]}
PLACE_WORDS = {"left": ["on the left", "on the left side", "at the left"], "right": ["on the right", "on the right side", "at the right"],
               "top": ["at the top", "at the top", "near the top"], "bottom": ["at the bottom", "at the bottom", "near the bottom"],
               "center": ["", "", "in the center", "in the middle"]}


# Scenes and captions

def sample_scene(r):
    foreground = r.choice(FOREGROUNDS)
    background = r.choice([name for name in NAMES if name != foreground])
    place = "center" if r.random() < 0.4 else r.choice(PLACES)
    size = r.choice(SIZES)
    return dict(shape=r.choice(SHAPES), fg=foreground, bg=background, size=size, pos=place)


def caption(scene, r):
    """A sentence for the scene. No background said means gray, no size medium, no place the centre."""
    shape = r.choice(SHAPE_WORDS[scene["shape"]])
    size = r.choice(SIZE_WORDS[scene["size"]])
    place = r.choice(PLACE_WORDS[scene["pos"]])
    ground = scene["bg"] + " " + r.choice(["background", "background", "background", "backdrop"])
    noun = spaced(size, scene["fg"], shape)
    kind = r.random()
    if scene["bg"] == "gray" and r.random() < 0.5:
        text = spaced(article(noun), place)
    elif kind < 0.55:
        text = spaced(article(noun), place, "on", article(ground))
    elif kind < 0.70:
        text = spaced(article(ground), "with", article(noun), place)
    elif kind < 0.85:
        text = spaced(noun, place) + ", " + ground
    else:
        text = spaced(article(scene["fg"] + " " + shape), place) + ", " + (size + ", " if size else "") + "on " + scene["bg"]
    kind = r.random()
    if kind < 0.15:
        text = r.choice(["a picture of ", "an image of ", "a drawing of "]) + text
    elif kind < 0.22:
        text += "."
    return text.replace("gray", r.choice(["gray", "gray", "grey"]))


def spaced(*words):
    return " ".join(word for word in words if word)


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


# Shapes as signed distances, negative inside; x and y are relative to the shape's centre

def distance(shape, x, y, radius):
    ax, ay = np.abs(x), np.abs(y)
    if shape == "circle":
        return np.hypot(x, y) - radius
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.78 * radius) - 0.22 * radius
    if shape == "square":
        return np.maximum(ax, ay) - 0.86 * radius
    if shape == "diamond":
        return (ax * 1.25 + ay - 1.05 * radius) / 1.6
    if shape == "cross":
        arm, half = 0.95 * radius, 0.32 * radius
        return np.minimum(np.maximum(ax - arm, ay - half), np.maximum(ax - half, ay - arm))
    if shape == "triangle":
        angle = np.array([-90, 30, 150]) * np.pi / 180
        return polygon(x, y, 1.08 * radius * np.cos(angle), 1.08 * radius * np.sin(angle) + 0.2 * radius)
    if shape == "star":
        corner = np.arange(10)
        angle, reach = (-90 + 36 * corner) * np.pi / 180, np.where(corner % 2 == 0, 1.08 * radius, 0.46 * radius)
        return polygon(x, y, reach * np.cos(angle), reach * np.sin(angle))
    if shape == "heart":
        t = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        px, py = 16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        return polygon(x, y, radius * (px / 16.5), radius * ((py - 2.0) / 16.5))
    raise ValueError(shape)


def polygon(x, y, px, py):
    """Distance to the polygon with these corners, in order."""
    nearest, sign = np.full(x.shape, 1e9, np.float32), np.ones(x.shape, np.float32)
    j = len(px) - 1
    for i in range(len(px)):
        ex, ey = px[j] - px[i], py[j] - py[i]
        wx, wy = x - px[i], y - py[i]
        t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        above, below, left = y >= py[i], y < py[j], ex * wy > ey * wx
        sign = np.where((above & below & left) | (~above & ~below & ~left), -sign, sign)
        j = i
    return sign * np.sqrt(nearest)


GRID_Y, GRID_X = (axis.astype(np.float32) for axis in np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5, indexing="ij"))


def coverage(shape, radius, cx, cy):
    """How much of each pixel the shape covers, 0 to 1."""
    return np.clip(0.5 - distance(shape, GRID_X - cx, GRID_Y - cy, radius), 0, 1).astype(np.float32)


def mean_radius(size):
    return sum(RADII[size]) / 2


def offset(place, radius):
    """Where the centre of a shape stands, from the middle of the picture, in pixels."""
    reach = min(34.0, 64 - radius - 4)
    return tuple(reach * axis for axis in DIRECTION[place])


def draw(scene, r=None):
    """A picture of the scene, uint8; with a generator its place, size and colours jitter as in the training data."""
    jitter = r.uniform if r else lambda low, high: (low + high) / 2
    radius = jitter(*RADII[scene["size"]])
    dx, dy = offset(scene["pos"], radius)
    alpha = coverage(scene["shape"], radius, 64 + dx + jitter(-2.5, 2.5), 64 + dy + jitter(-2.5, 2.5))[..., None]
    back, fore = (np.clip(np.array(COLORS[scene[part]]) + [jitter(-7, 7) for _ in range(3)], 0, 255) for part in ("bg", "fg"))
    return np.rint(back * (1 - alpha) + fore * alpha).astype(np.uint8)


# The judge

@functools.cache
def templates(shape, size):
    """Centred shapes of five radii about the size's mean, and their transforms."""
    masks = [coverage(shape, mean_radius(size) * scale, 64, 64) for scale in (0.86, 0.93, 1, 1.07, 1.14)]
    return [(mask.sum(), np.conj(np.fft.rfft2(mask))) for mask in masks]


def check(picture, scene):
    """Which properties of the scene the picture shows, each true or false; "all" is every one of them.

    Also "iou": the overlap with the best-fitting shape of the right kind.
    """
    x = picture.astype(np.float32)
    border = np.concatenate([part.reshape(-1, 3) for part in (x[:6], x[-6:], x[:, :6], x[:, -6:])])
    background = np.median(border, 0)
    verdict = dict(bg=nearest_color(background) == scene["bg"], fg=False, shape=False, size=False, pos=False, iou=0.0)
    expected = np.array(COLORS[scene["fg"]], np.float32)
    threshold = max(0.5 * np.sqrt(((expected - background) ** 2).sum()), 20)
    figure = np.sqrt(((x - background) ** 2).sum(2)) > threshold
    if figure.sum() >= 60:
        verdict["fg"] = nearest_color(np.median(x[figure], 0)) == scene["fg"]
        verdict |= judge_figure(figure, scene)
    verdict["all"] = all(verdict[key] for key in ("bg", "fg", "shape", "size", "pos"))
    return verdict


def nearest_color(color):
    return NAMES[int(((PALETTE - color) ** 2).sum(1).argmin())]


def judge_figure(figure, scene):
    """Fits every shape and size to the figure at its best place."""
    area, transform = figure.sum(), np.fft.rfft2(figure.astype(np.float32))
    best, wanted = (-1, None, None, None), 0.0
    for shape in SHAPES:
        for size in SIZES:
            for template_area, template in templates(shape, size):
                if template_area > 2.2 * area or area > 2.2 * template_area:
                    continue
                overlap = np.fft.fftshift(np.fft.irfft2(transform * template, s=(SIDE, SIDE)))[16:112, 16:112]
                place = np.unravel_index(overlap.argmax(), overlap.shape)
                iou = overlap[place] / (template_area + area - overlap[place])
                if shape == scene["shape"]:
                    wanted = max(wanted, iou)
                if iou > best[0]:
                    best = (iou, shape, size, (place[1] - 48, place[0] - 48))
    _, shape, size, found = best
    dx, dy = offset(scene["pos"], mean_radius(scene["size"]))
    return dict(iou=float(wanted), shape=bool(shape == scene["shape"] and wanted > 0.8), size=size == scene["size"],
                pos=bool(found and abs(found[0] - dx) < 8 and abs(found[1] - dy) < 8))


def prompts(count, seed=1234):
    """The first scenes and captions of a seed."""
    r = random.Random(seed)
    result = []
    for _ in range(count):
        scene = sample_scene(r)
        result.append((caption(scene, r), scene))
    return result


if __name__ == "__main__":
    # The judge on drawn pictures: each must be right, and wrong for the scene of another.
    r = random.Random(1)
    scenes = [scene for _, scene in prompts(100)]
    right = sum(check(draw(scene, r), scene)["all"] for scene in scenes)
    fooled = sum(check(draw(a, r), b)["all"] for a, b in zip(scenes, scenes[1:]) if a != b)
    print(f"{right} of 100 drawn pictures right, {fooled} of 99 right for another scene")
    raise SystemExit(right < 99 or fooled > 0)
