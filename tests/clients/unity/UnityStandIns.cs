// The few declarations of Unity that clients/unity uses, so that its thin layer can be compiled
// (and its mapping run) without Unity. Not Unity's code: signatures from its public documentation.
using System;

namespace UnityEngine
{
    public class Object
    {
        public string name = "";
    }

    public class Component : Object
    {
        public Transform transform;
        public Func<Type, object> find;

        public T GetComponent<T>() => (T)find(typeof(T));
    }

    public class Behaviour : Component { }

    public class MonoBehaviour : Behaviour { }

    public class Transform : Component
    {
        public Transform parent;
        public Quaternion localRotation = Quaternion.identity;
        public Vector3 localPosition;

        public Quaternion rotation => parent == null ? localRotation : parent.rotation * localRotation;

        public Vector3 position => parent == null ? localPosition : parent.position + parent.rotation * localPosition;

        public Vector3 InverseTransformPoint(Vector3 p) => Quaternion.Inverse(rotation) * (p - position);
    }

    public struct Vector3
    {
        public float x, y, z;

        public Vector3(float x, float y, float z)
        {
            this.x = x;
            this.y = y;
            this.z = z;
        }

        public static Vector3 operator +(Vector3 a, Vector3 b) => new Vector3(a.x + b.x, a.y + b.y, a.z + b.z);

        public static Vector3 operator -(Vector3 a, Vector3 b) => new Vector3(a.x - b.x, a.y - b.y, a.z - b.z);

        public static Vector3 operator *(Vector3 a, float s) => new Vector3(a.x * s, a.y * s, a.z * s);
    }

    public struct Quaternion
    {
        public float x, y, z, w;

        public static Quaternion identity => new Quaternion(0, 0, 0, 1);

        public Quaternion(float x, float y, float z, float w)
        {
            this.x = x;
            this.y = y;
            this.z = z;
            this.w = w;
        }

        public static Quaternion Inverse(Quaternion q) => new Quaternion(-q.x, -q.y, -q.z, q.w);

        public static Quaternion Slerp(Quaternion a, Quaternion b, float t)
        {
            float[] from = { a.x, a.y, a.z, a.w }, to = { b.x, b.y, b.z, b.w }, q = new float[4];
            GestureStreamer.Quat.Slerp(from, to, t, q);
            return new Quaternion(q[0], q[1], q[2], q[3]);
        }

        public static Quaternion operator *(Quaternion a, Quaternion b) => new Quaternion(
            a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
            a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x,
            a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w,
            a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z);

        public static Vector3 operator *(Quaternion q, Vector3 v)
        {
            var r = q * new Quaternion(v.x, v.y, v.z, 0) * Inverse(q);
            return new Vector3(r.x, r.y, r.z);
        }
    }

    public struct SkeletonBone
    {
        public string name;
        public Vector3 position;
        public Quaternion rotation;
    }

    public struct HumanDescription
    {
        public SkeletonBone[] skeleton;
    }

    public class Avatar : Object
    {
        public HumanDescription humanDescription;
    }

    public class Animator : Behaviour
    {
        public Avatar avatar;
        public bool isHuman;
        public Func<HumanBodyBones, Transform> bones;

        public Transform GetBoneTransform(HumanBodyBones bone) => bones(bone);
    }

    public enum HumanBodyBones
    {
        Hips, LeftUpperLeg, RightUpperLeg, LeftLowerLeg, RightLowerLeg, LeftFoot, RightFoot, Spine, Chest, Neck, Head,
        LeftShoulder, RightShoulder, LeftUpperArm, RightUpperArm, LeftLowerArm, RightLowerArm, LeftHand, RightHand,
        LeftToes, RightToes, LeftEye, RightEye, Jaw,
        LeftThumbProximal, LeftThumbIntermediate, LeftThumbDistal,
        LeftIndexProximal, LeftIndexIntermediate, LeftIndexDistal,
        LeftMiddleProximal, LeftMiddleIntermediate, LeftMiddleDistal,
        LeftRingProximal, LeftRingIntermediate, LeftRingDistal,
        LeftLittleProximal, LeftLittleIntermediate, LeftLittleDistal,
        RightThumbProximal, RightThumbIntermediate, RightThumbDistal,
        RightIndexProximal, RightIndexIntermediate, RightIndexDistal,
        RightMiddleProximal, RightMiddleIntermediate, RightMiddleDistal,
        RightRingProximal, RightRingIntermediate, RightRingDistal,
        RightLittleProximal, RightLittleIntermediate, RightLittleDistal,
        UpperChest, LastBone,
    }

    public static class Application
    {
        public static bool runInBackground { get; set; }
        public static bool isPlaying => true;
    }

    public static class Debug
    {
        public static void LogError(object message, Object context) => Console.Error.WriteLine(message);
    }

    public struct Rect
    {
        public Rect(float x, float y, float width, float height) { }
    }

    public static class Screen
    {
        public static int width => 1920;
        public static int height => 1080;
    }

    public static class GUI
    {
        public static void Label(Rect where, string text) { }
    }

    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string text) { }
    }

    public sealed class RangeAttribute : Attribute
    {
        public RangeAttribute(float low, float high) { }
    }

    public sealed class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string name) { }
    }

    public sealed class RequireComponent : Attribute
    {
        public RequireComponent(Type type) { }
    }

    public sealed class DefaultExecutionOrder : Attribute
    {
        public DefaultExecutionOrder(int order) { }
    }
}

namespace UnityEditor
{
    public enum MessageType { None, Info, Warning, Error }

    public sealed class CustomEditor : Attribute
    {
        public CustomEditor(Type type) { }
    }

    public class Editor : UnityEngine.Object
    {
        public UnityEngine.Object target;

        public virtual bool RequiresConstantRepaint() => false;

        public virtual void OnInspectorGUI() { }

        public bool DrawDefaultInspector() => true;
    }

    public static class EditorGUILayout
    {
        public static void LabelField(string label, string value) { }

        public static void HelpBox(string text, MessageType type) { }
    }
}
