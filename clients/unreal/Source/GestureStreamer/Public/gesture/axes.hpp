// From VRM 1.0 (right-handed, Y up, metres, the character faces +Z, its left is +X) to Unreal
// (left-handed, Z up, centimetres).
#pragma once

#include <array>

namespace gesture {

// The way a skeletal mesh looks: +Y is what Unreal's glTF import and its mannequins have, +X what
// actors and some mocap tools have.
enum class Facing { Y, X };

inline std::array<double, 3> unreal_position(const float* v, Facing facing = Facing::Y) {
    const double x = 100.0 * v[0], y = 100.0 * v[1], z = 100.0 * v[2];
    if (facing == Facing::Y) return {x, z, y};
    return {z, -x, y};
}

// x, y, z, w. The handedness changes, so the axis is mapped and turned round.
inline std::array<double, 4> unreal_rotation(const float* q, Facing facing = Facing::Y) {
    if (facing == Facing::Y) return {-q[0], -q[2], -q[1], q[3]};
    return {-q[2], q[0], -q[1], q[3]};
}

}  // namespace gesture
