namespace GestureStreamer
{
    /// <summary>
    /// From VRM 1.0 (right-handed, the character faces +Z, its left is +X) to Unity (left-handed,
    /// it faces +Z, its left is -X): x is flipped.
    /// </summary>
    public static class Axes
    {
        /// <summary>Convert the rotation that starts at `at`.</summary>
        public static Quat Rotation(float[] xyzw, int at)
        {
            return new Quat(xyzw[at], -xyzw[at + 1], -xyzw[at + 2], xyzw[at + 3]);
        }

        /// <summary>Convert the position or offset that starts at `at`.</summary>
        public static void Position(float[] xyz, int at, out float x, out float y, out float z)
        {
            x = -xyz[at];
            y = xyz[at + 1];
            z = xyz[at + 2];
        }
    }
}
