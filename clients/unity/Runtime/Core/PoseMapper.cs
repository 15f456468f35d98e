namespace GestureStreamer
{
    /// <summary>Turns the stream's normalised rotations into an avatar's own local rotations.</summary>
    /// <remarks>
    /// A bone whose T-pose has local rotation L and rotation W in the avatar's space gets
    /// L * inv(W) * normalised * W. A bone that the avatar lacks (upperChest, say) turns its
    /// children instead. Everything is in Unity axes; nothing is allocated per frame.
    /// </remarks>
    public sealed class PoseMapper
    {
        private readonly int[] parents;
        private readonly bool[] present;
        private readonly Quat[] before;
        private readonly Quat[] after;
        private readonly Quat[] turned;
        private readonly Quat[] local;

        public PoseMapper(Hello hello)
        {
            int bones = hello.Bones.Length;
            parents = hello.Parents;
            present = new bool[bones];
            before = new Quat[bones];
            after = new Quat[bones];
            turned = new Quat[bones];
            local = new Quat[bones];
        }

        /// <summary>Say how a bone that the avatar has stands in its T-pose.</summary>
        public void SetBone(int bone, Quat localRest, Quat worldRest)
        {
            present[bone] = true;
            before[bone] = localRest * worldRest.Inverse;
            after[bone] = worldRest;
        }

        /// <summary>Whether the avatar has the bone.</summary>
        public bool Has(int bone) => present[bone];

        /// <summary>The avatar's local rotation of a bone it has, after <see cref="Compute"/>.</summary>
        public Quat Local(int bone) => local[bone];

        /// <summary>Take a pose of the stream: x, y, z, w of every bone in VRM 1.0 axes.</summary>
        public void Compute(float[] rotations)
        {
            for (int i = 0; i < parents.Length; i++)
            {
                var q = Axes.Rotation(rotations, 4 * i);
                int parent = parents[i];
                turned[i] = parent >= 0 && !present[parent] ? turned[parent] * q : q;
                if (present[i]) local[i] = before[i] * turned[i] * after[i];
            }
        }
    }
}
