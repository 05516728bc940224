"""Convolutions of 3 x 3 x 3 at half the multiplications, for slabs of a few planes.

Across the planes the minimal filtering of Toom and Cook, as Winograd brought it to signals: four planes of the result
come from six convolutions within mixed planes, where plain summing takes twelve. Within a plane the convolution library
does its work. The numbers are those of the plain sum but for rounding, which the points of interpolation keep within
three times the library's own.

Sources: Lavin A, Gray S. Fast algorithms for convolutional neural networks. CVPR 2016:4013. Barabasz B, Anderson A,
Soodhalter KM, Gregg D. Error analysis and improving the accuracy of Winograd convolution for deep neural networks. ACM
Trans Math Softw 2020;46(4):37 (that the choice of points decides about rounding).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

TAPS = 3
MOST_PLANES, LEAST_PLANES = 4, 3
"""Planes of a result: more would round worse, fewer take no fewer multiplications."""
POINTS = (0.0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2.0), -math.sqrt(2.0))
"""Where polynomials are multiplied, beside infinity."""


def filtering() -> tuple[Tensor, Tensor, Tensor]:
    """What mixes planes, taps and products.

    Returns:
        (6, 6) from planes of the input, (6, 3) from taps, and (4, 6) to planes of the result, in double precision.
    """
    points, count = np.array(POINTS), len(POINTS) + 1
    planes, taps, result = np.zeros((count, count)), np.zeros((count, TAPS)), np.zeros((MOST_PLANES, count))
    for place, point in enumerate(points):
        others = np.delete(points, place)
        planes[place, :-1] = np.poly(others)[::-1]
        taps[place] = point ** np.arange(TAPS) / np.prod(point - others)
        result[:, place] = point ** np.arange(MOST_PLANES)
    planes[-1] = np.poly(points)[::-1]
    taps[-1, -1] = result[-1, -1] = 1
    return torch.from_numpy(planes), torch.from_numpy(taps), torch.from_numpy(result)


class PlaneConvolution:
    """A 3 x 3 x 3 convolution without padding, laid out for slabs.

    Args:
        layer: Its weights, in single precision.
    """

    def __init__(self, layer: nn.Conv3d) -> None:
        planes, taps, result = filtering()
        mixed = torch.einsum("pd,oidhw->poihw", taps, layer.weight.detach().double()).float()
        self._weights = [weight.contiguous(memory_format=torch.channels_last) for weight in mixed]
        self._planes, self._result = planes.float(), result.float()
        self._bias = layer.bias

    def __call__(self, slab: Tensor) -> Tensor:
        """The convolution of a slab.

        Args:
            slab: (1, channels, I + 2, J + 2, K + 2), I from :data:`LEAST_PLANES` to :data:`MOST_PLANES`, channels side
                by side in memory.

        Returns:
            (1, channels, I, J, K), laid out likewise.
        """
        _, channels, depth, height, width = slab.shape
        planes = slab.permute(0, 2, 3, 4, 1).reshape(depth, -1)
        # A slab of fewer planes is one of six whose last are zero: they are left out of the sums.
        mixed = (self._planes[:, :depth] @ planes).view(-1, height, width, channels).permute(0, 3, 1, 2)
        products = slab.new_empty((len(mixed), height - 2, width - 2, len(self._weights[0])))
        for place, weight in enumerate(self._weights):
            product = torch.mkldnn_convolution(mixed[place : place + 1], weight, None, [0, 0], [1, 1], [1, 1], 1)
            products[place] = product[0].permute(1, 2, 0)
        found = (self._result[: depth - 2] @ products.flatten(1)).view(depth - 2, *products.shape[1:])
        if self._bias is not None:
            found += self._bias
        return found.permute(3, 0, 1, 2)[None]
