"""The shapes of the mannequin: head, hair, clothes, hands, shoes."""

from tools.mannequin import sdf
from tools.mannequin.rig import FINGERS, HEAD_PIVOT, HEAD_SCALE, WORLD, finger_joints
from tools.mannequin.sdf import Field


def enlarged(field: Field) -> Field:
    """The head is modelled in life size and grown: a face reads better from afar."""
    return lambda p: HEAD_SCALE * field((p - HEAD_PIVOT) / HEAD_SCALE + HEAD_PIVOT)


def life_size_head() -> Field:
    """Skull, jaw, nose and ears."""
    skull = sdf.ellipsoid((0, 1.665, -0.006), (0.1, 0.108, 0.109))
    face = sdf.ellipsoid((0, 1.607, 0.018), (0.083, 0.088, 0.087))
    jaw = sdf.ellipsoid((0, 1.561, 0.033), (0.058, 0.046, 0.057))
    nose = sdf.cone((0, 1.608, 0.1), (0, 1.592, 0.1085), 0.006, 0.0105)
    ear = sdf.mirrored(sdf.ellipsoid((0.0975, 1.61, -0.008), (0.011, 0.026, 0.018)))
    shape = sdf.union(skull, face, k=0.05)
    shape = sdf.union(shape, jaw, k=0.055)
    shape = sdf.union(shape, nose, k=0.016)
    return sdf.union(shape, ear, k=0.012)


def head() -> Field:
    """The enlarged head on its neck."""
    neck = sdf.cone((0, 1.38, -0.012), (0, 1.58, -0.004), 0.057, 0.049)
    return sdf.union(enlarged(life_size_head()), neck, k=0.03)


def hair() -> Field:
    """A short cut, swept to one side."""
    cap = sdf.ellipsoid((0, 1.667, -0.012), (0.1085, 0.117, 0.116))
    line = sdf.half_space((0, 1.705, 0.092), (0, -0.74, 0.67))
    cap = sdf.intersection(cap, line, k=0.02)
    locks = [
        sdf.cone((0.04, 1.752, 0.04), (-0.055, 1.728, 0.082), 0.03, 0.019),
        sdf.cone((-0.05, 1.732, 0.07), (-0.094, 1.682, 0.047), 0.021, 0.01),
        sdf.cone((0.05, 1.742, 0.055), (0.093, 1.688, 0.05), 0.023, 0.01),
        sdf.cone((0.03, 1.762, -0.005), (-0.06, 1.745, 0.03), 0.034, 0.03),
    ]
    for lock in locks:
        cap = sdf.union(cap, lock, k=0.035)
    side = sdf.mirrored(sdf.cone((0.096, 1.675, 0.025), (0.0975, 1.632, 0.022), 0.014, 0.007))
    return enlarged(sdf.union(cap, side, k=0.02))


def sweater() -> Field:
    """Torso and sleeves."""
    chest = sdf.ellipsoid((0, 1.3, 0.0), (0.158, 0.16, 0.108))
    waist = sdf.ellipsoid((0, 1.11, 0.002), (0.138, 0.19, 0.1))
    hips = sdf.ellipsoid((0, 0.93, 0.0), (0.172, 0.2, 0.121))
    torso = sdf.union(sdf.union(chest, waist, k=0.06), hips, k=0.06)
    collar = sdf.cone((0, 1.38, -0.01), (0, 1.465, -0.006), 0.086, 0.066)
    yoke = sdf.cone((0.02, 1.395, -0.008), (0.145, 1.39, -0.004), 0.062, 0.062)
    arm = sdf.union(
        sdf.cone((0.15, 1.392, -0.002), (0.42, 1.395, 0.0), 0.061, 0.05),
        sdf.cone((0.42, 1.395, 0.0), (0.618, 1.395, 0.0), 0.05, 0.0415),
        k=0.02,
    )
    limbs = sdf.mirrored(sdf.union(yoke, arm, k=0.03))
    shape = sdf.union(sdf.union(torso, collar, k=0.04), limbs, k=0.05)
    shape = sdf.intersection(shape, sdf.half_space((0, 0.882, 0), (0, -1, 0)), k=0.015)
    return sdf.intersection(shape, sdf.half_space((0, 1.463, 0), (0, 1, -0.2)), k=0.012)


def trim() -> Field:
    """Collar, cuffs and hem, as soft rings."""
    collar = sdf.ring((0, 1.461, -0.004), (0, 1, -0.3), (0.06, 0.061), 0.016)
    hem = sdf.ring((0, 0.886, 0), (0, 1, 0), (0.1585, 0.108), 0.0185)
    return sdf.union(collar, hem)


def cuff() -> Field:
    """The left cuff."""
    tube = sdf.cone((0.55, 1.395, 0.0), (0.75, 1.395, 0.0), 0.0475, 0.0435)
    near = sdf.half_space((0.614, 1.395, 0.0), (-1, 0, 0))
    far = sdf.half_space((0.668, 1.395, 0.0), (1, 0, 0))
    return sdf.intersection(sdf.intersection(tube, near, k=0.014), far, k=0.014)


def trousers() -> Field:
    """Hips and legs."""
    pelvis = sdf.ellipsoid((0, 0.92, 0.0), (0.14, 0.11, 0.1))
    leg = sdf.union(
        sdf.cone((0.084, 0.88, 0.0), (0.097, 0.5, 0.006), 0.08, 0.062),
        sdf.cone((0.097, 0.5, 0.006), (0.104, 0.08, -0.01), 0.062, 0.05),
        k=0.03,
    )
    shape = sdf.union(pelvis, sdf.mirrored(leg), k=0.05)
    return sdf.intersection(shape, sdf.half_space((0, 0.07, 0), (0, -1, 0)), k=0.012)


def shoes() -> Field:
    """Upper part of both shoes."""
    ankle = sdf.cone((0.103, 0.1, -0.012), (0.104, 0.05, -0.015), 0.042, 0.044)
    heel = sdf.ellipsoid((0.104, 0.045, -0.02), (0.045, 0.05, 0.055))
    toe = sdf.ellipsoid((0.11, 0.038, 0.085), (0.05, 0.042, 0.085))
    shape = sdf.union(sdf.union(ankle, heel, k=0.03), toe, k=0.05)
    return sdf.mirrored(sdf.intersection(shape, sdf.half_space((0, 0.016, 0), (0, -1, 0)), k=0.01))


def soles() -> Field:
    """Soles of both shoes."""
    shape = sdf.union(
        sdf.ellipsoid((0.104, 0.01, -0.02), (0.05, 0.05, 0.062)),
        sdf.ellipsoid((0.11, 0.01, 0.085), (0.055, 0.05, 0.092)),
        k=0.05,
    )
    slab = sdf.box((0.107, 0.012, 0.04), (0.09, 0.012, 0.2), 0.006)
    return sdf.mirrored(sdf.intersection(shape, slab, k=0.008))


def hand() -> Field:
    """The left hand with its wrist."""

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        wrist = WORLD["leftHand"]
        return (float(wrist[0]) + x, float(wrist[1]) + y, float(wrist[2]) + z)

    palm = sdf.box(at(0.05, -0.003, -0.005), (0.043, 0.0125, 0.038), 0.0125)
    heel = sdf.ellipsoid(at(0.026, -0.006, -0.004), (0.034, 0.0165, 0.032))
    pad = sdf.cone(at(0.02, -0.01, 0.018), at(0.05, -0.009, 0.041), 0.0155, 0.0125)
    joint = sdf.cone(at(-0.045, 0, 0), at(0.012, 0, 0), 0.0275, 0.0245)
    shape = sdf.union(palm, heel, k=0.02)
    shape = sdf.union(shape, joint, k=0.03)
    shape = sdf.union(shape, pad, k=0.016)
    radii = {
        "Thumb": (0.0132, 0.0114, 0.0104, 0.0088),
        "Index": (0.0099, 0.0092, 0.0084, 0.0072),
        "Middle": (0.01, 0.0093, 0.0085, 0.0073),
        "Ring": (0.0096, 0.0089, 0.0081, 0.0069),
        "Little": (0.0087, 0.008, 0.0073, 0.0063),
    }
    tips = {"Thumb": 0.026, "Index": 0.0205, "Middle": 0.022, "Ring": 0.021, "Little": 0.0175}
    fingers: list[Field] = []
    for finger in FINGERS:
        a, b, c = (WORLD[bone] for bone in finger_joints("left", finger))
        along = (c - b) / float(((c - b) ** 2).sum() ** 0.5)
        d = c + along * tips[finger]
        r = radii[finger]
        start = a if finger == "Thumb" else a - along * 0.012
        segments = [
            sdf.cone(start, b, r[0], r[1]),
            sdf.cone(b, c, r[1], r[2]),
            sdf.cone(c, d, r[2], r[3]),
        ]
        fingers.append(sdf.union(*segments, k=0.003))
    return sdf.union(shape, sdf.union(*fingers), k=0.011)
