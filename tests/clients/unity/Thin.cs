// Runs the thin Unity layer on stand-ins: thin SCRIPT.
//
//   node NAME PARENT localRest(4) position(3) HUMAN|-    the avatar, parents first; PARENT - for its root
//   hello BONES PARENTS hipsHeight | frame AT rotations(4 B) root(3) | late AT
//
// Each `late` prints the local rotation and position of every node.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;
using GestureStreamer;
using UnityEngine;

public static class Thin
{
    public static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("en-US");
        var nodes = new List<Transform>();
        var byName = new Dictionary<string, Transform>();
        var human = new Dictionary<HumanBodyBones, Transform>();
        var rests = new List<SkeletonBone>();
        var stream = new GestureStream();
        IStreamListener listener = stream;
        var humanoid = new GestureHumanoid { stream = stream };
        var animator = new Animator { isHuman = true };
        animator.bones = bone => human.TryGetValue(bone, out var found) ? found : null;
        humanoid.find = type => animator;
        Frame frame = null;
        foreach (string line in File.ReadLines(args[0]))
        {
            string[] w = line.Split(' ');
            switch (w[0])
            {
                case "node":
                    var node = new Transform { name = w[1] };
                    if (w[2] != "-") node.parent = byName[w[2]];
                    float[] v = Array.ConvertAll(new ArraySegment<string>(w, 3, 7).ToArray(), float.Parse);
                    var rest = new Quaternion(v[0], v[1], v[2], v[3]);
                    rests.Add(new SkeletonBone { name = w[1], rotation = rest });
                    node.localRotation = rest;
                    node.localPosition = new Vector3(v[4], v[5], v[6]);
                    if (w[10] != "-") human[(HumanBodyBones)Enum.Parse(typeof(HumanBodyBones), w[10])] = node;
                    if (nodes.Count == 0) humanoid.transform = node;
                    nodes.Add(node);
                    byName[w[1]] = node;
                    break;
                case "hello":
                    animator.avatar = new Avatar { humanDescription = new HumanDescription { skeleton = rests.ToArray() } };
                    var hello = new Hello { Fps = 15, Bones = w[1].Split(',') };
                    hello.Parents = Array.ConvertAll(w[2].Split(','), int.Parse);
                    hello.Rest = new float[3 * hello.Bones.Length];
                    hello.Rest[1] = float.Parse(w[3]);
                    frame = new Frame(hello.Layout);
                    listener.OnHello(hello, 0);
                    break;
                case "frame":
                    frame.Sample += 1067;
                    for (int i = 0; i < frame.Rotations.Length; i++) frame.Rotations[i] = float.Parse(w[2 + i]);
                    for (int i = 0; i < 3; i++) frame.Root[i] = float.Parse(w[2 + frame.Rotations.Length + i]);
                    listener.OnFrame(frame, double.Parse(w[1]));
                    break;
                case "late":
                    stream.Playback.Update(double.Parse(w[1]));
                    humanoid.LateUpdate();
                    var text = new StringBuilder();
                    foreach (var n in nodes)
                    {
                        var q = n.localRotation;
                        var p = n.localPosition;
                        foreach (float x in new[] { q.x, q.y, q.z, q.w, p.x, p.y, p.z }) text.Append(x.ToString("R")).Append(' ');
                    }
                    Console.WriteLine(text.ToString().Trim());
                    break;
            }
        }
        Console.Error.WriteLine(humanoid.BoundBones + " bones");
        return 0;
    }

    private static T[] ToArray<T>(this ArraySegment<T> part)
    {
        var copy = new T[part.Count];
        Array.Copy(part.Array, part.Offset, copy, 0, part.Count);
        return copy;
    }
}
