# Written by tools/ops_names.py from Keras 3.15.1: what type checkers and editors know.
from typing import Any

def affine_transform(
    images: Any,
    transform: Any,
    interpolation: Any = ...,
    fill_mode: Any = ...,
    fill_value: Any = ...,
    data_format: Any = ...,
) -> Any: ...
def crop_images(
    images: Any,
    top_cropping: Any = ...,
    left_cropping: Any = ...,
    bottom_cropping: Any = ...,
    right_cropping: Any = ...,
    target_height: Any = ...,
    target_width: Any = ...,
    data_format: Any = ...,
) -> Any: ...
def elastic_transform(
    images: Any,
    alpha: Any = ...,
    sigma: Any = ...,
    interpolation: Any = ...,
    fill_mode: Any = ...,
    fill_value: Any = ...,
    seed: Any = ...,
    data_format: Any = ...,
) -> Any: ...
def extract_patches(
    images: Any, size: Any, strides: Any = ..., dilation_rate: Any = ..., padding: Any = ..., data_format: Any = ...
) -> Any: ...
def extract_patches_3d(
    volumes: Any, size: Any, strides: Any = ..., dilation_rate: Any = ..., padding: Any = ..., data_format: Any = ...
) -> Any: ...
def gaussian_blur(images: Any, kernel_size: Any = ..., sigma: Any = ..., data_format: Any = ...) -> Any: ...
def hsv_to_rgb(images: Any, data_format: Any = ...) -> Any: ...
def map_coordinates(inputs: Any, coordinates: Any, order: Any, fill_mode: Any = ..., fill_value: Any = ...) -> Any: ...
def pad_images(
    images: Any,
    top_padding: Any = ...,
    left_padding: Any = ...,
    bottom_padding: Any = ...,
    right_padding: Any = ...,
    target_height: Any = ...,
    target_width: Any = ...,
    data_format: Any = ...,
) -> Any: ...
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: Any = ...,
    fill_value: Any = ...,
    data_format: Any = ...,
) -> Any: ...
def resize(
    images: Any,
    size: Any,
    interpolation: Any = ...,
    antialias: Any = ...,
    crop_to_aspect_ratio: Any = ...,
    pad_to_aspect_ratio: Any = ...,
    fill_mode: Any = ...,
    fill_value: Any = ...,
    data_format: Any = ...,
) -> Any: ...
def rgb_to_grayscale(images: Any, data_format: Any = ...) -> Any: ...
def rgb_to_hsv(images: Any, data_format: Any = ...) -> Any: ...
def scale_and_translate(
    images: Any, output_shape: Any, scale: Any, translation: Any, spatial_dims: Any, method: Any, antialias: Any = ...
) -> Any: ...
def sobel_edges(images: Any, data_format: Any = ...) -> Any: ...
def ssim(
    image1: Any,
    image2: Any,
    max_val: Any = ...,
    filter_size: Any = ...,
    filter_sigma: Any = ...,
    k1: Any = ...,
    k2: Any = ...,
    data_format: Any = ...,
) -> Any: ...
