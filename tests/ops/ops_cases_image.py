"""Cases for `ops.image`: resizing, cropping, warping, filters and colors."""

import numpy as np
from ops_cases import c, f16, f32, i32, raw, u8

LAST, FIRST = "channels_last", "channels_first"
IMAGES = f32(2, 4, 5, 3)
IMAGE = f32(4, 5, 3)
TURNED = f32(2, 3, 4, 5)
BYTES = u8(2, 4, 5, 3, high=255)
COLORS = f32(2, 4, 5, 3, low=0.0, high=1.0)
#: Turns, scales and shifts.
TRANSFORMS = f32(values=[[0.9, 0.2, 0.35, -0.3, 1.1, 0.63, 0, 0], [1.2, 0, -1.3, 0.1, 0.8, 0.4, 0, 0]])
TRANSFORM = raw("float32", values=[0.9, 0.2, 0.35, -0.3, 1.1, 0.63, 0, 0])
POINTS = raw("float32", values=[[-1.3, -0.2, 0.4, 2.6, 3.4, 6.3], [0.7, 4.2, -0.6, 2.3, 1.2, 1.3]])
CORNERS = raw("float32", values=[[0, 0], [0, 4], [3, 0], [3, 4]])
MOVED = raw("float32", values=[[0.2, 0.3], [0.1, 3.6], [2.7, 0.4], [3.3, 4.2]])
TWICE = (
    f32(values=[[[0, 0], [0, 4], [3, 0], [3, 4]]] * 2),
    f32(values=[[[0.2, 0.3], [0.1, 3.6], [2.7, 0.4], [3.3, 4.2]], [[0, 0], [0, 3], [2, 0], [2, 3]]]),
)
SCALE, SHIFT = raw("float32", values=[1.6, 0.7]), raw("float32", values=[-0.4, 0.6])

BORDER = "the border differs in Keras from backend to backend"
DOT = [
    [[[0.0, 0.0]] * 6] * 2
    + [[[0.0, 0.0]] * 2 + [[1.0, -0.5], [0.3, 2.0]] + [[0.0, 0.0]] * 2] * 2
    + [[[0.0, 0.0]] * 6] * 2
]
SPOT, SPOT16 = f32(values=DOT * 2), f16(values=DOT * 2)


def colors(*more):
    """Cases for what turns three channels to others."""
    return [
        c(COLORS, LAST),
        c(images=f32(4, 5, 3, low=0.0, high=1.0), data_format=LAST),
        c(f32(2, 3, 4, 5, low=0.0, high=1.0), data_format=FIRST),
        c(f16(4, 5, 3, low=0.0, high=1.0), LAST),
        *more,
    ]


CASES = {
    "image.resize": [
        c(IMAGES, (8, 10), data_format=LAST),
        c(images=IMAGE, size=(3, 7), interpolation="nearest", data_format=LAST),
        c(TURNED, (2, 3), "bilinear", data_format=FIRST),
        c(IMAGES, (2, 3), "bilinear", True, data_format=LAST),
        c(IMAGES, (7, 3), interpolation="bicubic", data_format=LAST),
        c(IMAGES, (7, 3), interpolation="bicubic", antialias=True, data_format=LAST),
        c(IMAGES, (6, 8), interpolation="lanczos3", data_format=LAST),
        c(IMAGE, (6, 8), interpolation="lanczos5", data_format=LAST),
        c(IMAGES, (4, 3), crop_to_aspect_ratio=True, data_format=LAST),
        c(IMAGE, (3, 7), crop_to_aspect_ratio=True, data_format=LAST),
        c(IMAGES, (6, 6), pad_to_aspect_ratio=True, fill_value=2.0, data_format=LAST),
        c(IMAGE, (3, 8), pad_to_aspect_ratio=True, fill_mode="constant", data_format=LAST),
        c(BYTES, (8, 3), interpolation="nearest", data_format=LAST),
        c(BYTES, (8, 10), data_format=LAST),
        c(IMAGES, (4, 5), data_format=LAST),
    ],
    "image.affine_transform": [
        c(IMAGES, TRANSFORMS, data_format=LAST).no("gradient", why="that of the transforms is large, and less exact"),
        c(images=IMAGE, transform=TRANSFORM, interpolation="nearest", data_format=LAST),
        c(TURNED, TRANSFORMS, "bilinear", "reflect", data_format=FIRST).no("gradient", why="as above"),
        c(IMAGE, TRANSFORM, fill_mode="nearest", data_format=LAST),
        c(IMAGE, TRANSFORM, fill_mode="wrap", data_format=LAST),
        c(IMAGE, TRANSFORM, fill_mode="constant", fill_value=1.5, data_format=LAST),
        c(f16(4, 5, 3), TRANSFORM, data_format=LAST),
    ],
    "image.extract_patches": [
        c(IMAGES, (2, 2), data_format=LAST),
        c(images=IMAGE, size=3, strides=1, data_format=LAST),
        c(IMAGES, (2, 3), 2, 1, "same", data_format=LAST),
        c(TURNED, (3, 2), strides=(1, 2), padding="same", data_format=FIRST),
        c(IMAGES, 2, strides=1, dilation_rate=2, data_format=LAST),
        c(f32(3, 4, 5), 2, data_format=FIRST),
        c(f16(2, 4, 5, 3), (2, 2), data_format=LAST),
        c(f32(2, 3, 4, 4, 2), (2, 2, 3), data_format=LAST),
    ],
    "image.extract_patches_3d": [
        c(f32(2, 3, 4, 4, 2), 2, data_format=LAST),
        c(volumes=f32(3, 4, 4, 2), size=(1, 2, 3), strides=(2, 1, 1), padding="same", data_format=LAST),
        c(f32(2, 2, 3, 4, 4), (2, 3, 1), 1, data_format=FIRST),
        c(f32(2, 3, 4, 4, 2), 2, 1, dilation_rate=2, data_format=LAST),
    ],
    "image.map_coordinates": [
        c(f32(3, 5), POINTS, 1),
        c(inputs=f32(3, 5), coordinates=POINTS, order=0, fill_mode="nearest"),
        c(f32(3, 5), POINTS, 1, "constant", 1.5),
        c(f32(3, 5), POINTS, 1, fill_mode="nearest"),
        c(f32(3, 5), POINTS, 1, fill_mode="wrap"),
        c(f32(3, 5), POINTS, 1, fill_mode="mirror"),
        c(f32(3, 5), POINTS, 1, fill_mode="reflect"),
        c(f32(3, 5), POINTS, 0, fill_mode="reflect"),
        c(f32(3, 5), raw("float32", values=[[[-4.3, 7.6]], [[-7.2, 12.4]]]), 0, fill_mode="wrap"),
        c(f32(3, 5), raw("float32", values=[[[-4.3, 7.6]], [[-7.2, 12.4]]]), 1, fill_mode="mirror"),
        c(f32(2, 3, 4), raw("float32", values=[[[0.3, 1.0]], [[1.6, 0.2]], [[2.5, 2.9]]]), 1),
        c(f16(3, 5), POINTS, 1),
        c(i32(3, 5, low=0, high=200), raw("float32", values=[[0.5, 1.2, 1.9], [0.3, 2.6, 3.7]]), 1),
        c(f32(6), raw("float32", values=[[0.3, 4.9, -0.4]]), 1),
    ],
    "image.pad_images": [
        c(IMAGES, 1, 2, 3, 0, data_format=LAST),
        c(images=IMAGE, top_padding=1, left_padding=0, target_height=7, target_width=9, data_format=LAST),
        c(TURNED, bottom_padding=2, right_padding=1, target_height=6, target_width=6, data_format=FIRST),
        c(BYTES, 0, 0, 0, 1, data_format=LAST),
        c(f16(4, 5, 3), top_padding=1, right_padding=2, bottom_padding=0, target_width=8, data_format=LAST),
    ],
    "image.crop_images": [
        c(IMAGES, 1, 2, 1, 0, data_format=LAST),
        c(images=IMAGE, top_cropping=1, left_cropping=0, target_height=2, target_width=3, data_format=LAST),
        c(TURNED, bottom_cropping=2, right_cropping=0, target_height=2, target_width=4, data_format=FIRST),
        c(BYTES, 0, 0, 0, 1, data_format=LAST),
        c(f16(4, 5, 3), top_cropping=1, right_cropping=2, bottom_cropping=0, target_width=2, data_format=LAST),
    ],
    "image.rgb_to_grayscale": colors(
        c(f32(2, 4, 5, 1), LAST), c(u8(values=[[[255, 0, 0], [10, 20, 30], [255, 255, 255]]]), LAST)
    ),
    "image.rgb_to_hsv": colors(
        c(
            f32(
                values=[[[0.5, 0.5, 0.5], [0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]]
            ),
            LAST,
        ).no("gradient", why="at corners")
    ),
    "image.hsv_to_rgb": colors(
        c(f32(values=[[[0, 1, 1], [1, 1, 1], [0.5, 0, 0.3], [1.25, 0.5, 0.7], [-0.2, 0.6, 0.9]]]), LAST).no(
            "gradient", why="at corners"
        )
    ),
    "image.gaussian_blur": [
        c(IMAGES, data_format=LAST),
        c(images=IMAGE, kernel_size=(5, 5), sigma=(0.7, 1.6), data_format=LAST),
        c(TURNED, (3, 3), (2.0, 2.0), FIRST),
        c(f16(4, 5, 3), data_format=LAST),
        c(IMAGES, (2, 2), (1.0, 0.5), LAST),
        c(IMAGES, (3, 5), (1.0, 0.5), LAST),
    ],
    "image.perspective_transform": [
        c(IMAGES, *TWICE, data_format=LAST),
        c(images=IMAGE, start_points=CORNERS, end_points=MOVED, interpolation="nearest", data_format=LAST),
        c(TURNED, *TWICE, "bilinear", 1.5, FIRST),
        c(IMAGES, CORNERS, MOVED, fill_value=-1.0, data_format=LAST),
        c(f16(4, 5, 3), CORNERS, MOVED, data_format=LAST),
    ],
    "image.elastic_transform": [
        c(IMAGES, 0.0, seed=1, data_format=LAST),
        c(
            images=IMAGE,
            alpha=0.0,
            sigma=1.0,
            interpolation="nearest",
            fill_mode="constant",
            fill_value=1.0,
            seed=2,
            data_format=LAST,
        ),
        c(TURNED, 0.0, 1.0, "bilinear", "wrap", 0.0, 3, FIRST),
    ],
    "image.scale_and_translate": [
        c(IMAGES, (2, 6, 4, 3), SCALE, SHIFT, (1, 2), "linear"),
        c(
            images=IMAGE,
            output_shape=(6, 4, 3),
            scale=SCALE,
            translation=SHIFT,
            spatial_dims=(0, 1),
            method="cubic",
            antialias=False,
        ),
        c(IMAGES, (2, 6, 4, 3), SCALE, SHIFT, (1, 2), "lanczos3"),
        c(IMAGES, (2, 6, 4, 3), SCALE, SHIFT, (1, -2), "lanczos5", False),
        c(BYTES, (2, 6, 4, 3), SCALE, SHIFT, (1, 2), "bilinear"),
        c(f16(4, 5, 3), (6, 4, 3), SCALE, SHIFT, (0, 1), "trilinear"),
        c(IMAGE, (4, 9, 3), raw("float32", values=[0.5]), raw("float32", values=[1.5]), (1,), "bicubic"),
    ],
    # Nothing is near the border: what is beyond it differs in Keras from backend to backend.
    "image.sobel_edges": [
        c(SPOT, LAST).no("gradient", why=BORDER),
        c(images=f32(values=np.moveaxis(DOT * 2, -1, 1)), data_format=FIRST).no("gradient", why=BORDER),
        c(SPOT16, LAST).no("gradient", why=BORDER),
    ],
    "image.ssim": [
        c(
            f32(2, 4, 5, 3, low=0.0, high=1.0),
            f32(2, 4, 5, 3, low=0.0, high=1.0, seed=1),
            filter_size=3,
            data_format=LAST,
        ),
        c(
            image1=IMAGE,
            image2=f32(4, 5, 3, seed=1),
            max_val=2.0,
            filter_size=3,
            filter_sigma=0.8,
            k1=0.02,
            k2=0.05,
            data_format=LAST,
        ),
        c(TURNED, f32(2, 3, 4, 5, seed=1), 1.0, 4, 1.5, 0.01, 0.03, FIRST),
        c(IMAGES, IMAGES, filter_size=3, data_format=LAST).no("gradient", why="0 save for rounding"),
        c(f32(1, 12, 12, 1), f32(1, 12, 12, 1, seed=1), data_format=LAST),
    ],
}
