using System;

namespace GestureStreamer
{
    /// <summary>A rotation; the few operations that poses need.</summary>
    public readonly struct Quat
    {
        public readonly float X;
        public readonly float Y;
        public readonly float Z;
        public readonly float W;

        public static readonly Quat Identity = new Quat(0, 0, 0, 1);

        public Quat(float x, float y, float z, float w)
        {
            X = x;
            Y = y;
            Z = z;
            W = w;
        }

        public Quat Inverse => new Quat(-X, -Y, -Z, W);

        /// <summary>b first, then a.</summary>
        public static Quat operator *(Quat a, Quat b)
        {
            return new Quat(
                a.W * b.X + a.X * b.W + a.Y * b.Z - a.Z * b.Y,
                a.W * b.Y - a.X * b.Z + a.Y * b.W + a.Z * b.X,
                a.W * b.Z + a.X * b.Y - a.Y * b.X + a.Z * b.W,
                a.W * b.W - a.X * b.X - a.Y * b.Y - a.Z * b.Z);
        }

        /// <summary>Write the rotations a share t of the way from a to b, the short way round.</summary>
        public static void Slerp(float[] a, float[] b, double t, float[] into)
        {
            for (int i = 0; i < into.Length; i += 4)
            {
                double cosine = 0;
                for (int k = i; k < i + 4; k++) cosine += (double)a[k] * b[k];
                double sign = cosine < 0 ? -1 : 1;
                double angle = Math.Acos(Math.Min(Math.Abs(cosine), 1));
                double sine = Math.Sin(angle);
                bool near = sine < 1e-3;
                double fromA = near ? 1 - t : Math.Sin((1 - t) * angle) / sine;
                double fromB = sign * (near ? t : Math.Sin(t * angle) / sine);
                double x = fromA * a[i] + fromB * b[i];
                double y = fromA * a[i + 1] + fromB * b[i + 1];
                double z = fromA * a[i + 2] + fromB * b[i + 2];
                double w = fromA * a[i + 3] + fromB * b[i + 3];
                double norm = Math.Sqrt(x * x + y * y + z * z + w * w);
                into[i] = (float)(x / norm);
                into[i + 1] = (float)(y / norm);
                into[i + 2] = (float)(z / norm);
                into[i + 3] = (float)(w / norm);
            }
        }
    }
}
