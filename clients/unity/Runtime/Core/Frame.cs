using System;

namespace GestureStreamer
{
    /// <summary>
    /// One pose on the wire, in VRM 1.0 axes; reused, so that nothing is allocated per frame.
    /// </summary>
    public sealed class Frame
    {
        public uint Seq;
        public uint Index;
        public long Sample;
        public VoiceState State;
        public bool Reset;
        public bool HasPositions;
        public bool HasDirections;

        /// <summary>Offset of the hips from their rest position: x, y, z in metres.</summary>
        public readonly float[] Root = new float[3];

        /// <summary>x, y, z, w of every bone in the order of the hello.</summary>
        public readonly float[] Rotations;

        /// <summary>x, y, z of every joint, where <see cref="HasPositions"/>.</summary>
        public readonly float[] Positions;

        /// <summary>x, y, z of every direction, where <see cref="HasDirections"/>.</summary>
        public readonly float[] Directions;

        public Frame(Layout layout)
        {
            Rotations = new float[4 * layout.Bones];
            Positions = new float[3 * layout.Joints];
            Directions = new float[3 * layout.Directions];
            for (int i = 3; i < Rotations.Length; i += 4) Rotations[i] = 1f;
        }

        /// <summary>Take over everything of a frame of the same layout.</summary>
        public void CopyFrom(Frame other)
        {
            Seq = other.Seq;
            Index = other.Index;
            Sample = other.Sample;
            State = other.State;
            Reset = other.Reset;
            HasPositions = other.HasPositions;
            HasDirections = other.HasDirections;
            Array.Copy(other.Root, Root, Root.Length);
            Array.Copy(other.Rotations, Rotations, Rotations.Length);
            Array.Copy(other.Positions, Positions, Positions.Length);
            Array.Copy(other.Directions, Directions, Directions.Length);
        }
    }
}
