"""Convolutions of 3 x 3 x 3 at half the multiplications, for slabs of a few planes.

Across the planes the minimal filtering of Toom and Cook, as Winograd brought it to signals: four planes of the result
come from six convolutions within mixed planes, where plain summing takes twelve. Within a plane the convolution library
does its work. The numbers are those of the plain sum but for rounding, which the points of interpolation (0, the roots
of 1/2 and 2, infinity) keep within three times the library's own. They also leave factors of 2 and 1/2 in the sums,
which are exact, so the last digits are the same for any number of threads.

Sources: Lavin A, Gray S. Fast algorithms for convolutional neural networks. CVPR 2016:4013. Barabasz B, Anderson A,
Soodhalter KM, Gregg D. Error analysis and improving the accuracy of Winograd convolution for deep neural networks. ACM
Trans Math Softw 2020;46(4):37 (that the choice of points decides about rounding).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

TAPS = 3
MOST_PLANES, LEAST_PLANES = 4, 3
"""Planes of a result: more would round worse, fewer take no fewer multiplications."""
NEAR, FAR = math.sqrt(0.5), math.sqrt(2.0)
MIXED_TAPS = (
    (1.0, 0.0, 0.0),
    *((1 / divisor, point / divisor, point**2 / divisor) for point, divisor in ((NEAR, -1.5), (-NEAR, -1.5))),
    *((1 / divisor, point / divisor, point**2 / divisor) for point, divisor in ((FAR, 6.0), (-FAR, 6.0))),
    (0.0, 0.0, 1.0),
)
"""The polynomial of the taps at each point, over the product of that point's distances to the others."""


def mixed_planes(planes: Sequence[Tensor]) -> list[Tensor]:
    """As many mixed planes as planes of the input, five or six of any one shape; in the order of :data:`MIXED_TAPS`."""
    near, far = (torch.add(planes[4], planes[2], alpha=-factor) for factor in (2, 0.5))
    odd_near, odd_far = (torch.add(planes[3], planes[1], alpha=-factor) for factor in (2, 0.5))
    odd_near, odd_far = odd_near * NEAR, odd_far * FAR
    found = [_outer(planes[0], planes[2], planes[4]), near + odd_near, near - odd_near, far + odd_far, far - odd_far]
    return [*found, _outer(planes[1], planes[3], planes[5])] if len(planes) > len(found) else found


def _outer(first: Tensor, middle: Tensor, last: Tensor) -> Tensor:
    """``first - 2.5 middle + last``."""
    return torch.add(torch.add(first + last, middle, alpha=-2), middle, alpha=-0.5)


def result_planes(products: Sequence[Tensor]) -> list[Tensor]:
    """The three or four planes of the result, of five or six products of mixed planes and taps, all of one shape."""
    near, far = products[1] + products[2], products[3] + products[4]
    odd_near, odd_far = (products[1] - products[2]) * NEAR, (products[3] - products[4]) * FAR
    found = [products[0] + near + far, odd_near + odd_far, torch.add(0.5 * near, far, alpha=2)]
    if len(products) > LEAST_PLANES + TAPS - 1:
        found.append(torch.add(0.5 * odd_near, odd_far, alpha=2) + products[5])
    return found


class PlaneConvolution:
    """A 3 x 3 x 3 convolution without padding, laid out for slabs.

    Args:
        layer: Its weights, in single precision.
    """

    def __init__(self, layer: nn.Conv3d) -> None:
        taps = torch.tensor(MIXED_TAPS, dtype=torch.float64)
        mixed = torch.einsum("pd,oidhw->poihw", taps, layer.weight.detach().double()).float()
        self._weights = [weight.contiguous(memory_format=torch.channels_last) for weight in mixed]
        self._bias = layer.bias

    def __call__(self, slab: Tensor) -> Tensor:
        """The convolution of a slab.

        Args:
            slab: (1, channels, I + 2, J + 2, K + 2), I from :data:`LEAST_PLANES` to :data:`MOST_PLANES`, channels side
                by side in memory.

        Returns:
            (1, channels, I, J, K), laid out likewise.
        """
        products = []
        # A slab of fewer planes needs nothing of the last product.
        for plane, weight in zip(mixed_planes(slab[0].permute(1, 2, 3, 0).unbind()), self._weights, strict=False):
            image = plane.permute(2, 0, 1)[None]
            product = torch.mkldnn_convolution(image, weight, None, [0, 0], [1, 1], [1, 1], 1)
            products.append(product[0].permute(1, 2, 0))
        found = torch.stack(result_planes(products))
        if self._bias is not None:
            found += self._bias
        return found.permute(3, 0, 1, 2)[None]
