using System.Collections.Generic;
using UnityEngine;

namespace GestureStreamer
{
    /// <summary>Puts the stream's pose on a Humanoid avatar, after its Animator.</summary>
    /// <remarks>
    /// Bones that the stream does not carry (legs, face) stay as the Animator leaves them. While the
    /// stream is away the Animator's own pose fades in, so give it an idle animation.
    /// </remarks>
    [AddComponentMenu("Gesture Streamer/Gesture Humanoid")]
    [RequireComponent(typeof(Animator))]
    public sealed class GestureHumanoid : MonoBehaviour
    {
        public GestureStream stream;

        [Range(0, 1), Tooltip("How much of the stream is shown over the Animator's pose.")]
        public float weight = 1;

        private Hello hello;
        private PoseMapper mapper;
        private Transform[] bones;
        private Quaternion[] idle;
        private Quaternion[] written;
        private Transform hips;
        private Vector3 hipsIdle;
        private Vector3 hipsWritten;
        private Quaternion hipsParentRest;
        private float scale;

        /// <summary>Bones of the stream that the avatar has, of how many; for the inspector.</summary>
        public int BoundBones { get; private set; }

        public int StreamBones => bones == null ? 0 : bones.Length;

        /// <summary>Why nothing moves; empty if all is well.</summary>
        public string Problem { get; private set; } = "";

        public void LateUpdate()
        {
            if (stream == null || stream.Playback == null) return;
            if (stream.Hello != hello) Bind(stream.Hello);
            float share = weight * stream.Playback.Weight;
            if (mapper == null) return;
            mapper.Compute(stream.Playback.Rotations);
            for (int i = 0; i < bones.Length; i++)
            {
                if (bones[i] == null) continue;
                // An Animator writes every frame; without one, what we wrote is still there.
                var current = bones[i].localRotation;
                if (!Same(current, written[i])) idle[i] = current;
                var q = mapper.Local(i);
                var local = new Quaternion(q.X, q.Y, q.Z, q.W);
                written[i] = share >= 1 ? local : Quaternion.Slerp(idle[i], local, share);
                bones[i].localRotation = written[i];
            }
            if (hips == null) return;
            if (!hips.localPosition.Equals(hipsWritten)) hipsIdle = hips.localPosition;
            Axes.Position(stream.Playback.Root, 0, out float x, out float y, out float z);
            hipsWritten = hipsIdle + hipsParentRest * new Vector3(x, y, z) * (scale * share);
            hips.localPosition = hipsWritten;
        }

        private void Bind(Hello fresh)
        {
            hello = fresh;
            mapper = null;
            bones = null;
            hips = null;
            BoundBones = 0;
            var animator = GetComponent<Animator>();
            if (animator.avatar == null || !animator.isHuman)
            {
                Problem = "The Animator's avatar is not Humanoid: set the model's Rig to Humanoid.";
                Debug.LogError("Gesture Humanoid: " + Problem, this);
                return;
            }
            Problem = "";
            mapper = new PoseMapper(hello);
            bones = new Transform[hello.Bones.Length];
            idle = new Quaternion[bones.Length];
            written = new Quaternion[bones.Length];
            var tPose = new Dictionary<string, SkeletonBone>();
            foreach (var bone in animator.avatar.humanDescription.skeleton) tPose[bone.name] = bone;
            for (int i = 0; i < bones.Length; i++)
            {
                var which = HumanoidBones.Of(hello.Bones[i]);
                var bone = which == HumanBodyBones.LastBone ? null : animator.GetBoneTransform(which);
                if (bone == null) continue;
                bones[i] = bone;
                BoundBones++;
                mapper.SetBone(i, Core(LocalRest(bone, tPose)), Core(WorldRest(bone, tPose)));
                if (which == HumanBodyBones.Hips) BindHips(bone, i, tPose);
            }
        }

        private void BindHips(Transform bone, int index, Dictionary<string, SkeletonBone> tPose)
        {
            hips = bone;
            hipsParentRest = Quaternion.Inverse(WorldRest(bone.parent, tPose));
            // The avatar's hips sway as far as its own height lets them.
            float height = transform.InverseTransformPoint(bone.position).y;
            float theirs = hello.Rest[3 * index + 1];
            scale = theirs > 0 && height > 0 ? height / theirs : 1;
        }

        // The avatar's T-pose, not the pose of the moment: the Animator may run already.
        private static Quaternion LocalRest(Transform bone, Dictionary<string, SkeletonBone> tPose)
        {
            return tPose.TryGetValue(bone.name, out var rest) ? rest.rotation : bone.localRotation;
        }

        private Quaternion WorldRest(Transform bone, Dictionary<string, SkeletonBone> tPose)
        {
            var world = Quaternion.identity;
            for (var at = bone; at != null && at != transform; at = at.parent) world = LocalRest(at, tPose) * world;
            return world;
        }

        // Bit for bit: Unity's own == is approximate.
        private static bool Same(Quaternion a, Quaternion b)
        {
            return a.x.Equals(b.x) && a.y.Equals(b.y) && a.z.Equals(b.z) && a.w.Equals(b.w);
        }

        private static Quat Core(Quaternion q) => new Quat(q.x, q.y, q.z, q.w);
    }
}
