using System;

namespace GestureStreamer
{
    /// <summary>The last frames, oldest first, and the pose between two of them; no garbage.</summary>
    public sealed class Timeline
    {
        private const int Kept = 32;

        private readonly Frame[] frames = new Frame[Kept];
        private int first;
        private int count;

        public Timeline(Layout layout)
        {
            for (int i = 0; i < Kept; i++) frames[i] = new Frame(layout);
        }

        /// <summary>The newest frame, null while there is none.</summary>
        public Frame Newest => count == 0 ? null : At(count - 1);

        public void Clear()
        {
            count = 0;
        }

        /// <summary>Take a copy of a frame; one that is not newer than the last is ignored.</summary>
        public void Push(Frame frame)
        {
            if (count > 0 && frame.Sample <= Newest.Sample) return;
            if (count == Kept) first = (first + 1) % Kept;
            else count++;
            At(count - 1).CopyFrom(frame);
        }

        /// <summary>Write the pose at a sample, held at both ends; there must be a frame.</summary>
        public void Sample(double sample, float[] rotations, float[] root)
        {
            int i = count - 1;
            while (i > 0 && At(i).Sample > sample) i--;
            var a = At(i);
            if (i == count - 1 || sample <= a.Sample)
            {
                Array.Copy(a.Rotations, rotations, rotations.Length);
                Array.Copy(a.Root, root, 3);
                return;
            }
            var b = At(i + 1);
            double t = (sample - a.Sample) / (b.Sample - a.Sample);
            Quat.Slerp(a.Rotations, b.Rotations, t, rotations);
            for (int k = 0; k < 3; k++) root[k] = (float)(a.Root[k] + t * (b.Root[k] - a.Root[k]));
        }

        private Frame At(int i)
        {
            return frames[(first + i) % Kept];
        }
    }
}
