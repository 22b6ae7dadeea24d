"""Lenses of photographs: the way from a ray to where it meets the image, and back.

A ray (X, Y, Z) of a camera that looks along +Z, with Y down, meets the plane at (u, v). A perspective lens has it at
(X, Y) / Z; one that bends rays has it as far from the middle as the angle to the axis says (the angle itself in a
fisheye lens). Then the plane is distorted, to what focal lengths and principal point make pixels of. Every model is one
set of coefficients of the same formulas, those of COLMAP (src/colmap/sensor/models.h) and OpenCV.

Coordinates are NumPy arrays or torch tensors alike, of any shape, and so are the coefficients beside them.
"""

import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import numpy as np

HALVINGS = 10  # of where the radius may be, before Newton's method, which from afar may miss it or a pole
NEWTON_STEPS = 20  # near a fold each halves the error, elsewhere it squares it
STEEPEST = 1e3  # tangent of the widest angle of a perspective lens, 89.94 degrees
WIDEST = np.pi * (1 - 1e-6)  # angle to the axis of a lens that bends rays
NEGLIGIBLE = 1e-12  # coefficient
CONVERGED = 1e-9  # of the focal length
Array = Any  # np.ndarray or torch.Tensor
Derivatives = tuple[Array, Array, Array, Array]  # of x by u and v, and of y by u and v


@dataclass(frozen=True)
class Lens:
    """The coefficients of a camera's distortion; without any it is a pinhole.

    `k` and `q` belong to the even powers of the radius, in the numerator and the denominator of the radial part (the
    last three of OpenCV's rational model are `q`); `p` are the tangential ones, `s` those of the thin prism.
    """

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    q1: float = 0.0
    q2: float = 0.0
    q3: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    s1: float = 0.0
    s2: float = 0.0
    is_bending: bool = False
    omega: float = 0.0  # radians, of a bending lens: COLMAP's and PTAM's field of view model; 0 for a fisheye lens

    @property
    def is_pinhole(self) -> bool:
        return self == Lens()

    @property
    def limit(self) -> float:
        """Distance from the middle of the undistorted plane up to which points stay apart and rays have a place."""
        widest = STEEPEST
        if self.is_bending:
            widest = min(WIDEST, 0.5 * WIDEST / self.omega) if self.omega else WIDEST
        top, bottom = (
            np.polynomial.Polynomial(c)
            for c in ([1, self.k1, self.k2, self.k3, self.k4], [1, self.q1, self.q2, self.q3])
        )
        square = np.polynomial.Polynomial([0, 1])
        # Where the distance in the image ceases to grow: at its maximum, or a pole.
        growth = top * bottom + 2 * square * (top.deriv() * bottom - top * bottom.deriv())
        roots = np.concatenate([polynomial.trim(NEGLIGIBLE).roots() for polynomial in (growth, bottom)])
        turns = [root.real for root in roots if abs(root.imag) <= 1e-9 * abs(root) and root.real > 0]
        return float(min(widest, *np.sqrt(turns))) if turns else widest

    def row(self) -> np.ndarray:
        """float64 [14]: the coefficients as `distort` and the others take them, and the limit."""
        return np.array([*map(float, astuple(self)), self.limit])


class Coefficients(NamedTuple):
    """The columns of rows of lenses, each of a shape that goes with that of the coordinates."""

    k1: Array
    k2: Array
    k3: Array
    k4: Array
    q1: Array
    q2: Array
    q3: Array
    p1: Array
    p2: Array
    s1: Array
    s2: Array
    is_bending: Array
    omega: Array
    limit: Array


def distort(lens: Coefficients, u: Array, v: Array) -> tuple[Array, Array, Derivatives]:
    """Where the point (u, v) of the plane comes to, and its derivatives."""
    uu, uv, vv = u * u, u * v, v * v
    r2 = uu + vv
    top, bottom = _radial(lens, r2)
    top_slope = lens.k1 + r2 * (2 * lens.k2 + r2 * (3 * lens.k3 + r2 * 4 * lens.k4))
    bottom_slope = lens.q1 + r2 * (2 * lens.q2 + r2 * 3 * lens.q3)
    radial = top / bottom
    slope = 2 * (top_slope - radial * bottom_slope) / bottom
    p1u, p1v, p2u, p2v = lens.p1 * u, lens.p1 * v, lens.p2 * u, lens.p2 * v
    x = u * radial + 2 * lens.p1 * uv + lens.p2 * (r2 + 2 * uu) + lens.s1 * r2
    y = v * radial + 2 * lens.p2 * uv + lens.p1 * (r2 + 2 * vv) + lens.s2 * r2
    cross = uv * slope + 2 * (p1u + p2v)
    by_plane = (
        radial + uu * slope + 2 * p1v + 6 * p2u + 2 * lens.s1 * u,
        cross + 2 * lens.s1 * v,
        cross + 2 * lens.s2 * u,
        radial + vv * slope + 2 * p2u + 6 * p1v + 2 * lens.s2 * v,
    )
    return x, y, by_plane


def undistort(lens: Coefficients, x: Array, y: Array) -> tuple[Array, Array, Derivatives]:
    """The point (u, v) of the plane that comes to (x, y), and the derivatives of `distort` there.

    By Newton's method, within the lens's limit, from where the radial part alone has the point. Where no point comes to
    (x, y), some point: see `is_reached`.
    """
    xp = _namespace(x)
    u, v = next_u, next_v = _undistort_radially(lens, x, y)
    du, dv, least = 0 * u, 0 * v, 0 * u + np.inf
    for _ in range(NEWTON_STEPS):
        found_x, found_y, by_plane = distort(lens, next_u, next_v)
        right, down = x - found_x, y - found_y
        off = right * right + down * down
        is_nearer = off < least
        whole_du, whole_dv = pull_back(by_plane, right, down)
        # A step that led away is halved.
        du, dv = xp.where(is_nearer, whole_du, 0.5 * du), xp.where(is_nearer, whole_dv, 0.5 * dv)
        u, v, least = xp.where(is_nearer, next_u, u), xp.where(is_nearer, next_v, v), xp.where(is_nearer, off, least)
        next_u, next_v = _within(lens, u + du, v + dv)
    return u, v, distort(lens, u, v)[2]


def pull_back(by_plane: Derivatives, dx: Array, dy: Array) -> tuple[Array, Array]:
    """The step (du, dv) on the plane that is a step (dx, dy) in the image, by the derivatives of `distort`."""
    xu, xv, yu, yv = by_plane
    determinant = xu * yv - xv * yu
    determinant = _namespace(determinant).where(abs(determinant) < 1e-12, 1e-12, determinant)
    return (yv * dx - xv * dy) / determinant, (xu * dy - yu * dx) / determinant


def is_reached(lens: Coefficients, x: Array, y: Array) -> Array:
    """Whether a ray reaches (x, y): not outside of the circle of a lens, nor where its distortion folds over."""
    u, v, (xu, xv, yu, yv) = undistort(lens, x, y)
    found_x, found_y, _ = distort(lens, u, v)
    xp = _namespace(u)
    off = xp.hypot(found_x - x, found_y - y)
    return (off < CONVERGED * (1 + xp.hypot(x, y))) & (xu * yv - xv * yu > 0) & (xp.hypot(u, v) < lens.limit)


def to_ray(lens: Coefficients, u: Array, v: Array) -> tuple[Array, Array, Array]:
    """The ray (X, Y, Z) of a point of the plane: Z is 1 for a perspective lens, the length is 1 for a bending one."""
    xp = _namespace(u)
    angle, _, sine = _bend(lens, u, v)
    return (
        xp.where(lens.is_bending > 0, sine * u, u),
        xp.where(lens.is_bending > 0, sine * v, v),
        xp.where(lens.is_bending > 0, xp.cos(angle), 1.0),
    )


def ray_step(lens: Coefficients, u: Array, v: Array, du: Array, dv: Array) -> Array:
    """How far the ray of `to_ray` moves for a step (du, dv) on the plane, to first order."""
    xp = _namespace(u)
    _, slope, sine = _bend(lens, u, v)
    radius = _positive(xp.hypot(u, v))
    outwards, sideways = (du * u + dv * v) / radius, (dv * u - du * v) / radius
    # In the middle there is no way outwards; all ways are alike.
    is_middle = xp.hypot(u, v) < 1e-6
    bent = xp.where(is_middle, slope * xp.hypot(du, dv), xp.hypot(slope * outwards, sine * sideways))
    return xp.where(lens.is_bending > 0, bent, xp.hypot(du, dv))


def to_plane(lens: Coefficients, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """The point of the plane of a ray; not finite where a perspective lens cannot see it."""
    xp = _namespace(x)
    across = xp.hypot(x, y)
    angle = xp.arctan2(across, z)
    view = 2 * xp.tan(_positive(lens.omega) / 2)
    bent = xp.where(lens.omega > 0, xp.arctan(view * across / z) / _positive(lens.omega), angle)
    bent = xp.where((lens.omega > 0) & (z <= 0), np.nan, bent)
    scale = xp.where(lens.is_bending > 0, bent / _positive(across), 1 / xp.where(z > 0, z, np.nan))
    return x * scale, y * scale


def rays_through(lenses: Sequence[Lens], plane: np.ndarray) -> np.ndarray:
    """[V, P, 3]: directions of the points [V, P, 3] that `pix2cams` make of pixels, each view through its lens.

    As those points, and as all cameras of a scene, with y up and looking along -z.
    """
    lens = Coefficients(*np.stack([lens.row() for lens in lenses]).T[..., None])
    with np.errstate(all="ignore"):  # of pixels that no ray reaches
        u, v, _ = undistort(lens, plane[..., 0], -plane[..., 1])
        rays = to_ray(lens, u, v)
    return np.stack(np.broadcast_arrays(*rays), axis=-1) * [1, -1, -1]


def seen_through(lens: Lens, points: np.ndarray) -> np.ndarray:
    """[..., 3]: what the inverse of `pix2cams` takes to homogeneous pixels, of points before a camera; NaN if unseen.

    The third component is minus the depth along the ray, as it is of the points: of a bending lens, the distance.
    """
    row = Coefficients(*lens.row())
    with np.errstate(all="ignore"):
        u, v = to_plane(row, points[..., 0], -points[..., 1], -points[..., 2])
        x, y, _ = distort(row, u, v)
        is_seen = np.hypot(u, v) < lens.limit
        depth = np.linalg.norm(points, axis=-1) if lens.is_bending else -points[..., 2]
    return np.stack([x, -y, -np.ones_like(x)], axis=-1) * np.where(is_seen, depth, np.nan)[..., None]


def _bend(lens: Coefficients, u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Of a bending lens, the angle to the axis, its derivative by the radius, and the angle's sine over the radius."""
    xp = _namespace(u)
    radius = xp.hypot(u, v)
    # Where omega is 0 both are overwritten; a number that is not 0 keeps what is divided finite.
    omega = _positive(lens.omega)
    view = 2 * xp.tan(omega / 2)
    tangent = xp.tan(xp.where(lens.omega > 0, radius * omega, 0.0))
    angle = xp.where(lens.omega > 0, xp.arctan(tangent / view), radius)
    slope = xp.where(lens.omega > 0, omega * (1 + tangent**2) * view / (view**2 + tangent**2), 1.0)
    sine = xp.where(radius < 1e-6, slope, xp.sin(angle) / _positive(radius))
    return angle, slope, sine


def _radial(lens: Coefficients, r2: Array) -> tuple[Array, Array]:
    """Numerator and denominator of how much farther from the middle a point comes by the radial part."""
    top = 1 + r2 * (lens.k1 + r2 * (lens.k2 + r2 * (lens.k3 + r2 * lens.k4)))
    return top, 1 + r2 * (lens.q1 + r2 * (lens.q2 + r2 * lens.q3))


def _undistort_radially(lens: Coefficients, x: Array, y: Array) -> tuple[Array, Array]:
    """About where the point comes from that the radial part, which grows up to the limit, brings to (x, y).

    By bisection of r / (1 + r), which gets from the middle to the widest angle in few steps.
    """
    xp = _namespace(x)
    distance = xp.hypot(x, y)
    least, most = 0 * distance, lens.limit / (1 + lens.limit) + 0 * distance
    for _ in range(HALVINGS):
        share = (least + most) / 2
        radius = share / (1 - share)
        top, bottom = _radial(lens, radius * radius)
        is_short = radius * top < distance * bottom  # the denominator is positive up to the limit
        least, most = xp.where(is_short, share, least), xp.where(is_short, most, share)
    share = (least + most) / 2
    scale = share / (1 - share) / _positive(distance)
    return x * scale, y * scale


def _within(lens: Coefficients, u: Array, v: Array) -> tuple[Array, Array]:
    """(u, v), drawn towards the middle where it is beyond the limit."""
    xp = _namespace(u)
    radius = xp.hypot(u, v)
    scale = xp.where(radius > lens.limit, lens.limit / _positive(radius), 1.0)
    return u * scale, v * scale


def _positive(value: Array) -> Array:
    """`value`, at least a number by which can be divided."""
    return value + (value < 1e-30) * 1e-30


def _namespace(value: Array) -> Any:
    """The module with the functions of this kind of array; torch, slow to import, is there where its tensors are."""
    return np if isinstance(value, np.ndarray | np.generic | float) else sys.modules["torch"]
