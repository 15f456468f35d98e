namespace GestureStreamer
{
    /// <summary>How many bones, joints and direction vectors a frame of a stream has.</summary>
    public readonly struct Layout
    {
        public readonly int Bones;
        public readonly int Joints;
        public readonly int Directions;

        public Layout(int bones, int joints, int directions)
        {
            Bones = bones;
            Joints = joints;
            Directions = directions;
        }
    }
}
